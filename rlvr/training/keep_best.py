"""Keep the model of the step with the best validation pass@1, so that it becomes the run's model.

The best of several measurements looks better than it is (the luckiest of equal steps wins), so the number that chose is
no result: the evaluation after training, on test problems that chose nothing, is.
"""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from accelerate import PartialState

from rlvr.core.console import say
from rlvr.core.files import appear, write_whole
from rlvr.runs.directory import RunDir
from rlvr.runs.whole_model import save_whole


def best_step(scores: Mapping[int, float]) -> int:
    """Return the step of the highest score, of equal ones the earliest; a score that is not finite is the lowest.

    >>> best_step({0: 0.2, 10: 0.5, 20: 0.5})
    10
    """
    return min(scores, key=lambda step: (-(s if math.isfinite(s := scores[step]) else -math.inf), step))


class KeepBest:
    """Hold on disk the model of the best step so far, and of the one that a resumed run would need.

    Args:
        run: the run, whose `best/step-N` holds them.
        save: writes the model as it is now into a folder (Trainer.save_model), all processes together.
        scores: optimizer step -> validation pass@1 of the steps that are measured already.
        checkpoint: the step that training goes on from; 0 is the start.
    """

    def __init__(self, run: RunDir, save: Callable[[str], None], scores: Mapping[int, float], checkpoint: int):
        self.run, self.save, self.checkpoint = run, save, checkpoint
        self.scores = dict(scores)
        while self.scores and not self.folder(step := best_step(self.scores)).is_dir():
            del self.scores[step]
            if step != checkpoint:  # else it was killed before it was saved: it is there, and measured again
                say(f"WARNING: the model of step {step}, the best so far, is lost; keep_best chooses among the others")

    def folder(self, step: int) -> Path:
        """Return where the model of a step lies."""
        return self.run.best / f"step-{step}"

    def offer(self, step: int, score: float) -> bool:
        """Take the score of a step, save the model if it is the best so far, and return whether it is."""
        self.scores[step] = score
        if best_step(self.scores) != step:
            return False
        if PartialState().is_main_process:
            shutil.rmtree(self.folder(step), ignore_errors=True)  # measured again
        save_whole(self.save, self.run, self.folder(step))
        self._remove_beaten()
        return True

    def saved(self, step: int) -> None:
        """Note that a checkpoint of `step` is on disk: a resumed run goes on from there."""
        self.checkpoint = step
        self._remove_beaten()

    def publish(self) -> int:
        """Let the best step's model become the run's, write which it is to best.json, and return the step."""
        step, state = best_step(self.scores), PartialState()
        if state.is_main_process:
            rows = {str(at): score if math.isfinite(score) else None for at, score in sorted(self.scores.items())}
            write_whole(self.run.best_step, json.dumps({"step": step, "validation pass@1": rows}) + "\n")
            self._remove([step])
            appear(self.folder(step), self.run.model)
            shutil.rmtree(self.run.best)
        state.wait_for_everyone()
        return step

    def _remove_beaten(self) -> None:
        """Remove the models that no continuation can choose: it would have the scores up to the checkpoint."""
        before = {step: score for step, score in self.scores.items() if step <= self.checkpoint}
        if PartialState().is_main_process:
            self._remove([best_step(scores) for scores in (self.scores, before) if scores])

    def _remove(self, needed: list[int]) -> None:
        for folder in self.run.best.glob("step-*"):
            if folder not in map(self.folder, needed):
                shutil.rmtree(folder)
