"""Ask evalica for strengths of systems from seeded votes with ties, and for the agreement of judges."""

import json

import evalica
import numpy as np
import pandas as pd

rng = np.random.default_rng(20261129)

SYSTEMS = ["A", "B", "C", "D", "E", "F"]
strengths = np.array([0.0, 0.3, 0.6, 0.9, 1.2, 2.0])
pairs = np.array([rng.choice(6, 2, replace=False) for _ in range(600)])
odds = strengths[pairs[:, 0]] - strengths[pairs[:, 1]]
wins = rng.random(600) < 1 / (1 + np.exp(-odds))
ties = rng.random(600) < 0.15
votes = [
    [SYSTEMS[x], SYSTEMS[y], "tie" if tie else "first" if won else "second"]
    for (x, y), won, tie in zip(pairs.tolist(), wins.tolist(), ties.tolist(), strict=True)
]
WINNER = {"first": evalica.Winner.X, "second": evalica.Winner.Y, "tie": evalica.Winner.Draw}
asked = ([x for x, _, _ in votes], [y for _, y, _ in votes], [WINNER[who] for _, _, who in votes])
found = evalica.bradley_terry(*asked, tie_weight=0.5, tolerance=1e-12, limit=100_000)
elo = evalica.elo(*asked)

truth = rng.integers(0, 4, 40)
ratings = np.where(rng.random((5, 40)) < 0.7, truth, rng.integers(0, 4, (5, 40))).astype(float)
ratings[rng.random((5, 40)) < 0.2] = np.nan
frame = pd.DataFrame(ratings)
alphas = {distance: float(evalica.alpha(frame, distance).alpha) for distance in ("nominal", "ordinal", "interval")}

print(
    json.dumps(
        {
            "votes": votes,
            "bradley_terry": {name: float(found.scores[name]) for name in SYSTEMS},
            "elo": {name: float(elo.scores[name]) for name in SYSTEMS},
            "ratings": [[None if np.isnan(x) else int(x) for x in row] for row in ratings],
            "alpha": alphas,
        }
    )
)
