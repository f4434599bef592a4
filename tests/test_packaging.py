"""What pip installs: every dependency is used, every import is declared, the licence and the types travel in the wheel."""

import ast
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import PROJECT, REPO

READ_BY_OTHERS = {"gguf": "transformers opens the packaged model with it"}
COME_WITH = {"safetensors": "transformers", "tokenizers": "transformers", "markupsafe": "jinja2"}
RUN_AS_COMMANDS = {"pytest-xdist", "ruff", "mypy", "build", "types-pyyaml", "scipy-stubs"}
OWN = {"rlvr", "tests", "data", "rewards", "finding", "parts", "base"}  # the last three lie beside the findings


def names(requirements):
    return {canonicalize_name(Requirement(r).name) for r in requirements}


def imported(*folders):
    """Return the distributions that the files in `folders` import anywhere, and the modules that none provides."""
    modules = set()
    for folder in folders:
        for path in (REPO / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                    modules.add(node.module.split(".")[0])
    modules -= OWN | set(sys.stdlib_module_names)
    known = packages_distributions()
    return {canonicalize_name(d) for m in modules for d in known.get(m, [])}, {m for m in modules if m not in known}


def test_every_dependency_is_imported_and_every_import_is_a_dependency():
    declared, (used, missing) = names(PROJECT["dependencies"]), imported("rlvr", "rewards", "data")
    optional = {"reasoning-gym", "vllm", "inspect-ai", "openai", "bitsandbytes"}  # extras, imported where they are used
    assert declared - used == set(READ_BY_OTHERS)
    assert used - declared - optional == set(COME_WITH)
    assert set(COME_WITH.values()) <= declared
    assert {canonicalize_name(module) for module in missing} <= optional


def test_every_development_tool_is_imported_or_run():
    used, _ = imported("tests", "scripts")
    others = {
        "hatchling",
        "openai",
        "fastapi",
        "uvicorn",
    }  # builds the wheel; for `transformers serve` (tests/serving.py)
    assert names(PROJECT["optional-dependencies"]["dev"]) - used - RUN_AS_COMMANDS == others


def test_the_vllm_extra_installs_nothing_where_vllm_does_not_exist():
    (vllm,) = map(Requirement, PROJECT["optional-dependencies"]["vllm"])
    assert vllm.marker.evaluate({"sys_platform": "linux"})
    assert not vllm.marker.evaluate({"sys_platform": "darwin"})
    assert not vllm.marker.evaluate({"sys_platform": "win32"})


def test_the_licence_and_the_type_marker_are_in_wheel_and_sdist(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--target", "sdist", "-d", str(tmp_path)]
    subprocess.run(build, cwd=REPO, check=True, capture_output=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        assert "rlvr/py.typed" in archive.namelist()
        (licence,) = [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        assert archive.read(licence).decode().split()[:4] == ["Apache", "License", "Version", "2.0,"]
    with tarfile.open(sdist) as archive:
        paths = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {"LICENSE", "rlvr/py.typed"} <= paths
