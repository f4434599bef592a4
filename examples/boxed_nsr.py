"""Train Qwen3 by its wrong answers alone (NSR, 2506.01347) on MATH, answers in a box, and measure with 64 samples each.

A row of the files: {"problem": "What is ...?", "solution": "... \\boxed{42}.", "answer": "42"}; others may stand there.
"""

import rlvr

columns = "prompt='problem', answer='answer', verifier='math'"
run = rlvr.train(
    model="Qwen/Qwen3-4B",  # any model with a chat template
    data=f"jsonl(path='math_train.jsonl', {columns})",
    eval_data=[f"jsonl(path='math500.jsonl', split='all', {columns})"],
    answer_format="boxed",  # a <think>..</think> of the model's is left out; then the last \boxed{} counts
    chat_template_kwargs={"enable_thinking": True},  # Qwen3's own switch; False trains the mode without thinking
    advantage="nsr",
    rewards={"correct": 1.0},
    eval_n=64,
    eval_size=500,
    max_completion_length=4096,  # thinking is long; what is cut off counts as wrong, and a warning says how much was
    max_steps=100,
    output_dir="runs/boxed-nsr",
)
print(run.before.compare(run.after))  # pass@1 to pass@64, paired by problem
print(run.after.pass_at_k([1, 8, 64]))
