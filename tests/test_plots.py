"""Figures build on real and on odd data, say when there is none, and save as deterministic, closed SVG."""

import re
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from rlvr.measure.metrics import Interval, reliability_table, risk_coverage
from rlvr.measure.plots import (
    figure_png,
    figure_svg,
    plot_accuracy_calibration,
    plot_by_task,
    plot_curves,
    plot_pass_at_k,
    plot_reliability,
    plot_risk_coverage,
    plot_score_kept,
    plot_vote_curve,
)
from rlvr.measure.plots.curves import series, smooth
from rlvr.measure.plots.style import COLOURS, MARKERS, look

NAN = Interval(np.nan, np.nan, np.nan, n=0)
HIGH = Interval(0.9, 0.85, 0.97, n=20)
LOW = Interval(0.1, 0.02, 0.09, n=20)  # the interval of a biased statistic need not hold its value
SIDE = {"pass@1": HIGH, "pass@2": HIGH, "pass@4": HIGH, "ece": LOW, "auroc": HIGH, "problems": 20}
NOTHING = {"pass@1": NAN, "ece": NAN}
ROWS = [
    {
        "step": i,
        "reward": 0.1 * i,
        "rewards/brier/mean": 0.5,
        "accuracy": 0.3,
        "format_rate": None if i == 2 else 0.9,
        "groups/all_right": 0.2,
        "groups/mixed": 0.5,
        "groups/all_wrong": 0.3,
        "kept": 0.8,
        "dropped/drop_near_impossible": 0.2,
        "completions/mean_length": 40 - i,
        "entropy": float("nan") if i == 1 else 0.4,
    }
    for i in range(1, 80)
]
PAIRS = [0.1, 0.4, 0.4, 0.9, 1.0], [0, 1, 0, 1, 1]
VOTES = {rule: {1: HIGH, 2: HIGH} for rule in ("majority", "confidence-weighted vote", "most confident")}
FIGURES = {
    "pass_at_k": lambda: plot_pass_at_k({"base": SIDE, "trained": SIDE}, "arithmetic"),
    "reliability": lambda: plot_reliability({"base": reliability_table(*PAIRS), "trained": reliability_table(*PAIRS)}),
    "reliability, equal mass": lambda: plot_reliability({"base": reliability_table(*PAIRS, mode="mass")}),
    "accuracy_calibration": lambda: plot_accuracy_calibration({"rlcr": (SIDE, SIDE)}),
    "risk_coverage": lambda: plot_risk_coverage({"base": risk_coverage(*PAIRS)}),
    "by_task": lambda: plot_by_task({"base": {"a/L0": HIGH, "a/L1": NAN}, "trained": {"a/L1": HIGH}}),
    "curves": lambda: plot_curves(ROWS, "rlcr"),
    "score_kept": lambda: plot_score_kept(
        range(9), ["kept: hard"] * 4 + ["kept: random share"] + ["dropped: too easy"] * 4
    ),
    "votes": lambda: plot_vote_curve({"base": VOTES, "trained": VOTES}, "arithmetic"),
    "one pass@k": lambda: plot_pass_at_k({"base": {"pass@1": HIGH}}),
    "one pair": lambda: plot_reliability({"base": reliability_table([1.0], [1])}),
    "one sample": lambda: plot_risk_coverage({"base": risk_coverage([1.0], [1])}),
    "one task": lambda: plot_by_task({"base": {"a": HIGH}}),
    "one step": lambda: plot_curves(ROWS[:1]),
}
EMPTY = {
    "pass_at_k": lambda: plot_pass_at_k({}),
    "pass_at_k, NaN": lambda: plot_pass_at_k({"base": NOTHING}),
    "reliability": lambda: plot_reliability({}),
    "reliability, no pairs": lambda: plot_reliability({"base": reliability_table([], [])}),
    "accuracy_calibration": lambda: plot_accuracy_calibration({}),
    "accuracy_calibration, NaN": lambda: plot_accuracy_calibration({"rlvr": (SIDE, NOTHING)}),
    "risk_coverage": lambda: plot_risk_coverage({}),
    "risk_coverage, no pairs": lambda: plot_risk_coverage({"base": risk_coverage([], [])}),
    "by_task": lambda: plot_by_task({"base": {}}),
    "curves": lambda: plot_curves([]),
    "score_kept": lambda: plot_score_kept([], []),
    "votes": lambda: plot_vote_curve({}),
    "votes, no n": lambda: plot_vote_curve({"base": {}}),
}


def texts(figure: Figure | str) -> list[str]:
    root = ET.fromstring(figure_svg(figure) if isinstance(figure, Figure) else figure)
    return ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.filterwarnings("error::UserWarning")  # layout and limits that matplotlib had to mend
def test_the_svg_is_deterministic_and_refers_to_nothing_outside(name):
    svg = figure_svg(FIGURES[name]())
    assert svg == figure_svg(FIGURES[name]())
    assert set(re.findall(r"https?://[^\"'\s<>]+", svg)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', svg))
    assert all(link.startswith("#") for link in re.findall(r"url\(([^)]*)\)", svg))
    assert "<image" not in svg
    assert not any("nan" in path for path in re.findall(r' d="([^"]*)"', svg))
    assert "no data" not in texts(svg) or name in ("one step", "curves")


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.filterwarnings("error::UserWarning")
def test_without_data_the_figure_says_so(name):
    assert "no data" in texts(EMPTY[name]())


def test_the_png_is_640_pixels_wide_and_deterministic():
    png = figure_png(FIGURES["pass_at_k"]())
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20], "big") == 640
    assert png == figure_png(FIGURES["pass_at_k"]())


def test_matplotlibs_own_settings_stay_as_they_are():
    before = dict(matplotlib.rcParams)
    figure_svg(FIGURES["pass_at_k"]())
    figure_png(FIGURES["reliability"]())
    assert dict(matplotlib.rcParams) == before


def test_untrusted_labels_are_text():
    svg = figure_svg(plot_pass_at_k({"<script>alert(1)</script> $x^$": SIDE}, "a & b"))
    assert "<script" not in svg
    assert "<script>alert(1)</script> $x^$" in texts(plot_pass_at_k({"<script>alert(1)</script> $x^$": SIDE}))


def test_the_pass_at_k_axis_is_log2_and_names_its_ks():
    axes = plot_pass_at_k({"base": SIDE}).axes[0]
    assert (axes.get_xscale(), [t.get_text() for t in axes.get_xticklabels()]) == ("log", ["1", "2", "4"])
    line = axes.get_lines()[0]
    np.testing.assert_allclose(line.get_xydata(), [[1, 0.9], [2, 0.9], [4, 0.9]])


def test_the_arrow_runs_from_base_to_trained():
    base = {**SIDE, "ece": HIGH, "pass@1": LOW}
    arrow = plot_accuracy_calibration({"rlcr": (base, SIDE)}).axes[0].texts[0]
    assert arrow.xy == pytest.approx((0.9, 0.9))
    assert arrow.xyann == pytest.approx((0.1, 0.1))


def test_reliability_bins_hold_what_the_table_says():
    table = reliability_table(*PAIRS)
    top, bottom = plot_reliability({"base": table}).axes
    np.testing.assert_allclose(top.get_lines()[1].get_xydata(), [[0.1, 0], [0.4, 0.5], [0.95, 1.0]])
    np.testing.assert_allclose(bottom.patches[0].get_data().values, table.n / 5)


def test_rows_without_a_finite_value_are_left_out():
    rows = [
        {"step": 1, "x": 1.0},
        {"step": 2, "x": None},
        {"x": 3.0},
        {"step": 4, "x": float("inf")},
        {"step": 5, "x": 2},
    ]
    steps, values = series(rows, "x")
    assert (steps.tolist(), values.tolist()) == ([1, 5], [1, 2])
    assert [part.size for part in series([], "x")] == [0, 0]


def test_smoothing_is_a_centred_mean_that_keeps_lines_straight_inside():
    values = np.arange(100.0)
    np.testing.assert_allclose(smooth(values)[5:95], values[5:95])
    noisy = np.random.default_rng(0).normal(size=100)
    assert smooth(noisy)[50] == pytest.approx(noisy[45:56].mean())
    assert smooth(noisy)[0] == pytest.approx(noisy[:6].mean())
    assert smooth(np.array([])).size == 0


def test_forty_nine_series_look_different():
    assert len({look(i) for i in range(49)}) == len(COLOURS) * len(MARKERS) == 49


def test_neighbouring_colours_differ_in_lightness_or_in_what_the_colour_blind_see():
    """Distances after simulating full deuteranopia and protanopia (Viénot et al. 1999) stay visible."""
    rgb = np.array([matplotlib.colors.to_rgb(colour) for colour in COLOURS[:4]]) ** 2.2
    to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
    deutan = np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]])
    protan = np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]])
    for loss in (np.eye(3), deutan, protan):
        seen = rgb @ (np.linalg.inv(to_lms) @ loss @ to_lms).T
        seen = np.clip(seen, 0, 1) ** (1 / 2.2)
        gaps = [np.linalg.norm(seen[i] - seen[j]) for i in range(4) for j in range(i)]
        assert min(gaps) > 0.15
