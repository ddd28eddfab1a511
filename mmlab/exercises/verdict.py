"""What a learner is told about an answer: one helpful sentence, and never an exception."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmlab.viz import say

__all__ = ["Mistake", "Verdict", "judge"]

Mistake = tuple[str, Callable[..., Any]]
"""A sentence, and a function that makes the mistake it names; a part that is None may be anything."""

_BLANK = "**Nothing is filled in yet.** Put your answer in place of the dots, and run the cell again."


@dataclass(frozen=True)
class Verdict:
    """What a check found; true where the answer is right.

    Attributes:
        ok: Whether the answer is right.
        text: What the learner is told, in Markdown.
    """

    ok: bool
    text: str

    def __bool__(self) -> bool:
        return self.ok

    def _ipython_display_(self) -> None:
        """Show nothing where a cell ends in a check: the check has shown its sentence already."""


def judge(
    answer: Any,
    truth: Callable[..., Any],
    cases: Sequence[tuple[Any, ...]],
    *,
    parts: Sequence[str],
    right: str,
    also_right: Sequence[Callable[..., Any]] = (),
    mistakes: Sequence[Mistake] = (),
    tolerance: float = 1e-4,
) -> Verdict:
    """Try a learner's function beside the truth, show what came of it, and name the mistake if it is a known one.

    A value is judged as the function without arguments that returns it: ``judge(lambda: answer, ..., cases=[()])``.

    Args:
        answer: The learner's function. Whatever it does, nothing is raised.
        truth: The right function. It returns what the answer should return: a tensor or number, or a tuple of them.
        cases: The arguments of each trial; tensors are copied before the learner's function gets them.
        parts: What each thing that is returned is called, for the sentences, with its article: ``"the mean"``.
        right: What to say of a right answer.
        also_right: Functions that differ from the truth and are as right.
        mistakes: Known mistakes, tried in order.
        tolerance: Absolute; relative to large values it is the same.

    Returns:
        The verdict, which has been shown.
    """
    if not callable(answer):
        blank = answer is None or answer is ...
        return _tell(False, _BLANK if blank else "Pass the function itself: its name, without brackets.")
    given = []
    for case in cases:
        made = _attempt(answer, case, parts)
        if isinstance(made, str):
            return _tell(False, made)
        given.append(made)

    def is_that_of(function: Callable[..., Any]) -> bool:
        return _agree(given, [_tensors(function(*case)) for case in cases], tolerance)

    if is_that_of(truth) or any(map(is_that_of, also_right)):
        return _tell(True, right)
    for sentence, mistaken in mistakes:
        if is_that_of(mistaken):
            return _tell(False, sentence)
    expected = [_tensors(truth(*case)) for case in cases]
    return _tell(False, _difference(given, expected, parts, tolerance, show=bool(cases[0])))


def _tell(ok: bool, text: str) -> Verdict:
    verdict = Verdict(ok, text if text == _BLANK else f"**{'Right' if ok else 'Not yet'}.** {text}")
    say(verdict.text)
    return verdict


def _attempt(answer: Callable[..., Any], case: tuple[Any, ...], parts: Sequence[str]) -> list[Tensor | None] | str:
    """What the learner's function returns, as tensors; or the sentence that says why there are none."""
    try:
        made = answer(*(value.clone() if isinstance(value, Tensor) else value for value in case))
    except NotImplementedError:
        return _BLANK
    except Exception as error:  # the learner's code may do anything
        return _stopped(error)
    values = made if isinstance(made, tuple | list) else (made,)
    if any(value is None or value is ... for value in values):
        return _BLANK
    if len(values) != len(parts):
        return f"{_count(len(parts))} expected, {' and '.join(parts)}, and your answer has {len(values)}."
    for name, value in zip(parts, values, strict=True):
        try:
            if torch.as_tensor(value).is_complex():
                raise TypeError
        except (TypeError, ValueError, RuntimeError):
            return f"A number or a tensor of numbers is expected for {name}, and yours is a {type(value).__name__}."
    return _tensors(tuple(values))


def _stopped(error: Exception) -> str:
    lines = str(error).replace("`", "'").splitlines() or [""]
    hint = ""
    if "ambiguous" in lines[0]:  # `if t < 0.5` on a tensor
        hint = " An `if` cannot decide for many numbers at once: `torch.where` can."
    return f"Your function stopped with `{type(error).__name__}: {lines[0][:160]}`.{hint}"


def _count(number: int) -> str:
    return "One thing is" if number == 1 else f"{number} things are"


def _tensors(made: Any) -> list[Tensor | None]:
    values = made if isinstance(made, tuple) else (made,)
    return [None if value is None else torch.as_tensor(value).detach().cpu().double() for value in values]


def _agree(
    given: Sequence[Sequence[Tensor | None]], expected: Sequence[Sequence[Tensor | None]], tolerance: float
) -> bool:
    return all(
        _close(a, b, expectation, tolerance)
        for trial, expectation in zip(given, expected, strict=True)
        for a, b in zip(trial, expectation, strict=True)
    )


def _close(a: Tensor | None, b: Tensor | None, expectation: Sequence[Tensor | None], tolerance: float) -> bool:
    if a is None or b is None:  # a mistake in another part only
        return True
    pair = _side_by_side(a, b, expectation)
    return pair is not None and torch.allclose(*pair, tolerance, tolerance)


def _side_by_side(a: Tensor, b: Tensor, expectation: Sequence[Tensor | None]) -> tuple[Tensor, Tensor] | None:
    """Both in one shape, if that of ``a`` is right; one variance per row may also stand in every column."""
    shapes = [part.shape for part in expectation if part is not None]
    try:
        shape = torch.broadcast_shapes(a.shape, b.shape)  # type: ignore[no-untyped-call]
    except RuntimeError:
        return None
    fits = shape in (b.shape, torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]
    return (a.expand(shape), b.expand(shape)) if fits else None


def _difference(
    given: Sequence[Sequence[Tensor | None]],
    expected: Sequence[Sequence[Tensor | None]],
    parts: Sequence[str],
    tolerance: float,
    *,
    show: bool,
) -> str:
    """Which part is wrong, and how: its shape, a value that is no number, or the value that is furthest off."""
    good: list[str] = []
    for column, name in enumerate(parts):
        for trial, expectation in zip(given, expected, strict=True):
            a, b = trial[column], expectation[column]
            if a is None or b is None or _close(a, b, expectation, tolerance):
                continue
            also = f"{' and '.join(good).capitalize()} {'is' if len(good) == 1 else 'are'} right, but " if good else ""
            start = f"{also}{name}" if also else name.capitalize()
            pair = _side_by_side(a, b, expectation)
            if pair is None:
                return f"{start} has the shape {tuple(a.shape)}, where {tuple(b.shape)} is expected."
            if not a.isfinite().all():
                return f"{start} is not finite: is something divided by zero, or the root of a negative number?"
            yours, right = (tensor.flatten() for tensor in pair)
            worst = int((yours - right).abs().argmax())
            found = f": in one trial it is {yours[worst]:.4g}, and {right[worst]:.4g} is right" if show else ""
            return f"{start} is off{found}."
        good.append(name)
    return "Something differs that this check cannot name."
