"""What acting on the confidence earns, as text for the terminal and as data for the report's decision panel."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlvr.decide import Decisions
from rlvr.metrics import Records
from rlvr.report.show import interval, number, visible
from rlvr.report.tables import Table
from rlvr.report.terminal import text_table

LISTED = 12  # answers whose fate the panel shows


def decision_text(found: Decisions, record: Mapping[str, Any]) -> str:
    """Return what `rlvr decide utility` prints: prices, policies, gains and the risk-coverage curve."""
    prices = {name: price for name, price in vars(found.prices).items() if price is not None}
    lines = [
        f"{record.get('spec') or record.get('set') or 'evaluation'}: {len(record['problems'])} problems, "
        f"{found.decisions} decisions; {found.missing} without a confidence, {found.unverified} without a verdict",
        f"prices: {', '.join(f'{name} {price:g}' for name, price in prices.items())}; "
        f"answering pays from P(right) = {found.prices.threshold:.3f} on",
        "",
        *text_table(policy_table(found)),
        "",
        f"the best constant threshold is {_threshold(found.threshold)}; acting on the confidence earns",
        *(f"  {interval(gain, signed=True)} more than {policy!r}" for policy, gain in found.gains.items()),
        "",
        *text_table(
            Table(
                ("coverage", "risk, most confident first [95%]"),
                [(f"{share:.0%}", interval(risk)) for share, risk in found.risk.items()],
            )
        ),
    ]
    return "\n".join(visible(line).rstrip() for line in lines)


def policy_table(found: Decisions) -> Table:
    """One row for each policy; columns for escalating and drawing again where they have a price."""
    measures = {"utility": "utility [95%]", "coverage": "coverage", "selective_accuracy": "right among the answered"}
    measures |= {"escalated": "escalated"} if found.prices.escalate is not None else {}
    measures |= {"draws": "draws"} if found.prices.resample is not None else {}
    rows = [
        (policy, *(interval(values[name], signed=name == "utility") for name in measures))
        for policy, values in found.policies.items()
    ]
    return Table(("policy", *measures.values()), rows)


def panel(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the decision panel computes from; None when no sample states a confidence.

    `counts`: [confidence, answers, right ones] for each stated confidence, ascending; `missing`: [answers,
    right ones] without one; `answers`: a few, spread over the confidences, as (problem, answer, confidence,
    right). Samples without a verdict are left out.
    """
    records = Records.of(record)
    q_S, y_S, _ = records.pairs()
    if not q_S.size:
        return None
    stated, at_S = np.unique(q_S, return_inverse=True)
    counts = zip(stated.tolist(), np.bincount(at_S).tolist(), np.bincount(at_S, weights=y_S).tolist(), strict=True)
    silent_S = ~np.isnan(records.correct_S) & np.isnan(records.confidence_S)
    samples = [
        (problem["id"], sample["answer"], sample["confidence"], sample["correct"])
        for problem in record["problems"]
        for sample in problem["samples"][:1]
        if sample["confidence"] is not None and sample["correct"] is not None
    ]
    samples.sort(key=lambda row: row[2])
    picked = np.unique(np.linspace(0, len(samples) - 1, min(LISTED, len(samples))).round().astype(int))
    return {
        "counts": [[q, n, int(c)] for q, n, c in counts],
        "missing": [int(silent_S.sum()), int(np.nansum(records.correct_S[silent_S]))],
        "answers": [samples[i] for i in picked],
    }


def _threshold(found: float) -> str:
    return "never to answer" if np.isinf(found) else number(found)
