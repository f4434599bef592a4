"""The classifier arms of utility_after.py: one small network per arm, all trained side by side as one batch.

Task: a judge of worked sums. Three digits a, b, c of base 4 are shown as noisy one-hot vectors (12 inputs); class 0
is c = a + b mod 4, and the others are wrong answers. The noise (sd 0.4) leaves genuine doubt about every case.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from rlvr.decide.recalibrate import Temperature
from rlvr.decide.weights import unweigh, weigh
from rlvr.measure.metrics import auroc, ece

BASE, NOISE, HIDDEN = 4, 0.4, 64
N_TRAIN, N_VALIDATION, N_TEST = 20000, 2000, 4000
STEPS, BATCH, LR, EVERY = 1500, 128, 2e-3, 100
OFFSETS = {2: [[0], [1, 2, 3]], 4: [[0], [1], [3], [2]]}  # classes -> c - (a + b) mod 4 of each class


@dataclass(frozen=True)
class Model:
    """One network: which data it sees, and how a mistake is weighed in its loss."""

    seed: int
    prevalence: float  # share of wrong answers
    ratio: float  # weight of class 1 relative to the others
    kind: str  # symmetric, weighted, or matched (weighted, gradient rescaled to the symmetric network's norm)
    classes: int = 2

    @property
    def data(self) -> tuple[int, float, int]:
        """What it shares with the other arms: data, batches and initial weights."""
        return self.seed, self.prevalence, self.classes


def weights(ratio: float, classes: int) -> np.ndarray:
    """Return the class weights, class 1 `ratio` times the others, scaled to mean 1."""
    w = np.ones(classes)
    w[1] = ratio
    return w * classes / w.sum()


def draw(rng: np.random.Generator, n: int, prevalence: float, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (n, 12) and classes (n,); class 0 has chance 1 - prevalence, the rest share it equally."""
    y = np.where(rng.random(n) < prevalence, rng.integers(1, classes, n), 0)
    a, b = rng.integers(0, BASE, (2, n))
    offset = np.array([rng.choice(OFFSETS[classes][k]) for k in y])
    digits = np.stack([a, b, (a + b + offset) % BASE], axis=1)
    x = np.eye(BASE)[digits].reshape(n, 3 * BASE)
    return (x + NOISE * rng.standard_normal(x.shape)).astype(np.float32), y


def posterior(x: np.ndarray, prevalence: float, classes: int) -> np.ndarray:
    """Return the exact P(class | x) of shape (n, classes): what no network can beat."""
    logs = x.reshape(-1, 3, BASE) / NOISE**2  # unit vectors: log likelihood of a digit up to a constant
    a, b, c = np.moveaxis(np.exp(logs - logs.max(-1, keepdims=True)), 1, 0)
    total = sum(a[:, [i]] * np.roll(b, i, axis=1) for i in range(BASE))  # evidence for a + b mod 6
    prior = np.full(classes, prevalence / (classes - 1))
    prior[0] = 1 - prevalence
    evidence = [
        np.mean([(total * np.roll(c, -offset, axis=1)).sum(1) for offset in offsets], axis=0)
        for offsets in OFFSETS[classes]
    ]
    joint = np.stack(evidence, axis=1) * prior
    return joint / joint.sum(1, keepdims=True)


@dataclass
class Trained:
    """All checkpoints of all models: logits on validation and test (T, M, n, K), and the weights of the body."""

    validation: np.ndarray
    test: np.ndarray
    body: list[list[np.ndarray]]


def train(models: list[Model]) -> tuple[Trained, dict]:
    """Train every model for the same steps on the same batches per data set; return checkpoints and the data."""
    keys = list(dict.fromkeys(m.data for m in models))
    data, generators, inits = {}, {}, {}
    for key in keys:
        seed, prevalence, classes = key
        rng = np.random.default_rng([seed, round(100 * prevalence), classes])
        data[key] = [draw(rng, n, prevalence, classes) for n in (N_TRAIN, N_VALIDATION, N_TEST)]
        generators[key], inits[key] = rng, _init(rng, classes)
    place = torch.tensor([keys.index(m.data) for m in models])
    stacked = [torch.from_numpy(np.stack([data[key][split][0] for key in keys])) for split in range(3)]
    y_DN = torch.from_numpy(np.stack([data[key][0][1] for key in keys]))
    w_MK = torch.tensor(
        np.stack([weights(1 if m.kind == "symmetric" else m.ratio, m.classes) for m in models]), dtype=torch.float32
    )
    twin = torch.tensor([next(j for j, o in enumerate(models) if o.data == m.data and o.kind == "symmetric")
                         for m in models])  # fmt: skip
    matched = torch.tensor([m.kind == "matched" for m in models])
    params = [torch.tensor(np.stack([inits[m.data][i] for m in models])).requires_grad_() for i in range(6)]
    optimizer = torch.optim.Adam(params, lr=LR)
    found = Trained(np.empty(0), np.empty(0), [])
    logits: list[list[np.ndarray]] = [[], []]
    for step in range(1, STEPS + 1):
        index_DB = torch.from_numpy(np.stack([generators[key].integers(0, N_TRAIN, BATCH) for key in keys]))
        x = stacked[0].gather(1, index_DB[..., None].expand(-1, -1, 3 * BASE))[place]
        y_MB = y_DN.gather(1, index_DB)[place]
        logp = torch.log_softmax(_forward(params, x)[0], -1)
        loss_M = -(w_MK.gather(1, y_MB) * logp.gather(2, y_MB[..., None])[..., 0]).mean(1)
        optimizer.zero_grad()
        loss_M.sum().backward()
        norm_M = torch.stack([p.grad.pow(2).sum((1, 2)) for p in params if p.grad is not None]).sum(0).sqrt()
        scale_M = torch.where(matched, norm_M[twin] / norm_M.clamp(min=1e-12), 1.0)
        for p in params:
            assert p.grad is not None
            p.grad.mul_(scale_M[:, None, None])
        optimizer.step()
        if step % EVERY == 0:
            with torch.no_grad():
                for out, split in zip(logits, (1, 2), strict=True):
                    out.append(_forward(params, stacked[split][place])[0].numpy())
            found.body.append([p.detach().numpy().copy() for p in params[:4]])
    found.validation, found.test = np.stack(logits[0]), np.stack(logits[1])
    return found, data


def features(body: list[np.ndarray], model: int, x: np.ndarray) -> np.ndarray:
    """Return the last hidden layer of one model, (n, HIDDEN)."""
    w1, b1, w2, b2 = (part[model] for part in body)
    return np.maximum(np.maximum(x @ w1 + b1, 0) @ w2 + b2, 0)


def probe(body: list[np.ndarray], model: int, splits: list) -> np.ndarray:
    """Return test probabilities of a new head, trained with the plain loss on the frozen body (arm F)."""
    (x, y), _, (x_test, _) = splits
    head = LogisticRegression(C=1.0, max_iter=500).fit(features(body, model, x), y)
    return head.predict_proba(features(body, model, x_test))


def _init(rng: np.random.Generator, classes: int) -> list[np.ndarray]:
    sizes = [(3 * BASE, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, classes)]
    parts = []
    for i, o in sizes:
        parts += [rng.standard_normal((i, o)) * np.sqrt(2 / i), np.zeros((1, o))]
    return [part.astype(np.float32) for part in parts]


def _forward(params: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    w1, b1, w2, b2, w3, b3 = params
    hidden = torch.relu(torch.baddbmm(b2, torch.relu(torch.baddbmm(b1, x, w1)), w2))
    return torch.baddbmm(b3, hidden, w3), hidden


# ---------------------------------------------------------------- what is measured


def measure(p: np.ndarray, q: np.ndarray, y: np.ndarray, w: np.ndarray) -> dict[str, float]:
    """Return the test metrics of a reported prediction p and the belief q behind it, both (n, K).

    weighted_loss: mean w_y (-log p_y), what weighted training minimises. cost: mean w_y [argmax p != y], minus the
    utility. log_loss, auroc, ece: of q, unweighted; the last two of P(class is not 0).
    """
    rows, wrong = np.arange(len(y)), (y > 0).astype(float)
    doubt = np.clip(1 - q[:, 0], 0, 1)
    return {
        "weighted_loss": float((w[y] * -np.log(np.clip(p[rows, y], 1e-7, 1))).mean()),
        "cost": float((w[y] * (p.argmax(1) != y)).mean()),
        "log_loss": float(-np.log(np.clip(q[rows, y], 1e-7, 1)).mean()),
        "auroc": float(auroc(doubt, wrong)),
        "ece": float(ece(doubt, wrong)),
    }


def measure_arms(models: list[Model]) -> dict[str, dict[str, dict[str, float]]]:
    """Train all models of one seed; return setting -> arm -> metrics, settings as "prevalence/ratio/classes"."""
    found, data = train(models)
    results: dict[str, dict[str, dict[str, float]]] = {}
    for j, model in enumerate(models):
        if model.kind != "weighted":
            continue
        b, e = (
            next(
                i
                for i, o in enumerate(models)
                if o.data == model.data and o.kind == kind and o.ratio in (1, model.ratio)
            )
            for kind in ("symmetric", "matched")
        )
        splits, w = data[model.data], weights(model.ratio, model.classes)
        (x, y), y_val = splits[2], splits[1][1]
        plain = np.ones_like(w)

        def at(i: int, trained: np.ndarray, cost: bool, shift: np.ndarray, y_val=y_val, w=w) -> int:
            """Return the checkpoint with the best validation loss (its own) or cost (that of the utility)."""
            ps = [weigh(_softmax(logits[i]), shift) for logits in found.validation]
            key = "cost" if cost else "weighted_loss"
            return int(np.argmin([measure(p, p, y_val, w if cost else trained)[key] for p in ps]))

        arms: dict[str, dict[str, float]] = {}
        own_a, own_b, own_e = at(j, w, False, plain), at(b, plain, False, plain), at(e, w, False, plain)
        p_a, q_b, p_e = (_softmax(found.test[t, i]) for t, i in ((own_a, j), (own_b, b), (own_e, e)))
        q_val = _softmax(found.validation[own_b, b])
        cooled = Temperature().fit(q_val, y_val).predict(q_b)
        arms["A"] = measure(p_a, p_a, y, w)
        arms["B"] = measure(weigh(q_b, w), q_b, y, w)
        arms["C"] = measure(weigh(unweigh(p_a, w), w), unweigh(p_a, w), y, w)
        arms["D"] = measure(weigh(cooled, w), cooled, y, w)
        arms["E"] = measure(p_e, unweigh(p_e, w), y, w)
        for arm, t, i in (("FA", own_a, j), ("FB", own_b, b)):
            q = probe(found.body[t], i, splits)
            arms[arm] = measure(weigh(q, w), q, y, w) | {"accuracy": float((q.argmax(1) == y).mean())}
        bayes = posterior(x, model.prevalence, model.classes)
        arms["Bayes"] = measure(weigh(bayes, w), bayes, y, w)
        u_a, u_b = at(j, w, True, plain), at(b, w, True, w)
        p, q = _softmax(found.test[u_a, j]), _softmax(found.test[u_b, b])
        arms["A, chosen by utility"], arms["B, chosen by utility"] = measure(p, p, y, w), measure(weigh(q, w), q, y, w)
        results[f"{model.prevalence}/{model.ratio:g}/{model.classes}"] = arms
    return results


def convex_control(seed: int, ratio: float) -> dict[str, float]:
    """Return the weighted log loss of arms A and B for a well-specified logistic regression with ample data."""
    rng = np.random.default_rng([seed, 77])
    x = rng.standard_normal((40_000, 5))
    y = (rng.random(40_000) < 1 / (1 + np.exp(-(x @ np.array([1.0, -1.0, 0.5, 0.5, 0.0]) - 1.2)))).astype(int)
    half, w = 20_000, weights(ratio, 2)
    fits = [
        LogisticRegression(C=np.inf).fit(x[:half], y[:half], sample_weight=each[y[:half]]) for each in (w, np.ones(2))
    ]
    p_a, q_b = (fit.predict_proba(x[half:]) for fit in fits)
    test = y[half:]
    losses = (measure(p, p, test, w)["weighted_loss"] for p in (p_a, weigh(q_b, w)))
    return dict(zip("AB", losses, strict=True))


def _softmax(logits: np.ndarray) -> np.ndarray:
    return softmax(logits.astype(float), axis=-1)
