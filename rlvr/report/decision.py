"""Write what acting on the confidence earns, as text for the terminal."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlvr.decide import Decisions
from rlvr.measure.metrics import Interval
from rlvr.report.show import interval, number, visible
from rlvr.report.tables import Table
from rlvr.report.terminal import text_table


def decision_text(decisions: Decisions, risk: Mapping[float, Interval], evaluation: Mapping[str, Any]) -> str:
    """Return what `rlvr decide utility` prints: prices, policies, gains and the risk-coverage curve."""
    prices = {name: price for name, price in vars(decisions.prices).items() if price is not None}
    lines = [
        f"{evaluation.get('spec') or evaluation.get('set') or 'evaluation'}: {len(evaluation['problems'])} problems, "
        f"{decisions.decisions} decisions; {decisions.missing} without a confidence, "
        f"{decisions.unverified} without a verdict",
        f"prices: {', '.join(f'{name} {price:g}' for name, price in prices.items())}; "
        f"answering pays from P(right) = {decisions.prices.threshold:.3f} on",
        "",
        *text_table(policy_table(decisions)),
        "",
        f"the best constant threshold is {_threshold(decisions.threshold)}; acting on the confidence earns",
        *(f"  {interval(gain, signed=True)} more than {policy!r}" for policy, gain in decisions.gains.items()),
        "",
        *text_table(
            Table(
                ("coverage", "risk, most confident first [95%]"),
                [(f"{share:.0%}", interval(risk)) for share, risk in risk.items()],
            )
        ),
    ]
    return "\n".join(visible(line).rstrip() for line in lines)


def policy_table(decisions: Decisions) -> Table:
    """Return one row for each policy; columns for escalating and drawing again where they have a price."""
    measures = {"utility": "utility [95%]", "coverage": "coverage", "selective_accuracy": "right among the answered"}
    measures |= {"escalated": "escalated"} if decisions.prices.escalate is not None else {}
    measures |= {"draws": "draws"} if decisions.prices.resample is not None else {}
    rows = [
        (policy, *(interval(values[name], signed=name == "utility") for name in measures))
        for policy, values in decisions.policies.items()
    ]
    return Table(("policy", *measures.values()), rows)


def _threshold(threshold: float) -> str:
    return "never to answer" if np.isinf(threshold) else number(threshold)
