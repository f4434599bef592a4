"""Stand in for the hub in TRL's own tests: tiny random models and small data sets under the names they ask for.

A pytest plugin (scripts/trl_tests.py starts it). The models lie in a folder with the layout of the hub's cache, so that
transformers loads them as it loads any: a configuration of the named architecture with hidden size 8, random weights in
float32, the tokenizer of `tiny` and TRL's own chat templates. The Qwen3 models that write have Qwen3's own tokenizer
(TRL's tests spell tool calls in its token ids), which makes a step ten times as dear.

With TRL_TESTS_TRAINER=rlvr every `GRPOTrainer` of the test module is an RLVRTrainer. TRL_TESTS_REPORT names a file that
gets one line of JSON per test: its name, its outcome, the reason, the seconds.
"""

import codecs
import contextlib
import gc
import importlib.resources
import importlib.util
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

ORGANIZATION = "trl-internal-testing"
NAMES = (
    "tiny-Cohere2ForCausalLM",
    "tiny-Gemma2ForCausalLM",
    "tiny-Glm4MoeForCausalLM",
    "tiny-GptOssForCausalLM",
    "tiny-LlamaForCausalLM-3.2",
    "tiny-LlamaForSequenceClassification-3.2",
    "tiny-MistralForCausalLM-0.2",
    "tiny-NemotronHForCausalLM-nano",
    "tiny-Qwen2ForCausalLM-2.5",
    "tiny-Qwen2ForSequenceClassification-2.5",
    "tiny-Qwen3ForCausalLM",
    "tiny-Qwen3ForSequenceClassification",
    "tiny-Qwen3MoeForCausalLM",
)
REMOTE = "tiny-RemoteForCausalLM"  # a model whose code lies beside its weights
REAL_TOKENIZER = ("tiny-Qwen3ForCausalLM", "tiny-Qwen3MoeForCausalLM")
TEMPLATES = {"Qwen2": "qwen2_5", "Qwen3": "qwen3", "Llama": "llama3_2", "GptOss": "gptoss", "Glm4Moe": "glm4moe"}
SMALL = {
    "hidden_size": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 32,
    "head_dim": 4,
}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
MORE: dict[str, dict[str, Any]] = {  # what an architecture needs beside SMALL
    "Qwen3Moe": EXPERTS | {"num_experts": 4},
    "GptOss": EXPERTS | {"num_local_experts": 4, "layer_types": ["sliding_attention", "full_attention"]},
    "Glm4Moe": EXPERTS | {"n_routed_experts": 4, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1},
    "NemotronH": EXPERTS
    | {
        "layers_block_type": ["mamba", "attention", "moe"],
        "mamba_num_heads": 8,
        "mamba_head_dim": 4,
        "n_groups": 1,
        "ssm_state_size": 16,
        "n_routed_experts": 4,
        "moe_shared_expert_intermediate_size": 32,
        "use_mamba_kernels": False,
    },
}
REMOTE_CODE = """from transformers import LlamaConfig, LlamaForCausalLM


class RemoteConfig(LlamaConfig):
    model_type = "remote"


class RemoteForCausalLM(LlamaForCausalLM):
    config_class = RemoteConfig
"""


def build_hub(hub: Path, tokenizer_files: Path) -> None:
    """Write every stand-in model into `hub`, a folder of the layout of the hub's cache."""
    for name in NAMES:
        _build_model(_snapshot(hub, name), name, tokenizer_files)
    folder = _snapshot(hub, REMOTE)
    _build_model(folder, "tiny-LlamaForCausalLM", tokenizer_files)
    (folder / "remote.py").write_text(REMOTE_CODE, encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "remote", "architectures": ["RemoteForCausalLM"]}
    config["auto_map"] = {"AutoConfig": "remote.RemoteConfig", "AutoModelForCausalLM": "remote.RemoteForCausalLM"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _snapshot(hub: Path, name: str) -> Path:
    """Return the empty folder of the one stored commit of a model, listed as its main branch."""
    repo, commit = hub / f"models--{ORGANIZATION}--{name}", "0" * 40
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit, encoding="utf-8")
    folder = repo / "snapshots" / commit
    folder.mkdir(parents=True)
    return folder


def _build_model(folder: Path, name: str, tokenizer_files: Path) -> None:
    """Save a random model of the architecture that the name spells, with tokenizer and chat template."""
    import torch
    import transformers

    from rlvr.models.load import tiny_tokenizer

    architecture = name.split("-")[1]
    family, scores = architecture.partition("For")[0], architecture.endswith("SequenceClassification")
    real = name in REAL_TOKENIZER
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_files) if real else tiny_tokenizer()
    templates = importlib.resources.files("trl") / "chat_templates"
    found = next((file for prefix, file in TEMPLATES.items() if family.startswith(prefix)), "qwen2_5")
    tokenizer.chat_template = (templates / f"{found}.jinja").read_text(encoding="utf-8")
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.pad_token_id
    ids = {"bos_token_id": start, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    kind = getattr(transformers, architecture)
    labels = {"num_labels": 1} if scores else {}
    config = kind.config_class(vocab_size=len(tokenizer), **SMALL | MORE.get(family, {}), **ids, **labels)
    torch.manual_seed(0)
    model = kind(config)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):  # at hidden size 8 the usual 0.02 gives gradients too small to see
            torch.nn.init.xavier_uniform_(module.weight)
    if not scores:
        model.generation_config = transformers.GenerationConfig(**ids)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# How many words of each line of the Zen of Python are a prompt: the data set of that name, which a test spells out.
WORDS = (4, 2, 3, 1, 4, 3, 1, 4, 3, 3, 2, 6, 6, 11, 2, 4, 7, 5, 5)


def zen_prompts() -> list[str]:
    """Return the beginnings of the lines of the Zen of Python."""
    with contextlib.redirect_stdout(io.StringIO()):
        import this
    lines = codecs.decode(this.s, "rot13").splitlines()[2:]  # type: ignore[attr-defined]
    return [" ".join(line.split()[:count]) for line, count in zip(lines, WORDS, strict=True)]


def write_zen(folder: Path, rows: int = 17) -> None:
    """Write the prompts as a data set of two configurations, each with the splits train (`rows`) and test (2 rows)."""
    prompts_of = {"train": zen_prompts()[:rows], "test": zen_prompts()[-2:]}
    forms: dict[str, Callable[[str], Any]] = {
        "standard_prompt_only": lambda text: text,
        "conversational_prompt_only": lambda text: [{"role": "user", "content": text}],
    }
    lines = ["---", "configs:"]
    for config, form in forms.items():
        (folder / config).mkdir(parents=True)
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, prompts in prompts_of.items():
            text = "".join(json.dumps({"prompt": form(prompt)}) + "\n" for prompt in prompts)
            (folder / config / f"{split}.jsonl").write_text(text, encoding="utf-8")
            lines += [f"  - split: {split}", f"    path: {config}/{split}.jsonl"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")


def pytest_configure(config: Any) -> None:
    """Send load_dataset to the local folder, before the test module takes it from `datasets`."""
    import datasets
    from trl import import_utils

    # Tests of an older TRL ask for is_x_available() functions that the installed one has no more.
    import_utils.__getattr__ = _availability  # type: ignore[attr-defined]

    load, zen = datasets.load_dataset, os.environ["TRL_TESTS_ZEN"]

    def load_dataset(path: str, *args: Any, **kwargs: Any) -> Any:
        return load(zen if path == f"{ORGANIZATION}/zen" else path, *args, **kwargs)

    datasets.load_dataset = load_dataset


def _availability(name: str) -> Callable[[], bool]:
    """Return a function that says whether the package `x` is installed, by its name `is_x_available`."""
    if not (name.startswith("is_") and name.endswith("_available")):
        raise AttributeError(name)
    return lambda: importlib.util.find_spec(name[3:-10]) is not None


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Put RLVRTrainer in the place of GRPOTrainer, where that was asked for."""
    if os.environ.get("TRL_TESTS_TRAINER") == "rlvr":
        from rlvr import RLVRTrainer

        for module in {item.module for item in items}:
            module.GRPOTrainer = RLVRTrainer


def pytest_collection_finish() -> None:
    """Leave what is imported out of the collection of garbage that TRL's conftest asks for after each test."""
    gc.freeze()


def pytest_runtest_logreport(report: Any) -> None:
    """Append the outcome of a test to the report: its call, or the setup that skipped or broke it."""
    if report.when != "call" and report.outcome == "passed":
        return
    reason = ""
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
    elif report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = (crash.message if crash else str(report.longrepr)).strip().split("\n")[0]
    row = {"test": report.nodeid.partition("::")[2], "outcome": report.outcome, "reason": reason}
    with open(os.environ["TRL_TESTS_REPORT"], "a", encoding="utf-8") as file:
        file.write(json.dumps(row | {"seconds": report.duration}) + "\n")
