"""Try a notebook as Colab would run it: a machine that has torch and NumPy, and gets the rest from the first cell.

A fresh virtual environment gets torch and NumPy, as Colab brings them, and Jupyter. Then the committed notebook runs
from its first cell on, with a module ``google.colab`` loaded, so that it takes itself to be there. The address of the
public repository leads to a copy of this one that has the release's tag: the first cell runs as it stands. Everything
that it installs is the newest that ``pyproject.toml`` allows. The trial fails if a cell does, or if torch or NumPy was
changed. It needs Python and git alone.

Run: python benchmarks/colab_trial.py [stem] [--torch torch==2.13.0] [--torch-index URL] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "colab_trial.json"
DRIVER = """
import json, sys, nbformat
from nbclient import NotebookClient
path = sys.argv[1]
notebook = nbformat.read(path, as_version=4)
try:
    NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
finally:
    nbformat.write(notebook, path)
"""


def main() -> None:
    """Make the environment, run the notebook in it, say what was found."""
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        python = _environment(folder, options.torch, options.torch_index)
        before = _versions(python)
        copy = _release(folder)
        began = time.monotonic()
        notebook = _run(folder, python, options.stem, copy)
        wall = time.monotonic() - began
        after = _versions(python)
    changed = [name for name in ("torch", "numpy") if before[name] != after[name]]
    ours = [cell for cell in notebook["cells"] if {"install", "profile"} & set(cell["metadata"].get("tags", []))]
    said = [_printed(cell) for cell in ours]
    added = {name: found for name, found in after.items() if before.get(name) != found}
    result = {
        "notebook": options.stem,
        "python": sys.version.split()[0],
        "said": said,
        "kept": {name: before[name] for name in ("torch", "numpy")},
        "installed by the first cell": added,
        "seconds, install and run": round(wall, 1),
        "processor seconds": round(sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]), 1),
    }
    print("\n".join(said))
    print(f"{options.stem} ran in {wall:.0f} s, with the installation of {len(added)} packages.")
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if changed:
        raise SystemExit(f"The first cell changed {' and '.join(changed)}.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stem", nargs="?", default="bridge_matching")
    parser.add_argument("--torch", default="torch", help="requirement that stands for the torch of Colab")
    parser.add_argument("--torch-index", help="index to take it from")
    parser.add_argument("--folder", help="where to work; by default a temporary folder")
    return parser.parse_args()


def _environment(folder: Path, torch: str, index: str | None) -> Path:
    """A virtual environment with what Colab has that matters here, and a stand-in for its own module."""
    venv.create(folder / "venv", clear=True, with_pip=True)
    python = folder / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *(["--index-url", index] if index else []), torch], check=True)
    subprocess.run([*pip, "numpy", "ipykernel", "ipywidgets", "nbclient"], check=True)
    site = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    colab = Path(site) / "google" / "colab"
    colab.mkdir(parents=True)
    (colab / "__init__.py").touch()
    return python


def _release(folder: Path) -> dict[str, str]:
    """Settings of git under which the public address is a copy of this repository that has the tag of its version."""
    config = (ROOT / "_config.yml").read_text(encoding="utf-8")
    url = re.search(r"^  url: (\S+)$", config, re.MULTILINE)[1]
    version = re.search(r'^__version__ = "(.+)"$', (ROOT / "mmlab" / "__init__.py").read_text("utf-8"), re.MULTILINE)[1]
    copy = folder / "repository.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(ROOT), str(copy)], check=True)
    subprocess.run(["git", "-C", str(copy), "tag", "--force", f"v{version}", "HEAD"], check=True, capture_output=True)
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{copy}.insteadOf",
        "GIT_CONFIG_VALUE_0": url,
    }


def _run(folder: Path, python: Path, stem: str, settings: dict[str, str]) -> dict[str, Any]:
    """The notebook after its run, from a folder that has nothing of mmlab in it."""
    notebook = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text(encoding="utf-8"))
    begin = {"cell_type": "code", "id": "colab", "metadata": {}, "source": "import google.colab",
             "outputs": [], "execution_count": None}  # fmt: skip
    notebook["cells"].insert(0, begin)
    path = folder / f"{stem}.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    (folder / "driver.py").write_text(DRIVER, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")} | settings
    done = subprocess.run(
        [str(python), "driver.py", path.name], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{stem} did not run in the trial:\n{done.stderr[-3000:]}")
    return json.loads(path.read_text(encoding="utf-8"))


def _versions(python: Path) -> dict[str, str]:
    listed = subprocess.run(
        [str(python), "-m", "pip", "list", "--format", "json"], check=True, capture_output=True, text=True
    )
    return {entry["name"].lower(): entry["version"] for entry in json.loads(listed.stdout)}


def _printed(cell: dict[str, Any]) -> str:
    return "".join("".join(output.get("text", "")) for output in cell["outputs"]).strip()


if __name__ == "__main__":
    main()
