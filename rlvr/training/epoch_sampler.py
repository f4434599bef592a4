"""Order the training problems as TRL does, but able to start at any epoch."""

from collections.abc import Iterator

import torch
from trl.trainer.utils import RepeatSampler


class EpochRepeatSampler(RepeatSampler):
    """Sample rows in TRL's order from any epoch on (TRL's sampler replays epoch 0 after a resume)."""

    epoch = 0

    @classmethod
    def like(cls, sampler: RepeatSampler, seed: int | None = None) -> "EpochRepeatSampler":
        """Return a sampler of the same rows; `seed` None keeps the seed too."""
        return cls(
            sampler.data_source,
            sampler.mini_repeat_count,
            sampler.batch_size,
            sampler.repeat_count,
            sampler.shuffle,
            sampler.seed if seed is None else seed,
        )

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that comes next; accelerate calls this at the start of each."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.shuffle and self.seed is not None:
            self.generator.manual_seed(self.seed)
            for _ in range(self.epoch):
                torch.randperm(self.num_samples, generator=self.generator)
        return super().__iter__()
