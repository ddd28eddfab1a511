"""Ask cca-zoo for the canonical correlations of two seeded views, and the shared variables of three."""

import json

import numpy as np
from cca_zoo.linear import CCA, GCCA

rng = np.random.default_rng(20261129)
shared = rng.standard_normal((80, 2))
views = [shared @ rng.standard_normal((2, size)) + rng.standard_normal((80, size)) for size in (4, 5, 3)]
views = [np.round(view, 6) for view in views]  # what is written is what was asked

two = CCA(n_components=3).fit(views[:2])
scores = [np.asarray(part) for part in two.transform(views[:2])]
correlations = [float(np.corrcoef(scores[0][:, k], scores[1][:, k])[0, 1]) for k in range(3)]

three = GCCA(n_components=2).fit(views)
parts = [np.asarray(part) for part in three.transform(views)]
mean = np.sum(parts, axis=0)  # each view's regression on the shared variables: their sum is along them
mean = mean - mean.mean(0)
variables = mean / np.linalg.norm(mean, axis=0)

print(
    json.dumps(
        {
            "views": [view.tolist() for view in views],
            "correlations": correlations,
            "shared variables": variables.tolist(),
        }
    )
)
