"""The page of near_impossible.py; what stands in braces is filled in from the stored results."""

PAGE_TEXT = """\
# Near-impossible problems

{verdict}

**In short.** Training cost easy problems in every cell but the easy one, and the harder the cell the more: medium
problems cost them too, so that the loss is not one of near-impossible problems alone. It is as large where luck is next
to nothing, so lucky shortcuts are not shown to be the cause; medium problems were not best, and there was no gap for a
filter or rewrites to restore.

**Claim** (2605.28388; section 3 of the notes). With group-relative advantages, problems that the model almost never
solves harm: what gets rewarded is the lucky shortcut, which shows in repeated answers and skipped steps before accuracy
falls. Problems of medium difficulty are best. Filtering, or rewriting the hard problems backwards, restores.

**Design.** `tiny` (1M parameters), one warm-up of 400 steps shared by all runs, then {runs} runs (five of them an
afterthought) of 12 updates of 8 problems x 8 completions, reward 1 for a right answer, learning rate 5e-5, 64
training problems per run. The problems ([difficulty_cells.py](../../scripts/findings/parts/difficulty_cells.py)) are
sums of two, three and five small terms and, as level 3, products such as 63 * 7, which the warm-up shows but does not
teach. Worked steps stand in think tags. In the *small* answer space the remainder modulo 7 is asked for (a blind
guess is right one time in seven); in the *large* one every running total in order. The base answers every problem 16
times at temperature 1, once; that profile cuts four cells, and a run trains on one of them. Problems per cell, in
brackets for levels 0 to 3:

| space, split | H0 (0 of 16) | Hlow (1-2) | M (3-12) | E (13-16) | pass rate |
|---|---|---|---|---|---|
{cells}

Where a cell has fewer than 64 training problems, its problems are used more than once. Measured: the first 80 held-out
problems (all levels alike, "mixed"), and for the easy ones all held-out problems of cell E; 8 samples each.
Restoration: mixtures of half H0 and Hlow, half M and E, small space, GRPO. The filter is
`drop_near_impossible(threshold=0.15)`, the threshold that covers 2 of 16; the default of 0.05 covers 0 of 16 only.
Filter and band read a profile of 16 samples of their own. The rewrites turn the near-impossible sums round: the value
itself is stated, not its remainder, and the first term asked for (63*7%7 becomes x*7=441). So x is unique, but the
rewritten half leaves the modulo space. The warm-up holds a fifth of such problems, for all arms.

Behaviour, on the mixed problems: *repetition*: two completions of problems with different answers give the same one
([metrics](../metrics.md)); *skipping*: no `a op b = c` step at all; *unfaithful*: share of the right answers with a
false step; *lucky*: share of all completions that are right with one; *length ratio*: median tokens over those of the
base; *4-grams*: share of a completion's 4-grams of characters that stood in it before.

**Criterion, committed before the run** (9dec948).

{criterion}

**Result.**

| point | numbers [95%] | held |
|---|---|---|
{rows}

![held-out change per cell, and behaviour over updates](near_impossible/cells.svg)

Bars: 95% over seeds and problems; small dots: seeds.

{table}

"mixed groups": share of the training groups with right and wrong completions; "gradient 0": share of the updates.
Changes are against the base of the same space.

**Point by point.**

1. Not held. M beats H0 in both spaces, is not told apart from Hlow, and lies below E in the mean. Nothing improved on
   the base: training on E leaves it where it was, and every other cell lies below it.
2. Held as it was written, for both cells, and unspecific: medium problems change by {m_base}
   and would meet the same test. Against M, H0 loses more ({h0_m}); Hlow is not told apart from M ({hlow_m}).
3. Not held for H0, the worse cell: easy problems and unfaithful success both cross their thresholds at the first
   measured update, 3. For Hlow, which the criterion does not judge, unfaithful success crosses at update 3 and the easy
   problems at 6. Repetition and skipping never crossed; lengths did not change. What the paper saw (answers without
   working) did not happen in 12 updates.
4. Not held: no difference. A likely reason, not tested: Adam divides by the size of the gradient, so the larger
   advantage of a lone success mostly cancels.
5. Not held: M is not above the mixture, so there is no gap to restore, and no filter or rewrite moved the mixture in
   either direction. The filter kept 61% of the completions. `drop_zero_signal` changed nothing that can be measured.
6. Not held, and it matters for point 2. H0 in the large space had a gradient in 40% of its updates (0.7% of the
   training completions were right: 0 of 16 is not impossible), and those few cost the easy problems as much as H0
   cost them in the small space.

**How to read it.** The fall of point 2 is there, but it needs no near-impossible problem (M falls too), and the claim's
cause is not shown. In the large space luck is next to nothing (*lucky* stays below 1%), and the fall is of the same
size. So lucky shortcuts are not needed for it. A likely cause, tested only in part below: with few successes the
gradient comes from one or two completions, and Adam makes steps of about the learning rate of whatever it is given, and
goes on by momentum through updates without any gradient. Seen that way, the cells differ in how noisy their gradient
is. Unfaithful success does rise in the small space (right answers with a false step from 23% to 45% after H0), but
mostly because the faithful ones vanish: as a share of all completions, lucky ones go from 7.7% to 10.9%, faithful ones
from 25.7% to 14.1%.

**Not in the criterion, run after the results were seen.** H0 in the large space again with Adam's momentum off
(`adam_beta1` 0, so that an update without a gradient changes nothing; row `large/H0/no_momentum`): the easy problems
still fall, by 10.5 points instead of 23.7. The two are not told apart (+0.133 [-0.05, +0.32]). Momentum may be part
of it; it is not all.

**Limits.** Twelve updates of a model of 1M parameters, one learning rate at which even medium problems teach nothing
that shows, one warm-up and one profile for all seeds. In the small space cell M holds luck itself: products and five
terms, which the base almost never gets right in the large space, make up 141 of its 378 training problems. The easy
problems of the large space are not those of the small one. The mixture's rewrites lie in another answer space than
what they replace.

**What would change it.** The arms again with plain SGD, or with updates left out that have few mixed groups: if H0 in
the large space is then flat, the harm there is the optimiser's. A lower learning rate or larger batches, for as long
as it takes M to gain; without that, point 5 has nothing to restore. A base that solves half of the problems.

**What happened on the way.** The main run was stopped after nine trainings, because each seemed slower than the last
in one process, and went on with a fork for each; the training broken off (small/Hlow/grpo, seed 4) was repeated, its
outcome unseen. Outcomes were read while the rest ran; nothing but the page, the *lucky* column and the afterthought
was changed after that.

**What the pilots chose.** A first task (all of `arithmetic` up to two digits x one digit, 700 warm-up steps) left a
base that solved 3 to 14% of the held-out problems, and hardly any easily; it was dropped before any training. On this
task the unfiltered mixture was tried (seeds 900 and 901): a learning rate of 2e-4 with 32 completions per update cut
the held-out pass rate from 0.33 to 0.11 in 20 updates, 1e-4 with 64 to 0.17 in 12; 5e-5, the default of the `tiny`
recipe, to 0.27 and 0.31, and was taken. So learning was not healthy in the sense of rising: no rate tried made this
mixture gain. The warm-up has seed 900 too. Cut for time before the main run: Dr. GRPO in the large space, and updates
3 to 9 of all arms but two.

Redraw: `python scripts/findings/near_impossible.py`. Run again: remove `docs/findings/near_impossible/`, then the same
with `--rerun`. Measured: {minutes:.0f} minutes of one core for the runs, 3 for the warm-up, 2 for the profile.
"""
