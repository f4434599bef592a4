"""What all rankers share: a network over candidates, its training, and serving that never sees how rows were shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from rlvr.core.errors import DataError, SpecError, did_you_mean
from rlvr.decide.ranking.combine import OBJECTIVES, check_weights, combine
from rlvr.decide.ranking.mmoe import MMoE


@dataclass(kw_only=True, eq=False, repr=False)  # writes the __init__ that scikit-learn reads parameters from
class Ranker(BaseEstimator):
    """Rank candidates one by one on several objectives; the subclasses differ in how they read a choice.

    Args:
        weights: objective -> weight of the final score (`combine`); None weighs each probability 1 and cost 0.
        experts: experts of the mixture; 1 is a shared bottom.
        width: units of the shared layer and of each expert.
        gate_dropout: chance that a training row does without an expert for an objective, in [0, 1); see `MMoE`.
        epochs, batch_size, lr, weight_decay: AdamW with a learning rate that falls linearly to 0 (what is
            learned about showing: ten times `lr` and no decay).
        seed: of initial weights, order and dropout; the global generators stay as they were.

    Attributes (after fit): `objectives_`, `n_features_in_`, `net_` (MMoE), `positions_` (those of the log).
    """

    weights: Mapping[str, float] | None = None
    experts: int = 4
    width: int = 16
    gate_dropout: float = 0.0
    epochs: int = 20
    batch_size: int = 256
    lr: float = 1e-2
    weight_decay: float = 1e-2
    seed: int = 0

    def fit(self, X: ArrayLike, y: Mapping[str, ArrayLike], bias: Mapping[str, ArrayLike]) -> "Ranker":
        """Fit on shown candidates.

        Args:
            X: features (N, D); NaN is missing (mean-filled, with an indicator column).
            y: objective -> labels (N,): chosen, correct, format in {0, 1}, cost in tokens; NaN is unlabelled.
            bias: what the log's showing was like, name -> values (N,), None for missing; "position" is required.

        Raises:
            DataError: lengths differ, a label is out of range or missing throughout, positions do not vary.
            SpecError: an unknown objective or a weight that cannot be used.
        """
        X_ND, y_NK = self._checked(X, y, bias)
        self.features_ = make_pipeline(SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler())
        x = torch.tensor(self.features_.fit_transform(X_ND), dtype=torch.float32)
        codes = torch.tensor(self._encode(bias))
        if "cost" in self.objectives_:
            cost_N = y_NK[:, self.objectives_.index("cost")]
            self.cost_mean_, self.cost_std_ = float(np.nanmean(cost_N)), float(np.nanstd(cost_N)) or 1.0
            y_NK[:, self.objectives_.index("cost")] = (cost_N - self.cost_mean_) / self.cost_std_
        labels = torch.tensor(y_NK, dtype=torch.float32)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.bias_net_ = self._bias_net([len(values) for values in self.categories_.values()], codes)
            inputs = self._inputs(x[:1], codes[:1]).shape[1]
            self.net_ = MMoE(inputs, len(self.objectives_), self.experts, self.width, self.gate_dropout)
            self._train(x, labels, codes)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the score (N,) of each candidate: the weighted combination of `predict_objectives`."""
        predicted = self.predict_objectives(X)
        return combine(predicted, self._weights(), getattr(self, "cost_mean_", 1.0))

    def predict_objectives(self, X: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Return objective -> prediction (N,): probabilities, and cost in tokens; nothing about showing enters."""
        outputs_NK = self._forward(X)[0]
        predictions = {
            name: torch.sigmoid(outputs_NK[:, k]).double().numpy() for k, name in enumerate(self.objectives_)
        }
        if "chosen" in predictions:
            logit_N = outputs_NK[:, self.objectives_.index("chosen")]
            predictions["chosen"] = torch.sigmoid(self._serving(logit_N)).double().numpy()
        if "cost" in predictions:
            raw = outputs_NK[:, self.objectives_.index("cost")].double().numpy()
            predictions["cost"] = np.maximum(raw * self.cost_std_ + self.cost_mean_, 0.0)
        return predictions

    def gates(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the gates (N, K, E) of candidates, for `gate_use`."""
        return self._forward(X)[1].double().numpy()

    def position_curve(self) -> dict[Any, float] | None:
        """Return position -> what it adds to a choice relative to the first one (see the subclass); None: not known."""
        return None

    # How a subclass reads a choice

    def _bias_net(self, sizes: list[int], codes: Tensor) -> nn.Module:
        """Return what is learned about showing, from the number of values of each bias feature; nothing here."""
        return nn.Identity()

    def _inputs(self, x: Tensor, codes: Tensor) -> Tensor:
        """Return what the network sees of a shown candidate: the candidate."""
        return x

    def _serving_inputs(self, x: Tensor) -> Tensor:
        """Return what the network sees of a candidate that nobody has shown yet."""
        return x

    def _chosen_loss(self, logit_B: Tensor, chosen_B: Tensor, codes_B: Tensor) -> Tensor:
        """Return the loss (B,) of the logged choices."""
        return F.binary_cross_entropy_with_logits(logit_B, chosen_B, reduction="none")

    def _serving(self, logit_N: Tensor) -> Tensor:
        """Return the logit of being chosen when nothing is known about showing."""
        return logit_N

    # The machinery

    def _train(self, x: Tensor, y_NK: Tensor, codes: Tensor) -> None:
        groups = [
            {"params": list(self.net_.parameters()), "weight_decay": self.weight_decay},
            {"params": list(self.bias_net_.parameters()), "weight_decay": 0.0, "lr": 10 * self.lr},  # few, from 0
        ]
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=self.lr)
        n = len(x)
        steps = self.epochs * -(-n // self.batch_size)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
        self.bias_net_.train()
        self.net_.train()
        for _ in range(self.epochs):
            for rows in torch.randperm(n).split(self.batch_size):
                outputs_BK = self.net_(self._inputs(x[rows], codes[rows]))[0]
                loss = torch.zeros(())
                for k, name in enumerate(self.objectives_):
                    known = ~y_NK[rows, k].isnan()
                    output, label, code = outputs_BK[known, k], y_NK[rows, k][known], codes[rows][known]
                    loss = loss + self._loss(name, output, label, code).sum() / max(len(label), 1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        self.bias_net_.eval()
        self.net_.eval()

    def _loss(self, name: str, output_B: Tensor, label_B: Tensor, codes_B: Tensor) -> Tensor:
        if name == "chosen":
            return self._chosen_loss(output_B, label_B, codes_B)
        if name == "cost":
            return (output_B - label_B) ** 2
        return F.binary_cross_entropy_with_logits(output_B, label_B, reduction="none")

    def _forward(self, X: ArrayLike) -> tuple[Tensor, Tensor]:
        check_is_fitted(self, "net_")
        X_ND = np.asarray(X, dtype=float)
        if X_ND.ndim != 2 or X_ND.shape[1] != self.n_features_in_:
            raise DataError(f"Expected candidates with {self.n_features_in_} features, found shape {X_ND.shape}.")
        with torch.no_grad():
            x = torch.tensor(self.features_.transform(X_ND), dtype=torch.float32)
            return self.net_(self._serving_inputs(x))

    def _weights(self) -> dict[str, float]:
        default = {name: 1.0 for name in self.objectives_ if name != "cost"}
        return check_weights(default if self.weights is None else self.weights, self.objectives_)

    def _encode(self, bias: Mapping[str, ArrayLike]) -> NDArray[np.int64]:
        """Return the codes (N, F), 0 for missing, and remember which value has which code."""
        columns = {name: np.asarray(values, dtype=object) for name, values in bias.items()}
        self.categories_ = {name: sorted(set(values) - {None}) for name, values in columns.items()}
        self.positions_ = self.categories_["position"]
        codes = []
        for name, values in columns.items():
            code = {value: i for i, value in enumerate(self.categories_[name], 1)}
            codes.append([code.get(value, 0) for value in values])
        return np.array(codes, dtype=np.int64).T

    def _checked(self, X: ArrayLike, y: Mapping[str, ArrayLike], bias: Mapping[str, ArrayLike]) -> tuple:
        for name, low in (("experts", 1), ("width", 2), ("epochs", 1), ("batch_size", 1)):
            if getattr(self, name) < low:
                raise SpecError(f"{name} must be at least {low}, found {getattr(self, name)}.")
        if not 0 <= self.gate_dropout < 1:
            raise SpecError(f"gate_dropout must be in [0, 1), found {self.gate_dropout}.")
        X_ND = np.asarray(X, dtype=float)
        labels = {name: np.asarray(values, dtype=float) for name, values in y.items()}
        for name in labels:
            if name not in OBJECTIVES:
                raise SpecError(did_you_mean("objective", name, OBJECTIVES))
        if "position" not in bias:
            raise DataError("A log needs the position at which each candidate was shown; found no 'position'.")
        lengths = {len(values) for values in (*labels.values(), *map(np.asarray, bias.values()))}
        if X_ND.ndim != 2 or lengths != {len(X_ND)}:
            raise DataError(f"Features, labels and bias need one length; found {X_ND.shape} and {sorted(lengths)}.")
        if np.isinf(X_ND).any():
            raise DataError("A feature is infinite. Leave unknown values missing (NaN).")
        for name, values in labels.items():
            known = values[~np.isnan(values)]
            if not known.size:
                raise DataError(f"The objective {name!r} has no label at all. Leave it out.")
            if name != "cost" and not np.isin(known, (0, 1)).all():
                raise DataError(f"Labels of {name!r} must be 0 or 1; found {known[~np.isin(known, (0, 1))][0]}.")
        if "chosen" in labels and len(np.unique(labels["chosen"][~np.isnan(labels["chosen"])])) < 2:
            raise DataError("Either nothing or everything was chosen in this log: there is no choice to learn from.")
        if len(set(np.asarray(bias["position"], dtype=object)) - {None}) < 2:
            raise DataError("Every candidate was shown at one position: what a position does cannot be learned.")
        self.objectives_ = tuple(name for name in OBJECTIVES if name in labels)
        self.n_features_in_ = X_ND.shape[1]
        self._weights()
        return X_ND, np.stack([labels[name] for name in self.objectives_], axis=1)
