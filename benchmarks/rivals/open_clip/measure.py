"""Ask open_clip for its contrastive losses of a seeded batch of embeddings."""

import json

import torch
from open_clip.loss import ClipLoss, SigLipLoss
from torch.nn.functional import normalize

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
            "clip loss": ClipLoss()(*unit, scale.double()).item(),
            "siglip loss": SigLipLoss()(*unit, scale.double(), bias.double()).item(),
        }
    )
)
