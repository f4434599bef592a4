"""Sample with transformers' own generate: slower than the engine, right for whatever it can generate with."""

import time
from collections.abc import Sequence

import torch
from transformers import GenerationConfig, PreTrainedModel

from rlvr.core.errors import ModelError
from rlvr.models.load import evaluating, without_adapters
from rlvr.models.sampling.engine import Samples
from rlvr.models.sampling.sampler import Sampling


class GenerateEngine:
    """Sample from one model by `model.generate`, one prompt at a time with its whole group; the interface of `Engine`.

    Nothing of the model's own generation config takes part (its top_k, its repetition penalty): what is asked for is
    what is sampled from.
    """

    path = "generate"

    def __init__(self, policy: PreTrainedModel, eos_ids: Sequence[int], pad_id: int):
        self.policy, self.eos_ids, self.pad_id = policy, list(eos_ids), pad_id
        self.context: int | None = getattr(without_adapters(policy).config, "max_position_embeddings", None)

    def refresh(self) -> None:
        """Do nothing: the policy's own weights sample."""

    @torch.no_grad()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        group_size: int,
        sampling: Sampling,
        seed: int,
        *,
        first_row: int = 0,
    ) -> Samples:
        """Sample `group_size` completions for every prompt (token ids); log-probabilities are as `draw` gives them.

        A prompt's samples are drawn from (seed, first_row, its place) alone; the global random states stay as they
        were. Raises ModelError when a prompt is empty or leaves no room in the model's context.
        """
        start, ids, logps = time.perf_counter(), list[list[int]](), list[list[float]]()
        device = self.policy.device
        with evaluating(self.policy), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            for i, prompt in enumerate(prompts):
                room = min(sampling.max_tokens, (self.context or 2**30) - len(prompt))
                if not prompt or room < 1:
                    raise ModelError(f"Prompt {i} has {len(prompt)} tokens; the model's context holds {self.context}.")
                torch.manual_seed((seed * 1_000_003 + first_row + i * group_size) % 2**63)
                new, found = self._group(prompt, group_size, sampling, room)
                ids += new
                logps += found
        return Samples(ids, logps, time.perf_counter() - start)

    def _group(
        self, prompt: Sequence[int], group_size: int, sampling: Sampling, room: int
    ) -> tuple[list[list[int]], list[list[float]]]:
        drawn = sampling.temperature > 0
        config = GenerationConfig(
            max_new_tokens=room,
            do_sample=drawn,
            num_beams=1,
            num_return_sequences=group_size if drawn else 1,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            eos_token_id=self.eos_ids,
            pad_token_id=self.pad_id,
            return_dict_in_generate=True,
            output_logits=True,
            **(
                {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k} if drawn else {}
            ),
        )
        tokens = torch.tensor([list(prompt)], device=self.policy.device)
        out = self.policy.generate(  # type: ignore[operator]
            inputs=tokens, attention_mask=torch.ones_like(tokens), generation_config=config
        )
        new_RT = out.sequences[:, len(prompt) :]
        logits_RTV = torch.stack(out.logits, 1).float() / (sampling.temperature or 1.0)
        logps_RT = logits_RTV.log_softmax(-1).gather(2, new_RT[:, :, None])[:, :, 0]
        ids, logps = [], []
        for row, found in zip(new_RT.tolist(), logps_RT.tolist(), strict=True):
            ends = [t + 1 for t, token in enumerate(row) if token in self.eos_ids]
            length = min(ends, default=len(row))
            ids.append(row[:length])
            logps.append(found[:length])
        repeat = 1 if drawn else group_size  # greedy: all of a group are the same
        return ids * repeat, logps * repeat
