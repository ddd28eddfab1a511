"""A worker that lies, is cut short or dies: what comes back is compared with what was asked; one receipt says so."""

from __future__ import annotations

import copy
import dataclasses
import json
import threading

import pytest

from mmlab.publish import Receipt, RunError, execute, execute_all
from mmlab.publish.run import cache
from mmlab.publish.run import receipt as receipt_module
from mmlab.publish.run.launch import here


def honest(task, receipt, stop):
    """What a good run would give, without a kernel."""
    notebook = copy.deepcopy(task.notebook)
    ran = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(ran, start=1):
        cell |= {"execution_count": number, "outputs": [{"output_type": "stream", "name": "stdout", "text": ["1\n"]}]}
    if task.given:
        at = next(i for i, cell in enumerate(notebook["cells"]) if "parameters" in cell["metadata"].get("tags", []))
        lines = [f"{name} = {value!r}\n" for name, value in task.given.items()]
        extra = {"cell_type": "code", "id": "x", "metadata": {"tags": ["injected-parameters"]}, "outputs": []}
        notebook["cells"].insert(at + 1, {**extra, "execution_count": 0, "source": ["# Parameters\n", *lines]})
        ran = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        for number, cell in enumerate(ran, start=1):
            cell["execution_count"] = number
    return dataclasses.replace(receipt, status="ok", seconds=1.0, metrics={"answer": 1}), notebook


def code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def unrun(receipt, notebook):
    for cell in code(notebook):
        cell |= {"outputs": [], "execution_count": None}
    return receipt, notebook


def last(**changes):
    def lie(receipt, notebook):
        code(notebook)[-1].update(changes)
        return receipt, notebook

    return lie


def told(**changes):
    return lambda receipt, notebook: (dataclasses.replace(receipt, **changes), notebook)


ERROR = {"output_type": "error", "ename": "X", "evalue": "y", "traceback": []}
BLANK = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LIES = {
    "no cell ran": unrun,
    "the last did not run": last(execution_count=None),
    "a count too far": last(execution_count=9),
    "a failed cell": last(outputs=[ERROR]),
    "other sources": last(source=["print('something else')"]),
    "a blank picture": last(outputs=[{"output_type": "display_data", "data": {"image/png": BLANK}, "metadata": {}}]),
    "outputs of no kind": last(outputs=[{"text": "1"}]),
    "outputs that are none": last(outputs=None),
    "an output that is a text": last(outputs=["x"]),
    "an output of a kind of its own": last(outputs=[{"output_type": "other", "text": "x"}]),
    "a stream without text": last(outputs=[{"output_type": "stream", "name": "stdout"}]),
    "a picture that is none": last(outputs=[{"output_type": "display_data", "data": {"image/png": "aGk="}}]),
    "a picture that is no text": last(outputs=[{"output_type": "display_data", "data": {"image/png": "%%%"}}]),
    "data that are a list": last(outputs=[{"output_type": "display_data", "data": [1]}]),
    "an output that JSON lacks": last(outputs=[{"output_type": "stream", "text": {1}}]),
    "an output that is no number": last(outputs=[{"output_type": "display_data", "data": {"a": float("nan")}}]),
    "half a letter": last(outputs=[{"output_type": "stream", "text": "\ud800"}]),
    "a cell that is hidden now": last(metadata={"tags": ["remove-cell"]}),
    "another format": lambda receipt, notebook: (receipt, {**notebook, "nbformat": 3}),
    "another type of cell": last(cell_type="markdown"),
    "a cell short": lambda receipt, notebook: (receipt, {**notebook, "cells": notebook["cells"][:-1]}),
    "a cell more": lambda receipt, notebook: (receipt, {**notebook, "cells": notebook["cells"] * 2}),
    "cells swapped": lambda receipt, notebook: (receipt, {**notebook, "cells": notebook["cells"][::-1]}),
    "an empty notebook": lambda receipt, notebook: (receipt, {}),
    "no notebook": lambda receipt, notebook: (receipt, None),
    "a list": lambda receipt, notebook: (receipt, [notebook]),
    "other parameters": lambda receipt, notebook: (receipt, {**notebook, "cells": [*notebook["cells"], INJECTED]}),
    "no receipt": lambda receipt, notebook: (None, notebook),
    "nothing": lambda receipt, notebook: None,
    "too much": lambda receipt, notebook: (receipt, notebook, 1),
    "another chapter": told(stem="other", key="0" * 64),
    "another profile": told(profile="gpu"),
    "another key": told(key="0" * 64),
    "other inputs": told(inputs={}),
    "other versions": told(versions={"torch": "9"}),
    "another budget": told(budget={"seconds": 1e9, "memory_mb": 1e9}),
    "an unknown status": told(status="fine"),
    "seconds in words": told(seconds="x"),
    "seconds not finite": told(cpu_seconds=float("nan")),
    "a metric not finite": told(metrics={"rmse": float("inf")}),
    "metrics that are a list": told(metrics=[1]),
    "half a letter in a metric": told(metrics={"a": "\ud800"}),
    "a number that nobody can write": told(metrics={"a": 10**5000}),
    "no date": told(date="yesterday"),
    "a factor of nothing": told(machine_factor=0.0),
}
INJECTED = {
    "cell_type": "code",
    "id": "x",
    "metadata": {"tags": ["injected-parameters"]},
    "execution_count": 4,
    "outputs": [],
    "source": ["steps = 99"],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_worker_that_lies_leaves_one_failed_receipt_and_the_others_go_on(root, write, lie):
    write("one", "# parameters\nsteps = 3", "print('one')")
    write("two", "print('two')")

    def launch(task, receipt, stop):
        answer = honest(task, receipt, stop)
        return LIES[lie](*answer) if receipt.stem == "one" else answer

    with pytest.raises(RunError, match="Chapter 'one'") as caught:
        execute_all(["one", "two", "one"], root=root, launch=launch)
    first, second = caught.value.receipts
    assert (first.stem, first.profile, first.output) == ("one", "cpu", "")
    assert second.status == "ok"
    names = sorted(path.name for path in (root / "out" / "cpu").iterdir())
    assert names == ["one.failed.json", "two.ipynb", "two.receipt.json"]
    assert Receipt.read(root / "out" / "cpu" / "one.failed.json") == first
    assert first.status not in ("ok", "fine")


@pytest.mark.parametrize("given", [{}, {"steps": 7}, {"steps": 7, "names": ["a", "b"]}])
def test_an_honest_worker_is_believed(root, write, given):
    write("one", "# parameters\nsteps = 3\nnames: list[str] | None = None", "print('one')", "print('two')")
    assert execute("one", root=root, parameters=given, launch=honest).status == "ok"
    assert execute("one", root=root, parameters=given, launch=honest).cached


@pytest.mark.parametrize("trouble", [OSError("gone"), ValueError("odd"), RuntimeError("x"), MemoryError(), KeyError(1)])
def test_whatever_a_launch_raises_is_one_receipt(root, write, trouble):
    write("one", "print('one')")

    def launch(task, receipt, stop):
        raise trouble

    with pytest.raises(RunError) as caught:
        execute("one", root=root, launch=launch)
    assert type(trouble).__name__ in caught.value.receipts[0].error


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("write('{')\nos.kill(os.getpid(), 9)", "kernel died"),
        ("write('{\"a\": ')", "line 1 of the recorded metrics"),
        ("write('{\"a\": 1}\\n[1]\\n')", "line 2 of the recorded metrics"),
        ("write('{\"a\": NaN}\\n')", "metrics"),
        ("write('[[\"a\", 1]]\\n')", "line 1"),
        ("write('[' * 100000)", "line 1"),
        ("open(os.environ['MMLAB_METRICS'], 'wb').write(b'\\xff\\xfe')", "line 1"),
        ("import pathlib\n(pathlib.Path.cwd().parent / 'result.json').mkdir()", "without a result"),
        (
            "import pathlib\n(pathlib.Path.cwd().parent / 'metrics.jsonl').write_text('x' * 2**25)",
            "more than 16,777,216 bytes",
        ),
    ],
)
def test_half_a_line_is_one_failed_receipt_and_no_more(root, write, cell, words):
    write("one", "import os\ndef write(text): open(os.environ['MMLAB_METRICS'], 'a').write(text)", cell)
    with pytest.raises(RunError) as caught:
        execute("one", root=root)
    assert words in str(caught.value)
    assert caught.value.receipts[0].status in ("incomplete", "dead kernel")
    assert [path.name for path in (root / "out" / "cpu").iterdir()] == ["one.failed.json"]


PLAUSIBLE = {
    "a metric": {"metrics": {"answer": 0.98}},
    "the time": {"seconds": 0.01},
    "the device": {"device": "an abacus"},
    "the budget": {"budget": {"seconds": 1e9, "memory_mb": 1e9}},
    "the date": {"date": "2020-01-01T00:00:00+00:00"},
    "the versions": {"versions": {"torch": "9"}},
    "what is derived": {"within_budget": False},
}
IMPOSSIBLE = {
    "one more": {"metric": 1},
    "seconds in words": {"seconds": "x"},
    "no date": {"date": "yesterday"},
    "no time zone": {"date": "2026-01-01T00:00:00"},
    "no budget": {"budget": {}},
    "metrics in a list": {"metrics": [1]},
    "no versions": {"versions": None},
    "inputs in a list": {"inputs": []},
    "parameters in a list": {"inputs": {"parameters": [1]}},
    "a true time": {"seconds": True},
    "a number for a name": {"stem": 3},
    "a negative time": {"cpu_seconds": -1.0},
}


# The seal is a hash and no signature: what could be true and is sealed anew is believed.
EDITS = [(change, False) for change in {**PLAUSIBLE, **IMPOSSIBLE}] + [(change, True) for change in IMPOSSIBLE]


@pytest.mark.parametrize(("change", "sealed"), EDITS)
def test_a_receipt_that_is_not_as_written_runs_the_chapter_again(root, write, change, sealed):
    write("one", "print('one')")
    assert not execute("one", root=root, launch=honest).cached
    assert execute("one", root=root, launch=honest).cached
    target = cache.Target(root / "out" / "cpu", "one")
    content = {**json.loads(target.receipt.read_text()), **{**PLAUSIBLE, **IMPOSSIBLE}[change]}
    if sealed:
        del content["seal"]
        content["seal"] = receipt_module._seal(content)
    target.receipt.write_text(json.dumps(content))
    assert Receipt.read(target.receipt) is None
    again = execute("one", root=root, launch=honest)
    assert not again.cached
    assert again.metrics == {"answer": 1}


@pytest.mark.parametrize("text", ["[]", "{}", "null", "1", "", "{", "[" * 5000, '"x"', "\xff"])
def test_what_is_no_receipt_runs_the_chapter_again(root, write, text):
    write("one", "print('one')")
    execute("one", root=root, launch=honest)
    target = cache.Target(root / "out" / "cpu", "one")
    target.receipt.write_bytes(text.encode("latin-1"))
    assert not execute("one", root=root, launch=honest).cached
    assert execute("one", root=root, launch=honest).cached


def test_a_notebook_of_somebody_else_is_left_alone(root, write):
    write("one", "print('one')")
    own = root / "mine" / "cpu" / "one.ipynb"
    own.parent.mkdir(parents=True)
    own.write_text("my own notes")
    with pytest.raises(FileExistsError, match=r"one\.ipynb is there and mmlab did not make it"):
        execute("one", root=root, out=root / "mine", launch=honest)
    assert [path.name for path in own.parent.iterdir()] == ["one.ipynb"]
    assert own.read_text() == "my own notes"


def test_a_run_that_is_killed_has_said_so_before(root, write):
    write("one", "print('one')")
    seen = []

    def launch(task, receipt, stop):
        seen.append(Receipt.read(root / "out" / "cpu" / "one.failed.json"))
        return honest(task, receipt, stop)

    execute("one", root=root, launch=launch)
    assert seen[0].status == "incomplete"
    assert "killed" in seen[0].error
    assert not (root / "out" / "cpu" / "one.failed.json").exists()


def test_two_runs_of_a_chapter_at_once_are_one(root, write):
    write("one", "print('one')")
    ran, receipts = [], []

    def launch(task, receipt, stop):
        ran.append(receipt.stem)
        return here(task, receipt, stop)

    threads = [
        threading.Thread(target=lambda: receipts.append(execute("one", root=root, launch=launch))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ran == ["one"]
    assert sorted(receipt.cached for receipt in receipts) == [False, True, True]
