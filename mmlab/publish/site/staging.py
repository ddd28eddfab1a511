"""The folder that the site is rendered from: configuration, prose, and executed notebooks with their receipts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mmlab.card import Card
from mmlab.publish import project
from mmlab.publish.chapter import Chapter, listed
from mmlab.publish.run import cache, key
from mmlab.publish.run.places import public, public_metrics
from mmlab.publish.run.receipt import Receipt
from mmlab.publish.site import claims, generated, landing
from mmlab.publish.site.citing import citation
from mmlab.publish.site.escape import cell, code
from mmlab.publish.site.measured import with_ages
from mmlab.publish.site.numbered import numbered
from mmlab.publish.site.pictures import picture
from mmlab.registry import chapter_of, list_methods
from mmlab.store.folders import MADE, seal, take

__all__ = ["fill", "receipt_markdown", "receipts", "state", "tree_hash"]

_MODULES = re.compile(r"^<!-- modules: (.+?) -->$", re.MULTILINE)
_GENERATED = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
_PICTURES = "book/_pictures"
DATA = "data"
"""Folder of files that the site serves as they are, from its root."""

_AUTOMODULE = "## `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n"


@dataclass(frozen=True)
class Ran:
    """A chapter that ran.

    Attributes:
        stem: Its name.
        notebook: The executed notebook.
        receipt: The account of the run.
        others: Fresh accounts of runs with another profile.
    """

    stem: str
    notebook: dict[str, Any]
    receipt: Receipt
    others: list[Receipt]

    @property
    def title(self) -> str:
        """Its first heading."""
        found = re.search(r"^# +(.+)$", self._prose, re.MULTILINE)
        return found[1].strip() if found else self.stem

    @property
    def card(self) -> Card:
        """That of its method; for a chapter of none or of several, one with the heading and the question below it."""
        own = list_methods().get(self.stem)
        if own and chapter_of(self.stem, own) == self.stem:
            return own
        question = re.search(r"^\*\*(.+?)\*\*$", self._prose, re.MULTILINE | re.DOTALL)
        return Card(self.title, "", "", question[1].replace("\n", " ") if question else "", ("run",), ("page",))

    @property
    def _prose(self) -> str:
        return "\n".join("".join(cell["source"]) for cell in self.notebook["cells"] if cell["cell_type"] == "markdown")

    @cached_property
    def picture(self) -> tuple[str, bytes, str]:
        """File name, content and alt text of the picture on the map."""
        return picture(self.notebook, self.stem, self.card)


def receipts(root: Path, executed: Path) -> tuple[dict[str, list[Receipt]], list[str]]:
    """The accounts of all chapters that ran, and sentences about those that have no fresh outputs.

    Args:
        root: Folder of the book.
        executed: Folder of the executed notebooks and receipts of one profile.

    Returns:
        By stem, in the order of the contents: the receipt of this profile, and after it fresh ones of others.
    """
    found: dict[str, list[Receipt]] = {}
    stale = []
    for chapter in listed(root):
        receipt, why = _fresh(chapter, executed)
        if receipt is None:
            stale.append(f"The chapter {chapter.stem!r} has no fresh outputs in {executed} ({why}): execute it first.")
            continue
        others = [executed.parent / profile for profile in ("cpu", "gpu") if profile != executed.name]
        elsewhere = [_fresh(chapter, other)[0] for other in others]
        found[chapter.stem] = [receipt, *(entry for entry in elsewhere if entry)]
    return found, stale


def state(root: Path, accounts: Mapping[str, list[Receipt]]) -> str:
    """A hash over all that the staging folder and the documentation in the site are made of.

    Args:
        root: Folder of the book.
        accounts: What :func:`receipts` found.
    """
    files = [root / name for name in ("_config.yml", "_toc.yml", "CITATION.cff")]
    files += [Chapter(root, stem).committed for stem in accounts]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.exists()]
    runs = {stem: [dataclasses.asdict(receipt) for receipt in found] for stem, found in accounts.items()}
    for receipt in (receipt for found in runs.values() for receipt in found):
        del receipt["cached"]
    made_of = [tree_hash(root / "book", key.PACKAGE), *hashes, json.dumps(runs, sort_keys=True)]
    return hashlib.sha256(" ".join(made_of).encode()).hexdigest()


def fill(folder: Path, root: Path, executed: Path, accounts: Mapping[str, list[Receipt]]) -> None:
    """Bring the staging folder up to date, and touch only files that change, so that only their pages are rendered.

    Args:
        folder: The staging folder.
        root: Folder of the book.
        executed: Folder of the executed notebooks and receipts of one profile.
        accounts: What :func:`receipts` found there.
    """
    chapters = {}
    for stem, (receipt, *others) in accounts.items():
        notebook = json.loads(cache.Target(executed, stem).notebook.read_text(encoding="utf-8"))
        known = [dataclasses.replace(entry, metrics=public_metrics(entry.metrics)) for entry in (receipt, *others)]
        chapters[stem] = Ran(stem, public(notebook), known[0], known[1:])
    wanted = {f"notebooks/{stem}.ipynb": _with_account(ran, root).encode("utf-8") for stem, ran in chapters.items()}
    wanted |= _pages(root, chapters) | _pictures(chapters) | _claims(chapters)
    take(folder)
    for path in sorted(folder.rglob("*"), reverse=True):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in wanted and name != MADE:
            path.unlink()
    for name, content in wanted.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    seal(folder)


def tree_hash(*folders: Path, without: tuple[str, ...] = (".pyc",)) -> str:
    """A hash over names and contents of all files in some folders; times do not count.

    Args:
        *folders: The folders.
        without: Ends of the names of files to leave out.
    """
    found = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.endswith(without):
                found.update(path.relative_to(folder).as_posix().encode() + b"\0")
                found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def receipt_markdown(receipt: Receipt) -> str:
    """The receipt as it stands, folded, at the end of a chapter's page."""
    when = datetime.fromisoformat(receipt.date).strftime("%-d %B %Y, %H:%M UTC")
    memory = receipt.budget["memory_mb"]
    verdict = "within" if receipt.within_budget else "**over**"
    rows = {
        "When": when,
        "Where": f"{cell(receipt.device)} ({code(receipt.profile)} profile)",
        "Time": f"{receipt.seconds:.1f} s by the clock, {receipt.cpu_seconds:.1f} s of processor time",
        "Machine factor": f"{receipt.machine_factor:.2f}",
        "Counted for the budget": f"{receipt.counted_seconds:.1f} s of {receipt.budget['seconds']:.0f} s",
        "Peak memory": f"{receipt.peak_memory_mb / 1000:.2f} GB of {memory / 1000:.1f} GB",
        "Versions": cell(", ".join(f"{name} {version}" for name, version in receipt.versions.items())),
        "Inputs": code(receipt.key[:12]),
        **{code(name): cell(_short(value)) for name, value in receipt.metrics.items()},
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    title = f"Receipt: this page ran in {receipt.seconds:.0f} s, {verdict.strip('*')} its budget"
    return (
        f":::{{dropdown}} {title}\n\n| What | Value |\n| --- | --- |\n{table}\n\n"
        "[How to read a receipt](../book/how_to/read_a_receipt.md)\n:::"
    )


def _pages(root: Path, chapters: Mapping[str, Ran]) -> dict[str, bytes]:
    """Configuration and prose, with what is generated in its place."""
    wanted = {}
    for path in sorted([root / "_config.yml", root / "_toc.yml", *(root / "book").rglob("*")]):
        if not path.is_file():
            continue
        name, content = path.relative_to(root).as_posix(), path.read_bytes()
        if path.suffix == ".md":
            page, runs = name.removesuffix(".md"), {stem: ran.receipt for stem, ran in chapters.items()}
            text = with_ages(_with_modules(content.decode("utf-8-sig")), root)
            text = claims.quoted(_with_generated(text, page, root, chapters), page, runs)
            content = text.encode("utf-8")
        elif name == "_config.yml":  # the buttons of the site open the notebooks of this version
            tag = project.tag(root).encode("utf-8")
            content = re.sub(rb"(?m)^(  branch:).*$", rb"\1 " + tag, content, count=1)
        wanted[name] = content
    return wanted


def _pictures(chapters: Mapping[str, Ran]) -> dict[str, bytes]:
    return {f"{_PICTURES}/{ran.picture[0]}": ran.picture[1] for ran in chapters.values()}


def _claims(chapters: Mapping[str, Ran]) -> dict[str, bytes]:
    """The register as data."""
    rows = _register(chapters)
    files = {
        "claims.json": claims.as_json(rows, version("mmlab")),
        "claims.csv": claims.as_csv(rows),
        "claims.schema.json": json.dumps(claims.SCHEMA, indent=1) + "\n",
    }
    return {f"{DATA}/{name}": text.encode("utf-8") for name, text in files.items()}


def _register(chapters: Mapping[str, Ran]) -> list[dict[str, Any]]:
    return claims.register(list_methods(), {stem: ran.receipt for stem, ran in chapters.items()})


def _with_generated(text: str, page: str, root: Path, chapters: Mapping[str, Ran]) -> str:
    """Replace each line ``<!-- generated: name -->`` by what it names: see the error at the end for what there is."""
    methods = {stem: card for stem, card in list_methods().items() if chapter_of(stem, card) in chapters}
    in_order = [stem for chapter in chapters for stem, card in methods.items() if chapter_of(stem, card) == chapter]
    cards = {stem: methods[stem] for stem in in_order}
    cards |= {stem: ran.card for stem, ran in chapters.items()}

    def expand(match: re.Match[str]) -> str:
        if match[1] == "status":
            return generated.status([each for ran in chapters.values() for each in (ran.receipt, *ran.others)], cards)
        if match[1] == "claims":
            return claims.page(_register(chapters), version("mmlab"))
        if match[1] == "edition":
            return landing.edition(root, [ran.receipt for ran in chapters.values()])
        if match[1] == "contents":
            return landing.tables(root, {stem: ran.notebook for stem, ran in chapters.items()}, cards)
        if match[1] == "map":
            shown = {stem: chapters[chapter_of(stem, methods[stem])].picture for stem in in_order}
            pictures = {stem: (f"/{_PICTURES}/{name}", alt) for stem, (name, _, alt) in shown.items()}
            return generated.map_of_methods({stem: methods[stem] for stem in in_order}, pictures, root)
        if match[1] == "chapters":
            part = [chapters[stem].receipt for stem in generated.chapters_of(page, root) if stem in chapters]
            return generated.part_table(part, cards)
        raise ValueError(
            f"{page}.md asks for {match[1]!r} to be generated: there are status, claims, map, chapters, contents and "
            "edition."
        )

    return _GENERATED.sub(expand, text)


def _fresh(chapter: Chapter, results: Path) -> tuple[Receipt | None, str]:
    """The receipt of outputs that may be shown; otherwise None, and why not."""
    chapter.source  # noqa: B018 - raises where there is none, whatever its results are
    target = chapter.target(results)
    receipt = Receipt.read(target.receipt)
    if receipt is None:
        return None, "there is no receipt"
    parts = chapter.inputs(receipt.profile, receipt.inputs.get("parameters", {}))
    found = cache.fresh(target, parts)
    return found, "" if found else f"changed since the run began: {key.what_changed(receipt.inputs, parts)}"


def _with_account(ran: Ran, root: Path) -> str:
    """The executed notebook, with its receipt and how to cite it at the end."""
    cells = numbered(ran.notebook["cells"], f"notebooks/{ran.stem}.py")
    for entry in cells:
        if "injected-parameters" in entry["metadata"].get("tags", []):
            entry["metadata"] = {**entry["metadata"], "tags": ["hide-input", *entry["metadata"]["tags"]]}
    account = {"receipt": receipt_markdown(ran.receipt), "citation": citation(ran.stem, ran.title, root)}
    last = [
        {"cell_type": "markdown", "id": name, "metadata": {}, "source": text.splitlines(keepends=True)}
        for name, text in account.items()
        if text
    ]
    return json.dumps({**ran.notebook, "cells": [*cells, *last]}, indent=1, sort_keys=True, ensure_ascii=False)


def _with_modules(text: str) -> str:
    """Replace each line ``<!-- modules: a.b c.* -->`` by the documentation of those modules."""
    package = key.PACKAGE

    def expand(match: re.Match[str]) -> str:
        names = []
        for pattern in match[1].split():
            relative = pattern.partition(".")[2].replace(".", "/")
            found = sorted(package.glob(f"{relative}.py"))
            names += [
                ".".join(path.relative_to(package.parent).with_suffix("").parts)
                for path in found
                if not path.name.startswith("_")
            ]
        return "\n".join(_AUTOMODULE.format(name=name) for name in names)

    return _MODULES.sub(expand, text)


def _short(value: Any) -> str:
    """A metric in a few characters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        value = ", ".join(f"{name} {_short(entry)}" for name, entry in value.items())
    elif isinstance(value, list):
        value = ", ".join(map(_short, value))
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]} …"
