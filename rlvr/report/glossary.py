"""What the words and the intervals of a report mean."""

GLOSSARY = {
    "pass@k": "the chance that at least one of k samples is right, by the unbiased estimator 1 − C(n−c, "
    "k) / C(n, k), averaged over problems; 1 − (1 − p)^k where a problem's chance p was computed.",
    "majority vote": "how often the most frequent answer among all samples of a problem is right; ties count in parts.",
    "ECE": "expected calibration error: the mean gap between stated confidence and accuracy in ten bins; "
    "0 is best. It is biased upwards on finite data; “bias removed” takes off what the bootstrap shows "
    "of that.",
    "Brier": "the mean of (confidence − correct)²; 0 is best. “Of a constant confidence” is the score of "
    "always stating one number, chosen on the other problems: a confidence worth stating beats it.",
    "Brier skill": "1 − Brier / Brier of the constant; above 0 the stated confidence tells more than the constant.",
    "AUROC": "the chance that a right answer was stated with more confidence than a wrong one; 0.5 tells nothing.",
    "AURC": "area under the risk-coverage curve: the mean error rate among the most confident answers; 0 is best.",
    "acting on the confidence": "answering when the stated confidence, taken as the chance of being right, makes the "
    "expected utility of answering at least that of no answer: confidence × right + (1 − confidence) × wrong. The "
    "best threshold is the one that earned most on the other problems; where it earns more, the confidence is not "
    "calibrated.",
    "overconfidence": "mean confidence minus accuracy; 0 is best, above 0 the model claims too much.",
    "confidence missing": "share of completions without a readable confidence. They are left out, never imputed.",
    "format right": "share of completions with exactly the requested form, such as each tag once, in order.",
    "paired difference": "after minus before, problem by problem, so that hard problems cancel.",
    "mixed group": "a group of completions of one prompt with right and wrong ones; a group-relative "
    "advantage of correctness is 0 in every other group.",
    "advantage": "the credit of a completion that the loss used; “not in the loss” names the transform "
    "that took it out of the loss and its normaliser.",
}

INTERVALS = (
    "All intervals are 95% bootstrap intervals over problems (2,000 resamples, fixed seed), because "
    "samples of one problem are not independent: percentile intervals, or basic ones for ECE and the "
    "parts of the Brier score, which noise pushes upwards. Where all problems gave the same value, which leaves "
    "nothing to resample, the bounds of a rate or a Brier score are exact (Clopper-Pearson: all of 32 right means at "
    "least 0.891). Differences resample both sides together. A change is named only when its interval excludes 0 by "
    "more than rounding; many metrics are shown and nothing corrects for that, so read pass@1, ECE and Brier first."
)
