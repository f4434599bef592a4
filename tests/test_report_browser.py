"""The report in a real browser: hostile completions show as text, the filters and the sorting work."""

import re
import shutil
import subprocess
import warnings
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rlvr.decide import Prices, decide_eval
from rlvr.decide.on_eval import ACT, ALWAYS, NEVER
from rlvr.report import write_report
from rlvr.report.show import number
from rlvr.runs.eval_file import load_eval
from tests.fake_run import full_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr",
         "--virtual-time-budget=3000", "--dump-dom"]  # fmt: skip


class Rows(HTMLParser):
    """Which transcripts a page shows, what its counter says, its title, and its first column in order."""

    def __init__(self, dom: str):
        super().__init__()
        self.shown, self.title, self.count, self.at = [], "", "", ""
        self.feed(dom)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.at = found.get("id") or tag
        if tag == "details" and "transcript" in (found.get("class") or "") and "hidden" not in found:
            self.shown.append(found)

    def handle_data(self, data):
        if self.at == "title" and not self.title:
            self.title = data
        if self.at == "shown" and not self.count:
            self.count = data


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    if CHROMIUM is None:
        reason = "NO BROWSER FOUND: the report was not looked at. Install chromium to run these tests."
        warnings.warn(pytest.PytestWarning(reason), stacklevel=1)
        pytest.skip(reason)
    run = full_run(tmp_path_factory.mktemp("runs") / "demo", rollouts=(1, 60))
    return write_report([run], run)


def browse(address: str, profile: Path) -> str:
    """Return the DOM after the page's script ran; fails on any error or refusal in the browser's console."""
    done = subprocess.run(
        [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", address],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not console
    return done.stdout


def test_hostile_completions_neither_run_nor_break_the_page(page, tmp_path):
    seen = Rows(browse(page.as_uri(), tmp_path))
    assert seen.title == "rlvr report: demo"  # a script that ran would have changed it
    assert len(seen.shown) == 64  # 2 files with 4 groups of 8
    assert seen.count == "64 of 64 shown"


def test_filters_from_the_address(page, tmp_path):
    seen = Rows(browse(f"{page.as_uri()}#q=ONERROR&verdict=wrong&step=60", tmp_path))
    assert [(row["data-verdict"], row["data-step"]) for row in seen.shown] == [("wrong", "60")]
    assert seen.count == "1 of 64 shown"
    seen = Rows(browse(f"{page.as_uri()}#loss=dropped&task=arithmetic/L3", tmp_path))
    assert len(seen.shown) == 16  # the last group of each file
    assert {row["data-task"] for row in seen.shown} == {"arithmetic/L3"}


def test_a_click_sorts_a_table(page, tmp_path):
    html = re.sub("<meta http-equiv[^>]*>", "", page.read_text(encoding="utf-8"))
    click = "<script>document.querySelectorAll('table.sortable th')[1].firstChild.click()</script></body>"
    copy = tmp_path / "copy.html"
    copy.write_text(html.replace("</body>", click), encoding="utf-8")
    table = re.search(r"<table class=\"?sortable.*?</table>", browse(copy.as_uri(), tmp_path / "p"), re.DOTALL)
    assert table is not None
    values = [float(v) for v in re.findall(r"</th>\s*<td>(\d\.\d+)", table[0])]
    assert len(values) == 6
    assert values == sorted(values)
    assert 'aria-sort="ascending"' in table[0]


def test_the_decision_panel_agrees_with_python_at_any_price(page, tmp_path):
    html = re.sub("<meta http-equiv[^>]*>", "", page.read_text(encoding="utf-8"))
    shown = browse(page.as_uri(), tmp_path / "first")
    assert '<form class="decide" data-sides=' in shown.replace(' hidden=""', "")
    assert "Answering pays from a confidence of 0.833 on" in shown
    move = """<script>
      const panel = document.querySelector("form.decide");
      panel.wrong.value = "-3"; panel.abstain.value = "-0.2";
      panel.wrong.dispatchEvent(new Event("input", { bubbles: true }));
    </script></body>"""
    copy = tmp_path / "copy.html"
    copy.write_text(html.replace("</body>", move), encoding="utf-8")
    moved = browse(copy.as_uri(), tmp_path / "second")
    assert "Answering pays from a confidence of 0.700 on" in moved  # (-0.2 + 3) / (1 + 3)
    record = load_eval(page.parent / "eval" / "after" / "arithmetic.json")
    found = decide_eval(record, Prices(wrong=-3, abstain=-0.2), n_resamples=2)
    for label, policy in (("act on the stated confidence", ACT), ("always answer", ALWAYS), ("never answer", NEVER)):
        cells = re.search(rf"{label}</th><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td>", moved)
        assert cells is not None
        expected = [found.policies[policy][name].value for name in ("utility", "coverage", "selective_accuracy")]
        assert list(cells.groups()) == [number(value) for value in expected]
    fates = re.findall(r'<li><span class="tag ?(\w*)">(answer|no answer)</span><span>sure ([\d.]+)</span>', moved)
    assert len(fates) == 12
    assert all((verdict == "answer") == (float(q) >= 0.7) for _, verdict, q in fates)
