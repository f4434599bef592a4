"""What tests give the command: flags for `tiny`, an ablation file, names of recipes, a port."""

import socket

import yaml

from tests.conftest import REPO

SCALES = ("tiny", "smollm2", "qwen_gpu", "qwen25_15b_24gb")
WHOLE = ("demo", "demo_tiny", "operators")  # with problems and numbers of their own
OPTIMIZERS = ("sgd", "adam_no_momentum")
ADDONS = ("vllm_colocate", "vllm_server", "liger", "flash_attention", "lora", *OPTIMIZERS)  # neither
WARM = ["--sft_steps", "80"]  # of the recipe tiny: one warm-up, made once (the fixture `cache`), for all that need one
TINY = [
    "--sft_steps", "0", "--max_steps", "3", "--eval_size", "0", "--train_size", "16", "--no_report",
    "--per_device_train_batch_size", "16", "--num_generations", "4",
]  # fmt: skip
QUICK = {
    "sft_steps": 0, "eval_size": 6, "eval_n": 2, "max_completion_length": 8, "train_size": 8, "log_rollouts": False,
    "per_device_train_batch_size": 8, "num_generations": 4,
}  # fmt: skip


def write(path, **keys):
    path.write_text(yaml.safe_dump({"base": ["tiny"], "set": QUICK, "arms": {"a": {"recipes": ["grpo"]}}, **keys}))
    return path


def free_port() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def undocumented(rows) -> set[str]:
    """Return the logged names that have no row of their own in docs/metrics.md; terms and transforms share one each."""
    text = (REPO / "docs" / "metrics.md").read_text(encoding="utf-8")
    shared = {"rewards": r"`rewards/<term>/{}`", "dropped": r"`dropped/<transform>`"}

    def name(key):
        room, _, rest = key.partition("/")
        return shared[room].format(rest.rpartition("/")[2]) if room in shared else f"`{key}`"

    return {key for row in rows for key in row if name(key) not in text}
