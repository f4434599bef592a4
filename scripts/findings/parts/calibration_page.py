"""The words of docs/findings/calibration.md."""

PAGE_TEXT = """\
# A Brier term against loud guessing

{verdict}

**In short.** The Brier term repairs the *level* of the stated confidence (ECE and Brier fall, in and out of
distribution, accuracy stays), and nothing else: with this budget the model learns to say nearly the same to every
problem, AUROC stays at chance, and a constant, or a map fitted afterwards, does better. Credit split by tokens is
what made the confidence depend on the problem, at the price of overclaiming.

**Claim** (2507.16806; section 2 of the notes). A binary reward says nothing about confidence, so what the model
states is badly calibrated; a Brier term beside it repairs that, in and out of distribution, and costs no accuracy.

**Design.** `tiny` (1M parameters), warmed up once for 600 steps of 32 worked chains of sums of 2 to 6 terms
([chains.py](../../scripts/findings/parts/chains.py): `7+3-2?`, worked as `7+3=10, 10-2=8`), whose stated confidence
is random. All arms start from it: six arms x five seeds of 120 updates of 16 problems x 8 completions on chains of 2
to 5 terms, learning rate 5e-5, run by `rlvr ablate`
([calibration.yaml](../../scripts/findings/parts/calibration.yaml)). *rlvr*: half correct, half format, centred and
not scaled, as in the paper. *rlcr*: the recipe, half Brier added. *split*: the recipe `dcpo` (2603.09117): the
answer's tokens get correctness, the confidence's get calibration. *brier_only* and *log_1*
([log_1.py](../../scripts/findings/parts/log_1.py)) can be gamed, *format_only* is a control, *untrained* is the
start. In distribution: unseen chains of 2 to 5 terms. Out of distribution: chains of 2, 3 and 6 terms with digits up
to 7, where the warm-up and the training went to 5. The confidence stands behind the answer, so it may read the
working.

**What the pilot chose** (seed 900, the base and the arm *rlvr* only): chains instead of the arithmetic ladder, digits
up to 5, 600 warm-up steps (so that the base's accuracy falls from 0.96 at two terms to 0.28 at five), and the
learning rate: at 1.5e-4 and 4e-4 *rlvr* lost accuracy, at 5e-5 it did not. The number of updates is what the time
allowed. *log_1* was first written as a negative weight on `correct`; the product refuses those, so its five runs came
after the others, as a term of its own; nothing had been read by then.

**Criterion, committed before the run** (5abd051).

{criterion}

**Not the sets that ran.** The criterion names 2, 3, 4 and 6 terms, and 5 and 7 terms out of distribution. Every run was
measured on the sets of [calibration.yaml](../../scripts/findings/parts/calibration.yaml) instead: 2 to 5 terms, and 2,
3 and 6 terms with digits up to 7 (the task names in [samples.npz](calibration/samples.npz) say the same). The points
below are judged on these.

**Result.**

| point | numbers [95%] | held |
|---|---|---|
{rows}

![reliability, and pass@1, ECE and Brier of every seed](calibration/calibration.svg)

In distribution. Values are means over seeds with intervals over seeds and problems; Brier skill is against the best
constant confidence; reliability and resolution are the parts of the Brier score (low and high are good). The last
eight rows put a confidence, stated or the mean probability of a token, through a map fitted on validation samples of
the same run.

{inside}

Out of distribution:

{outside}

Accuracy / mean stated confidence, by number of terms (2 to 5 in distribution; the last three columns out of it):

{tasks}

Split credit minus rlcr: {split}.

**Reading.** *rlcr* moved the mean confidence to the mean accuracy and narrowed it (the standard deviation of q in the
table), for two terms as for five: a constant that was learned. That is why it wins on ECE and loses to the best
constant (point 6), why out of distribution, where accuracy is lower, it gains less, why weighting votes by it changes
nothing (point 5: the mean is below 0 by less than its interval's width), and why temperature scaling, which can only
flatten a confidence that knows nothing to 0.5, comes as close (point 7). Platt scaling of *rlvr*, which has a bias
term, beats it. What the model knows is there: the mean probability of its own tokens tells right from wrong without
any training for it (AUROC 0.61 for *rlcr*; 0.54 for *rlvr*, whose interval holds 0.5), and put through a map it has
the best Brier scores in distribution. *split* alone made the stated confidence tell easy from hard (AUROC and
resolution), because every group, also an all-right one, teaches its confidence token by itself; its target mixes the
group's accuracy with the own outcome under an absolute distance, whose best answer is a median and not a mean, which
probably is why it claims far too much. Of the hackable rewards *brier_only* lost accuracy against *rlvr*
({brier_lost}), but this does not show that a Brier term alone costs accuracy: *format_only*, which pays for
neither, lost three times as much ({format_lost}), so that a fall this large needs no reward for it;
*brier_only* lies {brier_above} above it.
*log_1* lost too, but not so that its interval excludes 0: at an accuracy of two thirds most problems lie above the
threshold of 0.648 below which giving up pays. In this set-up *rlvr*'s confidence is the warm-up's random one and not
a constant 1, so its ECE is not 1 - accuracy as in the paper.

**What would change it.** More updates (the confidence is one token of thirty, and learns slowly); a larger model,
which can look its chances up in its own working; another seed for the warm-up (all arms share one, so the intervals
do not cover it). On SmolLM2-135M, one seed: [calibration_smollm2.md](calibration_smollm2.md).

**Cost.** {runs} runs, {tokens:.1f} million tokens, {minutes:.0f} minutes of training on one core each, two at a time
beside other work (evaluation comes on top: half an hour). `python scripts/findings/calibration.py --rerun`; redrawn
from [samples.npz](calibration/samples.npz) (confidence, verdict, answer, mean log-probability of every sample)
without training.
"""
