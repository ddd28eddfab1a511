"""The same tweets in six languages, each with a picture; a frozen reader of texts is noisier in some languages.

A tweet has a class y (5). Frozen encoders give

    text in language l     t_l = M[y] + τ η + σ_l ε_l,
    read a second time     u_l = M[y] + τ η + σ_l ε'_l,
    picture                v = N[y] + ρ ε,

with η the vagueness of the tweet itself, the same in all languages and readings. Only σ_l knows the language, and the
picture does not. All noise is normal, so text, picture, both, or two readings have exact answers:
:meth:`TweetsWorld.posterior`. The mean of the readings is all that two of them tell, with noise τ² + σ_l² / 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import nearest, require_at_least

__all__ = ["LANGUAGES", "TweetsWorld", "tweets_world"]

LANGUAGES = {"en": 0.8, "es": 1.05, "pt": 1.1, "fr": 1.3, "zh": 1.6, "hi": 2.3}
"""σ of each language. The order is that of a published table, the numbers are made up."""
_SHARES = (0.25, 0.08, 0.15, 0.12, 0.4)
_SIZE = 12
_VAGUE = 0.7


@dataclass(frozen=True, eq=False)
class TweetsWorld:
    """The law of tweets: :meth:`draw` asks it for tweets as often as one likes.

    Attributes:
        texts: M, (5, 12) float64.
        pictures: N, (5, 12) float64.
        noise: ρ, of the pictures.
    """

    texts: Tensor
    pictures: Tensor
    noise: float

    @property
    def pairs(self) -> TensorData:
        """Five hundred tweets in English with their pictures: what ``mmlab train`` takes of this world."""
        return TensorData(self.in_language(self.draw(500).tensors, "en"))

    def draw(self, count: int, seed: int = 0) -> TensorData:
        """New tweets in all languages.

        Args:
            count: Number of tweets N.
            seed: Seed of the tweets.

        Returns:
            ``texts`` and ``again`` (N, 6, 12), the readings by language, ``image`` (N, 12) and ``label`` (N,).
        """
        require_at_least(count=(count, 1))
        rng = torch.Generator().manual_seed(seed)
        label = torch.multinomial(torch.tensor(_SHARES), count, replacement=True, generator=rng)
        meant = self.texts[label] + _VAGUE * torch.randn(count, _SIZE, generator=rng, dtype=torch.float64)
        sigma = torch.tensor([*LANGUAGES.values()], dtype=torch.float64)[:, None]
        readings = [
            meant[:, None] + sigma * torch.randn(count, len(LANGUAGES), _SIZE, generator=rng, dtype=torch.float64)
            for _ in range(2)
        ]
        image = self.pictures[label] + self.noise * torch.randn(count, _SIZE, generator=rng, dtype=torch.float64)
        tensors = {"texts": readings[0], "again": readings[1], "image": image}
        return TensorData({key: value.float() for key, value in tensors.items()} | {"label": label})

    def in_language(self, tweets: Mapping[str, Tensor], language: str) -> dict[str, Tensor]:
        """Tweets as :meth:`draw` gives them, in one language: ``text`` and ``again`` (N, 12), ``image``, ``label``.

        Raises:
            ValueError: If there is no such language.
        """
        place = self._place(language)
        read = {"text": tweets["texts"][:, place], "again": tweets["again"][:, place]}
        return read | {key: tweets[key] for key in ("image", "label")}

    def evidence(self, language: str, parts: Sequence[str] = ("text", "image")) -> float:
        """Mean over pairs of classes of the squared distance of their means, in units of the noise: E, additive.

        Args:
            language: One of :data:`LANGUAGES`.
            parts: ``"text"``, ``"again"`` (which counts with the text) and ``"image"``.
        """
        places = torch.triu_indices(len(_SHARES), len(_SHARES), 1)
        total = 0.0
        for means, variance in self._seen(language, parts):
            apart = (means[places[0]] - means[places[1]]).square().sum(1)
            total += float(apart.mean()) / variance
        return total

    def posterior(self, batch: Mapping[str, Tensor], language: str, parts: Sequence[str] = ("text", "image")) -> Tensor:
        """Exact probabilities (N, 5) float64 of the classes.

        Args:
            batch: As :meth:`in_language` gives it.
            language: The language of its texts.
            parts: What is looked at, as for :meth:`evidence`.
        """
        seen = {"image": batch["image"]} if "image" in parts else {}
        if read := [batch[name] for name in ("text", "again") if name in parts]:
            seen["text"] = torch.stack(read).mean(0)
        found = torch.tensor(_SHARES, dtype=torch.float64).log()
        order = [*(["text"] if "text" in seen else []), *(["image"] if "image" in seen else [])]
        for name, (means, variance) in zip(order, self._seen(language, parts), strict=True):
            found = found - torch.cdist(seen[name].double(), means).square() / (2 * variance)
        return found.softmax(-1)

    def _seen(self, language: str, parts: Sequence[str]) -> list[tuple[Tensor, float]]:
        """Means of the classes and variance of the noise, of the texts if they are looked at, and of the picture."""
        sigma = [*LANGUAGES.values()][self._place(language)]
        readings = sum(name in parts for name in ("text", "again"))
        found = [(self.texts, _VAGUE**2 + sigma**2 / readings)] if readings else []
        return [*found, (self.pictures, self.noise**2)] if "image" in parts else found

    def _place(self, language: str) -> int:
        if language not in LANGUAGES:
            raise ValueError(f"There is no language {language!r} in this world: {nearest(language, LANGUAGES)}")
        return [*LANGUAGES].index(language)


def tweets_world(noise: float = 1.6, seed: int = 0) -> TweetsWorld:
    """Make a world. The same arguments make the same world.

    Args:
        noise: ρ, of the pictures.
        seed: Seed of the classes' means.

    Raises:
        ValueError: If the noise is not positive.
    """
    if not (math.isfinite(noise) and noise > 0):
        raise ValueError(f"noise={noise} must be a positive number.")
    rng = torch.Generator().manual_seed(seed)
    means = 0.75 * torch.randn(2, len(_SHARES), _SIZE, generator=rng, dtype=torch.float64)
    return TweetsWorld(means[0], means[1], noise)
