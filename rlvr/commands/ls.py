"""List recipes, reward terms, problem sets, advantages and models."""

import ast
from collections.abc import Callable
from pathlib import Path

from rlvr.commands.parser import command_parser

EXAMPLES = """\
rlvr ls
rlvr ls rewards
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("kind", nargs="?", choices=sorted(_listing()), help="one kind only")
    args = parser.parse_args(argv)
    for kind, entries in _listing().items():
        if args.kind in (None, kind):
            print(f"{kind}:")
            for name, summary in entries().items():
                print(f"  {name:<24} {summary}")
    return 0


def _listing() -> dict[str, Callable[[], dict[str, str]]]:
    from rlvr.config import recipe_files
    from rlvr.core import specs

    def first_sentence(path: Path) -> str:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        return (ast.get_docstring(tree) or "").split("\n")[0]

    def files(kind: str) -> dict[str, str]:
        return {name: first_sentence(path) for name, path in specs.names(kind).items()}

    def recipes(folder: Path) -> dict[str, str]:
        paths = recipe_files.recipes(folder).items()
        return {name: path.read_text(encoding="utf-8").split("\n")[0].lstrip("# ") for name, path in paths}

    def models() -> dict[str, str]:
        return {
            "smollm2-135m-instruct": "SmolLM2-135M-Instruct, packaged (no hub needed)",
            "tiny": "a Llama of 1M parameters with one token per byte, built from a seed",
            "FOLDER or OWNER/NAME": "any decoder that transformers can load",
        }

    return {
        "recipes": lambda: recipes(recipe_files.RECIPES),
        "ablations": lambda: recipes(recipe_files.RECIPES / "ablations"),
        "rewards": lambda: files("rewards"),
        "data": lambda: files("data"),
        "advantages": _advantages,
        "models": models,
    }


def _advantages() -> dict[str, str]:
    """Return advantage recipes and transforms with their first line, read from the source (importing imports torch)."""
    folder = Path(__file__).parents[1] / "advantages"
    trees = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in folder.glob("*.py")}
    tables = {
        node.target.id: [name.id for name in ast.walk(node.value.generators[0].iter) if isinstance(name, ast.Name)]
        for node in trees["__init__"].body
        if isinstance(node, ast.AnnAssign)
        if isinstance(node.target, ast.Name) and isinstance(node.value, ast.DictComp)
    }
    lines = {
        node.name: (ast.get_docstring(node) or "").split("\n")[0]
        for tree in trees.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }
    return {name: lines[name] for name in [*tables["RECIPES"], *tables["TRANSFORMS"]]}
