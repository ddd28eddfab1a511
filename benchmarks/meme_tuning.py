"""How much tuning does a meaning need? Rank of LoRA, number of examples, and what else could be trained.

The base of the chapter on memes says what is drawn and has seen no meaning. It is tuned on the meaning task of
mini-memes in several ways, with the same number of steps, and asked about memes whose pair of figures is in no training
example. Beside the share of exact answers stands what was lost: the literal task, asked of the tuned model.

    OMP_NUM_THREADS=1 python benchmarks/meme_tuning.py
"""

from __future__ import annotations

import copy
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import pandas as pd  # noqa: E402
from provenance import write_result  # noqa: E402

from mmlab import fit  # noqa: E402
from mmlab.bases.tiny_llava import VISION, tiny_base  # noqa: E402
from mmlab.data.conversations import Conversations, read_answers, tokenizer_of  # noqa: E402
from mmlab.data.worlds.mini_memes import Item, MiniMemes  # noqa: E402
from mmlab.methods.tinyllava import TinyLLaVA  # noqa: E402
from mmlab.train.tuning import add_lora, train_only, trainable  # noqa: E402

SEEDS, STEPS, RANK, EXAMPLES = (0, 1, 2), 300, 8, 1000
RANKS, SIZES = (1, 2, 4, 8, 16, 64), (20, 60, 120, 300, 600, 1000)
ASKED = 200
SLOWLY = ", a third of the rate"
SIZE = int(VISION["image_size"])


def exact(method: TinyLLaVA, world: MiniMemes, items: Sequence[Item]) -> float:
    """Share of answers, written greedily, that are right to the letter."""
    tokenizer = tokenizer_of(world.sentences())
    data = Conversations(items, tokenizer, size=SIZE)
    written: list[str] = []
    for start in range(0, len(items), 100):
        batch = data.prompts(range(start, min(start + 100, len(items))))
        written += read_answers(method.generate(batch, max_new_tokens=10, do_sample=False), tokenizer)
    return sum(one == item[1][0].answer for one, item in zip(written, items, strict=True)) / len(items)


def tune(base: TinyLLaVA, world: MiniMemes, how: str, examples: int, seed: int) -> dict[str, Any]:
    """One copy of the base, tuned and asked."""
    method = copy.deepcopy(base)
    if how == "connector alone":
        train_only(method, "connector")
    elif how == "everything":
        train_only(method, "connector", "language_model")
    else:
        add_lora(method, int(how.split()[3].rstrip(",")), seed=seed)
    learnt = random.Random(seed).sample(world.meaning("train"), examples)
    data = Conversations(learnt, tokenizer_of(world.sentences()), size=SIZE)
    begun = time.process_time()
    rate = 3e-3 if how == "everything" or how.endswith(SLOWLY) else 1e-2
    fit(
        method,
        data,
        steps=STEPS,
        batch_size=16,
        lr=rate,
        warmup=20,
        schedule="cosine",
        betas=(0.9, 0.99),
        seed=seed,
        progress=False,
    )
    row = {"weights": trainable(method), "seconds": time.process_time() - begun}
    row["meaning"] = exact(method, world, world.meaning("test")[:ASKED])
    row["literal"] = exact(method, world, world.literal("test")[:ASKED])
    return row


def main() -> None:
    """Every way of tuning on every seed; print the table, write the JSON."""
    rows: list[dict[str, Any]] = []
    for seed in SEEDS:
        base, world = tiny_base(seed)
        rows.append(
            {
                "seed": seed, "what": "base, not tuned", "examples": 0, "weights": 0, "seconds": 0.0,
                "meaning": exact(base, world, world.meaning("test")[:ASKED]),
                "literal": exact(base, world, world.literal("test")[:ASKED]),
            }
        )  # fmt: skip
        ways = [(f"LoRA of rank {rank}", EXAMPLES) for rank in RANKS]
        ways += [(f"LoRA of rank {RANK}", examples) for examples in SIZES if examples != EXAMPLES]
        ways += [(f"LoRA of rank {rank}{SLOWLY}", EXAMPLES) for rank in (RANK, RANKS[-1])]
        ways += [("connector alone", EXAMPLES), ("everything", EXAMPLES)]
        for how, examples in ways:
            rows.append({"seed": seed, "what": how, "examples": examples, **tune(base, world, how, examples, seed)})
            print(rows[-1], flush=True)
    grouped = pd.DataFrame(rows).drop(columns="seed").groupby(["what", "examples"], sort=False)
    print(grouped.mean().round(3).to_string())
    result = {"seeds": list(SEEDS), "steps": STEPS, "asked": ASKED, "rows": []}
    for (what, examples), part in grouped:
        values = {key: [round(float(v), 4) for v in part[key]] for key in ("meaning", "literal", "seconds")}
        result["rows"].append({"what": what, "examples": examples, "weights": int(part["weights"].iloc[0]), **values})
    write_result(result, __file__)


if __name__ == "__main__":
    main()
