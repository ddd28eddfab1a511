"""Ask open_clip for its contrastive losses of a seeded batch of embeddings.

The package cannot be imported beside a torch that is built for the CPU, unless torchvision is, too, which the package
index does not have. The losses need torch alone, so the file that holds them is loaded by itself.
"""

import importlib.util
import json
from pathlib import Path

import torch
from torch.nn.functional import normalize

package = importlib.util.find_spec("open_clip")
file = Path(package.submodule_search_locations[0]) / "loss.py"
spec = importlib.util.spec_from_file_location("open_clip_loss", file)
loss = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loss)

rng = torch.Generator().manual_seed(20261129)
image = (torch.randn(12, 8, generator=rng) * 1e4).round() / 1e4
text = (torch.randn(12, 8, generator=rng) * 1e4).round() / 1e4
scale, bias = torch.tensor(12.5), torch.tensor(-4.0)
unit = normalize(image.double(), dim=-1), normalize(text.double(), dim=-1)

print(
    json.dumps(
        {
            "image": image.tolist(),
            "text": text.tolist(),
            "scale": scale.item(),
            "bias": bias.item(),
            "clip loss": loss.ClipLoss()(*unit, scale.double()).item(),
            "siglip loss": loss.SigLipLoss()(*unit, scale.double(), bias.double()).item(),
        }
    )
)
