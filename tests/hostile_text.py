"""Hostile texts by seed, and every built-in verifier to try them on."""

import random

from rlvr.core import specs
from rlvr.core.parse import TAGS

MANY = 100_000  # of these, the fast tests take a sample
PIECES = [
    *[f"<{slash}{tag}>" for tag in TAGS for slash in ("", "/")],
    "<script>alert(1)</script>", "<!--", "-->", "</", "<", ">", "&lt;", "{{ 7 * 7 }}", "{% raw %}", "${x}", "%s", "%(a)s",
    "\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "\r", "\x00", "\u202e", "\u200b", "\ufeff", "\ud800", "é", "𝟗", "٣", "½", "Ⅷ",
    "(" * 50, ")" * 50, "[" * 50, "+" * 50, "-" * 50, "1" * 400, "9" * 50, "1e999", "-1e-999", "nan", "inf", "0x1f", "1_000",
    "1,000", "1/0", "2**9**9", "__import__('os')", "\\frac{1}{0}", "\\boxed{", "$", "\\sqrt{" * 5, "../../etc/passwd", "a" * 300,
    "0.5", "42", " ", "\n", "\t", "=", "*", "/", "(3 + 4) * 2", "x", "aaaaaaaaaaaaaaaaaaaaaaaa!", ".", ",", "'", '"', "`",
]  # fmt: skip


def hostile(seed: int) -> str:
    draw = random.Random(seed)
    return "".join(draw.choice(PIECES) for _ in range(draw.randrange(1, 24)))


def verifiers():
    """(name, verify(text)) for every built-in verifier, over a gold answer of its own."""
    found = []
    for name, gold in (
        ("arithmetic", "42"),
        ("countdown", {"numbers": [3, 4, 2], "target": 14}),
        ("gsm8k", "42"),
        ("jsonl", {"text": "42", "verifier": "number"}),
        ("jsonl", {"text": "42", "verifier": "math"}),  # of a number; a formula goes to math-verify, under a time limit
        ("jsonl", {"text": "abc", "verifier": "exact"}),
    ):
        verify = specs.import_file("data", name).verify
        found.append((name, lambda text, verify=verify, gold=gold: verify(text, gold)))
    return found
