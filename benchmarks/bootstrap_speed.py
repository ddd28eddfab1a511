"""The paired bootstrap of corpus scores, beside sacrebleu's own, on 559 items with three references each.

Both sum counts of the items and need no text again. The two take turns, five times; medians are given, and the scores
must agree. The bar: within twice sacrebleu's time. CIDEr and ROUGE-L, which sacrebleu does not have, are set beside
computing each resample from its texts (extrapolated from a few).

Run: python benchmarks/bootstrap_speed.py
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from provenance import write_result
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.significance import PairedTest

from mmlab.compare.bootstrap import bootstrap_metric
from mmlab.metrics.resampling import mean_of
from mmlab.metrics.text import bleu, chrf, cider, rouge_l

ITEMS, RESAMPLES, ROUNDS, FEW = 559, 1000, 5, 5


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds, and what came out."""
    begin = time.process_time()
    found = function()
    return time.process_time() - begin, found


def main() -> None:
    """Measure, print and keep the numbers."""
    rng = random.Random(0)
    known = [f"word{number}" for number in range(400)]
    references = [[" ".join(rng.choices(known, k=12)) for _ in range(3)] for _ in range(ITEMS)]

    def system(right: float) -> list[str]:
        return [" ".join(w if rng.random() < right else rng.choice(known) for w in r[0].split()) for r in references]

    one, other = system(0.6), system(0.5)
    streams = [[texts[j] for texts in references] for j in range(3)]
    rows: dict[str, dict[str, float]] = {}
    for name, metric, theirs in (("BLEU", bleu, BLEU), ("chrF", chrf, CHRF)):
        ours_s, theirs_s = [], []
        for _ in range(ROUNDS):
            seconds, found = timed(lambda m=metric: bootstrap_metric(one, other, references, m, resamples=RESAMPLES))
            ours_s.append(seconds)
            systems = [("other", other), ("one", one)]
            test = PairedTest(systems, {name: theirs(lowercase=True)}, streams, "bs", RESAMPLES)
            seconds, (_, scores) = timed(test)
            theirs_s.append(seconds)
        results = list(scores.values())[1]  # after the systems' names
        gap = results[1].score - results[0].score
        assert abs(gap - found.difference) < 1e-9, f"{name}: {gap} and {found.difference}"
        ours, peer = statistics.median(ours_s), statistics.median(theirs_s)
        rows[name] = {"seconds": ours, "sacrebleu": peer, "ratio": ours / peer}
    for name, score in (("ROUGE-L", rouge_l), ("CIDEr", cider)):
        mean = mean_of(score)
        ours, found = timed(lambda m=mean: bootstrap_metric(one, other, references, m, resamples=RESAMPLES))
        slow, same = timed(lambda m=mean: bootstrap_metric(one, other, references, lambda c, r: m(c, r), resamples=FEW))
        assert abs(same.difference - found.difference) < 1e-9
        texts = slow / (FEW + 1) * RESAMPLES
        rows[name] = {"seconds": ours, "from texts, extrapolated": texts, "ratio": ours / texts}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    facts = {"commit": commit.strip(), "date": time.strftime("%Y-%m-%d"), "items": ITEMS, "resamples": RESAMPLES}
    write_result({**facts, "rows": rows}, __file__)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
