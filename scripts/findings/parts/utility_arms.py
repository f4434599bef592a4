"""The classifier arms of utility_after.py: small networks, trained side by side by plain SGD.

    B   symmetric: the plain log loss; utility weights are applied to its predictions afterwards
    A   weighted: the same network on the log loss weighted by utility, mistakes on one class r times as dear
    E   weighted, every gradient rescaled to the norm of B's: what is left of A without its other step size

A network is one hidden layer of 16 units. All of a task start from the same weights, each at the best constant of its
own loss (so all hold the same belief: the prior), and see the same batches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from parts.utility_task import UP, Task
from torch import Tensor

from rlvr.decide import learning_incentive, unweigh, weigh
from rlvr.measure.metrics import auroc

WIDTH, STEPS, BATCH, N_TEST = 16, 1000, 128, 40_000
RATE = {2: 0.2, 8: 0.3}  # classes -> learning rate
SETTINGS = {2: ((0.05, 0.1, 0.3, 0.5, 0.7), (2, 10, 50, 100)), 8: ((0.05, 0.3, 0.7), (10, 50, 100))}
# classes -> prevalences of the class UP, and cost ratios r
DRAWN = 100  # steps whose batches are drawn at once

Float = NDArray[np.float64]
Follow = Callable[["Networks", Tensor, Tensor], None]


def weights(ratio: float, classes: int) -> Float:
    """Return the class weights, UP `ratio` times the others, scaled to mean 1 over the classes."""
    w = np.ones(classes)
    w[UP] = ratio
    return w / w.mean()


@dataclass(frozen=True)
class Networks:
    """Hold M networks for each of D tasks, which share the task's batches.

    Shapes: W1 (D, inputs, M * WIDTH), side by side, so that one product is the first layer of all; W2 (D, M, WIDTH, K).
    The loss of network m weighs class k by weights_MK[m, k].
    """

    parts: dict[str, Tensor]
    weights_MK: Tensor

    @classmethod
    def start(cls, tasks: Sequence[Task], loss_weights: Sequence[Float], inputs: int) -> "Networks":
        """Return networks with the same weights for all of a task, each at the best constant of its own loss."""
        w_MK, stacked = np.stack(loss_weights), []
        for task in tasks:
            rng = _rng(task, 0)
            w1 = rng.standard_normal((inputs, WIDTH)) * np.sqrt(2 / inputs)
            w2 = rng.standard_normal((WIDTH, task.classes)) * np.sqrt(1 / WIDTH)
            models = len(w_MK)
            b2 = np.log(task.prior * w_MK)[:, None]
            stacked.append((np.tile(w1, models), np.zeros((1, models * WIDTH)), np.tile(w2, (models, 1, 1)), b2))
        tensors = [torch.from_numpy(np.stack(part).astype(np.float32)) for part in zip(*stacked, strict=True)]
        parts = dict(zip(("W1", "b1", "W2", "b2"), (part.requires_grad_() for part in tensors), strict=True))
        return cls(parts, torch.from_numpy(w_MK.astype(np.float32)))

    def of_task(self, d: int) -> "Networks":
        """Return the networks of one task."""
        return Networks({name: part[d : d + 1].detach() for name, part in self.parts.items()}, self.weights_MK)

    def log_predictions(self, x_DBI: Tensor) -> Tensor:
        """Return log p, (D, M, B, K)."""
        w1, b1, w2, b2 = self.parts.values()
        hidden = torch.relu(torch.baddbmm(b1, x_DBI, w1))
        by_model = hidden.unflatten(2, (-1, WIDTH)).transpose(1, 2)
        return torch.log_softmax(by_model @ w2 + b2, -1)

    def step(self, x_DBI: Tensor, y_DB: Tensor, rate: float, matched_M: Tensor) -> None:
        """Take one step of plain SGD with every network; a matched one at the gradient norm of network 0."""
        models = len(self.weights_MK)
        y_DMB = y_DB[:, None].expand(-1, models, -1)
        logp_DMB = self.log_predictions(x_DBI).gather(3, y_DMB[..., None])[..., 0]
        loss = -(self.weights_MK.T[y_DB].transpose(1, 2) * logp_DMB).mean(2).sum()
        grads = dict(zip(self.parts, torch.autograd.grad(loss, list(self.parts.values())), strict=True))
        squares_DM = [g.square().unflatten(2, (models, WIDTH)).sum((1, 3)) for g in (grads["W1"], grads["b1"])]
        squares_DM += [g.square().sum((2, 3)) for g in (grads["W2"], grads["b2"])]
        norm_DM = torch.stack(squares_DM).sum(0).sqrt()
        scale_DM = torch.where(matched_M, norm_DM[:, :1] / norm_DM.clamp(min=1e-12), 1.0)
        side_by_side = scale_DM.repeat_interleave(WIDTH, 1)[:, None]
        with torch.no_grad():
            for name, part in self.parts.items():
                part -= rate * grads[name] * (side_by_side if name in ("W1", "b1") else scale_DM[..., None, None])


def measure_seed(classes: int, seed: int) -> dict[str, dict[str, list[float]]]:
    """Train all arms of a seed; return "prevalence/ratio" -> weighted loss, cost and AUROC of A, B, E and Bayes."""
    ratios = SETTINGS[classes][1]
    names = ["B", *(f"{arm}{ratio}" for ratio in ratios for arm in "AE")]
    loss_weights = [np.ones(classes), *(weights(ratio, classes) for ratio in ratios for _ in "AE")]
    rows: dict[str, dict[str, list[float]]] = {}
    for task, networks in train(classes, seed, loss_weights, [name[0] == "E" for name in names]):
        x, y = task.draw(_rng(task, 2), N_TEST)
        p = dict(zip(names, networks.log_predictions(torch.from_numpy(x)[None])[0].double().exp().numpy(), strict=True))
        bayes = task.posterior(x)
        for ratio in ratios:
            w = weights(ratio, classes)
            rows[f"{task.prevalence}/{ratio}"] = {
                "A": measure(p[f"A{ratio}"], unweigh(p[f"A{ratio}"], w), y, w),
                "B": measure(weigh(p["B"], w), p["B"], y, w),
                "E": measure(p[f"E{ratio}"], unweigh(p[f"E{ratio}"], w), y, w),
                "Bayes": measure(weigh(bayes, w), bayes, y, w),
            }
    return rows


def measure_pilot(classes: int, seed: int) -> dict[str, dict[str, float]]:
    """Train B alone; return for each prevalence the share of the information that it learned, and rho along its way.

    learned = (prior's log loss - B's) / (prior's - Bayes'). rho at a ratio: the mean over steps of
    E[rho(q) (q_up - y)^2] / E[(q_up - y)^2], q B's belief: by how much weights would scale its gradients.
    """
    seen: dict[float, list[Float]] = {ratio: [] for ratio in SETTINGS[classes][1]}

    def follow(networks: Networks, x_DBI: Tensor, y_DB: Tensor) -> None:
        with torch.no_grad():
            q_DBK = networks.log_predictions(x_DBI)[:, 0].double().exp().numpy()
        wrong_DB = (q_DBK[..., UP] - (y_DB.numpy() == UP)) ** 2
        for ratio in seen:
            rho_DB = np.stack([learning_incentive(q, weights(ratio, classes)) for q in q_DBK])
            seen[ratio].append((rho_DB * wrong_DB).sum(1) / wrong_DB.sum(1))

    rows, at = {}, np.arange(N_TEST)
    for d, (task, networks) in enumerate(train(classes, seed, [np.ones(classes)], [False], follow)):
        x, y = task.draw(_rng(task, 2), N_TEST)
        logp = networks.log_predictions(torch.from_numpy(x)[None])[0, 0].double().numpy()
        prior, reached, best = (
            -v.mean() for v in (np.log(task.prior)[y], logp[at, y], np.log(task.posterior(x)[at, y]))
        )
        rows[str(task.prevalence)] = {"learned": round(float((prior - reached) / (prior - best)), 4)} | {
            f"rho {ratio}": round(float(np.mean([v[d] for v in seen[ratio]])), 4) for ratio in seen
        }
    return rows


def train(
    classes: int, seed: int, loss_weights: Sequence[Float], matched: Sequence[bool], follow: Follow | None = None
) -> list[tuple[Task, Networks]]:
    """Return a seed's tasks, one for each prevalence, and the networks of each, after STEPS steps."""
    torch.set_num_threads(1)
    tasks = [Task(classes, prevalence, seed) for prevalence in SETTINGS[classes][0]]
    draws = [_rng(task, 1) for task in tasks]
    matched_M = torch.tensor(matched)
    networks = Networks.start(tasks, loss_weights, tasks[0].draw(_rng(tasks[0], 3), 1)[0].shape[1])
    for step in range(STEPS):
        if step % DRAWN == 0:
            drawn = [task.draw(rng, DRAWN * BATCH) for task, rng in zip(tasks, draws, strict=True)]
            x, y = (torch.from_numpy(np.stack(part)).unflatten(1, (DRAWN, BATCH)) for part in zip(*drawn, strict=True))
        x_DBI, y_DB = x[:, step % DRAWN], y[:, step % DRAWN]
        if follow is not None and step % 10 == 0:
            follow(networks, x_DBI, y_DB)
        networks.step(x_DBI, y_DB, RATE[classes], matched_M)
    return [(task, networks.of_task(d)) for d, task in enumerate(tasks)]


def _rng(task: Task, use: int) -> np.random.Generator:
    """Return a task's random numbers: 0 for weights, 1 training, 2 test, 3 anything else."""
    return np.random.default_rng([task.seed, task.classes, round(100 * task.prevalence), use])


def measure(p: Float, q: Float, y: NDArray[np.int64], w: Float, up: int = UP) -> list[float]:
    """Return the weighted loss and cost of a prediction p, and the AUROC of the belief q behind it; both (n, K).

    Weighted loss: mean w_y (-log p_y), what weighted training minimises. Cost: mean w_y [argmax p != y], minus the
    utility. AUROC: of P(class `up`).
    """
    loss = (w[y] * -np.log(np.clip(p[np.arange(len(y)), y], 1e-12, 1))).mean()
    cost = (w[y] * (p.argmax(1) != y)).mean()
    return [round(float(value), 5) for value in (loss, cost, auroc(q[:, up], (y == up).astype(float)))]
