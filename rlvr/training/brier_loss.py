"""Train the stated confidence by its expected Brier score, exactly: from the probabilities of all that it might say.

    loss = coef * mean over completions of  sum_v P(v) (v - y)^2 / sum_v P(v),     v in 0.0, 0.1, ..., 1.0

P(v) is the policy's probability of writing v after the completion's own text up to `<confidence>`, y is 1 where that
completion is right, else 0. A sampled confidence is one draw from P whose credit is as noisy as the draw; here the
gradient is that of the expectation itself, and no other token shares it. `split_proper` has the same expectation from
samples (2507.16806 for the score).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlvr.core.answer_format import AnswerFormat
from rlvr.core.errors import ModelError, SpecError
from rlvr.measure.expected_confidence import after_tag
from rlvr.models.forward.head import score
from rlvr.models.load import without_adapters
from rlvr.training.batch import GenerationBatch
from rlvr.training.forward import Forward

VALUES = tuple(i / 10 for i in range(11))  # what the warm-up teaches; a second decimal is not looked at


def check_brier_loss(config: Any) -> None:
    """Raise SpecError where the loss would have no confidence to read, or no one to average it."""
    if not getattr(config, "brier_coef", 0.0):
        return
    answers: AnswerFormat = config.answers
    if answers.confidence != "tag":
        raise SpecError(
            f"brier_coef trains the number in <confidence>, and {answers} asks for none in a tag. "
            "Add confidence to --tags, or leave brier_coef out."
        )
    if PartialState().num_processes > 1 or config.deepspeed or config.fsdp:
        raise SpecError("brier_coef trains in one process only: nothing would average its gradient. Use split_proper.")


@dataclass
class BrierLoss:
    """Hold what the loss needs: how a model is read, and the tokens of the values.

    Args:
        coef: weight beside the policy's loss.
        forward: lays the batch out.
        policy: returns the policy that is trained.
        tokenizer: writes the values.
        temperature: of sampling; P(v) is under logits / temperature.
    """

    coef: float
    forward: Forward
    policy: Callable[[], PreTrainedModel | PeftModel]
    tokenizer: PreTrainedTokenizerBase
    temperature: float = 1.0

    @classmethod
    def of(
        cls,
        args: Any,
        forward: Forward,
        policy: Callable[[], PreTrainedModel | PeftModel],
        tokenizer: PreTrainedTokenizerBase,
        temperature: float,
    ) -> "BrierLoss | None":
        """Build the loss that a run's settings ask for; None where they ask for none."""
        coef = getattr(args, "brier_coef", 0.0)
        return cls(coef, forward, policy, tokenizer, temperature) if coef else None

    def __post_init__(self) -> None:
        texts = [str(value) for value in VALUES]
        self.tokens: list[list[int]] = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        alone = self.tokenizer(["<confidence>", *(f"<confidence>{text}" for text in texts)], add_special_tokens=False)
        tag, *whole = alone["input_ids"]
        if whole != [tag + ids for ids in self.tokens]:
            raise ModelError(
                "brier_coef: this tokenizer joins <confidence> with the number after it, so no place is the number's "
                "own. Use split_proper, whose credit is sampled."
            )
        self.beginnings = sorted({tuple(ids[:-1]) for ids in self.tokens})

    def add_targets(self, out: dict[str, Any], batch: GenerationBatch) -> None:
        """Put beside the advantages where each completion's number begins (-1: none is trained), and its outcome.

        TRL shuffles and splits them together. A completion that the advantage dropped is not trained here either.
        """
        completions, judged = batch.judged.completions, batch.judged.correct
        assert completions is not None  # a confidence is read by a scorer
        assert judged is not None
        keep = batch.signal.keep_PG.flatten().tolist() if batch.signal else [True] * len(completions)
        trained = [
            k and c.confidence is not None and y is not None for k, c, y in zip(keep, completions, judged, strict=True)
        ]
        lengths = out["completion_mask"].sum(1).tolist()
        rows = zip(out["completion_ids"].tolist(), lengths, batch.local(trained), strict=True)
        places = [after_tag(self.tokenizer, ids[:length]) if train else None for ids, length, train in rows]
        device = out["completion_ids"].device
        out["number_starts"] = torch.tensor([-1 if place is None else place for place in places], device=device)
        out["outcomes"] = torch.tensor([float(y is True) for y in batch.local(judged)], device=device)
        out["numbers_in_batch"] = (out["number_starts"] >= 0).sum()

    def __call__(self, inputs: Mapping[str, Any], updates: float) -> tuple[Tensor, float]:
        """Return coef times the mean over an update's completions, and the plain mean of this micro-batch.

        `updates`: how many the generation batch serves.
        """
        rows = (inputs["number_starts"] >= 0).nonzero()[:, 0]
        if not len(rows):
            return torch.zeros((), device=rows.device), 0.0
        contexts: dict[tuple[int, ...], int] = {}
        which = [contexts.setdefault(self._context(inputs, row), len(contexts)) for row in rows.tolist()]
        chances_CV = self.log_chances(list(contexts)).softmax(-1)
        values_V = torch.tensor(VALUES, device=chances_CV.device)
        outcomes_R = inputs["outcomes"][rows].to(chances_CV.device)
        expected_R = (chances_CV[which] * (values_V - outcomes_R[:, None]).square()).sum(-1)
        loss = self.coef * expected_R.sum() * updates / inputs["numbers_in_batch"].clamp(min=1)
        return loss, expected_R.detach().mean().item()

    def log_chances(self, contexts: Sequence[Sequence[int]]) -> Tensor:
        """Return log P(v) in nats of each value after each context (token ids), shape (C, 11), with its graph."""
        policy, device = self.policy(), next(self.policy().parameters()).device
        rows = [(c, beginning) for c in range(len(contexts)) for beginning in self.beginnings]
        # a last token that nobody reads makes the layout score the place after each beginning, too
        width = max(map(len, self.beginnings)) + 1
        longest = max(map(len, contexts))
        prompt = torch.zeros(len(rows), longest, dtype=torch.long)
        tail = torch.zeros(len(rows), width, dtype=torch.long)
        prompt_mask, tail_mask = torch.zeros_like(prompt), torch.zeros_like(tail)
        for i, (c, beginning) in enumerate(rows):
            prompt[i, longest - len(contexts[c]) :] = torch.tensor(contexts[c])
            prompt_mask[i, longest - len(contexts[c]) :] = 1
            tail[i, : len(beginning)] = torch.tensor(beginning, dtype=torch.long)
            tail_mask[i, : len(beginning) + 1] = 1
        ids, mask = torch.cat([prompt, tail], 1).to(device), torch.cat([prompt_mask, tail_mask], 1).to(device)
        laid_out, labels, (row_N, column_N) = self.forward.layout(ids, mask, width)
        model = without_adapters(policy)
        head = model.get_output_embeddings()
        with self.forward.autocast():
            hidden = model.base_model(**laid_out, use_cache=False).last_hidden_state
            before_NC = hidden[:, :-1][labels[:, 1:] != -100]
            place = {(r, c): n for n, (r, c) in enumerate(zip(row_N.tolist(), column_N.tolist(), strict=True))}
            at, token = self._edges(len(contexts), place)
            at_E, token_E = torch.tensor(at, device=device), torch.tensor(token, device=device)
            logps_E = score(
                before_NC[at_E], head.weight, getattr(head, "bias", None), token_E, self.temperature
            ).log_probs
        owner = [c * len(VALUES) + v for c in range(len(contexts)) for v, ids in enumerate(self.tokens) for _ in ids]
        sums = logps_E.new_zeros(len(contexts) * len(VALUES))
        return sums.index_add(0, torch.tensor(owner, device=device), logps_E).view(len(contexts), -1)

    def _edges(self, contexts: int, place: Mapping[tuple[int, int], int]) -> tuple[list[int], list[int]]:
        """Return, context by context and value by value, where each token's probability is read, and the token."""
        at, token = [], []
        for first in range(0, contexts * len(self.beginnings), len(self.beginnings)):
            for ids in self.tokens:
                row = first + self.beginnings.index(tuple(ids[:-1]))
                at += [place[row, column] for column in range(len(ids))]
                token += ids
        return at, token

    def _context(self, inputs: Mapping[str, Any], row: int) -> tuple[int, ...]:
        """Return the tokens of a prompt and its completion, up to where the number begins."""
        prompt = inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()].tolist()
        return (*prompt, *inputs["completion_ids"][row, : inputs["number_starts"][row]].tolist())
