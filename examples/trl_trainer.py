"""Use RLVRTrainer where GRPOTrainer stood: your own rows and reward, and negative-only credit (2506.01347)."""

import rlvr


def my_reward(completions, answer, **kwargs):
    """Score 1 where the completion ends with the gold answer, else 0; the signature is TRL's."""
    return [float(chat[-1]["content"].strip().endswith(gold)) for chat, gold in zip(completions, answer, strict=True)]


rows = [
    {"prompt": [{"role": "user", "content": f"What is {a} + {b}? End with the number."}], "answer": str(a + b)}
    for a in range(10)
    for b in range(10)
]
trainer = rlvr.RLVRTrainer(
    model="Qwen/Qwen2.5-0.5B-Instruct",
    reward_funcs=my_reward,
    train_dataset=rows,
    args=rlvr.TrainConfig(max_steps=100),
    advantage="nsr",
    correct=my_reward,
)
trainer.train()
print(rlvr.evaluate(trainer, data="arithmetic(levels=[0])", n=4, size=20).pass_at_k())
