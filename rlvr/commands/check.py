"""Run every gold answer of a problem set through its verifier (each must score 1), and copies (none may)."""

from rlvr.commands.parser import command_parser

EXAMPLES = """\
rlvr check arithmetic countdown
rlvr check "jsonl(path='mine.jsonl', prompt='question')" --size 1000
"""
COPIES = 50  # problems per split whose copies are tried, eight each


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("sets", nargs="+", help="problem set specs")
    parser.add_argument("--size", type=int, default=200, help="problems per split (default: 200)")
    parser.add_argument("--splits", nargs="+", default=["train", "validation", "test"])
    own = parser.parse_args(argv)
    from rlvr.problems.check import check
    from rlvr.problems.copies import paid_copies

    failed = 0
    for spec in own.sets:
        failures = check(spec, tuple(own.splits), own.size, 0)
        failures += paid_copies(spec, tuple(own.splits), min(own.size, COPIES), 0)
        failed += len(failures)
        print(f"{spec}: {'ok' if not failures else f'{len(failures)} failures'}")
        for failure in failures[:10]:
            print(f"  {failure}")
    return 1 if failed else 0
