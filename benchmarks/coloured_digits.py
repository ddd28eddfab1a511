"""What the parts of a U-Net are worth: grey digits to coloured digits by bridge matching, each part taken away in turn.

Two worlds: scikit-learn's digits (8 x 8), trained for longer than in the chapter, and MNIST, averaged to 14 x 14. In
both the best possible network is known in closed form, since a grey image has one right answer for each hue. Every row
is trained for the same number of steps, with three seeds. The file is written after every training, and a second call
goes on where the first one stopped.

    MMLAB_DATA=... OMP_NUM_THREADS=1 python benchmarks/coloured_digits.py
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from provenance import write_result  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from mmlab import fit  # noqa: E402
from mmlab.data.files import registry  # noqa: E402
from mmlab.data.files.arrays import read_arrays  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.data.worlds.coloured_digits_world import (  # noqa: E402
    ColouredDigitsWorld,
    coloured_digits_world,
    paint,
    saturation,
)
from mmlab.diffusion.reference import Reference  # noqa: E402
from mmlab.method import Batch  # noqa: E402
from mmlab.methods.bridge_matching import BridgeMatching, posterior_step  # noqa: E402
from mmlab.nn.unet import ResidualBlock2d, UNet  # noqa: E402

SEEDS, SIGMA, SAMPLING, SECTORS = (0, 1, 2), 1.0, 20, 12
HUES = torch.arange(48) / 48
GREY = 0.1
"""A saturation below which images have no hue to speak of."""
WORLDS: dict[str, dict[str, Any]] = {
    "digits": {"side": 8, "levels": (1, 2), "steps": 200, "test": 200, "drift": True},
    "mnist": {"side": 14, "levels": (1, 2, 4), "steps": 200, "test": 200, "drift": False},
}
PARTS: dict[str, dict[str, Any]] = {
    "everything": {},
    "without time": {"see_time": False},
    "without attention": {"attention": False},
    "without skip connections": {"skips": False},
    "without the source": {"source": False},
    "drift as output": {"parametrisation": "drift"},
    "drift as output, without time": {"parametrisation": "drift", "see_time": False},
}
RESULT = Path(__file__).parent / "results" / "coloured_digits.json"


class Regression(BridgeMatching):
    """The baseline: the same network, trained to guess the target at once."""

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the guess; there is nothing random."""
        start = torch.zeros(len(batch["source"]))
        guess = self.ends(batch["source"], start, batch["source"])[1]
        return {"loss": (guess - batch["target"]).square().mean()}


def build(kind: type[BridgeMatching], side: int, levels: tuple[int, ...], **parts: Any) -> BridgeMatching:
    """A bridge whose network lacks some parts."""
    source, skips = parts.get("source", True), parts.get("skips", True)
    method = kind(
        (3, side, side), 16, 1, SIGMA, parametrisation=parts.get("parametrisation", "endpoint"),
        condition_on_source=source, scale=0.5,
    )  # fmt: skip
    method.network = UNet(
        6 if source else 3, 3 if source else 6, 16, levels, 1,
        attention=parts.get("attention", True), see_time=parts.get("see_time", True),
    )  # fmt: skip
    if not skips:
        cut_skips(method.network)
    return method


def cut_skips(network: UNet) -> None:
    """Let zeros come through the skip connections."""
    below = network.middle2.conv2.out_channels
    for layer in network.up:
        if isinstance(layer, ResidualBlock2d):

            def cut(_: nn.Module, inputs: tuple[Tensor, Tensor], kept: int = below) -> tuple[Tensor, Tensor]:
                hidden, condition = inputs
                return torch.cat([hidden[:, :kept], torch.zeros_like(hidden[:, kept:])], dim=1), condition

            layer.register_forward_pre_hook(cut)
            below = layer.conv2.out_channels


def mnist(side: int, test: int, train: int = 5000) -> ColouredDigitsWorld:
    """Some images of MNIST, averaged down to this side, in colour; the judge is a support vector machine."""
    from sklearn.svm import SVC

    arrays = read_arrays(
        registry.where("mnist") / "mnist.npz",
        registry.source("mnist").files["mnist.npz"].arrays,
        "check with `mmlab data verify mnist`.",
    )
    rng = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(arrays["x_train"]), generator=rng)[: train + test].numpy()
    grey = F.adaptive_avg_pool2d(torch.from_numpy(arrays["x_train"][chosen]).float() / 255, side)
    label = torch.from_numpy(arrays["y_train"][chosen]).long()
    coloured = paint(grey, torch.rand(len(grey), generator=rng))
    tensors = {"source": grey[:, None].repeat(1, 3, 1, 1), "target": coloured, "label": label}
    held_out, learn = (
        TensorData({k: v[part] for k, v in tensors.items()}) for part in (slice(test), slice(test, None))
    )
    judge = SVC(C=10.0).fit(grey[test:].flatten(1).double().numpy(), label[test:].numpy())
    return ColouredDigitsWorld(learn, learn, held_out, judge)


def answers(grey: Tensor) -> Tensor:
    """All right answers to grey images (B, H, W): (B, hues, 3, H, W)."""
    count = len(HUES)
    return paint(grey.repeat_interleave(count, 0), HUES.repeat(len(grey))).unflatten(0, (len(grey), count))


def perfect(x: Tensor, t: Tensor, grey: Tensor) -> Tensor:
    """E[X₁ | X_t = x, x0] in closed form, for states (B, 3, H, W) at one time in (0, 1)."""
    right = answers(grey)  # (B, hues, 3, H, W)
    mean = (1 - t) * grey[:, None, None] + t * right
    surprise = (x[:, None] - mean).square().flatten(2).sum(2) / (2 * SIGMA**2 * t * (1 - t))
    return torch.einsum("bk,bkchw->bchw", (-surprise).softmax(1), right)


def measure(world: ColouredDigitsWorld, images: Tensor, test: Batch) -> dict[str, float | None]:
    """The measures of the chapter, for images (B, 3, H, W) that were made from the test set's sources."""
    distance = (images[:, None] - answers(test["source"][:, 0])).square().flatten(2).mean(2)  # (B, hues)
    nearest, hue = distance.min(1)
    shares = torch.histc(hue.float(), SECTORS, 0, len(HUES)) / len(hue)
    colourful = saturation(images.clamp(0, 1)).mean()
    return {
        "to nearest right answer": float(nearest.mean().sqrt()),
        "class kept": world.kept(images, test["label"]),
        "saturation": float(colourful),
        "uneven hues": float((shares - 1 / SECTORS).abs().sum() / 2) if colourful > GREY else None,
        "RMSE to the drawn one": float((images - test["target"]).square().mean().sqrt()),
    }


def perfect_samples(source: Tensor, seed: int) -> Tensor:
    """Samples of the bridge whose network is the closed form."""
    rng, x = torch.Generator().manual_seed(seed), source
    for s, t in pairwise(torch.linspace(0, 1, SAMPLING + 1)):
        target = perfect(x, s.clamp_min(1e-3), source[:, 0])
        x = posterior_step(Reference(SIGMA), x, target, s, t, torch.randn(x.shape, generator=rng))
    return x


def excess(method: BridgeMatching, test: Batch) -> float:
    """Root mean squared difference between the network and the closed form, over times."""
    source, rng, found = test["source"], torch.Generator().manual_seed(7), []
    with torch.no_grad():
        for t in torch.linspace(0.05, 0.95, 7):
            noise = torch.randn(source.shape, generator=rng)
            x = (1 - t) * source + t * test["target"] + SIGMA * (t * (1 - t)).sqrt() * noise
            given = method.ends(x, t.expand(len(x)), source)[1]
            found.append((given - perfect(x, t, source[:, 0])).square().mean())
    return float(torch.stack(found).mean().sqrt())


def one(name: str, world: ColouredDigitsWorld, title: str, seed: int) -> dict[str, float | None]:
    """Train one row with one seed, and measure it."""
    here, test = WORLDS[title], world.test.batch(torch.arange(len(world.test)))
    regression = name == "regression, same network"
    torch.manual_seed(seed)
    method = build(Regression if regression else BridgeMatching, here["side"], here["levels"], **PARTS.get(name, {}))
    began = time.process_time()
    fit(
        method, world.pairs, steps=here["steps"], batch_size=32, lr=5e-3, schedule="cosine", ema_decay=0.98,
        seed=seed, progress=False,
    )  # fmt: skip
    seconds = time.process_time() - began
    rng = torch.Generator().manual_seed(seed)
    images = method.sample(test["source"], steps=1 if regression else SAMPLING, rng=rng)
    row = measure(world, images, test) | {"seconds": seconds}
    return row if regression else row | {"excess": excess(method, test)}


def references(world: ColouredDigitsWorld, seed: int) -> dict[str, dict[str, float | None]]:
    """Rows that need no training."""
    test = world.test.batch(torch.arange(len(world.test)))
    source = test["source"]
    rng = torch.Generator().manual_seed(seed)
    images = {
        "identity": source,
        "mean image": world.pairs.tensors["target"].mean(0).expand_as(source),
        "half as bright": source / 2,
        "perfect network": perfect_samples(source, seed),
        "painted in a random hue": paint(source[:, 0], torch.rand(len(source), generator=rng)),
    }
    return {name: measure(world, image, test) for name, image in images.items()}


def main() -> None:
    """Run what is missing, and write the JSON after every row."""
    results: dict[str, Any] = {"torch": torch.__version__, "sigma": SIGMA, "seeds": len(SEEDS), "worlds": {}}
    if RESULT.exists():
        results = json.loads(RESULT.read_text(encoding="utf-8"))
        if results["torch"] != torch.__version__:
            raise SystemExit(f"{RESULT} was measured with torch {results['torch']}: remove it to measure again.")
    for title, here in WORLDS.items():
        world = coloured_digits_world(test=here["test"]) if title == "digits" else mnist(here["side"], here["test"])
        kept = results["worlds"].setdefault(title, {**here, "images to train on": len(world.pairs), "rows": {}})
        rows = kept["rows"]
        for seed in SEEDS:
            for name, row in references(world, seed).items():
                _add(rows, name, seed, row)
            for name in (*PARTS, "regression, same network"):
                if "drift" in name and not here["drift"]:
                    continue  # one world is enough for this side question
                if len(rows.get(name, [])) <= seed:
                    row = one(name, world, title, seed)
                    _add(rows, name, seed, row)
                    print(title, seed, name, row, flush=True)
                    _write(results)
    _write(results)


def _add(rows: dict[str, list[dict[str, float | None]]], name: str, seed: int, row: dict[str, float | None]) -> None:
    if len(rows.setdefault(name, [])) <= seed:
        rows[name].append(row)


def _write(results: dict[str, Any]) -> None:
    write_result(results, __file__)


if __name__ == "__main__":
    main()
