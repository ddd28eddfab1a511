"""What chapters share is found in their sources, and trained before them."""

import threading
from types import SimpleNamespace

import pytest

from mmlab.bases import SHARED
from mmlab.publish.chapter import Chapter
from mmlab.publish.run import runner, shared


@pytest.fixture
def chapters(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "one.py").write_text("from mmlab.bases.findings_reader import findings_reader\n")
    (folder / "two.py").write_text("# The findings reader is not used here: mmlab.bases.findings_reader.\n")
    return [Chapter(tmp_path, stem) for stem in ("one", "two")]


def test_only_what_a_chapter_imports_is_needed(chapters):
    assert shared.needed(chapters) == ["findings_reader"]
    assert shared.needed(chapters[1:]) == []


def test_each_shared_model_has_its_function():
    import importlib

    found = shared.shared()
    assert found.items() >= SHARED.items()
    assert found["support_system"] == "support_system"
    assert found["token_family"] == "token_family"
    assert "frozen_towers" not in found  # its function needs a world
    for module, function in found.items():
        assert callable(getattr(importlib.import_module(f"mmlab.bases.{module}"), function))


def test_it_is_called_in_a_process_of_its_own_and_told_of_if_it_took_long(monkeypatch, tmp_path):
    monkeypatch.setattr(
        shared, "_CALL", f"import sys; open({str(tmp_path / 'called')!r}, 'w').write(' '.join(sys.argv[1:]))"
    )
    times = iter((0.0, 60.0))
    monkeypatch.setattr(shared.time, "monotonic", lambda: next(times))
    told = []
    shared.train_shared("findings_reader", threading.Event(), say=told.append)
    assert (tmp_path / "called").read_text() == "mmlab.bases.findings_reader findings_reader"
    assert told == ["findings_reader: trained in 60 s, for all chapters that start from it"]


def test_a_stop_ends_it_and_a_failure_stops_nothing(monkeypatch):
    monkeypatch.setattr(shared, "_CALL", "raise SystemExit(1)")
    shared.train_shared("findings_reader", threading.Event())
    monkeypatch.setattr(shared, "_CALL", "import time; time.sleep(60)")
    stop = threading.Event()
    stop.set()
    shared.train_shared("findings_reader", stop)


@pytest.mark.parametrize("workers", [1, 2])
def test_only_chapters_that_start_from_it_wait_for_a_training(chapters, monkeypatch, tmp_path, workers):
    """With two workers the other chapter runs beside the training, and ends it here; with one it comes after."""
    told, other_ran = [], threading.Event()

    def train(name, stop, say):
        told.append(f"{name} begins")
        assert workers == 1 or other_ran.wait(10)
        told.append(f"{name} ends")

    def execute(stem, **_):
        told.append(stem)
        if stem == "two":
            other_ran.set()
        return SimpleNamespace(status="ok", stem=stem)

    monkeypatch.setattr(runner, "train_shared", train)
    monkeypatch.setattr(runner, "execute", execute)
    monkeypatch.setattr(runner, "_with_profile", lambda *_: {})
    monkeypatch.setattr(Chapter, "notebook", None)
    receipts = runner.execute_all(["one", "two"], root=tmp_path, workers=workers, force=True)
    assert [receipt.stem for receipt in receipts] == ["one", "two"]
    begins, ends = told.index("findings_reader begins"), told.index("findings_reader ends")
    two, one = told.index("two"), told.index("one")
    assert begins < ends < one
    assert (begins < two < ends) == (workers == 2)


def test_a_training_waits_for_those_whose_function_it_imports():
    waits = shared.after(["drawing_gill", "tiny_llava", "scene_reader", "colonoscopy", "drawing_gill"])
    assert waits == {"colonoscopy": [], "drawing_gill": ["colonoscopy"], "tiny_llava": [], "scene_reader": []}
    assert next(iter(waits)) == "colonoscopy"  # others wait for it
    assert shared.after(["drawing_gill"]) == {"drawing_gill": []}  # nothing to wait for: it trains both itself


def test_no_worker_waits_for_a_training_that_another_worker_makes(monkeypatch, tmp_path):
    """While the first of two trainings goes on, the second one that waits for it leaves its worker to a chapter."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "drawn.py").write_text("from mmlab.bases.drawing_gill import drawing_gill\n")
    (folder / "base.py").write_text("from mmlab.bases.colonoscopy import colonoscopy_base\n")
    (folder / "plain.py").write_text("x = 1\n")
    told, plain_ran = [], threading.Event()

    def train(name, stop, say):
        assert name != "colonoscopy" or plain_ran.wait(10)
        told.append(name)

    def execute(stem, **_):
        told.append(stem)
        if stem == "plain":
            plain_ran.set()
        return SimpleNamespace(status="ok", stem=stem)

    monkeypatch.setattr(runner, "train_shared", train)
    monkeypatch.setattr(runner, "execute", execute)
    monkeypatch.setattr(runner, "_with_profile", lambda *_: {})
    monkeypatch.setattr(Chapter, "notebook", None)
    receipts = runner.execute_all(["drawn", "base", "plain"], root=tmp_path, workers=2, force=True)
    assert [receipt.stem for receipt in receipts] == ["drawn", "base", "plain"]
    assert told[:2] == ["plain", "colonoscopy"]
    assert told.index("drawing_gill") < told.index("drawn")
    assert set(told) == {"plain", "colonoscopy", "drawing_gill", "drawn", "base"}
