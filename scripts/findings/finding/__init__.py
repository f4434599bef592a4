"""What every finding shares: the page from a template and stored results, the verdict, the run pool, the protocol.

A new finding is a script beside this folder:

    FINDING = Finding("mine", load=rows, page=page, rerun=rerun, gates=gates)
    if __name__ == "__main__":
        FINDING.main(__doc__)

`rerun` fills docs/findings/mine/ (trained arms by `rlvr.ablate(..., measure=...)`, anything else by `run_tasks`),
`page` turns what is stored there into a `Page`, and pages/mine.md has the words, with {names} where a number comes.
"""

from finding.page import REPO, Finding, Page
from finding.pool import read_rows, run_all_again, run_tasks
from finding.process import run_rlvr
from finding.protocol import Endpoint, Gate, detectable, judge
from finding.tables import lines, signed, table
from finding.verdict import WORDS, Point, name_points, outcome, spell

__all__ = [
    "REPO", "WORDS", "Endpoint", "Finding", "Gate", "Page", "Point", "detectable", "judge", "lines", "name_points",
    "outcome", "read_rows", "run_all_again", "run_rlvr", "run_tasks", "signed", "spell", "table",
]  # fmt: skip
