"""The completions being written: what each row has drawn so far, and whether it goes on."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlvr.models.sampling.sampler import Sampling, draw, row_uniforms


class Rows:
    """Hold R completions of at most `room_R` tokens each; row r draws its noise from (seed, noise_rows[r]) alone."""

    def __init__(self, room_R: Tensor, noise_rows_R: Tensor, eos_ids: Sequence[int], sampling: Sampling, seed: int):
        device, shape = room_R.device, (len(room_R), int(room_R.max()))
        self.ids = torch.zeros(shape, dtype=torch.long, device=device)
        self.logps = torch.zeros(shape, device=device)
        self.length = torch.zeros(len(room_R), dtype=torch.long, device=device)
        self.room, self.noise_rows = room_R, noise_rows_R.to(device)
        self.eos = torch.tensor(list(eos_ids), device=device)
        self.sampling, self.seed = sampling, seed

    def take(self, rows: Tensor, logits: Tensor, live: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draw a token for each of `rows`; return the tokens and which rows go on.

        Rows that are not `live` have ended: what is drawn for them is dropped. Nothing here reads the device.
        """
        at, s = self.length[rows], self.sampling
        uniforms = row_uniforms(self.seed, self.noise_rows[rows], at)
        token, logp = draw(logits, uniforms, s.temperature, s.top_k, s.top_p)
        goes_on = ~(token[:, None] == self.eos).any(1) & (at + 1 < self.room[rows])
        if live is None:
            self.ids[rows, at], self.logps[rows, at] = token, logp
            self.length[rows] += 1
            return token, goes_on
        inside = at.clamp(max=self.ids.shape[1] - 1)  # of an ended row: its last place, which keeps what it holds
        self.ids[rows, inside] = torch.where(live, token, self.ids[rows, inside])
        self.logps[rows, inside] = torch.where(live, logp, self.logps[rows, inside])
        self.length[rows] += live
        return token, goes_on & live

    def lists(self) -> tuple[list[list[int]], list[list[float]]]:
        """Return the token ids and log-probabilities of every completion, cut to its length."""
        ends = self.length.tolist()
        ids, logps = self.ids.tolist(), self.logps.tolist()
        return [r[:n] for r, n in zip(ids, ends, strict=True)], [r[:n] for r, n in zip(logps, ends, strict=True)]
