"""The real data set of utility_after.py: scikit-learn's 1,797 handwritten digits and a small convolutional network.

Mistakes on one digit (the seed's last) cost r times as much as those on the others. Arms as in utility_arms.py.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from parts.utility_arms import measure
from sklearn.datasets import load_digits
from torch import nn

from rlvr.decide import unweigh, weigh

TRAINED, STEPS, BATCH, RATE = 600, 200, 32, 0.1
RATIOS = (10, 50)


def network(seed: int, loss_weights: NDArray[np.float64]) -> nn.Sequential:
    """Return the network of a seed, at the best constant of its own loss: two convolutions and a linear layer."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10)]
    with torch.no_grad():
        layers[-1].bias.copy_(torch.from_numpy(np.log(loss_weights)))
    return nn.Sequential(*layers)


def weights(ratio: float, costly: int) -> NDArray[np.float64]:
    """Return the ten weights, that of the costly digit `ratio` times the others', scaled to mean 1."""
    w = np.where(np.arange(10) == costly, float(ratio), 1.0)
    return w / w.mean()


def split(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, NDArray[np.int64]]:
    """Return images (n, 1, 8, 8) in [0, 1] and labels: 600 to train on, in random order, and the other 1,197."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng([seed, 10]).permutation(len(labels))
    x = torch.from_numpy(images[order].reshape(-1, 1, 8, 8).astype(np.float32) / 16)
    y = labels[order]
    return x[:TRAINED], torch.from_numpy(y[:TRAINED]), x[TRAINED:], y[TRAINED:]


def train(seed: int, ratios: tuple[float, ...]) -> dict[str, NDArray[np.float64]]:
    """Return the test predictions (1197, 10) of B and, for each ratio, of A and E: the same start, the same batches."""
    torch.set_num_threads(1)
    costly, (x, y, x_test, _) = seed % 10, split(seed)
    names = ["B", *(f"{arm}{ratio}" for ratio in ratios for arm in "AE")]
    w = {name: np.ones(10) if name == "B" else weights(float(name[1:]), costly) for name in names}
    networks = {name: network(seed, w[name]) for name in names}
    draw = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        at = torch.randint(TRAINED, (BATCH,), generator=draw)
        norm = {}
        for name, net in networks.items():
            cost = torch.from_numpy(w[name].astype(np.float32))[y[at]]
            loss = (cost * nn.functional.cross_entropy(net(x[at]), y[at], reduction="none")).mean()
            grads = torch.autograd.grad(loss, list(net.parameters()))
            norm[name] = torch.sqrt(sum((g.square().sum() for g in grads), torch.zeros(())))
            scale = norm["B"] / norm[name].clamp(min=1e-12) if name[0] == "E" else 1.0
            with torch.no_grad():
                for part, g in zip(net.parameters(), grads, strict=True):
                    part -= RATE * scale * g
    with torch.no_grad():
        return {name: torch.softmax(net(x_test).double(), -1).numpy() for name, net in networks.items()}


def measure_seed(seed: int) -> dict[str, dict[str, list[float]]]:
    """Train all arms of a seed; return ratio -> weighted loss, cost and AUROC of A, B and E."""
    p, (_, _, _, y), costly = train(seed, RATIOS), split(seed), seed % 10
    rows = {}
    for ratio in RATIOS:
        w = weights(ratio, costly)
        rows[str(ratio)] = {
            arm: measure(p[f"{arm}{ratio}"], unweigh(p[f"{arm}{ratio}"], w), y, w, costly) for arm in "AE"
        } | {"B": measure(weigh(p["B"], w), p["B"], y, w, costly)}
    return rows


def accuracy_of_b(seed: int) -> float:
    """Return B's accuracy on the test images."""
    return float((train(seed, ())["B"].argmax(1) == split(seed)[3]).mean())
