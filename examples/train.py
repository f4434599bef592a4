"""Train a model on verifiable rewards, compare it before and after, and open the report."""

import rlvr

run = rlvr.train(
    model="smollm2-135m-instruct",
    data="arithmetic(levels=[1])",
    rewards={"correct": 0.5, "brier": 0.5, "format": 0.5},
    advantage="dr_grpo",
    max_steps=50,
    config="demo",  # the scale: a warm-up that teaches the tags, batch, learning rate
)
print(run.before.compare(run.after))  # pass@k and calibration, paired, with intervals
run.report().open()
