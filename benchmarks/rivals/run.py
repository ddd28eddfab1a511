"""Run a rival in an environment of its own, once, and keep its answers: packages whose pins cannot share our lock.

Each folder beside this file is a rival. ``requirements.in`` names it, ``requirements.txt`` is its lock with hashes, and
``measure.py`` asks it about seeded inputs and prints inputs and answers as JSON. The environment is made in
``out/rivals/<name>`` and made anew when the lock changes. Inputs and answers go to ``benchmarks/results/rivals``, with
versions and date; tests hold our own code against them, without the rival.

A rival has a folder once there is code of ours to hold against it. trl (rewards and preferences) and mergekit (merging)
have none: nothing here trains on preferences or merges weights yet.

    python benchmarks/rivals/run.py NAME ... [--torch-index URL] [--lock]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import venv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "rivals"
LOCK = ROOT / "lock" / "cpu.txt"
PYTHON = "3.11"
sys.path[:0] = [str(ROOT), str(ROOT / "lock")]

from hashes import wheels  # noqa: E402

from mmlab.publish.run.job import without_secrets  # noqa: E402
from mmlab.store.folders import write_whole  # noqa: E402
from mmlab.wording import nearest  # noqa: E402

_VERSIONS = """
import importlib.metadata, json
print(json.dumps({d.name.lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}))
"""


def rivals() -> list[str]:
    """Names of the rivals: the folders with a question."""
    return sorted(path.parent.name for path in HERE.glob("*/measure.py"))


def sha256(path: Path) -> str:
    """The sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def environment(name: str, torch_index: str = "") -> Path:
    """The Python of the rival's environment, which is made if it is not there or its lock has changed."""
    lock = HERE / name / "requirements.txt"
    home = ROOT / "out" / "rivals" / name
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    complete = home / ".complete"
    if complete.exists() and complete.read_text(encoding="utf-8") == sha256(lock):
        return python
    venv.EnvBuilder(clear=True, with_pip=True).create(home)
    index = ["--extra-index-url", torch_index] if torch_index else []
    asked = [str(python), "-m", "pip", "install", "-qq", "--no-input", "--require-hashes", "--no-deps", *index]
    for_pip = {key: value for key, value in os.environ.items() if re.fullmatch(r"PIP_\w+|\w+_PROXY", key.upper())}
    subprocess.run([*asked, "--requirement", str(lock)], env=without_secrets() | for_pip, check=True)
    complete.write_text(sha256(lock), encoding="utf-8")
    return python


def measure(name: str, torch_index: str = "") -> Path:
    """Ask a rival, and write what it answers beside what it was asked."""
    python = environment(name, torch_index)
    alone = {key: value for key, value in without_secrets().items() if key != "PYTHONPATH"}
    alone |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    script = HERE / name / "measure.py"
    said = subprocess.run([str(python), str(script)], env=alone, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    listed = subprocess.run([str(python), "-c", _VERSIONS], env=alone, check=True, stdout=subprocess.PIPE)
    versions: dict[str, str] = json.loads(listed.stdout)
    named = re.findall(r"^([\w.-]+)==", (HERE / name / "requirements.in").read_text(encoding="utf-8"), re.MULTILINE)
    answers: dict[str, Any] = json.loads(said.stdout)
    answers["provenance"] = {
        "versions": {package: versions[package] for package in (*named, "numpy", "torch") if package in versions},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "lock": sha256(HERE / name / "requirements.txt"),
        "question": sha256(script),
        "command": f"python benchmarks/rivals/run.py {name}",
    }
    write_whole(RESULTS / f"{name}.json", json.dumps(answers, indent=1) + "\n")
    return RESULTS / f"{name}.json"


def lock(name: str) -> Path:
    """Solve ``requirements.in`` into the lock with hashes; torch as our own lock has it, built for the CPU."""
    folder = HERE / name
    ours = re.search(r"^torch==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if ours is None:
        raise ValueError(f"{LOCK} does not pin torch: run `make lock` first.")
    version = ours[1]
    links = os.environ.get("PIP_FIND_LINKS", "https://download.pytorch.org/whl/cpu")
    common = ["uv", "pip", "compile", "--quiet", "--python-version", PYTHON, "--no-annotate", "--no-header"]
    solved, cap = folder / "solved.in", folder / "cap.in"
    try:
        cap.write_text(f"torch=={version}+cpu\n", encoding="utf-8")
        asked = [*common, str(folder / "requirements.in"), "--constraint", str(cap), "--find-links", links]
        text = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.replace("+cpu", "")
        solved.write_text(text, encoding="utf-8")
        asked = [*common, str(solved), "--no-deps", "--generate-hashes"]
        hashed = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    finally:
        solved.unlink(missing_ok=True)
        cap.unlink(missing_ok=True)
    block = re.search(r"^torch==\S+ \\\n(?:    --hash=\S+(?: \\)?\n)+", hashed, re.MULTILINE)
    if block:  # the builds for the CPU alone: pip would prefer that of the package index, which needs a GPU's libraries
        builds = [digest for digest in wheels(str(LOCK), version) if digest not in block[0]]
        lines = " \\\n".join([f"torch=={version}", *(f"    --hash=sha256:{digest}" for digest in builds)])
        hashed = hashed.replace(block[0], f"{lines}\n")
    write_whole(folder / "requirements.txt", hashed)
    return folder / "requirements.txt"


def main() -> None:
    """Run the rivals that are named, or solve their locks again."""
    parser = argparse.ArgumentParser(description="Run rivals in environments of their own.")
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"Some of {', '.join(rivals())}.")
    parser.add_argument("--torch-index", default="", help="Index of CPU builds of torch, as that of pytorch.org.")
    parser.add_argument("--lock", action="store_true", help="Solve the requirements again, and stop.")
    asked = parser.parse_args()
    for name in asked.names:
        if name not in rivals():
            raise SystemExit(f"There is no rival {name!r}: {nearest(name, rivals())}")
        path = lock(name) if asked.lock else measure(name, asked.torch_index)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
