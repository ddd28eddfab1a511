"""The checks of the chapter on memes accept its solutions, and name the usual mistakes."""

import pytest
import torch

from exercises.harness import ExerciseTests
from mmlab.exercises.memes import check_adapted, check_joined, check_paired
from mmlab.exercises.verdict import Verdict

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "adapted": [
        ("alpha / len(a) * ", "", "not scaled"),
        ("alpha / len(a)", "alpha", "by $α$ alone"),
        ("alpha / len(a)", "len(a) / alpha", "upside down"),
        ("alpha / len(a)", "alpha / len(a) ** 0.5", "root of the rank"),
        ("alpha / len(a)", "alpha / a.shape[1]", "number of inputs"),
        ("x @ weight.T + ", "", "the change alone"),
        ("x @ weight.T + alpha / len(a) * x @ a.T @ b.T", "alpha / len(a) * (x @ weight.T + x @ a.T @ b.T)",
         "scaled the frozen weight"),
        ("x @ weight.T +", "x @ weight.T -", "wrong sign"),
        ("x @ a.T @ b.T", "x @ a @ b", "stopped with"),
    ],
    "joined": [
        ("2 * torch.cat", "torch.cat", "half of what"),
        ("[a1, a2]", "[strength * a1, (1 - strength) * a2]", "its square"),
        ("[strength * b1, (1 - strength) * b2]", "[(1 - strength) * b1, strength * b2]", "swapped"),
        ("[strength * b1, (1 - strength) * b2]", "[b1, b2]", "weights"),
        ("return a, b", "return strength * a1 + (1 - strength) * a2, strength * b1 + (1 - strength) * b2",
         "mean of the matrices"),
    ],
    "paired": [
        ("return torch.quantile(gaps, 0.025), torch.quantile(gaps, 0.975)",
         "return gaps.mean() - 1.96 * gaps.std(), gaps.mean() + 1.96 * gaps.std()", "normal interval"),
        ("a[draws].mean(1) - b[draws].mean(1)", "a[draws].mean(1) - b[draws.flip(0)].mean(1)", "other items"),
        ("- b[draws].mean(1)", "- b.mean()", "Only the first"),
        ("a[draws].mean(1) - b[draws].mean(1)", "b[draws].mean(1) - a[draws].mean(1)", "sign is turned"),
        ("torch.quantile(gaps, 0.025), torch.quantile(gaps, 0.975)",
         "torch.quantile(gaps, 0.975), torch.quantile(gaps, 0.025)", "ends are swapped"),
        ("a[draws].mean(1) - b[draws].mean(1)", "a - b", "single items"),
        ("a[draws].mean(1) - b[draws].mean(1)", "(a - b)[draws].flatten()", "single items"),
        ("a[draws].mean(1) - b[draws].mean(1)", "(a - b)[draws].mean(0)", "second dimension"),
        ("a[draws].mean(1) - b[draws].mean(1)", "(a - b)[draws].sum(1)", "sums over the items"),
        ("torch.quantile(gaps, 0.025), torch.quantile(gaps, 0.975)",
         "torch.quantile(gaps, 0.05), torch.quantile(gaps, 0.95)", "90 % interval"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""


def test_other_right_answers_are_right_too() -> None:
    assert check_adapted(lambda x, w, a, b, alpha: torch.nn.functional.linear(x, w + alpha / b.shape[1] * b @ a))
    assert check_joined(lambda a1, b1, a2, b2, s: (torch.cat([2 * s * a1, 2 * (1 - s) * a2]), torch.cat([b1, b2], 1)))
    assert check_paired(lambda a, b, draws: tuple(torch.quantile((a - b)[draws].mean(1), torch.tensor([0.025, 0.975]))))


@pytest.mark.parametrize("check", [check_adapted, check_joined, check_paired])
@pytest.mark.parametrize("answer", [None, ..., 3, "x", (), (None, None), ("a", 1j), [[1], 2, 3], dict, lambda: 1 / 0])
def test_nothing_is_raised_whatever_is_answered(check, answer, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = check(answer)
    assert isinstance(verdict, Verdict)
    assert not verdict
    assert capsys.readouterr().out.endswith(f"{verdict.text}\n")
