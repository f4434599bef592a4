"""The rooms of rlvr/ and what may stand between them: imports go down or sideways, and nothing goes round in a circle."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import REPO
from tests.rooms import LAYERS

LAYER = {room: i for i, rooms in enumerate(LAYERS) for room in rooms}


@cache
def imports() -> dict[str, set[str]]:
    """Return module -> the modules of rlvr that it imports, anywhere in the file."""
    files = {}
    for path in sorted((REPO / "rlvr").rglob("*.py")):
        files[".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")] = path
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        found[module] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rlvr":
                names = (f"{node.module}.{alias.name}" for alias in node.names)
                found[module] |= {name if name in files else str(node.module) for name in names}
            elif isinstance(node, ast.Import):
                found[module] |= {alias.name for alias in node.names if alias.name.split(".")[0] == "rlvr"}
    return found


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def folder(module: str) -> str:
    """Return the folder of a module, two rooms deep at most: `training.callbacks`."""
    path = REPO / Path(*module.split("."))
    return module if path.is_dir() else module.rpartition(".")[0]


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Return some circle of a directed graph, or nothing."""
    state: dict[str, int] = {}

    def walk(node: str, path: list[str]) -> list[str]:
        state[node] = 1
        for other in sorted(edges.get(node, ())):
            if state.get(other) == 1:
                return [*path[path.index(other) :], other]
            if other not in state and (ring := walk(other, [*path, other])):
                return ring
        state[node] = 2
        return []

    return next((ring for node in sorted(edges) if node not in state and (ring := walk(node, [node]))), [])


def test_the_circle_finder_finds_one():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_every_room_has_a_layer_and_the_top_is_small():
    entries = {p.name for p in (REPO / "rlvr").iterdir()} - {"__pycache__", "py.typed", "_content"}
    assert entries - {"__init__.py", "__main__.py", "train.py"} == LAYER.keys() - {"train"}
    assert len(entries) <= 17


def test_imports_go_down_or_stay_inside_a_room():
    up = [
        f"{module} -> {other}"
        for module, others in imports().items()
        for other in sorted(others)
        if room(module) and room(other) and room(module) != room(other)
        if room(module) in LAYER and LAYER[room(other)] >= LAYER[room(module)]
    ]
    assert up == []


def without_package_files(pairs: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """Return the edges but those of `__init__.py` files, which only hand on names, and of a module to itself."""
    edges: dict[str, set[str]] = {}
    for module, other in pairs:
        if module != other:
            edges.setdefault(module, set()).add(other)
    return edges


def test_no_circle_between_files():
    def is_file(module: str) -> bool:
        return not (REPO / Path(*module.split("."))).is_dir()

    pairs = [(m, o) for m, others in imports().items() if is_file(m) for o in others if is_file(o)]
    assert circle(without_package_files(pairs)) == []


def test_no_circle_between_rooms():
    pairs = [(room(m), room(o)) for m, others in imports().items() for o in others if room(m) and room(o)]
    assert circle(without_package_files(pairs)) == []


def test_core_needs_no_torch():
    """Verifier processes import it, and they should start in a moment."""
    names = [m for m in imports() if m.startswith("rlvr.core.") and m != "rlvr.core.distributed"]
    code = f"import {', '.join(names)}, rlvr.problems.verifier, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_the_ranking_room_and_its_commands_know_the_ranker():
    """Training, measuring and the run's report do not depend on the click-log ranker."""
    knows = {m for m, others in imports().items() if any(o.startswith("rlvr.decide.ranking") for o in others)}
    assert knows <= {m for m in imports() if m.startswith("rlvr.decide.ranking")} | {
        "rlvr.commands.decide_rank",
        "rlvr.report.ranking",
    }


@pytest.mark.parametrize("kind", ["rewards", "data"])
def test_content_files_import_from_rlvr_alone(kind):
    for path in (REPO / kind).glob("*.py"):
        for line in re.findall(r"^\s*(?:from|import) (rlvr[\w.]*)", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert line == "rlvr", f"{path.name} imports {line}"


OLD = {
    "rlvr.parse": "rlvr.core.parse", "rlvr.generate.sampler": "rlvr.models.sampling.sampler",
    "rlvr.metrics": "rlvr.measure.metrics", "rlvr.decide.rank": "rlvr.decide.ranking.rank",
}  # fmt: skip


def test_old_module_names_are_the_same_modules():
    """In one process, old names first: each start of the libraries costs seconds."""
    code = f"""
import importlib, sys
for old, new in {OLD}.items():
    assert importlib.import_module(old) is importlib.import_module(new) is sys.modules[old] is sys.modules[new], old
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0


def test_every_old_name_leads_somewhere():
    from rlvr.core.old_names import MOVED

    assert all(f"rlvr.{new}" in imports() for new in MOVED.values())


def test_files_that_became_rooms_still_give_their_names():
    code = (
        "from rlvr.config import TrainConfig, parse_config; from rlvr.models import load_model; "
        "from rlvr.problems import load_problems; from rlvr.runs import RunDir"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
