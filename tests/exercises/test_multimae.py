"""The checks of the chapter on MultiMAE accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "error": [
        ("return of_items", "return (each * hidden).sum() / count.sum().clamp(min=1)  #", "mean of each item first"),
        ("each = (made", "hidden = ~hidden\n    each = (made", "These are the visible patches"),
        ("(count > 0).sum().clamp(min=1)", "len(count)", "leave them out of the mean over items"),
        ("count.clamp(min=1)", "hidden.shape[1]", "not by that of all"),
        ("return of_items", "return each.mean()  #", "Visible patches count, too"),
        (".square()", ".abs()", "absolute error"),
    ],
    "counts": [
        ("98 / 3", "98", "a third of them on average"),
        ("98 / 3", "588 / 3", "the shares divide those 98"),
        ("98 * (2 / (9 * (3 * 1 + 1))) ** 0.5", "98**2 * 2 / (9 * 4)", "take its root"),
        ("98 * (2 / (9 * (3 * 1 + 1))) ** 0.5", "(98 * 2 / (9 * 4)) ** 0.5", "its root by K"),
        ("98 * (2 / (9 * (3 * 1 + 1)))", "(2 / (9 * (3 * 1 + 1)))", "multiply by K."),
        ("3 * 4 + 1", "4 + 1", "is Mα + 1"),
        ("steadier = 98 * (2 / (9 * (3 * 4 + 1))) ** 0.5", "steadier = 4 * deviation", "steadier: the deviation falls"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""
