"""Where a chapter's results are kept, and when they may be used again."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmlab.publish.run import key
from mmlab.publish.run.receipt import Receipt
from mmlab.store.folders import NotOursError, write_whole

__all__ = ["Target", "as_text", "fresh", "lookup", "store"]


class Target:
    """The three files of a chapter and a profile: notebook and receipt, or the account of a failure."""

    def __init__(self, folder: Path, stem: str) -> None:
        self.notebook = folder / f"{stem}.ipynb"
        self.receipt = folder / f"{stem}.receipt.json"
        self.failure = folder / f"{stem}.failed.json"

    def begin(self, account: Receipt) -> None:
        """Remove what an earlier run left, and say that a run has begun and is not at its end.

        Args:
            account: What is said until then, also if the run is killed.

        Raises:
            NotOursError: If there is a notebook that no run left here.
        """
        if self.notebook.exists() and not self.receipt.exists() and not self.failure.exists():
            raise NotOursError(
                f"{self.notebook} is there and mmlab did not make it: move it away, or choose another folder."
            )
        account.write(self.failure)
        for path in (self.receipt, self.notebook):
            path.unlink(missing_ok=True)


def store(target: Target, source: Mapping[str, Any], executed: Mapping[str, Any], receipt: Receipt) -> Receipt:
    """Write notebook, then receipt: a receipt always has its notebook."""
    content = as_text(_grafted(source, executed))
    receipt = dataclasses.replace(receipt, output=_hash(content.encode("utf-8")))
    write_whole(target.notebook, content)
    receipt.write(target.receipt)
    target.failure.unlink(missing_ok=True)
    return receipt


def fresh(target: Target, parts: Mapping[str, Any]) -> Receipt | None:
    """The receipt of an earlier run, if its inputs were these and its notebook is as it was written; else None."""
    receipt = Receipt.read(target.receipt)
    if receipt is None or receipt.status != "ok" or receipt.key != key.digest(parts) or not target.notebook.exists():
        return None
    return receipt if _hash(target.notebook.read_bytes()) == receipt.output else None


def lookup(target: Target, source: Mapping[str, Any], parts: Mapping[str, Any]) -> Receipt | None:
    """The receipt of an earlier run that can stand for a new one, with the notebook brought up to date; else None.

    Prose and tags are no inputs of a run: where they changed, the old outputs move into the new notebook.
    """
    receipt = fresh(target, parts)
    if receipt is None:
        return None
    executed = json.loads(target.notebook.read_text(encoding="utf-8"))
    if _grafted(source, executed) != executed:
        receipt = store(target, source, executed, receipt)
    return dataclasses.replace(receipt, cached=True)


def _grafted(source: Mapping[str, Any], executed: Mapping[str, Any]) -> dict[str, Any]:
    """The notebook of the source, with outputs, injected parameters and widget state of the executed one."""
    made = copy.deepcopy(dict(source))
    if "widgets" in executed["metadata"]:
        made["metadata"]["widgets"] = executed["metadata"]["widgets"]
    ran = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
    injected = [cell for cell in ran if "injected-parameters" in cell["metadata"].get("tags", [])]
    ran = [cell for cell in ran if cell not in injected]
    cells = []
    for cell in made["cells"]:
        cells.append(cell)
        if cell["cell_type"] == "code":
            twin = ran.pop(0)
            cell |= {"outputs": twin["outputs"], "execution_count": twin["execution_count"]}
            if "parameters" in cell["metadata"].get("tags", []):
                cells.extend(injected)
    made["cells"] = cells
    return made


def as_text(notebook: Mapping[str, Any]) -> str:
    """A notebook as it stands in its file."""
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
