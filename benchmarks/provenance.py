"""What a result says of itself: when it was measured, at which commit, and a hash of the code that it measures."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmlab.publish.site.measured import code_hash

ROOT = Path(__file__).parents[1]

__all__ = ["write_result"]


def write_result(results: dict[str, Any], script: str | Path) -> Path:
    """Write the results of a benchmark as JSON, with commit, date and the hash of what it measures.

    Args:
        results: What was measured, JSON-able.
        script: The benchmark, ``__file__``; its stem names the result.

    Returns:
        The file.
    """
    script = Path(script).resolve()
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    provenance = {
        "commit": commit,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "code": code_hash(script.stem, ROOT),
    }
    path = ROOT / "benchmarks" / "results" / f"{script.stem}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**results, "provenance": provenance}, indent=1) + "\n", encoding="utf-8")
    return path
