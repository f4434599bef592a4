"""Measuring while training: it changes nothing, survives kills, is drawn and logged; the best step's model is kept."""

import json
import math
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import TrainerCallback
from transformers.integrations import integration_utils

import rlvr
from rlvr.config.settings import TrainConfig
from rlvr.measure.evaluate import evaluate
from rlvr.measure.exact import exact_rates
from rlvr.measure.metrics import summarise_eval
from rlvr.measure.sample import Policy, make_engine
from rlvr.models.load import load_model
from rlvr.models.sampling import Sampling
from rlvr.planning import parts
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import ProblemSet
from rlvr.report import summarise, to_html, to_markdown
from rlvr.runs.directory import RunDir, read_metrics
from rlvr.runs.eval_file import load_eval
from rlvr.runs.resume import stored_config
from rlvr.training.keep_best import KeepBest, best_step
from tests.commands import WARM
from tests.forks import Forks
from tests.run_outcome import assert_same, outcome

# It learns: dense terms, losses that are not 0, two updates a batch; the best validation step (2) is no checkpoint.
COMMAND = [
    "train", "--config", "grpo", "tiny", "--rewards", '{"repetition": 0.3, "random_control": 0.37, "correct": 0.7}',
    "--allow_hackable", "true", "--sft_steps", "120", "--sft_batch_size", "16", "--train_size", "16", "--eval_size", "2",
    "--eval_n", "2", "--max_completion_length", "12", "--per_device_train_batch_size", "8", "--num_generations", "4",
    "--steps_per_generation", "2", "--learning_rate", "1e-3", "--max_steps", "7", "--save_strategy", "steps",
    "--save_steps", "3", "--logging_steps", "2", "--tags", "answer", "--sampling_seed", "4", "--eval_seed", "4",
    "--resume", "auto",
]  # fmt: skip
MEASURED = ["--eval_every", "2", "--eval_every_size", "24", "--eval_every_n", "4", "--keep_best", "true"]
SET = "arithmetic-levels-0.json"


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    processes = Forks(tmp_path_factory.mktemp("forks") / "log")
    yield processes
    processes.server.stdin.close()
    processes.server.wait()


@pytest.fixture(scope="module")
def runs(forks, tmp_path_factory):
    """The same training without measuring, and with it; and their cache."""
    root = tmp_path_factory.mktemp("runs")
    for name, more in {"plain": [], "best": MEASURED}.items():
        status, log = forks.run([*COMMAND, *more, "--output_dir", str(root / name)], root / "cache")
        assert status == 0, log
        (root / f"{name}.log").write_text(log)
    return root


def test_measuring_while_training_changes_no_bit_of_it(runs):
    plain, measured = outcome(runs / "plain"), outcome(runs / "best")
    steps = {name for name in measured if name.startswith("step-") and name.endswith(".json")}
    assert steps == {f"step-{step}/{SET}" for step in (0, 2, 4, 6, 7)}  # the start, every second step, the last
    assert measured.keys() - plain.keys() == steps
    for name, value in plain.items():
        if not name.startswith(("model/", "after/")):  # the last step's model, where the other run keeps the best one
            same = torch.equal(value, measured[name]) if isinstance(value, torch.Tensor) else value == measured[name]
            assert same, name
    assert {"metrics", "step-00007.parquet", "difficulty.parquet"} <= plain.keys()
    assert any(name.startswith("checkpoint-6/") for name in plain)


def test_an_evaluation_while_training_is_of_the_model_as_it_is_then(runs):
    """The checkpoint of step 6, loaded and measured from outside, gives the file that training wrote at step 6."""
    run = RunDir(runs / "best")
    written = load_eval(run.step_evaluations()[6])
    spec = "arithmetic(levels=[0])"
    assert (written["split"], written["n"], len(written["problems"])) == ("validation", 4, 24)
    model, tokenizer = load_model(str(run.checkpoints / "checkpoint-6"))
    config = stored_config(run)
    with Scorer.of(spec, config.answers) as scorer:
        policy = Policy(make_engine(model, tokenizer, config.sampling_precision), tokenizer, config.system_prompt)
        problems = ProblemSet.of(spec).load("validation", 24, 0)
        again = evaluate(policy, problems, scorer, n=4, sampling=Sampling(12), seed=4)
    pairs = zip(again["problems"], written["problems"], strict=True)
    assert all([s["answer"] for s in a["samples"]] == [s["answer"] for s in b["samples"]] for a, b in pairs)
    trained = {problem.id for problem in ProblemSet.of(spec).load("train", None, 0)}
    tested = {row["id"] for row in load_eval(run.evaluation("after", spec))["problems"]}
    assert not {row["id"] for row in written["problems"]} & (trained | tested)


KILLS = {
    "before the first file": ["rename .*eval/step-0/.*json", 0],
    "first best model, not in place": ["rename .*/best/step-0", 0],
    "between two evaluations, the checkpoint of step 3 not in place": ["rename .*saving/checkpoint-3", 0],
    "half an evaluation while training": ["open .*eval/step-4/.*json", 0],
    "after step 4, back to step 3": ["rename .*step-00005.parquet", 0],
    "evaluation of the last step": ["rename .*eval/step-7/.*json", 0],
    "the choice, not yet written": ["rename .*best.json", 0],
    "the chosen model, not in place": ["rename .*/model$", 0],
    "evaluation after": ["rename .*eval/after", 0],
}


def test_a_run_that_is_killed_while_measuring_is_the_uninterrupted_run(runs, forks, tmp_path):
    command = [*COMMAND, *MEASURED, "--output_dir", str(tmp_path / "run")]
    for phase, kill in KILLS.items():
        status, log = forks.run(command, runs / "cache", kill)
        assert status == -9, (phase, log)
    status, log = forks.run(command, runs / "cache")
    assert status == 0, log
    assert_same(tmp_path / "run", runs / "best")
    assert (tmp_path / "run/best.json").read_bytes() == (runs / "best/best.json").read_bytes()
    assert not (tmp_path / "run/best").exists()


def test_the_kept_model_is_that_of_the_best_validation_step(runs):
    run = RunDir(runs / "best")
    scores = {}
    for step, file in run.step_evaluations().items():
        rows = load_eval(file)["problems"]
        scores[step] = sum(row["c"] / row["n"] for row in rows) / len(rows)
    chosen = min(step for step, score in scores.items() if score == max(scores.values()))
    assert json.loads(run.best_step.read_text())["step"] == chosen == 2
    assert len(set(scores.values())) > 2, "the choice among equal scores would show nothing"
    last = load_file(RunDir(runs / "plain").model / "model.safetensors")
    kept = load_file(run.model / "model.safetensors")
    assert not all(torch.equal(weight, kept[name]) for name, weight in last.items())
    after = load_eval(run.evaluation("after", "arithmetic(levels=[0])"))
    assert after["split"] == "test" and after["model"].endswith("best/model")


def test_the_report_draws_the_curve_and_says_which_step_was_kept(runs):
    summary = summarise([runs / "best"])
    measured = summary["runs"][0]["validation"]
    assert [point["step"] for point in measured["points"]] == [0, 2, 4, 6, 7]
    markdown, page = to_markdown(summary), to_html(summary)
    step = json.loads((runs / "best/best.json").read_text())["step"]
    for text in (markdown, page):
        assert f"that of step {step}, the best pass@1 of these" in " ".join(text.replace("\\", "").split())
        assert "looks better than it is" in text
    assert "plots/validation-best.svg" in markdown
    assert f"| {step} (kept)" in markdown
    plain = summarise([runs / "plain"])
    assert plain["runs"][0]["validation"]["text"] == "" and "validation" not in to_markdown(plain).split("## How")[0]
    log = (runs / "best.log").read_text()
    assert "validation at step 4: pass@1 " in log and "validation pass@1 from step 0 to 7: " in log
    frame = rlvr.Run(runs / "best").validation
    assert list(frame.index) == [0, 2, 4, 6, 7]
    by_hand = summarise_eval(load_eval(RunDir(runs / "best").step_evaluations()[4]))["pass@1"]
    assert frame.loc[4, "pass@1"] == by_hand.value and frame.loc[4, "pass@1 high"] == by_hand.high


def test_a_longer_run_chooses_among_the_earlier_steps_too(runs, forks, tmp_path):
    """Trained to the end, then on: the kept model goes back among the candidates, and the run is the long one."""
    more = [*MEASURED, "--save_steps", "2", "--lr_scheduler_type", "constant"]
    whole, longer = tmp_path / "whole", tmp_path / "longer"
    for folder, steps in ((whole, "8"), (longer, "4"), (longer, "8")):
        command = [*COMMAND, *more, "--max_steps", steps, "--output_dir", str(folder)]
        status, log = forks.run(command, runs / "cache")
        assert status == 0, log
    assert_same(longer, whole)
    assert (longer / "best.json").read_bytes() == (whole / "best.json").read_bytes()
    status, log = forks.run([*command, "--eval_every", "4"], runs / "cache")
    assert status != 0 and "eval_every is 2, asked for 4" in log  # it would choose otherwise


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, math.nan]), min_size=1, max_size=9),
    st.integers(1, 4),
    st.lists(st.integers(0, 8), max_size=4),
)
def test_whatever_the_scores_and_the_kills_the_first_best_is_kept(tmp_path_factory, scores, every, kills):
    run = RunDir(tmp_path_factory.mktemp("best"))

    def start(checkpoint):
        if checkpoint is not None:
            run.rewind(checkpoint)
        known = {step: scores[step] for step in measured if step <= (checkpoint or 0)}
        best = KeepBest(run, lambda folder: save(folder, now[0]), known, checkpoint or 0)
        if (checkpoint or 0) not in best.scores:
            now[0] = checkpoint or 0
            offer(best, now[0])
        return best

    def save(folder, step):
        path = RunDir(run.path).path.joinpath(folder)
        path.mkdir()
        (path / "step.txt").write_text(str(step))

    def offer(best, step):
        measured.add(step)
        best.offer(step, scores[step])

    measured, now, saved = set(), [0], None
    kills = list(kills)
    best, step = start(None), 0
    while step < len(scores) - 1:
        step += 1
        now[0] = step
        offer(best, step)
        if step % every == 0:
            best.saved(step)
            saved = step
        if kills and kills[0] == step:
            kills.pop(0)
            step = saved or 0
            best = start(step)
        assert len(list(run.best.glob("step-*"))) <= 2
    chosen = best.publish()
    top = max((s for s in scores if not math.isnan(s)), default=math.nan)
    assert chosen == (0 if math.isnan(top) else scores.index(top)) == best_step(dict(enumerate(scores)))
    assert (run.model / "step.txt").read_text() == str(chosen)


def test_on_the_testbed_the_chance_is_computed_while_training_too(tmp_path, cache, cli):
    settings = "--sft_steps 30 --train_size 16 --eval_size 6 --per_device_train_batch_size 16 --num_generations 8"
    line = f"train --config grpo operators --max_steps 2 --eval_every 2 {settings} --output_dir"
    ended = cli(line, tmp_path / "run")
    assert ended.code == 0, ended.err
    run = RunDir(tmp_path / "run")
    data = ProblemSet.of("operators")
    model, tokenizer = load_model(str(run.model))
    config = TrainConfig(tags=["answer"])
    policy = Policy(make_engine(model, tokenizer), tokenizer, "", {"bare": True})
    rates = exact_rates(policy, data.load("validation", 6, 0), data, config.answers)
    measured = [row["p"] for row in load_eval(run.step_evaluations()[2])["problems"]]
    assert measured == pytest.approx(rates, rel=1e-4) and all(p > 0 for p in measured)


class Tracker(TrainerCallback):
    """A tracker as transformers makes one, by its name and without arguments; it keeps what it is told."""

    told: ClassVar[list] = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.told.append((state.global_step, args.run_name, dict(logs)))


def test_trackers_get_pass_at_k_calibration_and_the_name_of_the_run(tmp_path, cache, cli, monkeypatch):
    """One more name that `report_to` knows; everything between it and the run is transformers' own."""
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "recorder", Tracker)
    monkeypatch.setattr(parts, "get_available_reporting_integrations", lambda: ["recorder"])  # it is installed
    monkeypatch.setattr(Tracker, "told", [])
    settings = "--train_size 16 --eval_size 0 --eval_every_size 8 --eval_every_n 4"
    line = f"train --config rlcr tiny --max_steps 3 --eval_every 2 {settings} --per_device_train_batch_size 16"
    line = f"{line} --num_generations 4 --logging_steps 1 --report_to recorder --output_dir"
    ended = cli(line, tmp_path / "named", *WARM)
    assert ended.code == 0, ended.err
    steps = {step: logs for step, _, logs in Tracker.told if any(key.startswith("eval_") for key in logs)}
    assert sorted(steps) == [0, 2, 3]
    assert {name for _, name, _ in Tracker.told} == {"named"}
    for step, logs in steps.items():
        summary = summarise_eval(load_eval(RunDir(tmp_path / "named").step_evaluations()[step]))
        for name in ("pass@1", "pass@4", "brier", "ece", "auroc", "format_rate"):
            if math.isfinite(summary[name].value):
                assert logs[f"eval_{name}"] == summary[name].value, (step, name)
    assert any("eval_brier" in logs for logs in steps.values())
    training = [logs for _, _, logs in Tracker.told if "loss" in logs]
    assert len(training) == 3 and all("updates_skipped" in logs for logs in training)  # what our callbacks add, too
    rows = read_metrics(tmp_path / "named" / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3] and not any(k.startswith("eval") for row in rows for k in row)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--eval_strategy steps", "eval_strategy 'steps' is transformers' evaluation"),
        ("--eval_strategy epoch", "--eval_every N measures pass@1, Brier and ECE"),
        ("--eval_on_start true", "--eval_every N"),
        ("--keep_best true", "set --eval_every N too"),
        ("--eval_every -1", "eval_every must be"),
    ],
)
def test_settings_that_cannot_measure_are_refused_in_one_sentence(cli, flags, says):
    ended = cli(f"train --config grpo tiny --dry_run {flags}")
    assert ended.code != 0 and says in ended.err and "Traceback" not in ended.err


def test_a_set_without_validation_problems_of_its_own_is_refused(tmp_path, cli):
    rows = [{"question": f"{i} + 1?", "answer": str(i + 1)} for i in range(40)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    every = f"--data \"jsonl(path='{path}', split='all', prompt='question')\" --eval_every 5"
    line = "train --config grpo tiny --sft_steps 0 --dry_run --per_device_train_batch_size 8 --num_generations 4"
    warned = cli(f"{line} {every}")
    assert warned.code == 0 and "validation problems" in warned.err and "WARNING" in warned.err
    refused = cli(f"{line} {every} --keep_best true")
    assert refused.code != 0 and "would look better than it is" in refused.err


def test_old_run_directories_are_read_as_before(tmp_path):
    run = RunDir(tmp_path)
    assert run.step_evaluations() == {}
    (tmp_path / "eval" / "step-x").mkdir(parents=True)
    assert run.step_evaluations() == {}
