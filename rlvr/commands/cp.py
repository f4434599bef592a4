"""Copy a built-in recipe, reward term or problem set into the working folder, to be changed."""

import shutil
from pathlib import Path

from rlvr.commands.parser import command_parser
from rlvr.core.errors import RlvrError, did_you_mean

EXAMPLES = """\
rlvr cp rlcr my_recipe.yaml
rlvr cp brier my_brier.py
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("name", help="a recipe, reward term or problem set (see rlvr ls)")
    parser.add_argument("target", type=Path, nargs="?", default=Path("."), help="file or folder (default: here)")
    args = parser.parse_args(argv)
    from rlvr.config import recipe_files
    from rlvr.core import specs

    known = {**specs.names("data"), **specs.names("rewards"), **recipe_files.recipes()}
    if args.name not in known:
        raise RlvrError(did_you_mean("recipe, reward term or problem set", args.name, known))
    source = known[args.name]
    target = args.target / source.name if args.target.is_dir() else args.target
    try:
        with source.open("rb") as text, target.open("xb") as copy:  # x: neither over a file nor through a link
            shutil.copyfileobj(text, copy)
    except FileExistsError:
        raise RlvrError(f"{target} exists already. Choose another name.") from None
    print(target)
    return 0
