"""Multi-gate mixture of experts: objectives share experts, and each mixes them in its own way."""

import torch
from torch import Tensor, nn


class MMoE(nn.Module):
    """Map features to one output per objective, h_k(sum_i g_ki(z) f_i(z)), with gates g_k(z) = softmax(W_k z).

    z is a shared ReLU layer of the features; the experts f_i are ReLU layers of z; h_k has one hidden layer of half the
    width. Gates are dense (no top-k) and have no bias. With one expert every gate is 1: that *is* the shared bottom.
    In training each gate is 0 with the chance `gate_dropout`, and the others of its objective sum to 1 again (all of
    them stay where none would be left): without it, gates may settle on one expert and leave the others untrained.
    Source: doi 10.1145/3219819.3220007 (MMoE), doi 10.1145/3298689.3346997 (for ranking).

    >>> outputs_BK, gates_BKE = MMoE(inputs=3, objectives=2, experts=4, width=8)(torch.zeros(5, 3))
    >>> outputs_BK.shape, gates_BKE.shape, round(float(gates_BKE.detach().sum(-1).mean()), 4)
    (torch.Size([5, 2]), torch.Size([5, 2, 4]), 1.0)
    """

    def __init__(self, inputs: int, objectives: int, experts: int, width: int, gate_dropout: float = 0.0):
        super().__init__()
        self.shape, self.gate_dropout = (objectives, experts, width), gate_dropout
        self.bottom = nn.Linear(inputs, width)
        self.experts = nn.Linear(width, experts * width)
        self.gates = nn.Linear(width, objectives * experts, bias=False)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, 1)) for _ in range(objectives)
        )

    def forward(self, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs (B, K), logits or regressions, and the gates (B, K, E)."""
        objectives, experts, width = self.shape
        z_BW = torch.relu(self.bottom(x_BD))
        f_BEW = torch.relu(self.experts(z_BW)).view(-1, experts, width)
        gates_BKE = self.gates(z_BW).view(-1, objectives, experts).softmax(-1)
        if self.training and self.gate_dropout and experts > 1:
            kept = torch.rand_like(gates_BKE) >= self.gate_dropout
            kept |= ~kept.any(-1, keepdim=True)
            gates_BKE = gates_BKE * kept
            gates_BKE = gates_BKE / gates_BKE.sum(-1, keepdim=True)
        mixed_BKW = gates_BKE @ f_BEW
        return torch.cat([head(mixed_BKW[:, k]) for k, head in enumerate(self.heads)], dim=1), gates_BKE

    def n_parameters(self) -> int:
        """Count the parameters that can change an output: the gates of a single expert cannot."""
        idle = self.gates.weight.numel() if self.shape[1] == 1 else 0
        return sum(p.numel() for p in self.parameters()) - idle
