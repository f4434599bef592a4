"""IFD and its reverse against their definition, and the selection rule against the paper's tree, case by case."""

import itertools
import math

import pytest
import torch

from rlvr.core.errors import DataError, SpecError
from rlvr.select.ifd import GUESS, PairScore, score_pairs
from rlvr.select.student import CANDIDATES, StudentSelector, candidates, decide, mismatched

CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "2+2?"}]


def nll(model, tokenizer, chat, text):
    """One forward, from the definition: the template's text, then the answer's tokens."""
    context = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    before, ids = (
        tokenizer(context, add_special_tokens=False).input_ids,
        tokenizer(text, add_special_tokens=False).input_ids,
    )
    with torch.no_grad():
        logp = model(torch.tensor([before + ids])).logits[0].log_softmax(-1)
    return -sum(logp[len(before) + t - 1, i].item() for t, i in enumerate(ids)) / len(ids)


def test_both_ratios_follow_their_definition(tiny):
    model, tokenizer = tiny
    user = lambda text: [{"role": "user", "content": text}]  # noqa: E731
    other = (user("What is the capital of France, and why?"), "Paris")
    found = score_pairs(model, tokenizer, [(CHAT, "2+2=4"), other])[0]
    empty = [CHAT[0], {"role": "user", "content": ""}]
    assert found.ifd == pytest.approx(
        math.exp(nll(model, tokenizer, CHAT, "2+2=4") - nll(model, tokenizer, empty, "2+2=4")), rel=1e-4
    )
    given, blank = GUESS.format(reply="2+2=4"), GUESS.format(reply="")
    assert found.rifd == pytest.approx(
        math.exp(nll(model, tokenizer, user(given), "2+2?") - nll(model, tokenizer, user(blank), "2+2?")), rel=1e-4
    )


def test_the_ratio_of_mean_losses_is_the_other_codes_form(tiny):
    """Cherry_LLM divides losses, Reflection_Tuning perplexities: two numbers, both from the same two forwards."""
    model, tokenizer = tiny
    found = score_pairs(model, tokenizer, [(CHAT, "2+2=4")])[0]
    given = nll(model, tokenizer, CHAT, "2+2=4")
    alone = nll(model, tokenizer, [CHAT[0], {"role": "user", "content": ""}], "2+2=4")
    assert found.ifd_loss == pytest.approx(given / alone, rel=1e-4)
    assert found.ifd == pytest.approx(math.exp(given - alone), rel=1e-4) != pytest.approx(found.ifd_loss, rel=1e-4)


def test_bare_scores_the_text_behind_one_token(tiny):
    model, tokenizer = tiny
    found = score_pairs(model, tokenizer, [(CHAT, "4")], direct="bare")[0]
    ids = tokenizer("4", add_special_tokens=False).input_ids
    with torch.no_grad():
        logp = model(torch.tensor([[tokenizer.bos_token_id]])).logits[0, -1].log_softmax(-1)[ids[0]].item()
    assert found.ifd == pytest.approx(math.exp(nll(model, tokenizer, CHAT, "4") + logp), rel=1e-4)


def test_what_does_not_fit_is_none_and_changes_nothing_else(tiny):
    pairs = [(CHAT, "4"), (CHAT, "4" * 600), (CHAT, "5")]
    found = score_pairs(*tiny, pairs)
    assert found[1] is None
    assert [found[0], found[2]] == [pytest.approx(s) for s in score_pairs(*tiny, [pairs[0], pairs[2]])]
    assert score_pairs(*tiny, pairs, max_length=10) == [None] * 3
    assert score_pairs(*tiny, []) == []


def paper(o, q, qa, a, keep):
    """The tree of the released code, with the paper's winners where that code only counts; written as the notes have it."""
    if q[0] > o[0]:
        if qa[1] < q[1]:
            return "both" if qa[1] < 1 and qa[0] < 1 else None
        return "instruction" if keep and q[1] < 1 and q[0] < 1 else None
    if a[1] < o[1]:
        return "response" if a[1] < 1 and a[0] < 1 else None
    return "original" if keep and o[1] < 1 and o[0] < 1 else None


def test_the_rule_is_the_papers_tree_in_every_case():
    """All orders and sides of 1 that eight numbers from a small grid can take."""
    grid = list(itertools.product((0.5, 0.8, 1.2), repeat=2))
    seen = set()
    for values in itertools.product(grid, repeat=4):
        scores = dict(
            zip(("original", "instruction", "both", "response"), itertools.starmap(PairScore, values), strict=True)
        )
        for unimproved in ("keep", "drop"):
            decision = decide(scores, unimproved)
            assert decision.kept == paper(*values, keep=unimproved == "keep"), values
            seen.add((decision.kept, decision.reason))
    assert {kept for kept, _ in seen} == {*CANDIDATES, None}
    assert {reason for kept, reason in seen if kept is None} == {"unimproved", "misaligned"}


@pytest.mark.parametrize(
    ("scores", "kept", "reason"),
    [
        ({"original": None, "response": PairScore(0.1, 0.1)}, None, "too long"),
        ({"original": PairScore(0.5, 0.5)}, "original", "no rewrite is better"),
        (
            {"original": PairScore(0.5, 0.5), "instruction": None, "both": PairScore(0.9, 0.1)},
            "original",
            "no rewrite is better",
        ),
        (
            {"original": PairScore(0.5, 0.5), "instruction": PairScore(0.6, 0.9), "both": None},
            "instruction",
            "instruction improved",
        ),
        ({"original": PairScore(1.0, 0.5)}, None, "misaligned"),  # at 1 the prompt says nothing
    ],
)
def test_absent_and_too_long_candidates_cannot_win(scores, kept, reason):
    assert (decide(scores).kept, decide(scores).reason) == (kept, reason)


ROW = {"id": "7", "prompt": "2+2?", "completion": "4"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"completion": ""}, "Row '7', completion of 'original': expected the text of a reply, found ''"),
        ({"rewrites": {"reponse": {"completion": "x"}}}, "No rewrite 'reponse'. Did you mean 'response'"),
        ({"rewrites": {"both": {"completion": "x"}}}, "'both' but no 'instruction'"),
        ({"rewrites": {"instruction": {"completion": "x"}}}, "prompt of the rewrite 'instruction'"),
        ({"rewrites": {"response": {}}}, "completion of 'response'"),
        ({"rewrites": ["x"]}, "expected an object of objects"),
    ],
)
def test_malformed_rows_are_named(change, message):
    with pytest.raises(DataError) as caught:
        candidates(ROW | change)
    assert message in str(caught.value)


def by_length(pairs):
    """A student for whom long replies are hard and tell the question; no model needed to test what is done with scores."""
    return [None if len(reply) > 50 else PairScore(len(reply) / 20, 2 / len(reply)) for _, reply in pairs]


def test_fit_transform_and_report_agree():
    rows = [
        {
            "id": "1",
            "prompt": "a?",
            "completion": "abcd",
            "level": 2,
            "rewrites": {"response": {"completion": "abcdefgh"}},
        },
        {"id": "2", "prompt": "b?", "completion": "x" * 30},
        {"id": "3", "prompt": "c?", "completion": "x" * 60},
        {"id": "4", "prompt": "d?", "completion": "abcd", "rewrites": {"response": {"completion": "y" * 60}}},
    ]
    selector = StudentSelector(by_length).fit(rows)
    kept = selector.transform(rows)
    assert [(r["id"], r["candidate"], r["completion"]) for r in kept] == [
        ("1", "response", "abcdefgh"),
        ("4", "original", "abcd"),
    ]
    assert kept[0]["level"] == 2 and "rewrites" not in kept[0]
    report = selector.report(rows)
    assert [r["reason"] for r in report] == ["response improved", "misaligned", "too long", "no rewrite is better"]
    assert report[0]["scores"]["response"] == {"ifd": 0.4, "rifd": 0.25}
    assert report[3]["too_long"] == ["response"]


def test_the_shuffled_threshold_asks_the_student():
    rows = [{"id": str(i), "prompt": f"{i}?", "completion": "x" * (4 + i)} for i in range(10)]
    selector = StudentSelector(by_length, threshold="shuffled").fit(rows)
    assert 0.2 <= selector.max_ifd_ < 0.3  # the 5% quantile of lengths 4 .. 13 over 20, by linear interpolation 0.2225
    assert selector.max_ifd_ == pytest.approx(0.2225)
    with pytest.raises(DataError, match="two rows with different replies"):
        StudentSelector(by_length, threshold="shuffled").fit(rows[:1])


def test_mismatched_pairs_hold_every_prompt_once_and_never_their_own_reply():
    pairs = [([{"role": "user", "content": str(i)}], str(i)) for i in range(9)]
    found = mismatched(pairs)
    assert sorted(chat[0]["content"] for chat, _ in found) == sorted(reply for _, reply in found) == list("012345678")
    assert all(chat[0]["content"] != reply for chat, reply in found)
    assert mismatched([(CHAT, "same"), (CHAT, "same")]) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unimproved": "kepp"}, "Did you mean 'keep'"),
        ({"threshold": "x"}, "or 'shuffled'"),
        ({"threshold": 0}, "above 0"),
    ],
)
def test_settings_that_mean_nothing(settings, message):
    with pytest.raises(SpecError, match=message):
        StudentSelector(by_length, **settings).fit([ROW])
