"""Loss and gradients of a contrast over the processes of torchrun, printed by the first. Usage: gathering.py"""

from __future__ import annotations

import json

import torch
import torch.distributed as dist
from torch import Tensor

from mmlab.losses.big_batch import gathered_contrast


def towers_and_items() -> tuple[list[Tensor], Tensor, Tensor]:
    """Two linear towers, a log scale, and twelve pairs, in double precision."""
    rng = torch.Generator().manual_seed(0)
    weights = [torch.randn(5, 4, generator=rng, dtype=torch.float64).requires_grad_() for _ in range(2)]
    x, y = torch.randn(2, 12, 5, generator=rng, dtype=torch.float64)
    return [*weights, torch.tensor(1.5, dtype=torch.float64, requires_grad=True)], x, y


if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    parameters, x, y = towers_and_items()
    mine = slice(dist.get_rank() * 6, dist.get_rank() * 6 + 6)
    loss = gathered_contrast(x[mine] @ parameters[0], y[mine] @ parameters[1], parameters[2].exp())
    loss.backward()
    values = torch.cat([loss.detach().view(1), *[p.grad.flatten() for p in parameters if p.grad is not None]])
    dist.all_reduce(values)
    if dist.get_rank() == 0:
        print(json.dumps((values / dist.get_world_size()).tolist()))
    dist.destroy_process_group()
