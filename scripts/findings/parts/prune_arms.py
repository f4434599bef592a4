"""The experiments of prune_difficulty.py, one seed at a time: a perceptron where all is known, and digits.

Rows are chosen by the product's `Prune`, without a random share; "hard" and "easy" by a probe's margin (EL2N for
digits). Every function returns "key/with/slashes" -> error of the student in [0, 1].
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from rlvr.select.prune import Prune
from rlvr.select.scores import El2n
from rlvr.select.scores.probe import epochs

N = 64  # weights of the perceptron
ALPHAS, SCARCE, ABUNDANT_ROWS = (2, 5, 10, 30, 100), 2, 100  # rows per weight
FRACTIONS, ANGLE, ANGLES = (0.1, 0.2, 0.5, 0.8), 20, (0, 20, 40)  # kept; degrees between probe and teacher
NOISE, TAIL = 0.1, 0.1
POOLS, STRATA, UPDATES = (60, 240, 1200), 4, 600  # digits: rows to choose from, clusters in a class


def max_margin(Z_PN: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the w of least length with Z w >= 1, exactly: Lawson and Hanson's least-distance problem by NNLS.

    Grown from a working set: solve it, add what is violated, until nothing is.
    """
    work = np.arange(min(len(Z_PN), 2 * Z_PN.shape[1]))
    while True:
        E = np.vstack([Z_PN[work].T, np.ones(len(work))])
        u, _ = nnls(E, np.append(np.zeros(Z_PN.shape[1]), 1.0), maxiter=50 * len(work))
        r = E @ u - np.append(np.zeros(Z_PN.shape[1]), 1.0)
        w = -r[:-1] / r[-1]
        margin = Z_PN @ w
        margin[work] = np.inf
        violated = np.flatnonzero(margin < 1 - 1e-6)
        if not len(violated):
            return w
        worst = violated[np.argsort(margin[violated])[: 2 * Z_PN.shape[1]]]
        work = np.union1d(work, worst)


def error(w: NDArray[np.float64], teacher: NDArray[np.float64]) -> float:
    """Return the share of all inputs that the student gets wrong: its angle to the teacher over pi, in [0, 1]."""
    cosine = w @ teacher / np.linalg.norm(w) / np.linalg.norm(teacher)
    return round(float(np.arccos(np.clip(cosine, -1, 1)) / math.pi), 5)


def pool(seed: int, alpha: int) -> tuple[Any, ...]:
    """Return inputs, clean labels, the teacher and the direction in which probes go astray."""
    draw = np.random.default_rng([seed, alpha])
    teacher, astray = np.linalg.qr(draw.normal(size=(N, 2)))[0].T
    X = draw.normal(size=(alpha * N, N))
    return X, np.sign(X @ teacher), teacher, astray, draw


def probe(teacher: NDArray[np.float64], astray: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """Return a student at this angle to the teacher."""
    return math.cos(math.radians(degrees)) * teacher + math.sin(math.radians(degrees)) * astray


def perceptron(seed: int) -> dict[str, float]:
    """Return "alpha/fraction/rule[/degrees]" -> error of max-margin students; every probe at a half and at a fifth."""
    errors: dict[str, float] = {}
    for alpha in ALPHAS:
        X, y, teacher, astray, _ = pool(seed, alpha)
        Z = X * y[:, None]
        errors[f"{alpha}/all"] = error(max_margin(Z), teacher)
        for fraction in FRACTIONS:
            kept = Prune("random", fraction, seed=seed).fit(np.zeros(len(y))).kept_
            errors[f"{alpha}/{fraction}/random"] = error(max_margin(Z[kept]), teacher)
            for degrees in ANGLES if fraction in (0.2, 0.5) else (ANGLE,):
                difficulty = -np.abs(X @ probe(teacher, astray, degrees))
                for keep in ("hard", "easy") if fraction == 0.5 else ("hard",):
                    kept = Prune(keep, fraction, random_share=0, seed=seed).fit(difficulty).kept_
                    errors[f"{alpha}/{fraction}/{keep}/{degrees}"] = error(max_margin(Z[kept]), teacher)
    return errors


def noisy(seed: int) -> dict[str, float]:
    """Return "noise/rule" -> error; 100 rows per weight, half kept, margin signed by the given label, soft margin."""
    errors: dict[str, float] = {}
    X, y, teacher, astray, draw = pool(seed, ABUNDANT_ROWS)
    flipped = np.where(draw.random(len(y)) < NOISE, -y, y)
    for noise, labels in ((0, y), (NOISE, flipped)):
        difficulty = -labels * (X @ probe(teacher, astray, 10))
        for keep in ("random", "hard", "window", "easy"):
            kept = Prune(keep, 0.5, TAIL, random_share=0, seed=seed).fit(difficulty).kept_
            model = LogisticRegression(fit_intercept=False).fit(X[kept], labels[kept])
            errors[f"{noise}/{keep}"] = error(model.coef_[0], teacher)
    return errors


def digits(seed: int) -> dict[str, float]:
    """Return "pool/classes" and "pool/strata", each "/rule" -> test error of an MLP; half of the pool is kept.

    EL2N and the clusters are those of all 1,200 rows, a probe that knows more than a small pool could tell it; pools
    are nested draws that keep the classes as they are. Every class keeps a half ("classes"), or every cluster of every
    class ("strata"), so that what is kept spans the class whatever the rule.
    """
    X_all, y_all = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X_all, y_all, train_size=1200, stratify=y_all, random_state=seed)
    scaler = StandardScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)
    score = El2n(seed=100 * seed).fit(X, y).scores_
    place = np.zeros(len(y), int)
    for label in range(10):
        place[y == label] = KMeans(STRATA, n_init=3, random_state=seed).fit_predict(X[y == label])
    strata = np.array([f"{cluster}/{label}" for cluster, label in zip(place, y, strict=True)])  # odd rows: to cluster 0
    groups = {"classes": y, "strata": strata}
    errors: dict[str, float] = {}
    rows = np.arange(len(y))
    for size in sorted(POOLS, reverse=True):
        if size < len(rows):
            rows, _ = train_test_split(rows, train_size=size, stratify=y[rows], random_state=seed)
        for name, group in groups.items():
            for keep in ("random", "hard", "easy"):
                kept = rows[Prune(keep, 0.5, random_share=0, seed=seed).fit(score[rows], group[rows]).kept_]
                kept = np.resize(kept, max(len(kept), 600))  # a pass of few rows would be all overhead
                *_, model = epochs(None, X[kept], y[kept], math.ceil(UPDATES * 32 / len(kept)), seed)
                errors[f"{size}/{name}/{keep}"] = round(float((model.predict(X_test) != y_test).mean()), 5)
    return errors
