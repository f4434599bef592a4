"""What tests give the command: flags for `tiny`, an ablation file, names of recipes, a port."""

import socket

import yaml

SCALES = ("tiny", "smollm2", "qwen_gpu")
ADDONS = ("vllm_colocate", "vllm_server", "liger", "flash_attention", "lora")  # engines and kernels: neither
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
