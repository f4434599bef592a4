"""Measure a model: pass@k and calibration with intervals, each sample as a row, and a paired comparison."""

import rlvr

model = "smollm2-135m-instruct"  # or a folder, a hub id, a rlvr.Run, a trainer
settings = {"data": "gsm8k", "n": 16, "size": 60, "max_completion_length": 200}

result = rlvr.evaluate(model, **settings)
print(result.pass_at_k([1, 4, 16]))
print(result.calibration())
print(result.to_pandas().groupby("id")["correct"].mean().describe())
result.save("evals/warm.json")

other = rlvr.evaluate(model, **settings, temperature=0.6)
print(result.compare(other))  # other minus result, paired by problem; it says that the temperature differs
