"""The pass-rate record: counting, the Beta posterior against SciPy and integration, files, checkpoints."""

import io
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from rlvr.advantages import drop_near_impossible
from rlvr.advantages.rollouts import Rollouts
from rlvr.core.errors import DataError, RunError, SpecError
from rlvr.core.records import Completion, Problem
from rlvr.runs.pass_rate import PassRate
from rlvr.runs.rollouts_file import write_rollouts

counts = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.integers(1, 50).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    max_size=5,
)


def test_update_counts_scored_completions_only():
    """a: right, wrong, no verdict -> 1 of 2, then 2 of 3 more; b: nothing scored -> no trace."""
    record = PassRate()
    correct = torch.tensor([[True, False, False], [False, False, False]])
    record.update(["a", "b"], correct, torch.tensor([[True, True, False], [False, False, False]]))
    record.update(["a"], torch.tensor([[True, True, False]]))
    record.update(["a"], torch.tensor([[True]]), torch.tensor([[False]]))  # right, but no term applied
    assert record.counts == {"a": (5, 3)}
    assert len(record) == 1


def test_the_same_problem_twice_in_a_batch_adds_up():
    record = PassRate()
    record.update(["a", "a"], torch.tensor([[True], [False]]))
    assert record.counts == {"a": (2, 1)}


def test_problems_without_a_name_do_not_share_a_record():
    record = PassRate()
    record.update(["", ""], torch.zeros(2, 8).bool())
    assert [t.tolist() for t in record.lookup(["", "new"])] == [[0.0, 0.0], [0.0, 0.0]]


def test_ids_and_groups_must_match():
    with pytest.raises(ValueError, match="argument"):
        PassRate().update(["a"], torch.ones(2, 4).bool())


def test_lookup_is_in_the_order_asked():
    attempts, successes = PassRate({"a": (8, 1), "b": (16, 4)}).lookup(["b", "c", "a"])
    assert attempts.tolist() == [16.0, 0.0, 8.0]
    assert successes.tolist() == [4.0, 0.0, 1.0]
    assert [t.shape for t in PassRate().lookup([])] == [(0,), (0,)]


@pytest.mark.parametrize(("n", "c"), [(0, 0), (8, 0), (8, 8), (16, 3)])
@pytest.mark.parametrize("prior", [(1.0, 1.0), (2.0, 5.0)])
def test_posterior_mean_and_interval_by_integration(n, c, prior):
    """Likelihood times prior, integrated numerically: no Beta function on this side."""

    def density(p):
        return p ** (c + prior[0] - 1) * (1 - p) ** (n - c + prior[1] - 1)

    record = PassRate({"a": (n, c)})
    mass = quad(density, 0, 1)[0]
    mean = quad(lambda p: p * density(p), 0, 1)[0] / mass
    assert record.posterior_mean("a", prior) == pytest.approx(mean, rel=1e-6)
    low, high = record.interval("a", 0.9, prior)
    assert quad(density, 0, low)[0] / mass == pytest.approx(0.05, abs=1e-6)
    assert quad(density, high, 1)[0] / mass == pytest.approx(0.05, abs=1e-6)


def test_unseen_problems_stand_at_the_prior():
    assert PassRate().posterior_mean("new") == 0.5
    assert PassRate().posterior_mean("new", prior=(1, 3)) == 0.25


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_outside_0_1_is_refused(level):
    with pytest.raises(SpecError, match="between 0 and 1"):
        PassRate().interval("a", level)


@pytest.mark.parametrize("n", [8, 9, 10, 16])
def test_the_filter_and_the_record_agree(n):
    """drop_near_impossible reads the tensors of `lookup`; its verdict is posterior_mean < threshold."""
    record = PassRate({"a": (n, 0)})
    attempts, successes = record.lookup(["a"])
    rollouts = Rollouts.of([[1.0, 0.0]], attempts_P=attempts, successes_P=successes)
    for threshold in (0.04, 0.051, 0.2):
        kept = drop_near_impossible(threshold)(rollouts).keep_PG.all().item()
        assert kept == (record.posterior_mean("a") >= threshold)


@settings(max_examples=25, deadline=None)
@given(counts, counts)
def test_merge_adds_and_changes_neither(one, other):
    first, second = PassRate(one), PassRate(other)
    both = first.merge(second)
    for name in {*one, *other}:
        a, b = one.get(name, (0, 0)), other.get(name, (0, 0))
        assert both.counts[name] == (a[0] + b[0], a[1] + b[1])
    assert both == second.merge(first)
    assert (first, second) == (PassRate(one), PassRate(other))


@settings(max_examples=25, deadline=None)
@given(counts)
def test_survives_parquet_and_a_weights_only_checkpoint(tmp_path_factory, one):
    record = PassRate(one)
    path = tmp_path_factory.mktemp("record") / "difficulty.parquet"
    record.to_parquet(path)
    assert PassRate.from_parquet(path) == record
    assert pq.read_schema(path).names == ["problem_id", "attempts", "successes"]
    assert os.listdir(path.parent) == [path.name]
    buffer = io.BytesIO()
    torch.save(record.state_dict(), buffer)
    buffer.seek(0)
    again = PassRate({"stale": (1, 1)})
    again.load_state_dict(torch.load(buffer, weights_only=True))
    assert again == record


def test_equality_is_by_counts():
    assert PassRate({"a": (8, 1)}) == PassRate({"a": (8, 1)})
    assert PassRate({"a": (8, 1)}) != PassRate({"a": (8, 2)})
    assert PassRate() != {}


def test_from_eval_leaves_out_samples_without_a_verdict():
    def problem(name, verdicts):
        return {"id": name, "samples": [{"correct": v} for v in verdicts]}

    record = {"problems": [problem("a", [True, None, False]), problem("b", [None]), problem("c", [False] * 4)]}
    assert PassRate.from_eval(record).counts == {"a": (2, 1), "c": (4, 0)}


def test_from_rollouts_counts_what_update_counted(tmp_path):
    """Two steps, with a failed verifier and a completion that no term scored, as the trainer writes them."""
    live = PassRate()
    verdicts = [[True, False, None, False], [False, False, True, True]]
    reward = torch.tensor([[1.0, 0.0, 0.0, torch.nan], [0.0, 0.0, 1.0, 1.0]])
    problems = [Problem(name, [{"role": "user", "content": "?"}], "1") for name in "ab"]
    records = [Completion(p, "", correct=v) for p, row in zip(problems, verdicts, strict=True) for v in row]
    known = torch.tensor([[v is not None for v in row] for row in verdicts])
    right = torch.tensor([[v is True for v in row] for row in verdicts])
    for step in (1, 2):
        rollouts = Rollouts.of(reward, right, scored_PG=known, ids=("a", "b"))
        live.update(rollouts.ids, rollouts.correct_PG, rollouts.scored_PG)
        path = tmp_path / f"step-{step:05d}.parquet"
        write_rollouts(path, step=step, records=records, terms={}, reward=reward, signal=None)
    assert live.counts == {"a": (4, 2), "b": (8, 4)}
    assert PassRate.from_rollouts(tmp_path) == live


@pytest.mark.parametrize("pair", [(4, 5), (4, -1), (-1, -1)])
def test_impossible_counts_are_refused(pair):
    with pytest.raises(DataError, match=r"Problem 'a' cannot have .* successes in"):
        PassRate({"a": pair})


def test_unreadable_files_say_what_was_expected(tmp_path):
    garbage, other = tmp_path / "garbage.parquet", tmp_path / "other.parquet"
    garbage.write_bytes(b"not parquet")
    pq.write_table(pa.table({"problem_id": ["a"]}), other)
    for path in (garbage, other, tmp_path / "missing.parquet"):
        with pytest.raises(DataError, match="with the columns problem_id, attempts, successes"):
            PassRate.from_parquet(path)


def test_a_failed_write_leaves_the_old_record_and_no_debris(tmp_path):
    """The target is a folder, so the last step (the rename) fails; and a file where a folder should be."""
    (tmp_path / "difficulty.parquet").mkdir()
    with pytest.raises(RunError, match="Cannot write the pass-rate record"):
        PassRate({"a": (8, 1)}).to_parquet(tmp_path / "difficulty.parquet")
    assert os.listdir(tmp_path) == ["difficulty.parquet"]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="Cannot write"):
        PassRate().to_parquet(tmp_path / "file" / "difficulty.parquet")
