"""The chapter on ITHP, on real opinions: its own cells with ``data="mosi"``, and their accuracies kept.

CMU-MOSI as features of text, audio and video; all are there in training, and text alone at test. A hundred of the 1,447
training utterances keep their label. Settings are chosen on halves of the training videos, and the 752 test utterances
choose nothing. The seeds choose who keeps a label, the start and the batches; the test set stays the same.

    MMLAB_DATA=... python benchmarks/ithp_mosi.py
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from provenance import write_result  # noqa: E402

from mmlab.compare.canonical import canonical_correlations  # noqa: E402,F401 - what the chapter measures
from mmlab.compare.intervals import decide  # noqa: E402
from mmlab.data.sets.mosi_features import mosi_features  # noqa: E402
from mmlab.methods.ithp import ITHP  # noqa: E402,F401 - what the chapter measures

CHAPTER = ROOT / "notebooks" / "ithp.py"


def chapter(**parameters: Any) -> dict[str, Any]:
    """What the cells of the chapter define, run with other parameters, up to its exercises."""
    source = CHAPTER.read_text(encoding="utf-8").partition("# ## Exercises")[0]
    for name, value in parameters.items():
        source, count = re.subn(rf"(?m)^{name}\b[^=\n]*=.*$", f"{name} = {value!r}", source, count=1)
        if not count:
            raise ValueError(f"The chapter has no parameter {name!r}.")
    cells: dict[str, Any] = {"__name__": "chapter"}
    exec(compile(source, str(CHAPTER), "exec"), cells)
    return cells


def main() -> None:
    """Run the chapter, and write the JSON."""
    torch.set_num_threads(1)
    began = time.process_time()
    cells = chapter(data="mosi")
    rows = {row: cells["values"]("mosi", row) for row in cells["every"]}
    split = mosi_features()
    gaps = {}
    for row, values in rows.items():
        if row != "ITHP":
            found = decide(rows["ITHP"], values, direction="higher")
            gaps[row] = {"difference": found.difference, "low": found.low, "high": found.high}
    result = {
        "train": len(split.train),
        "with a label": cells["LABELS"],
        "test": len(split.test),
        "positive": round(float((split.test.tensors["label"] == 1).double().mean()), 5),
        "steps": cells["steps"],
        "seeds": cells["seeds"],
        "accuracy": {row: [round(float(v), 5) for v in values] for row, values in rows.items()},
        "ITHP minus row": {row: {k: round(float(v), 5) for k, v in gap.items()} for row, gap in gaps.items()},
        "chosen": {row: cells["spoken"](how) for (_, row), how in cells["chosen"].items()},
        "processor seconds": round(time.process_time() - began),
    }
    write_result(result, __file__)


if __name__ == "__main__":
    main()
