# %% [markdown]
# # Wgan qc
#
# Say what the reader will be able to do after this chapter, and which question it answers {cite}`wgan_qc`.
#
# ## The idea
#
# One picture or one example, before any formula.
#
# ## The mathematics
#
# Number the equations of the paper that the module uses; the same numbers stand there as comments.
#
# $$
# \mathcal{L}(W) = \tfrac{1}{n} \lVert W x - y \rVert^2 \tag{1}
# $$

# %% tags=["parameters"]
steps = 200
seed = 0

# %%
import matplotlib.pyplot as plt
import pandas as pd
import torch

import mmlab
from mmlab.data.rest_motor_world import rest_motor_world
from mmlab.methods.wgan_qc import WganQc
from mmlab.viz import record, say, show, table

# %% [markdown]
# ## The data
#
# Say where they come from, what the ceiling is, and how they are split.

# %%
world = rest_motor_world(subjects=120, regions=20, seed=seed)
train, test = world.pairs.split(test_size=40, seed=seed)
torch.manual_seed(seed)
method = WganQc(shape=tuple(train.source.shape[1:]))

# %% [markdown]
# ## Training

# %%
history = mmlab.fit(method, train, steps=steps, seed=seed, progress=False)
losses = history.values()
figure, axes = plt.subplots(figsize=(5, 3))
axes.semilogy(losses)
axes.set(xlabel="step", ylabel="squared error per edge")
description = f"The loss falls from {losses[0]:.3f} to {losses[-1]:.3f}."
show(figure, alt=description, caption="Training loss.")

# %% [markdown]
# ## Does it survive the dull rivals?
#
# Print the baselines and the ceiling beside the method. If the method does not win, say so and explain why.

# %%
from mmlab.metrics.connectome import rmse
from mmlab.metrics.connectome_baselines import baselines

predictions = baselines(train, test)
predictions["Wgan qc"] = method.predict(test.source)
errors = {name: rmse(made, test.target) for name, made in predictions.items()}
table(pd.DataFrame({"RMSE": errors}), "Test set", best={"RMSE": "lower"})
error = errors["Wgan qc"]
rival = errors["mean shift"]
say(f"The method's error is {error:.3f}, that of the mean shift {rival:.3f}.")
record(rmse=error, rmse_mean_shift=rival)

# %% [markdown]
# ## Exercises
#
# ```{exercise} The loss of Wgan qc (code)
# :label: wgan-qc-loss
#
# Write the loss (1) of a prediction and its target, both of shape (B, E).
# ```

# %% tags=["stub:loss"]
from mmlab.exercises.wgan_qc import check_loss


def loss(prediction, target):
    return ...


check_loss(loss)

# %% [markdown]
# ```{solution-start} wgan-qc-loss
# :class: dropdown
# ```


# %% tags=["solution:loss"]
def loss(prediction, target):
    return (prediction - target).square().mean()


check_loss(loss)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The best constant for Wgan qc (think)
# :label: wgan-qc-constant
#
# Which constant answer has the least loss, and how large is it?
# ```
#
# ```{solution-start} wgan-qc-constant
# :class: dropdown
# ```

# %%
constant = train.target.mean(0)
least = loss(constant.expand_as(test.target), test.target)
say(f"The mean of the targets: its loss is their variance, {least:.4f} here.")

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why is the loss divided by the number of entries?
# So that it can be compared between sizes of the matrix.
# ```
#
# ```{dropdown} Why does the table hold the mean shift?
# It is the dull rival: it knows the person's rest and nothing else.
# ```
