# %% [markdown]
# # Bridge matching
# A placeholder, to have something to build: a Brownian bridge between two points {cite}`liu2023i2sb`.

# %% tags=["parameters"]
sigma = 1.0
steps = 200

# %%
import matplotlib.pyplot as plt
import numpy as np

from mmlab.viz import frames, record, say, show, table

rng = np.random.default_rng(0)
t = np.linspace(0, 1, steps + 1)
walk = np.concatenate([np.zeros((20, 1)), rng.normal(size=(20, steps)).cumsum(1) / np.sqrt(steps)], 1)


def draw(sigma):
    figure, axes = plt.subplots(figsize=(5, 3))
    axes.plot(t, (t + sigma * (walk - t * walk[:, -1:])).T, color="tab:blue", alpha=0.4)
    axes.set(xlabel="time", ylabel="position")
    return figure


# %%
spread = (sigma * (walk - t * walk[:, -1:]))[:, steps // 2].std()
show(
    draw(sigma),
    alt=f"Twenty random paths from 0 to 1 whose spread half-way is {spread:.2f}.",
    caption=rf"Brownian bridges with $\sigma = {sigma}$: $\operatorname{{Var}} X_t = \sigma^2 t (1 - t)$.",
)
say(rf"Half-way the spread is {spread:.2f}; the formula says $\sigma / 2 = {sigma / 2:.2f}$.")
record(spread=spread)

# %%
frames({"σ": [0.1, 0.5, 1.0]}, draw, lambda s: f"Bridges with a spread half-way of {s / 2:.2f}.", "Turn $\\sigma$.")
