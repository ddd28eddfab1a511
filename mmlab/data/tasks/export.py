"""Write a task as files: NumPy archives, Parquet, or a folder that ``datasets.load_dataset`` reads."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mmlab.data.tasks.drawing import DECIMALS, Split
from mmlab.data.tasks.registry import LICENCE, Task
from mmlab.paths import expand
from mmlab.store.folders import (
    NotOursError,
    changed,
    refuse_added,
    refuse_foreign,
    replaced_folder,
    seal,
    sealed,
)
from mmlab.wording import nearest

__all__ = ["Format", "card", "export_task"]

Format = Literal["npz", "parquet", "huggingface"]


def export_task(task: Task, out: Path, kind: Format = "npz") -> list[Path]:
    """Write the splits of a task into a folder, with a ``README.md`` that says what they are.

    * ``"npz"``: ``train.npz``, ``validation.npz`` and ``test.npz``, one array for each column.
    * ``"parquet"``: ``data/<split>.parquet``; needs pyarrow. Vectors and pictures are nested lists.
    * ``"huggingface"``: ``data/<split>.jsonl``; with pictures ``<split>/*.png`` and ``<split>/metadata.jsonl``.

    Args:
        task: Which.
        out: The folder; made if need be, and replaced as a whole if an earlier export made it.
        kind: Which files.

    Returns:
        The files.

    Raises:
        ValueError: If there is no such kind of files.
        NotOursError: If the folder holds what an export did not put there, or put there and somebody changed.
        ModuleNotFoundError: If pyarrow is needed and not there.
    """
    if kind not in get_args(Format):
        raise ValueError(f"There is no format {kind!r}: {nearest(kind, get_args(Format))}")
    writers: dict[str, Callable[[Path, str, Split], None]] = {
        "npz": _npz,
        "parquet": _parquet,
        "huggingface": _huggingface,
    }
    out = expand(out, "out")
    place = out.resolve()  # of a link the folder that it leads to, and of "." one with a name
    refuse_foreign(place)
    refuse_added(place)
    if sealed(place) and (edited := changed(place)):
        raise NotOursError(f"{out} holds {edited[0]}, which was changed since it was made: choose another folder.")
    if kind == "parquet":
        _pyarrow()
    splits = task.splits()
    with replaced_folder(place) as folder:
        for name, split in splits.items():
            writers[kind](folder, name, split)
        (folder / "README.md").write_text(card(task, splits, kind), encoding="utf-8")
        seal(folder, f"{task.name} {task.version}")
        names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [out / name for name in names if name.suffix != ".json" or name.parent != Path()]


def card(task: Task, splits: Mapping[str, Split], kind: Format) -> str:
    """The README of an export: a card as dataset hubs read it."""
    size = sum(len(next(iter(split.values()))) for split in splits.values())
    best = "\n".join(f"| {name} | {score:.4f} |" for name, score in task.ceilings().items())
    columns = "\n".join(
        f"| `{name}` | {values.dtype.name if values.dtype.kind not in 'UO' else 'text'} | {values.shape[1:] or ''} |"
        for name, values in splits["train"].items()
    )
    text = (
        f"# {task.name} {task.version}\n\n{task.title}.\n\n{_plain(task.drawn)}\n\n"
        f"The answer is `{task.target}`; a method may see {', '.join(f'`{m}`' for m in task.modalities)}. "
        f"Measure {task.metric} on `test`, once. Items: "
        f"{', '.join(f'{len(next(iter(split.values())))} {name}' for name, split in splits.items())}.\n\n"
        f"| column | type | shape |\n| --- | --- | --- |\n{columns}\n\n"
        f"## The best possible {task.metric}\n\n{_plain(task.why)}\n\n"
        f"| seen | best possible |\n| --- | --- |\n{best}\n\n"
        f"The sha256 over all columns is `{task.sha256}`, whatever the files: "
        "`mmlab.data.tasks.registry.content_hash`.\n\n"
        f"Drawn by mmlab; licence {LICENCE}: do with it what you like.\n"
    )
    return _front(task, splits, kind, size) + text


def _front(task: Task, splits: Mapping[str, Split], kind: Format, size: int) -> str:
    """The part between the dashes, which ``datasets`` reads."""
    lines = ["---", f"license: {LICENCE.lower()}", f"pretty_name: {task.name}", "tags: [multimodal, synthetic]"]
    lines.append(f"size_categories: [{'1K<n<10K' if size < 10_000 else '10K<n<100K'}]")
    if kind != "npz":
        pictures = kind == "huggingface" and "picture" in splits["train"]
        end = "parquet" if kind == "parquet" else "jsonl"
        lines += ["configs:", "- config_name: default", "  data_files:"]
        for name in splits:
            path = f"{name}/**" if pictures else f"data/{name}.{end}"
            lines += [f"  - split: {name}", f"    path: {path}"]
    return "\n".join([*lines, "---", "", ""])


def _plain(text: str) -> str:
    import re

    return re.sub(r"\{py:\w+\}`~?([^`]+)`", r"`\1`", text)


def _npz(folder: Path, name: str, split: Split) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, **split)  # type: ignore[arg-type]
    (folder / f"{name}.npz").write_bytes(content.getvalue())


def _parquet(folder: Path, name: str, split: Split) -> None:
    arrow = _pyarrow()
    from pyarrow import parquet

    columns = {}
    for column, values in split.items():
        kind: Any = arrow.string() if values.dtype.kind in "UO" else arrow.from_numpy_dtype(values.dtype)
        for _ in values.shape[1:]:
            kind = arrow.list_(kind)
        columns[column] = arrow.array(values.tolist(), kind)
    (folder / "data").mkdir(exist_ok=True)
    parquet.write_table(arrow.table(columns), folder / "data" / f"{name}.parquet")


def _huggingface(folder: Path, name: str, split: Split) -> None:
    pictures = split.get("picture")
    home = folder / ("data" if pictures is None else name)
    home.mkdir(exist_ok=True)
    rest = {column: values for column, values in split.items() if column != "picture"}
    rows = list(_rows(rest))
    if pictures is None:
        path = home / f"{name}.jsonl"
    else:
        from PIL import Image

        path = home / "metadata.jsonl"
        for i, (row, picture) in enumerate(zip(rows, pictures, strict=True)):
            Image.fromarray(picture).save(home / f"{i:05d}.png")
            rows[i] = {"file_name": f"{i:05d}.png"} | row
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _rows(columns: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, Any]]:
    """One dict for each item; numbers with the decimals that were drawn."""
    whole = {
        name: np.round(values.astype(np.float64), DECIMALS).tolist() if values.dtype.kind == "f" else values.tolist()
        for name, values in columns.items()
    }
    for i in range(len(next(iter(whole.values())))):
        yield {name: values[i] for name, values in whole.items()}


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "Parquet is written by pyarrow, which is not installed: pip install pyarrow, or choose npz or huggingface."
        ) from None
    return pyarrow
