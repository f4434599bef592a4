"""A stand-in for vLLM where it is not installed: the calls that rlvr makes, answered by transformers, token by token.

It takes the arguments that vLLM documents and no others, so that what rlvr asks for is held to them; it knows nothing
of batches, caches and kernels. Tests that use it run with the real one too, where that is installed.
"""

import sys
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import torch
from transformers import AutoModelForCausalLM
from trl import GRPOTrainer  # noqa: F401  it looks for vLLM and its version when it is imported: before the stand-in is there

from rlvr.models.sampling.sampler import truncate


@dataclass
class SamplingParams:
    """What vLLM's class of that name holds, as far as rlvr sets it."""

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop_token_ids: list[int] = field(default_factory=list)
    logprobs: int | None = None
    detokenize: bool = True


class LLM:
    """Load a folder and sample from it."""

    def __init__(
        self, model, dtype, skip_tokenizer_init, generation_config, seed, revision, logprobs_mode="raw_logprobs",
        max_model_len=None,
    ):  # fmt: skip
        assert skip_tokenizer_init and generation_config == "vllm" and revision is None
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)).eval()
        self.mode = logprobs_mode
        longest = max_model_len or self.model.config.max_position_embeddings
        if longest > self.model.config.max_position_embeddings:
            raise ValueError("max_model_len is greater than the derived max_model_len\nmore of it")
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=longest))

    @torch.no_grad()
    def generate(self, prompts, sampling_params, use_tqdm):
        """Return one result for each prompt, in order."""
        return [
            SimpleNamespace(outputs=[self._complete(prompt["prompt_token_ids"], params)])
            for prompt, params in zip(prompts, sampling_params, strict=True)
        ]

    def _complete(self, prompt, params):
        ids, logprobs = [], []
        noise = torch.Generator().manual_seed(params.seed) if params.seed is not None else None
        while len(ids) < params.max_tokens:
            raw_V = self.model(torch.tensor([[*prompt, *ids]])).logits[0, -1].float()
            processed_V = raw_V
            if params.temperature:
                processed_V = truncate(raw_V[None] / params.temperature, params.top_k, params.top_p)[0]
                token = int(torch.multinomial(processed_V.softmax(-1), 1, generator=noise))
            else:
                token = int(raw_V.argmax())
            told_V = (raw_V if self.mode == "raw_logprobs" else processed_V).log_softmax(-1)
            ids.append(token)
            logprobs.append({token: SimpleNamespace(logprob=float(told_V[token]))})
            if token in params.stop_token_ids:
                break
        return SimpleNamespace(token_ids=tuple(ids), logprobs=logprobs if params.logprobs is not None else None)


def install(monkeypatch) -> None:
    """Let `import vllm` give the stand-in."""
    module = ModuleType("vllm")
    module.__spec__ = ModuleSpec("vllm", None)
    module.LLM, module.SamplingParams = LLM, SamplingParams
    monkeypatch.setitem(sys.modules, "vllm", module)
