"""What samplers draw where the law is known, and what they expect where there are few pairs and many values.

Laws: the energy distance from the truth given the source, beside the floor of a second true draw, the distance of the
conditional mean and that of a sampler that ignores its source; the share of samples in the gap of two modes; the error
of the mean of samples where sources tell nothing. The Schrödinger bridge knows no pairs, and is asked for the law of
all targets. Rest to motor: 200 people to learn from, 100 to test, 780 edges; the settings of the training are chosen on
worlds 10 to 12 and measured on others. Hemispheres: a low-rank world of 160 people to learn from and 40 to test.

    OMP_NUM_THREADS=1 python benchmarks/conditional_laws.py                  # all that is not kept yet, then the result
    OMP_NUM_THREADS=1 python benchmarks/conditional_laws.py laws 21 1 0      # one part, kept: seed, size and law,
    OMP_NUM_THREADS=1 python benchmarks/conditional_laws.py rest_motor 10 0  # a world and a setting,
    OMP_NUM_THREADS=1 python benchmarks/conditional_laws.py hemispheres 40   # a seed
    OMP_NUM_THREADS=1 python benchmarks/conditional_laws.py write            # the result, from what was kept
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from provenance import write_result  # noqa: E402
from torch import Tensor  # noqa: E402

from mmlab import fit  # noqa: E402
from mmlab.compare.connectome_baselines import baselines  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.data.worlds.conditional_laws_world import ConditionalLaw, Law, conditional_laws_world  # noqa: E402
from mmlab.data.worlds.rest_motor_world import rest_motor_world  # noqa: E402
from mmlab.methods.bridge_matching import BridgeMatching  # noqa: E402
from mmlab.methods.ddbm import DDBM  # noqa: E402
from mmlab.methods.diffeo_cfm import DiffeoCFM  # noqa: E402
from mmlab.methods.flow_matching import FlowMatching  # noqa: E402
from mmlab.methods.schrodinger_bridge import SchrodingerBridge  # noqa: E402
from mmlab.methods.score_diffusion import ScoreDiffusion  # noqa: E402
from mmlab.methods.tangent_bridge import TangentBridge  # noqa: E402
from mmlab.metrics.transport import conditional_energy_distance, energy_distance, exchange_test  # noqa: E402

METHODS: dict[str, Any] = {
    "bridge_matching": BridgeMatching,
    "ddbm": DDBM,
    "score_diffusion": ScoreDiffusion,
    "flow_matching": FlowMatching,
    "tangent_bridge": TangentBridge,
    "diffeo_cfm": DiffeoCFM,
    "schrodinger_bridge": SchrodingerBridge,
}
SIBLINGS = ("bridge_matching", "ddbm", "score_diffusion", "flow_matching")
ON_CORRELATIONS = ("tangent_bridge", "diffeo_cfm")
UNPAIRED = ("schrodinger_bridge",)
LAW_SEEDS, SIZES = (21, 22), (1, 2)
SETTINGS: dict[str, dict[str, Any]] = {
    "constant rate": {},
    "cosine": {"schedule": "cosine"},
    "cosine and average": {"schedule": "cosine", "ema_decay": 0.99},
}
CHOOSE, TEST = (10, 11, 12), (30, 31)
HEMISPHERES = (40, 41, 42)
PARTS = Path(tempfile.gettempdir()) / "mmlab-conditional-laws"


def build(stem: str, size: int, width: int, seed: int) -> Any:
    """A method over vectors, with the arguments with which it claims to draw."""
    cls = METHODS[stem]
    arguments = cls.draws.arguments if cls.draws else {"coupling": "sinkhorn"}
    return cls.seeded(seed, (size,), width=width, **arguments)


def laws(seed: int, size: int, number: int, points: int = 1000) -> Iterator[dict[str, Any]]:
    """One row for each method on the law of this number."""
    name: Law = get_args(Law)[number]
    law, rng = ConditionalLaw(name, size), torch.Generator().manual_seed(100 + seed)
    data = conditional_laws_world(name, size, 8000, seed)
    source = law.sources(points, rng)
    truth, again = law.sample(source, rng), law.sample(source, rng)
    repeated = {"truth": torch.stack([law.sample(source, rng) for _ in range(20)])}
    drawn = {
        "truth": again,
        "conditional mean": law.mean(source),
        "source ignored": law.sample(law.sources(points, rng), rng),
    }
    # It takes longer than all others together, and is not meant to pass: one law shows what is lost.
    unpaired = UNPAIRED if seed == LAW_SEEDS[0] and size == 1 and name == "two_modes" else ()
    for stem in (*SIBLINGS, *(ON_CORRELATIONS if size == 1 else ()), *unpaired):
        draw = _trained(stem, data, size, seed)
        drawn[stem] = draw(source)
        if name == "unrelated":
            repeated[stem] = torch.stack([draw(source) for _ in range(20)])
    for row, sample in drawn.items():
        test = torch.Generator().manual_seed(seed)
        yield {
            "law": name,
            "size": size,
            "seed": seed,
            "row": row,
            "energy": conditional_energy_distance(sample, truth, source),
            "p": exchange_test(sample, truth, test, given=source),
            "energy of all": energy_distance(sample, truth),
            "gap": law.gap(source, sample) if name == "two_modes" else None,
            "rmse of the mean": _rmse(repeated[row].mean(0), truth)
            if row in repeated and name == "unrelated"
            else None,
        }


def _trained(stem: str, data: TensorData, size: int, seed: int) -> Callable[[Tensor], Tensor]:
    """A function that draws for sources; methods of correlations see the hyperbolic tangents of half the values."""
    method = build(stem, size, 64, seed)
    correlations = stem in ON_CORRELATIONS
    if correlations:
        data = TensorData({key: (value / 2).tanh() for key, value in data.tensors.items()})
    fit(method, data, steps=300, batch_size=256, lr=3e-3, schedule="cosine", seed=seed, progress=False)
    rng = torch.Generator().manual_seed(seed)

    def draw(source: Tensor) -> Tensor:
        if not correlations:
            return method.sample(source, rng=rng)
        return 2 * method.sample((source / 2).tanh(), rng=rng).clamp(-1 + 1e-6, 1 - 1e-6).atanh()

    return draw


def rest_motor(seed: int, setting: int) -> Iterator[dict[str, Any]]:
    """Error of bridge matching on one world with one setting of its training, beside the baselines."""
    world = rest_motor_world(subjects=300, regions=40, seed=seed)
    train, test = world.pairs.split(100, seed=seed)
    use = "choose" if seed in CHOOSE else "test"
    if use == "test" and setting == 0:
        for name, made in baselines(train, test).items():
            yield {"seed": seed, "row": name, "rmse": _rmse(made, test.target), "use": use}
    name = list(SETTINGS)[setting]
    method = build("bridge_matching", train.source.shape[1], 256, seed)
    fit(method, train, steps=300, lr=1e-3, weight_decay=10.0, seed=seed, progress=False, **SETTINGS[name])
    made = _samples(method, test.source).mean(0)
    yield {"seed": seed, "row": name, "rmse": _rmse(made, test.target), "use": use}


def hemispheres(seed: int, people: int = 200, size: int = 400, rank: int = 12) -> Iterator[dict[str, Any]]:
    """Left to right in a world of positive weights, whose people differ in a few directions that both sides share."""
    rng = torch.Generator().manual_seed(seed)
    traits = torch.randn(people, rank, generator=rng)
    sides = [torch.randn(rank, size, generator=rng) * 0.3 / rank**0.5 for _ in range(2)]
    level = torch.randn(2, size, generator=rng)
    x, y = (
        (level[i] + traits @ sides[i] + 0.2 * torch.randn(people, size, generator=rng)).exp().log1p() for i in (0, 1)
    )
    train = TensorData({"source": x[:160], "target": y[:160]})
    test = TensorData({"source": x[160:], "target": y[160:]})
    for name, made in baselines(train, test).items():
        yield {"seed": seed, "row": name, "rmse": _rmse(made, y[160:])}
    for stem in SIBLINGS:
        method = build(stem, size, 128, seed)
        fit(method, train, steps=200, lr=1e-3, schedule="cosine", ema_decay=0.99, seed=seed, progress=False)
        drawn = _samples(method, x[160:])
        error = _rmse(drawn.mean(0), y[160:])
        noise = float(drawn.var(0).mean()) / len(drawn)  # of the mean of so few samples
        yield {"seed": seed, "row": stem, "rmse": error, "limit": max(error**2 - noise, 0.0) ** 0.5}


def _samples(method: Any, source: Tensor, samples: int = 20) -> Tensor:
    """(K, S, E), K samples for each source."""
    rng = torch.Generator().manual_seed(0)
    return method.sample(source.repeat(samples, 1), steps=10, rng=rng).reshape(samples, *source.shape)


def _rmse(made: Tensor, truth: Tensor) -> float:
    return float((made - truth).square().mean().sqrt())


RUNS: dict[str, tuple[Callable[..., Iterator[dict[str, Any]]], list[tuple[int, ...]]]] = {
    "laws": (laws, [(seed, size, law) for size in SIZES for seed in LAW_SEEDS for law in range(len(get_args(Law)))]),
    "rest_motor": (rest_motor, [(seed, setting) for seed in CHOOSE + TEST for setting in range(len(SETTINGS))]),
    "hemispheres": (hemispheres, [(seed,) for seed in HEMISPHERES]),
}
"""Each part with the arguments of its pieces, none of which takes long."""
KEYS = {"laws": ("seed", "size", "law"), "rest_motor": ("seed", "row"), "hemispheres": ("seed",)}
"""What tells a piece of each part by its rows."""


def _kept(part: str, piece: tuple[int, ...]) -> Path:
    return PARTS / f"{'-'.join(map(str, (part, *piece)))}.json"


def measure(part: str, piece: tuple[int, ...]) -> None:
    """One piece, row by row."""
    PARTS.mkdir(exist_ok=True)
    rows: list[dict[str, Any]] = []
    for row in RUNS[part][0](*piece):
        rows.append(row)
        print(row, flush=True)
    _kept(part, piece).write_text(json.dumps(rows), encoding="utf-8")


def write() -> None:
    """The result, from all pieces that were kept; it says which were not, and keeps their earlier rows."""
    path = ROOT / "benchmarks" / "results" / "conditional_laws.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    date = before.get("provenance", {}).get("date", "an earlier day")
    results: dict[str, Any] = {}
    anew = False
    for part, (_, pieces) in RUNS.items():
        there = [piece for piece in pieces if _kept(part, piece).exists()]
        results[part] = [row for piece in there for row in json.loads(_kept(part, piece).read_text(encoding="utf-8"))]
        results[f"{part}, not measured"] = [list(piece) for piece in pieces if piece not in there]
        anew |= bool(there)
        new = {tuple(row[key] for key in KEYS[part]) for row in results[part]}
        old = [row for row in before.get(part, []) if tuple(row[key] for key in KEYS[part]) not in new]
        results[part] += [{"measured before": date, **row} for row in old]
    if not anew:
        sys.exit("Nothing was measured anew: the result stays as it was, with its date.")
    results["laws"].sort(key=lambda row: get_args(Law).index(row["law"]))
    write_result(results, __file__)


def main() -> None:
    """Measure one piece, or everything."""
    part, *piece = sys.argv[1:] or ["all"]
    if part != "write":
        asked = tuple(map(int, piece))
        for name in RUNS if part == "all" else (part,):
            for each in RUNS[name][1]:
                if each[: len(asked)] == asked and not _kept(name, each).exists():
                    measure(name, each)
    if part in ("all", "write"):
        write()


if __name__ == "__main__":
    main()
