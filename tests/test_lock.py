"""requirements.lock is fresh: inside the bounds of pyproject.toml, equal to constraints.txt, and whole."""

from importlib.metadata import PackageNotFoundError, requires, version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts.lock import LOCK, lines
from tests.conftest import PROJECT, REPO

STALE = "run make lock"


def pins(path):
    """Return {name: version} of a file of name==version lines; any other line is an error."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, pinned = line.split("==")
            assert canonicalize_name(name) not in found, line
            found[canonicalize_name(name)] = Version(pinned)
    return found


LOCKED, CONSTRAINED = pins(LOCK), pins(REPO / "constraints.txt")


def outside(requirements):
    """Return the requirements that the lock lacks or has in a version that they rule out, here and without extras."""
    needed = [r for r in map(Requirement, requirements) if r.marker is None or r.marker.evaluate({"extra": ""})]
    locked = [(r, LOCKED.get(canonicalize_name(r.name))) for r in needed]
    return [str(r) for r, pin in locked if pin is None or not r.specifier.contains(pin, prereleases=True)]


def test_every_dependency_is_locked_inside_its_bounds():
    assert outside(PROJECT["dependencies"]) == [], STALE
    assert outside(PROJECT["optional-dependencies"]["dev"]) == [], STALE


def test_the_constraints_are_the_lock():
    assert {name: LOCKED.get(name) for name in CONSTRAINED} == CONSTRAINED, STALE


def test_versions_are_public_and_rlvr_is_not_among_them():
    assert all(pin.local is None for pin in LOCKED.values())
    assert "rlvr" not in LOCKED


def test_what_the_locked_packages_need_is_locked_too():
    """Packages that are installed here in another version than the locked one say nothing about it, and are left out."""
    looked, missing = 0, {}
    for name, pin in LOCKED.items():
        try:
            here = Version(version(name))
        except PackageNotFoundError:
            continue
        if here.public == pin.public:
            looked += 1
            short = [
                need for need in outside(requires(name) or []) if not need.startswith(("nvidia-", "cuda-", "triton"))
            ]
            missing |= {name: short} if short else {}
    assert missing == {}, STALE
    assert looked >= len(CONSTRAINED)


@pytest.mark.parametrize("name", CONSTRAINED)
def test_the_tests_run_with_the_locked_core(name):
    assert Version(version(name)).public == str(LOCKED[canonicalize_name(name)])


def test_a_report_becomes_pins_without_local_versions_cuda_and_rlvr():
    packages = {
        "torch": "2.13.0+cpu",
        "rlvr": "0.1.0",
        "nvidia-cublas": "13.1",
        "Ast_Serialize": "0.13.1",
        "triton": "3",
    }
    report = {"install": [{"metadata": {"name": n, "version": v}} for n, v in packages.items()]}
    assert lines(report) == ["ast-serialize==0.13.1", "torch==2.13.0"]
