"""The checks of the chapter on TIP accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "numbers": [
        ("hidden.sum().clamp(min=1)", "hidden.numel()", "divide by all cells"),
        (" / hidden.sum().clamp(min=1)", "", "This is the sum"),
        (".square()", ".abs()", "absolute error"),
    ],
    "log_odds": [
        ("px * table_given_picture + pt * picture_given_table", "table_given_picture + picture_given_table", "for a"),
        ("px * table_given_picture + pt * picture_given_table", "2 * px * pt", "even draws"),
        ("px * table_given_picture + pt * picture_given_table", "px * table_given_picture", "you took one"),
        ("(joint / wrong).log()", "(joint / wrong).log().sigmoid()", "probability"),
    ],
    "nothing": [
        ("math.log(48)", "math.log(47)", "among the 48"),
        ("math.log(48)", "2 * math.log(48)", "do not add"),
        ("-(math.log(1 / 3) + 2 * math.log(2 / 3)) / 3", "math.log(2)", "fair coin"),
        ("-(math.log(1 / 3) + 2 * math.log(2 / 3)) / 3", "math.log(3)", "right pairs alone"),
        ("2 * math.log(2 / 3)) / 3", "2 * math.log(2 / 3))", "added the three"),
        ("math.log(10)", "math.log(4)", "which are ten"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""
