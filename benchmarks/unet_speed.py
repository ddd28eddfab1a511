"""One call of the U-Net on matrices of 400 regions as images: all at once, image by image, channels last, bfloat16.

The variants change no weight. Each row also says how far its output is from that of the first, relative to the spread
of the output. The U-Net of diffusers with as many channels and blocks stands beside it. All are interleaved.

    OMP_NUM_THREADS=1 python benchmarks/unet_speed.py
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import torch  # noqa: E402
from diffusers import UNet2DModel  # noqa: E402
from provenance import write_result  # noqa: E402
from torch import Tensor  # noqa: E402

from mmlab.nn import unet  # noqa: E402
from mmlab.nn.unet import UNet  # noqa: E402

IMAGES, REGIONS, CHANNELS, ROUNDS = 4, 400, 16, 5


def main() -> None:
    """Time the variants, print them and write the result."""
    torch.manual_seed(0)
    network = UNet(2, 1, CHANNELS, multipliers=(1, 2), blocks=1, attention=False).eval()
    torch.nn.init.normal_(network.last.weight, std=0.1)  # the output starts at zero: nothing could be compared
    peer = UNet2DModel(
        in_channels=2,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(CHANNELS, 2 * CHANNELS),
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        norm_num_groups=8,
        add_attention=False,
    ).eval()
    x, t = torch.randn(IMAGES, 2, REGIONS, REGIONS), torch.rand(IMAGES)
    last = {"memory_format": torch.channels_last}
    large = unet.LARGE_IMAGE

    def at_once(images: Tensor) -> Tensor:
        unet.LARGE_IMAGE = sys.maxsize
        output = network(images, t)
        unet.LARGE_IMAGE = large
        return output

    def in_bfloat16(images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return network(images, t).float()

    arms: dict[str, tuple[bool, Callable[[], Tensor]]] = {
        "all at once": (False, lambda: at_once(x)),
        "image by image": (False, lambda: network(x, t)),
        "all at once, channels last": (True, lambda: at_once(x.to(**last))),
        "image by image, channels last": (True, lambda: network(x.to(**last), t)),
        "the same in bfloat16": (True, lambda: in_bfloat16(x.to(**last))),
        "diffusers' UNet2DModel": (False, lambda: peer(x, 1000 * t).sample),
    }
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    outputs = {}
    with torch.no_grad():
        for _ in range(ROUNDS + 1):  # the first round warms up
            for name, (channels_last, call) in arms.items():
                network.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
                began = time.process_time()
                outputs[name] = call()
                seconds[name].append(time.process_time() - began)
    first = outputs["all at once"]
    rows = [
        {
            "name": name,
            "seconds": median(taken[1:]),
            "times faster": median(a / b for a, b in zip(seconds["all at once"][1:], taken[1:], strict=True)),
            "difference": float((outputs[name] - first).abs().max() / first.std()) if "diffusers" not in name else None,
            "parameters": sum(p.numel() for p in (peer if "diffusers" in name else network).parameters()),
        }
        for name, taken in seconds.items()
    ]
    for row in rows:
        print(row)
    write_result({"images": IMAGES, "regions": REGIONS, "rounds": ROUNDS, "rows": rows}, __file__)


if __name__ == "__main__":
    main()
