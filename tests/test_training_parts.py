"""The parts of RLVRTrainer that need no model, each without a trainer: choose, judge, credit, metrics, checkpoints."""

import json
import math

import pyarrow.parquet as pq
import pytest
import torch
from accelerate import PartialState
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from transformers import TrainerState

from rlvr.advantages import build
from rlvr.config.settings import TrainConfig
from rlvr.core.errors import SpecError
from rlvr.core.records import Completion, Problem
from rlvr.models.load import tiny_tokenizer
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import ProblemSet
from rlvr.problems.verifier import Verifier
from rlvr.rewards.total import weighted_sum
from rlvr.runs import checkpoints
from rlvr.runs.pass_rate import PassRate
from rlvr.training.batch import Draws, GenerationBatch, Judged
from rlvr.training.batch_metrics import VERDICT_METRICS, batch_metrics
from rlvr.training.choose import ByDifficulty, ByFilling, make_chooser
from rlvr.training.credit import NothingLeftWarning, count_outcomes, make_rollouts, make_signal, write_signal
from rlvr.training.curriculum.difficulty_sampler import DifficultySampler
from rlvr.training.curriculum.dynamic_sampling import Filled, Sample
from rlvr.training.curriculum.fresh_problems import FreshProblems
from rlvr.training.judge import Judge
from rlvr.training.resume import Checkpoints, callback_states, load_callback_states
from rlvr.training.rollouts_log import log_rollouts
from rlvr.training.verdicts import Verdicts

NAN = math.nan
DATA = Dataset.from_list([{"id": str(i), "prompt": f"{i}+{i}="} for i in range(6)])


def completion(problem_id="0", correct=True, **facts):
    prompt = [{"role": "user", "content": "?"}]
    return Completion(Problem(problem_id, prompt, "4"), "", format_ok=True, correct=correct, **facts)


def judged_batch(rewards, completions=None, ids=("a", "b"), **fields):
    """Return a batch of two groups with these rewards (N, F)."""
    rewards_NF = torch.tensor(rewards)
    n = len(rewards_NF)
    batch = GenerationBatch(rows=[{}] * n, group_size=n // 2, **fields)
    names = [i for i in ids for _ in range(n // 2)]
    batch.judged = Judged(names, [3] * n, [2] * n, [False] * n, rewards_NF, completions=completions)
    return batch


# ------------------------------------------------------------------ the batch


def test_each_process_has_its_own_part_of_what_was_gathered():
    parts = [GenerationBatch(rows=[{}, {}], process=i, processes=3).local(list("abcdef")) for i in range(3)]
    assert parts == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert GenerationBatch(rows=[{}], process=1).local(torch.arange(6), 3).tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("completions", "verdicts", "correct"),
    [(None, None, None), ([completion(correct=None)], None, [None]), ([completion(correct=True)], [False], [False])],
)
def test_correct_has_the_last_word_over_the_scorer(completions, verdicts, correct):
    judged = Judged(["a"], [1], [1], [False], torch.ones(1, 1), completions=completions, verdicts=verdicts)
    assert judged.correct == correct


# ------------------------------------------------------------------ choose


def test_a_draw_is_the_same_on_all_processes_and_each_takes_its_part():
    def chosen(process, processes, rows):
        batch = GenerationBatch(rows=[{}] * rows, group_size=2, number=7, process=process, processes=processes)
        ByDifficulty(DifficultySampler((0.2, 0.8), 0.2, seed=3), DATA, PassRate({"1": (8, 4)}))(batch)
        return batch

    whole, halves = chosen(0, 1, 8), [chosen(i, 2, 4) for i in range(2)]
    assert [row["id"] for half in halves for row in half.rows] == [row["id"] for row in whole.rows]
    assert [a["id"] for a in whole.rows[::2]] == [b["id"] for b in whole.rows[1::2]]  # groups of two
    assert torch.equal(halves[1].draws.propensity_P, whole.draws.propensity_P)
    assert whole.draws.set_size == 6


def sample_by_id(batch, rows):
    """Right and wrong for problems of odd number, all right for the others; the text is the id."""
    samples = [
        Sample(row, 2, [1], None, None, completion(row["id"], int(row["id"]) % 2 == 0 or i % 2 == 0))
        for i, row in enumerate(rows)
    ]
    return [samples[i : i + batch.group_size] for i in range(0, len(samples), batch.group_size)]


def test_filling_replaces_what_is_not_mixed_and_remembers_what_it_dealt(capsys):
    chooser = ByFilling(FreshProblems(6, seed=1), DATA, 9, sample_by_id)
    batch = GenerationBatch(rows=[dict(DATA[i]) for i in (0, 0, 1, 1, 2, 2)], group_size=2, step=4)
    chooser(batch)
    assert {row["id"] for row in batch.rows} == {"1", "3", "5"}
    assert [s.completion.problem.id for s in batch.known] == [row["id"] for row in batch.rows]
    assert chooser.position > 0
    assert dict(batch.metrics)["dynamic/filled"] == 1
    assert len(batch.thrown) == 2 * dict(batch.metrics)["dynamic/thrown_away"]
    batch.forget_samples()
    assert not batch.known
    again = ByFilling(FreshProblems(6, seed=1), DATA, 0, sample_by_id)
    again.position = chooser.position  # as a checkpoint does
    assert again.fresh.take(3) == chooser.fresh.take(3)
    again(GenerationBatch(rows=[dict(DATA[0])] * 2, group_size=2, step=4))
    assert "step 4: after 0 more tries (at most 0) 1 of 1 groups" in capsys.readouterr().err


def test_two_ways_to_choose_are_refused(tmp_path):
    def make(scorer=object(), **settings):  # noqa: B008
        args = TrainConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, **settings)
        return make_chooser(args, DATA, PassRate(), scorer, build("grpo"), sample_by_id)

    assert make() is None
    assert make(difficulty_band=[0.2, 0.8]).sampler.band == (0.2, 0.8)
    assert make(dynamic_sampling_tries=3).tries == 3
    with pytest.raises(SpecError, match="take one of them"):
        make(difficulty_band=[0.2, 0.8], dynamic_sampling_tries=3)
    with pytest.raises(SpecError, match="needs a scorer"):
        make(scorer=None, dynamic_sampling_tries=3)


# ------------------------------------------------------------------ judge


@pytest.fixture(scope="module")
def scorer():
    verifier = Verifier(ProblemSet.of("arithmetic"))
    yield Scorer(("answer", "confidence"), verifier)
    verifier.close()


TEXTS = ["<answer>4</answer><confidence>0.9</confidence>", "<answer>5</answer><confidence>0.2</confidence>", "4"]


def judge_of(scorer=None, verdicts=None, **settings):
    tokenizer = tiny_tokenizer()
    problems = {"p": Problem("p", [{"role": "user", "content": "2+2?"}], "4")}
    return Judge(scorer, problems, verdicts, tokenizer, [tokenizer.eos_token_id], **settings)


def judged_by(judge, texts=TEXTS, rewards=(1.0, 0.0, 0.5)):
    ids = [[*judge.tokenizer(text, add_special_tokens=False)["input_ids"], *judge.eos_ids] for text in texts]
    ids[-1].pop()  # the last one ran into the limit
    rows, batch = [{"id": "p", "prompt": "2+2?"}] * len(texts), GenerationBatch(rows=[{}] * len(texts))
    completions = judge.completions(batch, rows, texts, ids)
    rewards_NF = torch.tensor(rewards)[:, None]
    return judge.gather(batch, rows, ["2+2?"] * 3, texts, ids, completions, rewards_NF, ["mine"]), ids


def test_a_scorer_parses_verifies_and_finds_the_confidence(scorer):
    judged, ids = judged_by(judge_of(scorer))
    assert judged.correct == [True, False, False]
    assert [c.confidence for c in judged.completions] == [0.9, 0.2, None]
    assert judged.truncated == [False, False, True] == [c.truncated for c in judged.completions]
    assert judged.tokens == list(map(len, ids))
    tokenizer = judge_of().tokenizer
    before = [tokenizer.decode(row[:n]) for row, n in zip(ids, judged.confidence_starts, strict=True)]
    assert before[:2] == ["<answer>4</answer>", "<answer>5</answer>"]
    assert judged.confidence_starts[2] == judged.tokens[2]


def test_a_prompt_that_opens_the_thinking_is_known_to_the_scorer(scorer):
    """Nothing that stands in unfinished thinking is an answer; of prompts that are no chats nothing is known."""
    boxed = Scorer("boxed(thinking='native')", scorer.verifier)
    judge = judge_of(boxed, prompt_end="<|im_start|>assistant\n<think>\n")
    text, chat = r"2+2, so \boxed{4}", [{"role": "user", "content": "2+2?"}]
    answers = [
        judge.complete([{"id": "p", "prompt": prompt}], [said], [[1]])[0].answer
        for prompt, said in ((chat, text), (chat, f"sure</think>{text}"), ("2+2?", text))
    ]
    assert answers == [None, "4", "4"]


def test_without_a_scorer_correct_judges_and_texts_are_kept_only_to_be_written():
    judge = judge_of(verdicts=Verdicts("mine > 0.5", {"mine": None}, []), keep_texts=True)
    judged, _ = judged_by(judge)
    assert judge.judges and judge.tags == ()
    assert (judged.correct, judged.completions) == ([True, False, False], None)
    assert [c.text for c in judged.texts] == TEXTS
    assert judged.problem_ids == ["p"] * 3
    nobody = judge_of()
    assert not nobody.judges
    judged, _ = judged_by(nobody)
    assert judged.texts is judged.completions is judged.correct is None


def test_what_was_judged_while_filling_is_not_judged_again():
    batch = GenerationBatch(known=[Sample({}, 1, [1], None, None, completion("a"))])
    assert judge_of().completions(batch, [{}], ["never read"], [[1]]) == [completion("a")]


# ------------------------------------------------------------------ reward and credit


@given(st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, NAN]), min_size=3, max_size=3), min_size=1, max_size=6))
def test_the_weighted_sum_against_brute_force(rows):
    weights = [0.5, 2.0, 0.25]
    want = [sum(w * v for w, v in zip(weights, row, strict=True) if not math.isnan(v)) for row in rows]
    assert weighted_sum(torch.tensor(rows), torch.tensor(weights)).tolist() == want
    assert weighted_sum(torch.tensor(rows).numpy(), torch.tensor(weights).numpy()).tolist() == want


def test_rollouts_by_hand():
    completions = [completion("a", c, confidence=q) for c, q in ((True, 0.5), (None, None), (False, 1.0), (True, 0.0))]
    batch = judged_batch([[1.0, 0.0], [1.0, NAN], [NAN, NAN], [0.0, 1.0]], completions)
    values_NT = torch.arange(8.0).view(4, 2)
    rollouts = make_rollouts(batch, torch.tensor([1.0, 0.5]), PassRate({"b": (8, 2)}), values_NT)
    assert rollouts.reward_PG.tolist() == [[1.0, 1.0], [0.0, 0.5]]
    assert rollouts.correct_PG.tolist() == [[True, False], [False, True]]
    assert rollouts.scored_PG.tolist() == [[True, False], [False, True]]  # no verdict; no reward
    assert rollouts.confidence_PG.nan_to_num(-1).tolist() == [[0.5, -1.0], [1.0, 0.0]]
    assert rollouts.ids == ("a", "b")
    assert (rollouts.attempts_P.tolist(), rollouts.successes_P.tolist()) == ([0, 8], [0, 2])
    assert rollouts.values_PGT.tolist() == values_NT.view(2, 2, 2).tolist()


def test_groups_that_could_not_be_filled_are_in_no_baseline():
    """Batch-whitened credit of the first group alone."""
    batch = judged_batch([[1.0], [0.0], [9.0], [5.0]])
    rollouts = make_rollouts(batch, torch.ones(1), PassRate())
    signal = make_signal(build("group_center, batch_scale"), rollouts, unfilled=1)
    alone = make_signal(
        build("group_center, batch_scale"),
        make_rollouts(judged_batch([[1.0], [0.0]] * 2), torch.ones(1), PassRate()),
        unfilled=1,
    )
    assert torch.equal(signal.adv[0], alone.adv[0])
    assert not signal.adv[1].any()
    assert signal.keep_PG.tolist() == [[True, True], [False, False]]
    assert list(signal.dropped) == ["dynamic_sampling"]


def out_of(batch, width=3):
    mask = torch.ones(len(batch.rows), width, dtype=torch.long)
    return {"completion_ids": mask, "completion_mask": mask, "advantages": torch.zeros(len(batch.rows))}


@pytest.mark.parametrize(("loss_type", "factor"), [("dapo", 1.0), ("grpo", 2.0)])
def test_dropped_completions_leave_mask_and_divisor(loss_type, factor):
    batch = judged_batch([[1.0], [0.0], [0.0], [1.0]])
    rollouts = make_rollouts(batch, torch.ones(1), PassRate())
    signal = make_signal(build("signed, keep_negative"), rollouts)
    out = out_of(batch)
    logged = write_signal(out, signal, batch, loss_type, lambda total: total)
    assert logged == [0.0, -1.0, -1.0, 0.0]
    assert out["advantages"].tolist() == [0.0, -factor, -factor, 0.0]  # a divisor of 4 rows counts 2
    assert out["tool_mask"].any(1).tolist() == [False, True, True, False]
    assert out["num_items_in_batch"] == 6


def test_each_process_writes_its_own_rows_and_credit_per_token_is_as_wide_as_its_own_completions():
    whole = judged_batch([[1.0], [0.0], [0.0], [1.0]])
    rollouts = make_rollouts(whole, torch.ones(1), PassRate(), torch.zeros(4, 3))
    signal = make_signal(build("gae"), rollouts)
    assert signal.adv.shape == (2, 2, 3)
    for process, width in ((0, 2), (1, 5)):
        batch = GenerationBatch(rows=[{}, {}], group_size=2, process=process, processes=2)
        out = out_of(batch, width)
        write_signal(out, signal, batch, "dapo", lambda total: total)
        want = torch.nn.functional.pad(signal.adv[process], (0, 2))[:, :width]
        assert torch.equal(out["advantages"], want)


def test_outcomes_are_counted_after_the_old_ones_faded_and_with_what_was_thrown_away():
    thrown = [[Sample({}, 1, [1], None, None, completion("c", v)) for v in (True, None)]]
    batch = judged_batch([[1.0], [0.0], [0.0], [NAN]], filled=Filled([], thrown, 0, 1))
    rates = PassRate({"a": (8, 4)})
    batch.rollouts = make_rollouts(batch, torch.ones(1), rates)
    assert batch.rollouts.attempts_P.tolist() == [8, 0]  # before this batch
    count_outcomes(rates, batch, judged=True, discount=0.5)
    assert rates.counts == {"a": (6, 3), "b": (1, 0), "c": (1, 1)}
    count_outcomes(nothing := PassRate(), judged_and_credited(), judged=False)
    assert len(nothing) == 0


def judged_and_credited(advantage="grpo"):
    batch = judged_batch([[1.0], [0.0], [0.0], [1.0]])
    batch.rollouts = make_rollouts(batch, torch.ones(1), PassRate())
    batch.signal = make_signal(build(advantage), batch.rollouts)
    return batch


def test_a_batch_of_which_nothing_is_left_is_told_once(capsys):
    warn = NothingLeftWarning()
    warn(judged_and_credited(), judged=True)
    for _ in range(2):
        warn(judged_and_credited("signed, keep_negative, keep_positive"), judged=True)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "of 4 completions, 50% of them right, keep_negative took 2, keep_positive took 2" in said[0]


# ------------------------------------------------------------------ what is logged and written


def test_from_rewards_alone_nobody_knows_what_is_right():
    batch = judged_and_credited()
    judged, unjudged = batch_metrics(batch, judged=True), batch_metrics(batch, judged=False)
    assert judged.keys() - unjudged.keys() == set(VERDICT_METRICS)
    assert judged["accuracy"] == 0.5


def test_draws_are_weighed_by_how_likely_they_were():
    batch = judged_and_credited()
    batch.judged.rewards_NF[:] = torch.tensor([[1.0], [1.0], [0.0], [0.0]])
    batch.rollouts = make_rollouts(batch, torch.ones(1), PassRate())
    batch.draws = Draws(torch.tensor([0.1, 0.5]), set_size=10)
    metrics = batch_metrics(batch, judged=True)
    assert metrics["accuracy"] == 0.5
    assert metrics["accuracy/ipw"] == pytest.approx((1 / (10 * 0.1) + 0) / 2)
    assert metrics["accuracy/self_normalised"] == pytest.approx(10 / (10 + 2))


def test_the_file_holds_the_verdicts_that_the_advantage_read(tmp_path):
    batch = judged_and_credited()
    batch.step = 12
    judged = batch.judged
    batch.judged = Judged(
        judged.problem_ids, judged.tokens, judged.confidence_starts, judged.truncated, judged.rewards_NF,
        texts=[completion(i, None) for i in "aabb"], verdicts=[True, False, None, True],
    )  # fmt: skip
    log_rollouts(tmp_path, batch, ["mine"])
    rows = pq.read_table(tmp_path / "step-00012.parquet").to_pylist()
    assert [row["correct"] for row in rows] == [True, False, None, True]
    assert [row["term/mine"] for row in rows] == [1.0, 0.0, 0.0, 1.0]
    assert [row["problem_id"] for row in rows] == list("aabb")


# ------------------------------------------------------------------ resume


def save(folder, parts, step, limit=None):
    state = TrainerState(global_step=step)
    with parts.publish(folder, state, limit) as checkpoint:
        checkpoint.mkdir(parents=True)
        (checkpoint / "trainer_state.json").write_text("{}")
        parts.write(checkpoint, {"step": step, "buffer": None, "own": {}, "metrics": {}, "loss": (torch.ones(1), step)})
        assert parts.staging is not None
    assert parts.staging is None


def test_a_checkpoint_appears_whole_and_gives_back_what_it_holds(tmp_path):
    parts = Checkpoints(PartialState())
    for step in (1, 2, 3):
        save(tmp_path, parts, step, limit=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-3"]
    assert checkpoints.flaw(tmp_path / "checkpoint-3") is None
    assert parts.read(str(tmp_path / "checkpoint-3"), torch.device("cpu"))["step"] == 3
    assert parts.take_unlogged() == (torch.ones(1), 3)
    assert parts.take_unlogged() is None
    assert parts.read(None, torch.device("cpu")) is None
    assert parts.read(str(tmp_path), torch.device("cpu")) is None  # TRL's own checkpoints


def test_a_checkpoint_that_could_not_be_written_does_not_appear(tmp_path):
    parts = Checkpoints(PartialState())
    save(tmp_path, parts, 1)
    with pytest.raises(OSError, match="full"), parts.publish(tmp_path, TrainerState(global_step=2), None):
        raise OSError("the disk is full")
    assert parts.staging is None
    assert [p.name for p in tmp_path.glob("checkpoint-*")] == ["checkpoint-1"]
    save(tmp_path, parts, 2)
    assert json.loads((tmp_path / "checkpoint-2" / "trainer_state.json").read_text()) == {}


def test_callbacks_get_their_state_back_by_name():
    class Counts:
        def __init__(self, seen=0):
            self.seen = seen

        def resume_state(self):
            return self.seen

        def load_resume_state(self, seen):
            self.seen = seen

    class Stateless:
        pass

    states = callback_states([Stateless(), Counts(3)])
    assert states == {"Counts": 3}
    load_callback_states([Stateless(), again := Counts()], states)
    assert again.seen == 3
    load_callback_states([new := Counts(5)], {})  # of a checkpoint that did not know it
    assert new.seen == 5
