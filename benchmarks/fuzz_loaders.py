"""Feed 10^4 mutated files to every file loader and count what it does: refuse in a sentence, or give a right answer.

Stops at the first crash, hang, wrong answer or error that does not name the file. Run from the root of the repository:

    python benchmarks/fuzz_loaders.py [--count 10000] [--seed 1] [--only TEXT ...]

With ``--only`` the results of the other loaders are kept, so that the whole can be run in pieces.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "data")]

import fuzzing  # noqa: E402


def main() -> int:
    """Run all loaders, print a table, write the results from 10^4 inputs on. Returns how many loaders failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[""], help="only loaders whose name holds one of these texts")
    options = parser.parse_args()
    results: dict[str, dict[str, object]] = {}
    print(f"{'loader':32} {'inputs':>7} {'refused':>8} {'right':>6} {'same':>5} {'seconds':>8}")
    with tempfile.TemporaryDirectory() as made:
        targets = fuzzing.targets(Path(made))
        for name, target in targets.items():
            if not any(text in name for text in options.only):
                continue
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                try:
                    counts = dict(fuzzing.attack(target, Path(folder), options.count, options.seed))
                except AssertionError as error:
                    print(f"{name:32} FAILED {error}")
                    results[name] = {"failed": str(error)}
                    continue
            seconds = round(time.perf_counter() - start, 1)
            refused, right, same = (counts.get(key, 0) for key in ("refused", "right", "same"))
            print(f"{name:32} {options.count:7} {refused:8} {right:6} {same:5} {seconds:8}", flush=True)
            results[name] = {"inputs": options.count, "refused": refused, "right": right, "same": same}
            if options.count >= 10_000:
                keep(results, list(targets), options.seed)
    return sum("failed" in result for result in results.values())


def keep(results: dict[str, dict[str, object]], order: list[str], seed: int) -> None:
    """Write results into ``results/fuzz_loaders.json``, beside those of other loaders that are there."""
    path = ROOT / "benchmarks" / "results" / "fuzz_loaders.json"
    known = (json.loads(path.read_text())["loaders"] if path.exists() else {}) | results
    path.parent.mkdir(exist_ok=True)
    loaders = {name: known[name] for name in order if name in known}
    path.write_text(json.dumps({"seed": seed, "loaders": loaders}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
