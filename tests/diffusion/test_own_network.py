"""Any network of the right inputs and outputs can take the place of the built one, and is saved with the method."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmlab import fit
from mmlab.data.tensors import TensorData
from mmlab.methods.bridge_matching import BridgeMatching
from mmlab.methods.ddbm import DDBM
from mmlab.methods.flow_matching import FlowMatching
from mmlab.methods.schrodinger_bridge import SchrodingerBridge
from mmlab.methods.score_diffusion import ScoreDiffusion
from mmlab.methods.tangent_bridge import TangentBridge


class Plain(nn.Module):
    """Vectors (B, K, E) and times (B,) to vectors (B, outputs, E)."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.layer = nn.Linear(inputs * size + 1, outputs * size)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Run it."""
        return self.layer(torch.cat([x.flatten(1), t[:, None]], 1)).unflatten(1, (self.outputs, -1))


@pytest.mark.parametrize(
    ("method", "inputs", "outputs", "size"),
    [(BridgeMatching, 2, 1, 3), (DDBM, 2, 1, 3), (ScoreDiffusion, 2, 1, 3), (FlowMatching, 1, 1, 3),
     (SchrodingerBridge, 1, 2, 3), (TangentBridge, 2, 1, 6)],
)  # fmt: skip
def test_a_network_of_ones_own_is_trained_saved_and_loaded(
    method: type, inputs: int, outputs: int, size: int, tmp_path: Path
) -> None:
    own = Plain(inputs, outputs, size)
    before = own.layer.weight.detach().clone()
    built = method((3,), network=own)
    source = 0.3 * torch.randn(16, 3, generator=torch.Generator().manual_seed(0)).tanh()
    data = TensorData({"source": source, "target": source.flip(1)})
    fit(built, data, steps=3, batch_size=16, progress=False)
    assert not torch.equal(own.layer.weight, before)
    built.save_pretrained(tmp_path)
    again = method.from_pretrained(tmp_path, network=Plain(inputs, outputs, size))
    drawn = [m.sample(source, rng=torch.Generator().manual_seed(1)) for m in (built, again)]
    assert torch.equal(*drawn)
