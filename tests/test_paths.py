"""One place expands paths: home folders, variables, and names that only look like them."""

import re
from pathlib import Path

import pytest

from mmlab.paths import expand, folder_from_environment


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCANS", str(tmp_path / "scans"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("written", ["~/scans", "$HOME/scans", "${HOME}/scans", "$SCANS", "${SCANS}", "~/./scans"])
def test_what_a_shell_would_expand_is_expanded(home: Path, written: str) -> None:
    assert expand(written) == home / "scans"
    assert expand(Path(written)) == home / "scans"


def test_other_paths_stay_as_they_are(home: Path) -> None:
    for written in ("a/b", "/a/b", ".", "a~b", "a/~/b", "price $", "100%"):
        assert expand(written) == Path(written)


def test_a_folder_whose_name_holds_a_dollar_is_found(home: Path) -> None:
    (home / "$HOME" / "x").mkdir(parents=True)
    assert expand("$HOME/x") == Path("$HOME/x")
    assert expand(home / "$HOME" / "new") == home / "$HOME" / "new"
    (home / "$unset").mkdir()
    assert expand("$unset") == Path("$unset")


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("~nosuchuserhere/x", "data is '~nosuchuserhere/x', but there is no such user: write the folder in full"),
        ("$NOT_SET_AT_ALL/x", r"data is '\$NOT_SET_AT_ALL/x', but \$NOT_SET_AT_ALL is not set: set it, or write"),
        ("a\0b", "zero byte"),
        ("a/" + 300 * "ä", r"data has a part of 600 bytes, 'a/ä+'\.\.\.: no file can have so long a name"),
    ],
)
def test_what_cannot_be_expanded_is_refused(home: Path, written: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        expand(written, "data")


def test_variables_that_name_folders(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder_from_environment("MMLAB_NOT_SET") is None
    monkeypatch.setenv("MMLAB_X", "  ")
    assert folder_from_environment("MMLAB_X") is None
    monkeypatch.setenv("MMLAB_X", "~/scans")
    assert folder_from_environment("MMLAB_X") == home / "scans"
    monkeypatch.setenv("MMLAB_X", "~nosuchuserhere/x")
    with pytest.raises(ValueError, match="MMLAB_X is '~nosuchuserhere/x'"):
        folder_from_environment("MMLAB_X")


def test_every_reader_expands(home: Path) -> None:
    from mmlab.data.files.arrays import Array, read_array, read_arrays
    from mmlab.data.files.download import download
    from mmlab.data.files.text import read_text
    from mmlab.data.sets.av_mnist_mini import recordings
    from mmlab.data.sets.kspace import about
    from mmlab.data.worlds.speech import read_wav

    wanted = Array("f", None)
    calls = (
        read_text, about, recordings, read_wav,
        lambda p: read_array(p, wanted),
        lambda p: read_arrays(p, {"x": wanted}),
        lambda p: download("http://127.0.0.1:1/x", p, sha256="0" * 64, size=1, retries=0, progress=False),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(OSError, match=re.escape(f"{home}/none")):
            call(Path("~/none"))
    assert not (home / "~").exists()


def test_every_writer_expands(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmlab.arena.report import write_report
    from mmlab.arena.results import judge
    from mmlab.arena.votes import Vote, write_votes
    from mmlab.data.tasks.export import export_task
    from mmlab.data.tasks.registry import TASKS
    from mmlab.registry import load
    from mmlab.train.fit import fit

    monkeypatch.chdir(home)
    monkeypatch.setenv("WHERE", str(home / "there"))
    (home / "there").mkdir()
    votes = [Vote(respondent=f"p{n}", item=f"i{n}", shown=("a", "b"), choice="0") for n in range(4)]
    method, batch = load("late_fusion").demo()
    rows = [{key: value[row] for key, value in batch.items()} for row in range(4)]
    smallest = next(iter(TASKS.values()))
    writers = (
        lambda out: write_votes(votes, f"{out}/v.csv"),
        lambda out: write_report(judge(votes), f"{out}/r", "t"),
        lambda out: export_task(smallest, Path(f"{out}/t")),
        lambda out: method.save_pretrained(f"{out}/m"),
        lambda out: fit(method, rows, steps=1, batch_size=2, out=f"{out}/f", progress=False).to_csv(f"{out}/h.csv"),
    )
    for write in writers:
        write("~/there")
        write("$WHERE")
    assert not {"~", "$WHERE"} & {path.name for path in home.iterdir()}
    assert {path.name for path in (home / "there").iterdir()} == {"v.csv", "r", "t", "m", "f", "h.csv"}
