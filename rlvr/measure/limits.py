"""Choose how long completions may be, and say when many of them were cut off."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel

from rlvr.core.console import say
from rlvr.models.declared import Declared
from rlvr.models.sampling import Steered
from rlvr.problems.sets import ProblemSet

LONGEST = 2048  # tokens of a completion where neither the set, nor the model, nor the user names a limit
MANY_CUT = 0.02  # share of completions at the length limit from which on it is said


def length_limit(data: ProblemSet, policy: PreTrainedModel | Steered | Declared | None = None) -> int:
    """Return the length limit in tokens where none is given, and say it: the set's, the model's, or half its context.

    A generation config may name `max_new_tokens`. Without one: half of the context, but at most `LONGEST`.
    """
    base = policy.base if isinstance(policy, Steered) else policy
    model_limit = getattr(getattr(base, "generation_config", None), "max_new_tokens", None)
    context = getattr(getattr(base, "config", None), "max_position_embeddings", None)
    if data.completion_tokens:
        limit, source = data.completion_tokens, "as the problem set says"
    elif model_limit:
        limit, source = int(model_limit), "as the model's generation config says"
    else:
        limit, source = min(LONGEST, (context or 2 * LONGEST) // 2), "as nothing names another"
    say(f"completions end at {limit} tokens, {source} (--max_completion_length)")
    return limit


def warn_of_cuts(record: Mapping[str, Any]) -> None:
    """Say how many completions ran into the length limit, where they are more than `MANY_CUT`."""
    cuts = [sample["truncated"] for problem in record["problems"] for sample in problem["samples"]]
    share = sum(cut is True for cut in cuts) / max(1, len(cuts))
    if share > MANY_CUT:
        say(
            f"WARNING: {share:.0%} of the completions were cut off at {record.get('max_completion_length')} tokens, "
            "and an answer that was not reached counts as wrong. Give a larger --max_completion_length."
        )
