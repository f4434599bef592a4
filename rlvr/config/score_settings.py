"""Hold the settings with which completions made elsewhere are scored: the flags of `rlvr score` and `rlvr import`."""

from dataclasses import dataclass

from rlvr.config.checks import EVAL_RANGES, check_numbers
from rlvr.config.fields import check_choice, read_answer_format, setting
from rlvr.core.answer_format import AnswerFormat
from rlvr.core.errors import SpecError
from rlvr.core.parse import TAGS


@dataclass
class ScoreConfig:
    """Hold what says whether completions made elsewhere are right, and how they are read."""

    set: str | None = setting(None, "Problem set spec whose problems were answered; its verifier judges.")
    verifier: str | None = setting(
        None, "Without a set: what compares with the gold column: number, math, exact, choice, .."
    )
    columns: list[str] = setting([], "Columns that are called otherwise: completion=output gold=final.")
    split: str = setting("test", "Split of the set; all: every row of a file.")
    size: int | None = setting(None, "Problems of the set; None is all that it has (1,000 of a generated one).")
    data_seed: int = setting(0, "Seed of the problem generator.")
    answer_format: str = setting(
        "tags", "How the completions give answers: tags, boxed, last_number, regex(pattern='..'); docs/answers.md."
    )
    tags: list[str] = setting(
        ["think", "answer", "confidence"], f"Tags that answer_format tags reads, of {', '.join(TAGS)}."
    )
    model: str | None = setting(None, "What wrote the completions, for tables; None takes the file's name.")
    verify_timeout: float = setting(2.0, "Wall-clock limit of one verification, in seconds.")
    texts: str = setting("parquet", "What is kept of the completions' texts: parquet (beside the JSON) or none.")

    def __post_init__(self) -> None:
        read_answer_format(self.answer_format, self.tags)
        check_numbers(self, {name: EVAL_RANGES[name] for name in ("size", "data_seed", "verify_timeout")})
        check_choice(self, "texts", ("parquet", "none"))
        if self.set and self.verifier:
            raise SpecError("A set brings its own verifier: give --set or --verifier, not both.")

    @property
    def answers(self) -> AnswerFormat:
        """Return the form in which answers are read: `answer_format`, with `tags`."""
        return read_answer_format(self.answer_format, self.tags)
