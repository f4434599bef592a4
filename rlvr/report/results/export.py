"""Write evaluations in the forms of other tools: JSONL and CSV of samples, LaTeX of tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from rlvr.core.errors import SpecError
from rlvr.core.files import write_whole
from rlvr.core.json_rows import json_text
from rlvr.report.tables import Table

SAMPLES = (".jsonl", ".csv")


def write_samples(record: Mapping[str, Any], path: Path) -> Path:
    """Write one row for each sample of an evaluation: JSONL in the columns that `rlvr score` reads, or CSV.

    The confidence, the answer and the verdict stand in it as they are in the evaluation; the texts (`prompt`,
    `completion`) where it has them. Returns the path; raises SpecError for another ending.
    """
    rows = []
    for problem in record["problems"]:
        shared = {"id": problem["id"], "task": problem["task"]}
        if "messages" in problem:
            shared["prompt"] = problem["messages"]
        for i, sample in enumerate(problem["samples"]):
            known = {name: value for name, value in sample.items() if name != "text"}
            text = {"completion": sample["text"]} if "text" in sample else {}
            rows.append({**shared, "gold": problem["gold"], "sample": i, **text, **known})
    if path.suffix == ".jsonl":
        write_whole(path, "".join(json_text(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        for row in rows:
            row |= {key: json_text(value) for key, value in row.items() if isinstance(value, list | dict)}
        write_whole(path, pd.DataFrame(rows).to_csv(index=False))
    else:
        raise SpecError(f"An evaluation is written as .jsonl, .csv or .tex, found {str(path)!r}.")
    return path


def latex_table(table: Table) -> str:
    r"""Return a table as LaTeX (booktabs), cells escaped.

    >>> print(latex_table(Table(("arm", "pass@1"), [("a_b", "50%")])))
    \begin{tabular}{ll}
    \toprule
    arm & pass@1 \\
    \midrule
    a\_b & 50\% \\
    \bottomrule
    \end{tabular}
    <BLANKLINE>
    """
    lines = [rf"\begin{{tabular}}{{{'l' * len(table.headers)}}}", r"\toprule"]
    lines += [" & ".join(map(latex, table.headers)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(latex, row)) + r" \\" for row in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def latex(cell: str) -> str:
    r"""Escape what LaTeX reads as a command.

    >>> latex("random_reward 5%")
    'random\\_reward 5\\%'
    """
    special = {c: f"\\{c}" for c in "&%$#_{}"}
    special |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    return "".join(special.get(c, c) for c in cell)
