"""`mmlab arena`, from the file to the report."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmlab.arena.competition import Answer, Competition, Item
from mmlab.arena.store import Ballot, Store
from mmlab.command.cli import app

RUN = CliRunner()


def run(*arguments: object) -> str:
    done = RUN.invoke(app, ["arena", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    items = [Item(f"i{n}", Answer("Which?"), {"mine": Answer("a" * n + "x"), "yours": Answer("b")}) for n in range(6)]
    return Competition("Words", "Which is better?", items).write(tmp_path / "words.toml")


def test_from_invitations_to_the_report(file, tmp_path):
    links = run("invite", file, "--count", 2, "--address", "https://example.org/").split()
    assert [link.partition("#")[0] for link in links] == ["https://example.org/"] * 2
    from mmlab.arena.competition import read_competition

    with Store(read_competition(file), file.with_suffix(".sqlite")) as store:
        for who in range(6):
            token = store.join(links[who].partition("#")[2] if who < 2 else "")
            shown = store.agree(token)
            while shown is not None:
                shown = store.vote(token, Ballot(shown.id, str(shown.shown.index("mine")) if who else "tie", {}))
    assert "36 votes" in run("export", file, "--out", tmp_path / "v.csv")
    told = run("report", file, "--out", tmp_path / "report")
    assert told.startswith(("No winner: the intervals do not tell", "mine wins"))
    assert (tmp_path / "report" / "report.html").is_file()
    assert "mine" in run("report", tmp_path / "v.csv", "--out", tmp_path / "again")
    assert (tmp_path / "report" / "report.csv").read_text().splitlines()[1].split(",")[:3] == (
        (tmp_path / "again" / "report.csv").read_text().splitlines()[1].split(",")[:3]
    )


def test_the_votes_of_others(tmp_path):
    rows = [
        {"question_id": i % 7, "model_a": "x", "model_b": "y", "winner": "model_a", "judge": i % 5} for i in range(35)
    ]
    (tmp_path / "arena.json").write_text(json.dumps(rows))
    assert "35 votes" in run("import", tmp_path / "arena.json", "--out", tmp_path / "v.jsonl")
    assert "35 votes" in run("report", tmp_path / "v.jsonl", "--out", tmp_path / "r")
    (tmp_path / "bad.json").write_text("[{")
    with pytest.raises(ValueError, match=r"cannot be read as JSON .*give a list"):
        run("import", tmp_path / "bad.json")


def test_what_others_made_is_not_written_over(file, tmp_path):
    """A file or a database that holds something else stays as it is, byte for byte."""
    rows = [{"question_id": i % 7, "model_a": "x", "model_b": "y", "winner": "model_a", "judge": i} for i in range(35)]
    own = tmp_path / "votes.jsonl"
    own.write_text("\n".join(map(json.dumps, rows)))
    votes = tmp_path / "report.csv"
    run("import", own, "--out", votes)
    run("import", own, "--out", votes)  # what an import made may be made again
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "report.html").write_text("my report")
    sqlite3.connect(tmp_path / "own.sqlite").execute("CREATE TABLE places (name)").connection.close()
    kept = {path: path.read_bytes() for path in (own, votes, tmp_path / "r" / "report.html", tmp_path / "own.sqlite")}
    for wrong in (
        ("import", own, "--out", own),
        ("report", votes, "--out", tmp_path),  # the table of the report would have the name of its source
        ("report", votes, "--out", tmp_path / "r"),
        ("invite", file, "--store", tmp_path / "own.sqlite"),
        ("import", own, "--out", tmp_path / "own.sqlite"),
    ):
        with pytest.raises((ValueError, FileExistsError), match=r"something else|not as \.sqlite"):
            run(*wrong)
    assert kept == {path: path.read_bytes() for path in kept}


def test_plans():
    assert "Independent votes, each of another person on another item: 194" in run("plan", 0.6)
    assert "with a chance of" in run("plan", 0.6, "--items", 30, "--respondents", 30)
    assert "take more items" in run("plan", 0.6, "--items", 5)


def test_what_is_not_there_is_told(file, tmp_path):
    with pytest.raises(FileNotFoundError, match="makes it"):
        run("report", file)
    with pytest.raises(FileNotFoundError, match="write a competition"):
        run("export", tmp_path / "none.toml")
    with pytest.raises(ValueError, match="port is 0"):
        run("serve", file, "--port", 0)
