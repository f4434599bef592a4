"""Problems with known chances: the kind is in the question, the answer is drawn from a distribution over four letters.

Kind k has one likely letter, right with chance LIKELY[k]; the other three share the rest. So the best accuracy, the
honest confidence and the highest utility at any prices are known exactly, and both must be learned from verdicts.
"""

import random

from rlvr.core.records import Problem

VERSION = 1
INLINE = True
LIKELY = (0.98, 0.95, 0.9, 0.85, 0.75, 0.6, 0.4, 0.25)
BEST = "BDACDBCA"  # the likely letter of each kind


def load(split: str, size: int | None, seed: int) -> list[Problem]:
    """Return `size` problems (default 1,000), cycling through the kinds."""
    problems = []
    for i in range(1000 if size is None else size):
        kind, draw = i % len(LIKELY), random.Random(f"luck/{VERSION}/{seed}/{split}/{i}")
        likely = draw.random() < LIKELY[kind]
        gold = BEST[kind] if likely else draw.choice([letter for letter in "ABCD" if letter != BEST[kind]])
        prompt = [{"role": "user", "content": f"{kind}{kind} {draw.randrange(100):02}?"}]
        problems.append(Problem(f"luck-v{VERSION}-s{seed}/{split}/{i}", prompt, gold, f"luck/{LIKELY[kind]}", {}))
    return problems


def verify(answer: str, gold: str) -> bool:
    """Whether the answer is the letter that was drawn."""
    return answer.strip() == gold


def solution(problem: Problem) -> str:
    """Return nothing: there is nothing to work out."""
    return ""
