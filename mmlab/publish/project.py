"""Where the book's files are, what its configuration says."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mmlab import __version__

__all__ = ["config", "find_root", "read_yaml", "repository", "tag", "toc_entries"]


def find_root(start: Path | None = None) -> Path:
    """The folder of the book: the nearest one with a ``_config.yml``, from ``start`` or the working folder upwards.

    Raises:
        FileNotFoundError: If there is none.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "_config.yml").exists():
            return folder
    raise FileNotFoundError(f"No _config.yml in {start} or above it: run this from the folder of the book.")


def config(root: Path) -> dict[str, Any]:
    """The content of ``_config.yml``."""
    return read_yaml(root / "_config.yml") or {}


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; parsed once for each text, so leave it as it is."""
    return _parsed(path.read_text(encoding="utf-8-sig"))


_parsed = cache(yaml.safe_load)


def repository(root: Path) -> tuple[str, str]:
    """Address and branch of the public repository, as the configuration gives them.

    Raises:
        ValueError: If ``_config.yml`` does not say.
    """
    entry = config(root).get("repository") or {}
    if not entry.get("url"):
        raise ValueError("_config.yml has no repository.url: Colab buttons and the install cell are made from it.")
    return entry["url"].rstrip("/"), entry.get("branch", "main")


def tag(root: Path) -> str:
    """The tag of this version of mmlab, which Colab buttons and install cells name; between releases, the branch."""
    return f"v{__version__}" if re.fullmatch(r"\d+\.\d+\.\d+", __version__) else repository(root)[1]


def toc_entries(root: Path) -> list[str]:
    """The pages of ``_toc.yml``, in order, as paths without suffix."""
    found: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            found.extend(str(node[key]) for key in ("root", "file") if key in node)
            pages = sorted(root.glob(f"{node['glob']}.md")) if "glob" in node else []
            found.extend(page.relative_to(root).with_suffix("").as_posix() for page in pages)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(read_yaml(root / "_toc.yml"))
    return found
