"""The world of tweets: its answers are calibrated, evidence adds up, and the picture knows no language."""

import pytest
import torch

from mmlab.data.worlds.tweets_world import LANGUAGES, tweets_world
from mmlab.metrics.classification import accuracy

PARTS = [("text",), ("image",), ("text", "image"), ("text", "again"), ("text", "again", "image")]


@pytest.mark.parametrize("parts", PARTS)
def test_answers_are_calibrated(parts: tuple[str, ...]) -> None:
    world = tweets_world()
    tweets = world.draw(20000, 1).tensors
    for language in ("en", "hi"):
        batch = world.in_language(tweets, language)
        answer = world.posterior(batch, language, parts)
        assert accuracy(answer, batch["label"]) == pytest.approx(answer.max(1).values.mean().item(), abs=0.01)


def test_two_readings_by_the_whole_covariance() -> None:
    world = tweets_world()
    batch = world.in_language(world.draw(5, 2).tensors, "fr")
    sigma, vague = LANGUAGES["fr"], 0.7
    one = torch.eye(12, dtype=torch.float64)
    zero = torch.zeros(12, 12, dtype=torch.float64)
    shared = vague**2 * one
    rows = [
        [shared + sigma**2 * one, shared, zero],
        [shared, shared + sigma**2 * one, zero],
        [zero, zero, 1.6**2 * one],
    ]
    covariance = torch.cat([torch.cat(row, 1) for row in rows])
    means = torch.cat([world.texts, world.texts, world.pictures], 1)
    seen = torch.cat([batch["text"], batch["again"], batch["image"]], 1).double()
    shares = torch.tensor([0.25, 0.08, 0.15, 0.12, 0.4], dtype=torch.float64)
    law = torch.stack([torch.distributions.MultivariateNormal(m, covariance).log_prob(seen) for m in means], 1)
    wanted = (law + shares.log()).softmax(1)
    torch.testing.assert_close(world.posterior(batch, "fr", ("text", "again", "image")), wanted)


def test_evidence_adds_up_and_the_picture_adds_the_same_everywhere() -> None:
    world = tweets_world()
    picture = world.evidence("en", ("image",))
    texts = [world.evidence(language, ("text",)) for language in LANGUAGES]
    assert texts == sorted(texts, reverse=True)
    for language, text in zip(LANGUAGES, texts, strict=True):
        assert world.evidence(language) == pytest.approx(text + picture)
        assert world.evidence(language, ("text", "again")) > text
    i, j = torch.triu_indices(5, 5, 1)
    apart = (world.pictures[i] - world.pictures[j]).square().sum(1) / world.noise**2
    assert picture == pytest.approx(apart.mean().item())


def test_languages_share_the_tweet_and_the_seed_fixes_all() -> None:
    world = tweets_world()
    tweets = world.draw(4000, 3).tensors
    assert torch.equal(tweets["texts"], world.draw(4000, 3).tensors["texts"])
    off = tweets["texts"] - world.texts[tweets["label"]][:, None].float()
    shared = (off[:, 0] * off[:, 5]).mean().item()
    assert shared == pytest.approx(0.49, abs=0.05)
    assert set(world.pairs.tensors) == {"text", "again", "image", "label"}


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no language 'english'"):
        tweets_world().evidence("english")
    with pytest.raises(ValueError, match="noise=0 must be a positive"):
        tweets_world(0)
