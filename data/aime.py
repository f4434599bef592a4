"""AIME, the American Invitational Mathematics Examination: thirty problems a year, answers 0 to 999.

aime(year=2025)                        from the hub: 2024, 2025 and 2026
aime(path='file.jsonl')                a local file with the columns problem and answer
"""

from rlvr import DataError, Problem, load_rows
from rlvr import verify_answer as verify

VERSION = 1
__all__ = ["VERSION", "load", "verify"]
HUB = {2024: "HuggingFaceH4/aime_2024", 2025: "math-ai/aime25", 2026: "MathArena/aime_2026"}


def load(
    split: str, size: int | None, seed: int, year: int = 2025, path: str = "", **parts: str | float
) -> list[Problem]:
    """Return up to `size` problems of `split`, shuffled by `seed`; `parts` choose the splits (see rlvr.load_rows)."""
    if not path and year not in HUB:
        raise DataError(
            f"No AIME of {year}. Known: {', '.join(map(str, HUB))}. Or give a file: aime(path='file.jsonl')."
        )
    return load_rows(split, size, seed, path or HUB[year], prompt="problem", answer="answer", verifier="math", **parts)
