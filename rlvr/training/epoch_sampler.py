"""Order the training problems as TRL does, but able to start at any epoch."""

import torch
from trl.trainer.utils import RepeatSampler


class EpochRepeatSampler(RepeatSampler):
    """Sample rows in TRL's order from any epoch on (TRL's sampler replays epoch 0 after a resume)."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that comes next; accelerate calls this at the start of each."""
        self.epoch = epoch

    def __iter__(self):
        if self.shuffle and self.seed is not None:
            self.generator.manual_seed(self.seed)
            for _ in range(self.epoch):
                torch.randperm(self.num_samples, generator=self.generator)
        return super().__iter__()
