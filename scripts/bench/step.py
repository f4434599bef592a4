"""Times whole training steps: rlvr against TRL's own trainer, alternately, in one process; ratios with their spread.

    python scripts/bench/step.py                      tiny, seconds
    python scripts/bench/step.py --model smollm2-135m-instruct --repeats 3

Both sides get the same weights, prompts, optimizer, precision and lengths: the in-process engine and the packed
training pass are all that differs. The first step of each trainer is warm-up and is not counted.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from datasets import Dataset
from transformers.trainer_callback import PrinterCallback
from trl import GRPOTrainer

from rlvr.config import TrainConfig
from rlvr.models import load_model
from rlvr.problems import load_problems
from rlvr.prompts import messages
from rlvr.trainer import RLVRTrainer


def reward_length(completion_ids: list[list[int]], **_: object) -> list[float]:
    """A reward with spread in every group."""
    return [len(ids) + sum(ids) % 7 for ids in completion_ids]


def one(cls: type, fast: bool, args: argparse.Namespace, seed: int) -> dict[str, float]:
    """Train two steps with a fresh trainer and return what the second one took."""
    model, tokenizer = load_model(args.model)
    chats = [messages(p, ("think", "answer")) for p in load_problems("arithmetic", "train", 64, 0)]
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            output_dir=folder, engine="rlvr" if fast else "trl", pack_prompts=fast, seed=seed, max_steps=2,
            per_device_train_batch_size=args.prompts * args.group, num_generations=args.group, num_iterations=1,
            max_completion_length=args.tokens, save_strategy="no", logging_steps=1, learning_rate=0.0,
        )  # fmt: skip
        trainer = cls(
            model, args=config, train_dataset=Dataset.from_dict({"prompt": chats}), processing_class=tokenizer,
            reward_funcs=reward_length,
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    rows = [row for row in trainer.state.log_history if "step_time" in row]
    return {"seconds": rows[-1]["step_time"], "tokens": rows[-1]["completions/mean_length"]}


def main() -> None:
    """Run both sides alternately and print the ratio pair by pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    pairs = []
    for i in range(args.repeats):
        theirs, ours = one(GRPOTrainer, False, args, i), one(RLVRTrainer, True, args, i)
        pairs.append({"trl": theirs, "rlvr": ours, "ratio": theirs["seconds"] / ours["seconds"]})
        print(f"pair {i + 1}: TRL {theirs['seconds']:.2f} s, rlvr {ours['seconds']:.2f} s, {pairs[-1]['ratio']:.2f}x")
    ratios = [p["ratio"] for p in pairs]
    print(f"ratio min {min(ratios):.2f}  median {statistics.median(ratios):.2f}  max {max(ratios):.2f}")
    if args.out:
        args.out.write_text(json.dumps({"settings": vars(args) | {"out": str(args.out)}, "pairs": pairs}, indent=2))


if __name__ == "__main__":
    main()
