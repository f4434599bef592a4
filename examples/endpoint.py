"""Measure a model behind an OpenAI-compatible server, vLLM or an API (pip install 'rlvr[endpoint]')."""

import rlvr

# The key, where the server wants one, is in OPENAI_API_KEY. What was sampled is on disk at once: cut off, run it again.
result = rlvr.evaluate(
    "Qwen/Qwen2.5-0.5B-Instruct",
    "gsm8k",
    endpoint="http://localhost:8000/v1",
    size=100,
    n=8,
    requests_at_once=16,
    samples_file="evals/qwen.samples.jsonl",
)
print(result.pass_at_k([1, 8]))
print(result.calibration()["ece"])
result.save("evals/qwen.json")
