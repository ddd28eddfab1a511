"""What chapters share is found in their sources, and trained before them."""

import threading

import pytest

from mmlab.bases import SHARED
from mmlab.publish.chapter import Chapter
from mmlab.publish.run import shared


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

    for module, function in SHARED.items():
        assert callable(getattr(importlib.import_module(f"mmlab.bases.{module}"), function))


def test_it_is_called_in_a_process_of_its_own_and_told_of_if_it_took_long(chapters, monkeypatch, tmp_path):
    monkeypatch.setattr(
        shared, "_CALL", f"import sys; open({str(tmp_path / 'called')!r}, 'w').write(' '.join(sys.argv[1:]))"
    )
    times = iter((0.0, 60.0))
    monkeypatch.setattr(shared.time, "monotonic", lambda: next(times))
    told = []
    shared.train_shared(chapters, threading.Event(), say=told.append)
    assert (tmp_path / "called").read_text() == "mmlab.bases.findings_reader findings_reader"
    assert told == ["findings_reader: trained in 60 s, for all chapters that start from it"]


def test_a_stop_ends_it_and_a_failure_stops_nothing(chapters, monkeypatch):
    monkeypatch.setattr(shared, "_CALL", "raise SystemExit(1)")
    shared.train_shared(chapters, threading.Event())
    monkeypatch.setattr(shared, "_CALL", "import time; time.sleep(60)")
    stop = threading.Event()
    stop.set()
    shared.train_shared(chapters, stop)
