"""Measure completions that were made elsewhere: two systems, 100 problems x 8 samples each, paired, with a report."""

import json
import random
from pathlib import Path

import rlvr

# Stand-ins for what two systems wrote: any JSONL or Parquet with an id or a prompt, a completion and a gold answer.
for name, skill in (("a", 0.35), ("b", 0.5)):
    rng, rows = random.Random(name), []
    for i in range(100):
        rate = min(1.0, max(0.0, rng.gauss(skill, 0.25)))
        for _ in range(8):
            answer = 7 * i if rng.random() < rate else 7 * i + rng.randrange(1, 9)
            output = f"7 times {i} is {answer}. So the answer is {answer}.\nConfidence: {rate:.2f}"
            rows.append({"question": f"What is 7 * {i}?", "output": output, "final": 7 * i})
    Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

settings = {
    "verifier": "number",
    "answer_format": "last_number(confidence='line')",
    "columns": {"prompt": "question", "completion": "output", "gold": "final"},
}
a, b = (rlvr.score(f"{name}.jsonl", **settings) for name in "ab")
print(a.pass_at_k())
print(a.calibration()["ece"])
print(a.compare(b))  # b minus a, paired by problem
a.save("evals/a.json")
b.save("evals/b.json")
print(rlvr.write_report([Path("evals/a.json"), Path("evals/b.json")], Path("report")))
