"""The checks of the chapter tinyllava accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests
from mmlab.exercises.tinyllava import check_loss, check_splice

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "splice": [
        ("words[place + 1 :]", "words[place:]", "words go on behind it"),
        ("words[:place]", "words[: place + 1]", "end in front of it"),
        ("words[:place], picture,", "picture, words[:place],", "in front of everything"),
        ("picture, words[place + 1 :]", "words[place + 1 :], picture", "behind everything"),
        ("picture,", "picture.mean(0, keepdim=True),", "averaged into one"),
        ("words[:place], picture, words[place + 1 :]", "words[:place], words[place + 1 :]", "shape"),
    ],
    "loss": [
        ("logits[:, :-1], labels[:, 1:]", "logits, labels", "*at* it"),
        ("logits[:, :-1], labels[:, 1:]", "logits[:, 1:], labels[:, :-1]", "wrong way"),
        (".mean()", ".sum()", "This is the sum"),
        (".mean()", ".sum() / asked.numel()", "all positions"),
        (".mean()", ".sum() / len(labels)", "number of rows"),
        ("-log_p", "log_p", "sign is missing"),
    ],
    "size": [
        ("** 2 - 1", "** 2", "kept the first patch"),
        ("384 // 14", "-(-384 // 14)", "a part of a patch"),
        ("(384 // 14) ** 2 - 1", "752", "squaring a fraction"),
        ("(384 // 14) ** 2 - 1", "751", "squaring a fraction"),
        ("(1152 * 2560 + 2560) + (2560 * 2560 + 2560)", "1152 * 2560 + 2560 * 2560", "left out the biases"),
        (" + (2560 * 2560 + 2560)", "", "left out the second layer"),
        ("(1152 * 2560 + 2560) + ", "", "left out the first layer"),
        ("(3072 - 500) //", "(3072 - 500) /", "gave a fraction"),
        ("(3072 - 500) // picture_tokens", "4", "rounded up"),
    ],
    "floor": [
        (") / 6", ")", "whole caption"),
        (") / 6", ") / 5", "The end is a token"),
        (" + np.log(layouts)", "", "left out the layout"),
        ("np.log(pairs)", "4 * np.log(4)", "chosen for itself"),
        ("168", "240", "three in ten"),
        (") / 6", ") / 6 / np.log(2)", "in bits"),
        ("(np.log", "-(np.log", "The sign"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""


def test_the_mean_of_the_rows_means_is_another_number() -> None:
    def rows(logits, labels):
        log_p = logits[:, :-1].log_softmax(-1)
        asked = labels[:, 1:]
        picked = -log_p.gather(2, asked.clamp(min=0)[..., None])[..., 0]
        use = (asked >= 0).float()
        return ((picked * use).sum(1) / use.sum(1)).nanmean()

    assert "rows' means" in check_loss(rows).text


def test_an_error_of_the_learner_is_told() -> None:
    assert not check_splice(lambda words, ids, picture: words @ picture).ok
