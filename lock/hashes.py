"""Write a lock with the hashes of every file that may be installed, those of the CPU builds of torch among them.

The package index knows no CPU build of torch for Linux: these come from pytorch.org, whose page is read, or from a
folder of wheels. What the lock of before says of the same version is kept.

    python lock/hashes.py HASHED [LOCK, FOLDER OR ADDRESS ...] > lock/cpu.txt.new
"""

from __future__ import annotations

import hashlib
import re
import sys
import urllib.request
from pathlib import Path
from urllib.parse import unquote


def wheels(place: str, version: str) -> list[str]:
    """The sha256 of each build of torch that a lock, a folder of wheels, or a page of links with hashes names."""
    if place.startswith("https://"):
        with urllib.request.urlopen(f"{place.rstrip('/')}/torch/", timeout=30) as page:
            links = re.findall(r'href="([^"]+)#sha256=([0-9a-f]{64})"', page.read().decode("utf-8"))
        return [digest for link, digest in links if f"torch-{version}" in unquote(link)]
    if place.endswith(".txt"):
        block = re.search(
            rf"^torch=={re.escape(version)} ((?:\\\n    --hash=sha256:\w+ ?)*)",
            Path(place).read_text("utf-8"),
            re.MULTILINE,
        )
        return re.findall(r"sha256:([0-9a-f]{64})", block[1]) if block else []
    found = sorted(Path(place).glob(f"torch-{version}*.whl"))
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in found]


def main() -> None:
    """Print the lock."""
    hashed, places = sys.argv[1], sys.argv[2:]
    text = Path(hashed).read_text(encoding="utf-8")
    head = re.search(r"^torch==(\S+) \\\n", text, re.MULTILINE)
    if head is None:
        raise SystemExit(f"{hashed} does not pin torch.")
    known = [digest for place in places for digest in wheels(place, head[1])]
    lines = "".join(f"    --hash=sha256:{digest} \\\n" for digest in dict.fromkeys(known) if digest not in text)
    sys.stdout.write(text[: head.end()] + lines + text[head.end() :])


if __name__ == "__main__":
    main()
