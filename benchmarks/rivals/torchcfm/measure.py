"""Ask torchcfm for the exact plan of a seeded batch, the pairs it trains on, and the points and velocities of paths."""

import json

import torch
from torchcfm.conditional_flow_matching import ConditionalFlowMatcher
from torchcfm.optimal_transport import OTPlanSampler

rng = torch.Generator().manual_seed(20261129)
x0 = (torch.randn(24, 3, generator=rng) * 1e4).round() / 1e4
x1 = (torch.randn(24, 3, generator=rng) * 2e4 + 1e4).round() / 1e4
t = (torch.rand(24, generator=rng) * 1e4).round() / 1e4

plan = OTPlanSampler(method="exact").get_map(x0, x1)
entropic = OTPlanSampler(method="sinkhorn", reg=2.0).get_map(x0, x1)
matcher = ConditionalFlowMatcher(sigma=0.3)
noise = (torch.randn(24, 3, generator=rng) * 1e4).round() / 1e4
point = matcher.sample_xt(x0, x1, t, noise)
velocity = matcher.compute_conditional_flow(x0, x1, t, point)

print(
    json.dumps(
        {
            "x0": x0.tolist(),
            "x1": x1.tolist(),
            "partners": torch.as_tensor(plan).argmax(1).tolist(),
            "regularisation": 2.0,
            "entropic plan": torch.as_tensor(entropic).tolist(),
            "t": t.tolist(),
            "noise": noise.tolist(),
            "sigma": 0.3,
            "point": point.tolist(),
            "velocity": velocity.tolist(),
        }
    )
)
