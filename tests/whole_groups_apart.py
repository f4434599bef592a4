"""Let a term that sees groups, and one that sees the batch, judge twelve completions in as many processes as are launched.

    python -m torch.distributed.run --nproc_per_node 2 -m tests.whole_groups_apart FOLDER

With two processes the middle one of three groups of four lies in both. Each process writes into FOLDER what the terms
were shown in it, and the values that it got for its own completions.
"""

import json
import sys
from pathlib import Path

from accelerate import PartialState

from rlvr.core.records import Completion, Problem
from rlvr.training.batch import GenerationBatch
from rlvr.training.whole_groups import WholeGroups

LENGTHS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]


def ranks(units):
    """Return for each completion of each unit the share of its unit that is longer."""
    return [[sum(o.n_tokens > c.n_tokens for o in unit) / len(unit) for c in unit] for unit in units]


def main(folder: Path) -> None:
    """Judge this process's share."""
    state = PartialState(cpu=True)
    problems = [Problem(str(i // 4), [{"role": "user", "content": "?"}], "42") for i in range(len(LENGTHS))]
    whole = [Completion(p, "42", "42", None, True, True, n) for p, n in zip(problems, LENGTHS, strict=True)]
    share = len(whole) // state.num_processes
    mine = whole[state.process_index * share :][:share]
    batch = GenerationBatch(rows=mine, group_size=4, process=state.process_index, processes=state.num_processes)  # type: ignore[arg-type]
    groups, told = WholeGroups(lambda: batch), {}
    for sees in ("group", "batch"):
        shown = []

        def judge(units, shown=shown):
            shown += [[c.n_tokens for c in unit] for unit in units]
            return ranks(units)

        told[sees] = {"values": groups(sees, mine, judge), "shown": shown}
    (folder / f"{state.process_index}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
