"""What comes back from a run is compared with what was asked for: a worker may be wrong, cut short, or not honest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from mmlab.publish.run import parameters
from mmlab.publish.run.launch import Task
from mmlab.publish.run.outputs import empty_figure, unrun_cell
from mmlab.publish.run.receipt import Receipt, Status

__all__ = ["examined"]

_OUTPUTS = {"stream": "text", "display_data": "data", "execute_result": "data", "error": "ename"}  # what each must have
_ASKED = ("stem", "profile", "key", "inputs", "versions", "budget", "reason")


def examined(task: Task, asked: Receipt, answer: Any) -> tuple[Receipt, dict[str, Any] | None]:
    """The outcome of a run, if it can be one of this task; otherwise a receipt that says why it cannot.

    Args:
        task: What was to be run.
        asked: What was known of the run beforehand.
        answer: What came back: a receipt and, if the run ended well, the executed notebook.
    """
    try:
        receipt, executed = _outcome(asked, answer)
        receipt.as_text().encode()
        problem = _checked(task, executed) if receipt.status == "ok" else None
    except Exception as trouble:  # whatever it is, it came from there
        told = f"what came back from the run is not what was asked for: {trouble}"
        return dataclasses.replace(asked, status="incomplete", error=told), None
    if receipt.status != "ok":
        return receipt, None
    if problem:
        status, told = problem
        return dataclasses.replace(receipt, status=status, error=told), None
    return receipt, executed


def _outcome(asked: Receipt, answer: Any) -> tuple[Receipt, dict[str, Any]]:
    found, executed = answer
    if not isinstance(found, Receipt):
        raise TypeError(f"there is no receipt, but {type(found).__name__}.")
    receipt = Receipt.checked(dataclasses.asdict(found))
    if other := [name for name in _ASKED if _plain(getattr(receipt, name)) != _plain(getattr(asked, name))]:
        raise ValueError(f"the receipt is of another run ({', '.join(other)} differ).")
    if receipt.status == "ok" and executed is None:
        raise ValueError("there is no notebook.")
    return receipt, executed


def _checked(task: Task, executed: dict[str, Any]) -> tuple[Status, str] | None:
    """What shows that a notebook did not run well; raises if it is none, is another one, or cannot be written."""
    json.dumps(executed, allow_nan=False, ensure_ascii=False).encode()
    _compare(task, executed)
    for cell in executed["cells"]:
        for output in cell.get("outputs", []):
            needed = _OUTPUTS[output["output_type"]]
            if cell["cell_type"] != "code" or not isinstance(output[needed], str | list | dict):
                raise ValueError(f"an output of the notebook is none: {str(output)[:80]}.")
    return unrun_cell(executed) or empty_figure(executed)


def _compare(task: Task, executed: Mapping[str, Any]) -> None:
    """Raise unless the notebook has the cells of the task, all of them, with nothing but its parameters added."""
    if executed["nbformat"] != task.notebook["nbformat"]:
        raise ValueError(f"it is in format {executed['nbformat']} of notebooks.")
    asked = [(cell["cell_type"], _source(cell), _tags(cell)) for cell in task.notebook["cells"]]
    found = []
    injected = []
    for cell in executed["cells"]:
        if "injected-parameters" in cell["metadata"].get("tags", []):
            injected.append(_source(cell))
        else:
            found.append((cell["cell_type"], _source(cell), _tags(cell)))
    if len(found) != len(asked):
        raise ValueError(f"the notebook has {len(found)} cells, and {len(asked)} were sent.")
    if other := [number for number, pair in enumerate(zip(asked, found, strict=True), start=1) if pair[0] != pair[1]]:
        raise ValueError(f"cell {other[0]} of the notebook is not the one that was sent.")
    values = {name: default for cell in injected for name, (_, default) in parameters.declared(cell).items()}
    if len(injected) > 1 or values != _plain(task.given):
        raise ValueError(f"it ran with the parameters {values}, and {task.given} were given.")


def _plain(value: Any) -> Any:
    """A value as it comes out of JSON, which has no tuples."""
    return json.loads(json.dumps(value))


def _tags(cell: Mapping[str, Any]) -> list[str]:
    return sorted(cell["metadata"].get("tags", []))


def _source(cell: Mapping[str, Any]) -> str:
    return "".join(cell["source"])
