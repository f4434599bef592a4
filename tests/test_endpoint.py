"""An endpoint is measured: `transformers serve` for what a server gives, a server of our own for the faults of HTTP alone."""

import json
import sys

import pytest

import rlvr
from rlvr.commands.main import main
from rlvr.core.errors import DataError, ModelError, SpecError
from rlvr.measure.by_endpoint import warn_of_copies
from rlvr.measure.endpoint import Journal
from rlvr.runs.eval_file import load_eval
from tests.http_faults import Faults, serving
from tests.serving import HAS_CLIENT, serve_tiny, skip_loudly

SET = "arithmetic(levels=[0])"
SMALL = {"data": SET, "size": 2, "n": 3, "max_completion_length": 6}


@pytest.fixture
def client():
    if not HAS_CLIENT:
        skip_loudly("no endpoint was measured: the openai client is not installed: pip install 'rlvr[endpoint]'")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """`transformers serve` on the loopback, with a tiny model; yields its URL and the model's folder."""
    with serve_tiny(tmp_path_factory.mktemp("served") / "tiny") as served:
        yield served


def test_a_real_server_is_measured_as_its_model_is(server, tmp_path, cache):
    """Greedy, transformers serve gives what the model gives here; it has no log-probabilities, and that is null."""
    url, folder = server
    out = tmp_path / "served.json"
    flags = ["--set", SET, "--size", "3", "--n", "1", "--temperature", "0", "--max_completion_length", "6"]
    assert main(["evaluate", "--endpoint", url, "--model", folder, *flags, "--out", str(out)]) == 0
    served = rlvr.Evaluation(out)
    here = rlvr.evaluate(folder, SET, size=3, n=1, temperature=0.0, max_completion_length=6, dtype="float32")
    assert served.texts["text"].tolist() == here.texts["text"].tolist()
    assert served.texts["messages"].tolist() == here.texts["messages"].tolist()
    samples = [s for p in served.record["problems"] for s in p["samples"]]
    assert [s["tokens"] for s in samples] == [s["tokens"] for p in here.record["problems"] for s in p["samples"]]
    assert {s["logp"] for s in samples} == {None}
    assert not (tmp_path / "served.samples.jsonl").exists()
    assert set(here.compare(served)) >= {"pass@1"}


def test_samples_of_a_real_server_differ_and_repeat_with_the_seed(server):
    url, folder = server
    first = rlvr.evaluate(folder, endpoint=url, **SMALL, requests_at_once=1)
    again = rlvr.evaluate(folder, endpoint=url, **SMALL, requests_at_once=1)
    assert len(set(first.texts["text"])) > 1
    assert first.texts["text"].tolist() == again.texts["text"].tolist()


def test_a_server_that_does_not_sample_is_named(capsys):
    warn_of_copies([{"text": "a"}] * 4, n=2)
    assert "all completions of each problem are the same" in capsys.readouterr().err
    warn_of_copies([{"text": text} for text in "aaab"], n=2)
    assert not capsys.readouterr().err


def test_what_may_pass_is_tried_again(client, tmp_path):
    faults = Faults({0: 429, 2: 503, 3: 500})
    with serving(faults) as url:
        found = rlvr.evaluate("m", endpoint=url, **SMALL, samples_file=str(tmp_path / "s.jsonl"), requests_at_once=1)
    assert len(faults.requests) == 6 + 3
    assert [s["logp"] for s in found.record["problems"][0]["samples"]] == [-1.0, -1.0, -1.0]
    assert [s["answer"] for p in found.record["problems"] for s in p["samples"]] == [str(1234 + i) for i in range(6)]
    assert [m["role"] for m in faults.requests[0]["messages"]] == ["system", "user"]


def test_a_measurement_that_was_cut_off_goes_on(client, tmp_path, capsys):
    """What has come is on disk at once; only what is missing is asked for; another question is refused."""
    kept = tmp_path / "s.jsonl"
    settings = {**SMALL, "samples_file": str(kept), "requests_at_once": 1, "retries": 0}
    faults = Faults({4: 500})
    with serving(faults) as url:
        with pytest.raises(ModelError, match="gave no completion after 0 retries.*the same command goes on"):
            rlvr.evaluate("m", endpoint=url, **settings)
        lines = kept.read_text().splitlines()
        assert sorted({json.loads(line)["row"] for line in lines[1:]} | {4}) == list(range(6))  # all but the failed one
        with pytest.raises(DataError, match="holds samples of another measurement: seed is 1234 there, 5 here"):
            rlvr.evaluate("m", endpoint=url, **settings, seed=5)
        asked = len(faults.requests)
        found = rlvr.evaluate("m", endpoint=url, **settings)
        assert len(faults.requests) == asked + 1
        assert f"{len(lines) - 1} of 6 completions are there already" in capsys.readouterr().err
    assert [s["answer"] for p in found.record["problems"] for s in p["samples"]] == [str(1234 + i) for i in range(6)]
    assert not kept.exists()


def test_a_line_that_a_crash_cut_off_is_sampled_again(tmp_path):
    path = tmp_path / "s.jsonl"
    journal = Journal(path, {"model": "m"})
    journal.add(0, {"text": "a"})
    journal.add(1, {"text": "b"})
    journal.close(done=False)
    path.write_bytes(path.read_bytes()[:-4])
    again = Journal(path, {"model": "m"})
    assert again.replies == {0: {"text": "a"}}
    again.add(1, {"text": "c"})
    again.close(done=False)
    assert Journal(path, {"model": "m"}).replies == {0: {"text": "a"}, 1: {"text": "c"}}


def test_a_server_without_log_probabilities_is_asked_without(client, tmp_path, capsys):
    faults = Faults(refuse=("logprobs", "max_tokens"))
    with serving(faults) as url:
        found = rlvr.evaluate("m", endpoint=url, **SMALL, samples_file=str(tmp_path / "s.jsonl"), requests_at_once=1)
    assert {s["logp"] for p in found.record["problems"] for s in p["samples"]} == {None}
    assert faults.requests[-1]["max_completion_tokens"] == 6
    assert "gives no log-probabilities" in capsys.readouterr().err
    assert len(faults.requests) == 6 + 2


def test_a_request_that_is_refused_for_good_says_why(client, tmp_path):
    faults = Faults({0: (400, "the model `m` is not served here")})
    with serving(faults) as url, pytest.raises(ModelError, match="refuses the request: .*is not served here"):
        rlvr.evaluate("m", endpoint=url, **SMALL, samples_file=str(tmp_path / "s.jsonl"), requests_at_once=1)
    assert len(faults.requests) <= 6


def test_requests_keep_their_distance(client, tmp_path):
    faults = Faults()
    with serving(faults) as url:
        rlvr.evaluate("m", endpoint=url, **SMALL, samples_file=str(tmp_path / "s.jsonl"), requests_per_minute=1200)
    gaps = [b - a for a, b in zip(sorted(faults.times), sorted(faults.times)[1:], strict=False)]
    assert sum(gaps) >= 5 * 0.05 - 0.03  # six requests, 50 ms apart


def test_the_command_keeps_samples_beside_its_file(client, tmp_path):
    out = tmp_path / "e.json"
    faults = Faults({0: (400, "no")})
    flags = ["--set", SET, "--size", "2", "--n", "1", "--max_completion_length", "6", "--out", str(out)]
    with serving(faults) as url:
        argv = ["evaluate", "--endpoint", url, "--model", "m", *flags, "--requests_at_once", "1"]
        assert main(argv) == 2
        assert (tmp_path / "e.samples.jsonl").exists()
        assert main(argv) == 0
    assert (load_eval(out, texts=True)["endpoint"], load_eval(out)["model"]) == (url, "m")


def test_without_the_client_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ModelError, match=r"pip install 'rlvr\[endpoint\]'"):
        rlvr.evaluate("m", endpoint="http://127.0.0.1:9/v1", **SMALL, samples_file=str(tmp_path / "s.jsonl"))


def test_a_loaded_model_has_no_endpoint(tiny):
    with pytest.raises(SpecError, match="given by its name"):
        rlvr.evaluate(tiny[0], tokenizer=tiny[1], **SMALL, endpoint="http://127.0.0.1:9/v1")
