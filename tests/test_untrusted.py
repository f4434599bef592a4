"""Completions and data sets are hostile: nothing that they hold raises, hangs, acts on a terminal or runs as code."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlvr.core.parse import TAGS, parse
from rlvr.report.show import visible
from rlvr.runs.directory import slug
from tests.hostile_text import MANY, PIECES, hostile, verifiers

REPO = Path(__file__).parents[1]


def slowest(action, seeds) -> tuple[float, int]:
    """Run `action` on every hostile text; return the longest time (best of three for a suspect) and its seed."""
    worst, at = 0.0, -1
    for seed in seeds:
        text = hostile(seed)
        start = time.perf_counter()
        action(text)
        took = time.perf_counter() - start
        if took > 0.05:  # a busy machine, or really slow?
            took = min(took, *(timed(action, text) for _ in range(3)))
        if took > worst:
            worst, at = took, seed
    return worst, at


def timed(action, text) -> float:
    start = time.perf_counter()
    action(text)
    return time.perf_counter() - start


@pytest.mark.parametrize("count", [3_000, pytest.param(MANY, marks=pytest.mark.slow)])
def test_the_parser_never_raises_and_never_takes_50_ms(count):
    worst, seed = slowest(lambda text: parse(text, TAGS), range(count))
    assert worst < 0.05, f"seed {seed}: {worst:.3f} s"


@pytest.mark.parametrize("count", [1_500, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("verifier", verifiers(), ids=lambda v: v[0])
def test_no_verifier_raises_or_takes_50_ms(verifier, count):
    name, verify = verifier
    worst, seed = slowest(verify, range(count))
    assert worst < 0.05, f"{name}, seed {seed}: {worst:.3f} s"


def test_verifiers_answer_with_a_bool_and_accept_no_garbage():
    for _, verify in verifiers():
        for seed in range(300):
            assert verify(hostile(seed)) in (True, False)
        for text in ("", " ", "<answer>", "42 or 43", "__import__('os').system('true')", "4" * 10_000):
            assert verify(text) is False


@pytest.mark.parametrize("size", [1_000_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_megabytes_take_a_moment(size):
    """Linear in the length (a quadratic parser would take hours): a huge answer, tags and brackets without end."""
    for text in (f"<answer>{'9' * size}</answer>", "<answer>" * (size // 8), "(" * size):
        assert timed(lambda text: parse(text, TAGS), text) < 60
    for _, verify in verifiers():
        assert timed(verify, "(" * size) < 60
        assert timed(verify, "9" * size) < 60


def test_nothing_acts_on_a_terminal_and_no_id_is_a_path():
    for seed in range(2_000):
        text = hostile(seed)
        shown = visible(text)
        assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)
        assert not set(shown) & {"\x1b", "\x9b", "\u202e", "\u200b", "\ufeff"}
        name = slug(text)
        assert "/" not in name
        assert name not in ("", ".", "..")


@pytest.mark.parametrize("code", [0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0x2064, 0xFEFF, 0xE0041, 0x1D173, 0x1FFFE])
def test_a_character_without_width_is_shown_by_its_name(code):
    assert visible(f"p{chr(code)}q") == f"p⟨U+{code:04X}⟩q"


def test_letters_of_any_script_stay():
    for text in ("naïve", "你好", "سلام", "𝟗", "🙂", "a\tb\nc", "\u00a0"):
        assert visible(text) == text


SANDBOX = (
    REPO / "rlvr" / "problems" / "verifiers" / "code_host.py"
)  # runs programs, fenced in: tests/test_verify_code.py


def sources():
    files = [p for folder in ("rlvr", "rewards", "data") for p in (REPO / folder).rglob("*.py")]
    assert SANDBOX in files
    return [p for p in files if p != SANDBOX]


def test_nothing_runs_text_as_code():
    """No eval, exec, compile, pickle, shell, unsafe YAML or unsafe torch.load anywhere in the product."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(REPO)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                assert not {a.name for a in node.names} & {"pickle", "marshal", "shelve", "dill"}, where
            if isinstance(node, ast.ImportFrom):
                assert node.module not in {"pickle", "marshal", "shelve", "dill"}, where
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in {
                "eval",
                "exec",
                "compile",
                "os.system",
                "os.popen",
                "yaml.load",
                "yaml.unsafe_load",
            }, where
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert keywords.get("shell", "False") == "False", where
            if called == "torch.load":
                assert keywords.get("weights_only") == "True", where


@pytest.mark.slow
def test_coverage_guided_fuzzing(tmp_path):
    """100,000 inputs that atheris finds by the branches they take; loud skip where it is not installed."""
    pytest.importorskip("atheris", reason="pip install atheris: coverage-guided fuzzing did not run")
    flags = [f"-runs={MANY}", "-max_len=4096", "-timeout=5", "-seed=1", "-dict=" + str(_dictionary(tmp_path))]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz_atheris", *flags], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {MANY} runs" in done.stderr


def _dictionary(folder: Path) -> Path:
    """Write the pieces as libFuzzer reads them: one quoted token a line, bytes outside plain ASCII in hex."""
    file = folder / "pieces.dict"
    tokens = ("".join(f"\\x{b:02x}" for b in piece.encode("utf-8", "surrogatepass")) for piece in PIECES)
    file.write_text("".join(f'"{token}"\n' for token in tokens))
    return file
