"""What the votes say: recomputed by hand, honest about ties and attention, and silent where nothing is decided."""

from __future__ import annotations

import csv
import json
import math
import warnings

import numpy as np
import pytest

from mmlab.arena.report import write_report
from mmlab.arena.results import judge
from mmlab.arena.votes import BOTH_BAD, TIE, Vote, from_chatbot_arena, read_chatbot_arena, read_votes, write_votes
from mmlab.compare.power import simulate_votes


def votes_of(y: np.ndarray, seed: int = 0, **more) -> list[Vote]:
    """Rows for a matrix of votes (people, items), sides at random."""
    rng = np.random.default_rng(seed)
    rows = []
    for (person, item), won in np.ndenumerate(y):
        shown = ("ours", "theirs") if rng.random() < 0.5 else ("theirs", "ours")
        rows.append(Vote(f"p{person}", f"i{item}", shown, str(shown.index("ours" if won else "theirs")), **more))
    return rows


def test_the_three_columns_by_hand():
    y = np.array([[1, 1, 0, 1, 0]] * 3 + [[1, 0, 0, 1, 1]] * 3)
    found = judge(votes_of(y, ratings={"correct": [4, 2]}), resamples=400)
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.votes) == ("ours", "theirs", 30)
    assert pair.share.value == pytest.approx(y.mean())
    assert pair.items == (2, 2, 1)  # items 0 and 3 won, 1 and 4 even, 2 lost
    assert pair.rounds.value == pytest.approx(0.6)
    assert pair.sign == 1.0
    assert pair.pooled.low < pair.share.value < pair.pooled.high
    assert sum(found.strengths[name].value for name in found.systems) == pytest.approx(0)
    assert found.counts.fewest == 6
    assert found.ratings["correct"]["ours"].value + found.ratings["correct"]["theirs"].value == pytest.approx(6)


def test_a_clear_lead_wins_and_a_lead_within_its_interval_does_not():
    clear = judge(votes_of(simulate_votes(20, 20, np.random.default_rng(0), share=0.9)), resamples=1000)
    assert clear.winner == "ours"
    assert clear.verdict().startswith("ours wins")
    close = judge(votes_of(simulate_votes(20, 20, np.random.default_rng(1), share=0.55)), resamples=1000)
    assert close.winner == ""
    assert close.verdict().startswith("No winner: the intervals do not tell ours and theirs apart (20 respondents")


def test_at_the_null_a_winner_is_rarely_named():
    named = [
        judge(votes_of(simulate_votes(12, 12, np.random.default_rng(s)), s), resamples=200, seed=s).winner
        for s in range(60)
    ]
    assert sum(name != "" for name in named) <= 8  # 5 % of 60, and two deviations and more


def test_few_people_name_nobody_however_clear():
    found = judge(votes_of(np.ones((4, 30))), resamples=200)
    assert found.winner == ""
    assert "too few" in found.verdict()
    everything = judge(votes_of(np.ones((8, 8))), resamples=200)
    assert "won every vote" in everything.separated  # 64 of 64, and no strength: the share alone is not enough
    assert everything.winner == ""


def test_ties_count_half_and_are_counted():
    rows = [
        Vote(f"p{p}", f"i{i}", ("a", "b"), choice)
        for p in range(6)
        for i, choice in enumerate([TIE, BOTH_BAD, "0", "1", "0"])
    ]
    found = judge(rows, resamples=200)
    assert found.pairs[0].share.value == pytest.approx((0.5 + 0.5 + 1 + 0 + 1) / 5)
    assert (found.counts.ties, found.counts.both_bad) == (6, 6)
    assert found.pairs[0].items == (2, 2, 1)


def test_who_misses_the_attention_items_is_left_out():
    y = np.ones((6, 6))
    rows = votes_of(y) + [
        Vote(f"p{p}", "check", ("right", "absurd"), "0" if p < 4 else "1", attention="right") for p in range(6)
    ]
    found = judge(rows, resamples=200)
    assert (found.counts.respondents, found.counts.excluded, found.counts.votes, found.counts.items) == (4, 2, 24, 6)
    assert "absurd" not in found.systems


def test_the_side_and_the_length_are_found_and_taken_out():
    """Respondents who only take the first answer, or the longer one, say nothing about systems."""
    rng = np.random.default_rng(0)
    texts = {
        f"i{i}": {"ours": "x" * int(rng.integers(50, 100)), "theirs": "x" * int(rng.integers(20, 80))}
        for i in range(30)
    }
    rows = []
    for person in range(20):
        for item, answers in texts.items():
            shown = ("ours", "theirs") if rng.random() < 0.5 else ("theirs", "ours")
            odds = 1.0 + 0.08 * (len(answers[shown[0]]) - len(answers[shown[1]]))
            rows.append(Vote(f"p{person}", item, shown, "0" if rng.random() < 1 / (1 + np.exp(-odds)) else "1"))
    found = judge(rows, texts=texts, resamples=2000)
    assert found.side.low > 0
    assert found.length is not None
    assert found.length.low > 0
    gap = ("ours", "theirs")
    assert found.differences[gap].low > 0  # ours writes more, and wins by it
    assert not found.at_equal_length[gap].excludes(0)


def test_three_systems_one_winner():
    rng = np.random.default_rng(0)
    strength = {"a": 2.0, "b": 0.0, "c": -0.2}
    rows = []
    for person in range(15):
        for item in range(24):
            one, other = rng.permutation(list(strength))[:2].tolist()
            wins = rng.random() < 1 / (1 + np.exp(strength[other] - strength[one]))
            rows.append(Vote(f"p{person}", f"i{item}", (one, other), "0" if wins else "1"))
    found = judge(rows, resamples=2000)
    assert found.winner == "a"
    assert found.systems[0] == "a"
    assert not found.leads("b", "c")
    full = judge(
        [Vote(v.respondent, v.item, (*v.shown, *(set("abc") - set(v.shown))), v.choice) for v in rows], resamples=200
    )
    assert sum(pair.votes for pair in full.pairs) == 2 * len(rows)  # the best of three beats two


def test_nobody_voted():
    with pytest.raises(ValueError, match="There are no votes"):
        judge([])


def test_the_report_says_everything_with_n_and_is_harmless(tmp_path):
    y = simulate_votes(8, 8, np.random.default_rng(0))
    rows = [Vote(v.respondent, v.item, tuple(f"<b>{s}" for s in v.shown), v.choice) for v in votes_of(y)]
    page, table = write_report(judge(rows, resamples=200), tmp_path / "report", "A <script> title")
    text = page.read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "<b>" not in text
    assert "No winner" in text
    assert "64 votes of 8 respondents on 8 items" in text
    assert "http" not in text  # nothing is loaded
    assert "share of rounds won" in table.read_text()


def test_votes_come_back_as_they_were(tmp_path):
    rows = [
        Vote("1", "i", ("a", "b"), "1", {"s": [1, None]}, "=1+1\n\"quoted\", 'apostrophe'", 2.5),
        Vote("2", "i", ("b", "a", "c"), TIE, {}, "'", math.nan, "a"),
    ]
    for name in ("v.jsonl", "v.csv"):
        back = read_votes(write_votes(rows, tmp_path / name))
        assert back[0] == rows[0]
        assert (back[1].shown, back[1].choice, back[1].rationale, back[1].attention) == (("b", "a", "c"), TIE, "'", "a")
    with pytest.raises(ValueError, match=r"written as \.jsonl or \.csv"):
        write_votes(rows, tmp_path / "v.xlsx")
    (tmp_path / "bad.jsonl").write_text('{"respondent": "1"}\n')
    with pytest.raises(ValueError, match="row 1, is no vote"):
        read_votes(tmp_path / "bad.jsonl")


@pytest.mark.parametrize("end", ["csv", "jsonl"])
@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "\uff1d1+1",
        " @SUM(A1)",
        "|x",
        "'quoted",
        "a\u2028b\u0085c\x1cd",
        "a\r\nb\rc",
        "x" * 200_000,
        "\0",
        "\ufeffx",
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_what_a_respondent_writes_comes_back_and_is_no_formula(tmp_path, end, text):
    vote = Vote("1", text, ("a", "b"), "1", {}, text)
    path = write_votes([vote], tmp_path / f"v.{end}")
    (back,) = read_votes(path)
    assert (back.item, back.rationale) == (text, text)
    if end == "csv" and text.lstrip()[:1] in "=\uff1d@|":
        assert f"1,'{text}" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "line",
    ["[" * 100_000, "[1]", '{"shown": "ab"}', '{"ratings": {"s": [1.5, 1]}}', '{"ratings": {"s": [1e999]}}',
     '{"ratings": 1}',
     '{"seconds": "soon"}', '{"choice": "2"}', '{"shown": ["a", "a\\u0000", "a\\u0001"]}'],
    ids=lambda line: line[:24],
)  # fmt: skip
def test_a_row_that_is_no_vote_is_named(tmp_path, line):
    good = {"respondent": "1", "item": "i", "shown": ["a", "b"], "choice": "0", "ratings": {}}
    if line.startswith("{"):
        line = json.dumps(good | json.loads(line))
    (tmp_path / "v.jsonl").write_text(json.dumps(good) + "\n" + line + "\n")
    with pytest.raises(ValueError, match=r"v\.jsonl, (line|row) 2"):
        read_votes(tmp_path / "v.jsonl")


GOOD = {"respondent": "1", "item": "i", "shown": ["a", "b"], "choice": "0", "ratings": {}}


def lines(path, *rows):
    path.write_text("".join(json.dumps(GOOD | row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_one_person_item_or_system_is_one_however_it_is_written(tmp_path):
    """Numbers and texts, both spellings of Unicode, and blanks."""
    people = [{"respondent": who} for who in (7, "7", "7.0", 7.0, " 7 ", "7\u200b")]
    assert {vote.respondent for vote in read_votes(lines(tmp_path / "v.jsonl", *people))} == {"7"}
    items = [{"item": item} for item in (7, "7", 7.0, "7.0")]
    assert {vote.item for vote in read_votes(lines(tmp_path / "v.jsonl", *items))} == {"7"}
    shown = [{"shown": shown} for shown in (["Zo\u00eb", "b"], ["Zoe\u0308", "b "], [" Zo\u00eb", "b\n"])]
    assert {vote.shown for vote in read_votes(lines(tmp_path / "v.jsonl", *shown))} == {("Zo\u00eb", "b")}
    rows = [{"model_a": a, "model_b": "x", "winner": "tie", "judge": j} for a, j in (("y", 1), ("y ", 1.0), ("y", "1"))]
    assert {(vote.respondent, vote.shown) for vote in from_chatbot_arena(rows)} == {("1", ("y", "x"))}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"respondent": None}, "lacks respondent"),
        ({"respondent": True}, "True is no subject's id"),
        ({"respondent": [1]}, "no subject's id"),
        ({"item": None}, "lacks item"),
        ({"shown": ["a", None]}, "no name of a system"),
        ({"shown": ["a", "a" * 201]}, "201 letters"),
        ({"shown": ["Zo\u00eb", "Zoe\u0308"]}, "two or more different"),
        ({"winner": "b"}, "winner is 'b', and the choice '0'"),
        ({"attention": "c"}, "not among shown"),
        ({"rationale": ["x"]}, "rationale is"),
        ({"seconds": "inf"}, "seconds is"),
        ({"seconds": -1}, "seconds is"),
        ({"seconds": True}, "seconds is"),
        ({"ratings": {"s": [True, 1]}}, "the rating 'True'"),
        ({"ratings": {"s": [10**400, 1]}}, "no whole number"),
        ({"ratings": {"s": "12"}}, "no whole number"),
        ({"ratings": []}, "an object with a list"),
    ],
    ids=str,
)
def test_what_is_no_vote_is_told_without_a_word_of_python(tmp_path, row, why):
    with pytest.raises(ValueError, match=f"row 2, is no vote: .*{why}") as told:
        read_votes(lines(tmp_path / "v.jsonl", {}, row))
    assert "Error" not in str(told.value)


def test_nothing_said_is_no_attention_and_no_reason(tmp_path):
    (vote,) = read_votes(lines(tmp_path / "v.jsonl", {"attention": None, "rationale": None, "seconds": None}))
    assert (vote.attention, vote.rationale) == ("", "")
    assert math.isnan(vote.seconds)


def test_what_is_written_can_be_read():
    with pytest.raises(ValueError, match="seconds is 'inf'"):
        Vote("1", "i", ("a", "b"), "0", {}, "", math.inf)
    with pytest.raises(ValueError, match="choice is '2'"):
        Vote("1", "i", ("a", "b"), "2")


def test_single_odd_rows_of_others_are_left_out_and_counted(tmp_path):
    row = {"question_id": 1, "model_a": "x", "model_b": "y", "winner": "tie", "judge": 1}
    odd = [{"winner": "z"}, {"model_a": None}, {"model_b": "x"}, {"model_a": {"a": 1}}]
    path = tmp_path / "o.json"
    path.write_text(json.dumps([row, *(row | other for other in odd), 3]))
    with pytest.warns(UserWarning, match=r"5 of 6 rows are no votes and are left out: Row 2 has the winner 'z'"):
        assert len(read_chatbot_arena(path)) == 1
    path.write_text(json.dumps([row | other for other in odd]))
    with pytest.raises(ValueError, match=r"o\.json: Row 1 .* no other row is a vote"):
        read_chatbot_arena(path)


def test_tables_come_as_spreadsheets_write_them(tmp_path):
    path = write_votes([Vote("1", "i", ("a", "b"), "0", {"s": [1, None]}, "x; y")], tmp_path / "v.csv")
    plain = path.read_text()
    head, row = plain.splitlines()
    cells = next(csv.reader([row]))
    other = head.replace(",", ";") + "\r\n" + ";".join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\r\n"
    for text in (other, "sep=;\r\n" + other, "\ufeff" + other):
        path.write_text(text, encoding="utf-8", newline="")
        assert read_votes(path)[0].ratings == {"s": [1, None]}
    path.write_text(plain.replace("item", "shown"))
    with pytest.raises(ValueError, match="two columns 'shown'"):
        read_votes(path)
    path.write_text(plain.rstrip() + ",more\n")
    with pytest.raises(ValueError, match="more cells than the header"):
        read_votes(path)


def test_the_figure_takes_long_and_strange_names_without_a_word_of_matplotlib(tmp_path):
    names = ("a" * 180, "\U0001f642 b")
    rows = [Vote(str(n % 6), str(n // 6), names, str(n % 2)) for n in range(36)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page, _ = write_report(judge(rows, resamples=100), tmp_path / "r", "t")
    assert names[0] in page.read_text(encoding="utf-8")
    with pytest.raises(NotADirectoryError, match="name a folder"):
        write_report(judge(rows, resamples=100), page, "t")


def test_the_report_takes_any_name_of_a_system(tmp_path):
    """No formula of mathematics, none of a spreadsheet, and nothing that steers a terminal."""
    odd = ("=HYPERLINK(1)", "$\\frac{$\x1b[2J")
    rows = [{"model_a": odd[0], "model_b": odd[1], "winner": "model_a", "judge": i % 6, "item": i} for i in range(60)]
    found = judge(from_chatbot_arena(rows), resamples=200)
    page, table = write_report(found, tmp_path, "odd")
    assert "\x1b" not in page.read_text() + found.verdict()
    assert "\n=" not in table.read_text()
    assert ",=" not in table.read_text()


def test_the_votes_of_others_are_read():
    rows = [
        {"question_id": "q1", "model_a": "x", "model_b": "y", "winner": "model_a", "judge": "arena_user_1"},
        {"question_id": "q2", "model_a": "y", "model_b": "x", "winner": "tie (bothbad)", "judge": "arena_user_1"},
        {"model_a": "y", "model_b": "x", "winner": "model_b", "conversation_a": [{"role": "user", "content": "Hi"}]},
    ]
    found = from_chatbot_arena(json.loads(json.dumps(rows)))
    assert [(v.respondent, v.item, v.winner) for v in found] == [
        ("arena_user_1", "q1", "x"), ("arena_user_1", "q2", ""), ("row 3", "Hi", "x")]  # fmt: skip
    assert found[1].choice == BOTH_BAD
    for wrong in (
        {"model_a": "x"},
        {"model_a": "x", "model_b": "y", "winner": "z"},
        {"model_a": "x", "model_b": "x", "winner": "tie"},
    ):
        with pytest.raises(ValueError, match="Row 1"):
            from_chatbot_arena([wrong])
