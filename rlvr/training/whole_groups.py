"""Hand whole groups, or the whole batch, to reward terms that see them, wherever their completions were sampled."""

from collections.abc import Callable
from dataclasses import dataclass

from accelerate.utils import gather_object

from rlvr.core.records import Completion
from rlvr.rewards import calls
from rlvr.rewards.limits import Call, Values
from rlvr.training.batch import GenerationBatch


@dataclass(frozen=True)
class WholeGroups:
    """Cut the completions of all processes into groups, or take them as one batch; each is judged by one process.

    Args:
        batch: returns the generation batch that is being rewarded.
    """

    batch: Callable[[], GenerationBatch]

    def __call__(self, sees: str, completions: list[Completion], call: Call) -> Values:
        """Return the values of this process's completions; every process of a launch must come here."""
        batch = self.batch()
        units = calls.units(sees, gather_object(completions), batch.group_size)
        mine = range(batch.process, len(units), batch.processes)
        judged = dict(gather_object(list(zip(mine, call([units[i] for i in mine]), strict=True))))
        return batch.local([value for i in range(len(units)) for value in judged[i]], len(completions))
