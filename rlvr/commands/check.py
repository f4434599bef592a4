"""Run every gold answer of a problem set through its verifier (each must score 1), and copies (none may)."""

import itertools

from rlvr.commands.parser import command_parser

EXAMPLES = """\
rlvr check arithmetic countdown
rlvr check "jsonl(path='mine.jsonl', prompt='question')" --size 1000
rlvr check gsm8k --answer_format boxed last_number
"""
COPIES = 50  # problems per split whose copies are tried, about a dozen each


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("sets", nargs="+", help="problem set specs")
    parser.add_argument("--size", type=int, default=200, help="problems per split (default: 200)")
    parser.add_argument("--splits", nargs="+", default=["train", "validation", "test"])
    parser.add_argument("--answer_format", nargs="+", default=["tags"], help="forms of answer to try (default: tags)")
    args = parser.parse_args(argv)
    from rlvr.core.answer_format import AnswerFormat
    from rlvr.problems.check import check
    from rlvr.problems.copies import paid_copies

    failed = 0
    forms = {name: AnswerFormat.of(name) for name in args.answer_format}
    for spec, (name, answers) in itertools.product(args.sets, forms.items()):
        failures = check(spec, tuple(args.splits), args.size, 0, answers)
        failures += paid_copies(spec, tuple(args.splits), min(args.size, COPIES), 0, answers)
        failed += len(failures)
        title = spec if list(forms) == ["tags"] else f"{spec}, answers in {name}"
        print(f"{title}: {'ok' if not failures else f'{len(failures)} failures'}")
        for failure in failures[:10]:
            print(f"  {failure}")
    return 1 if failed else 0
