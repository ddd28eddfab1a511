"""Checks of the learner's answers: that they accept the chapter's solution and name the usual mistakes."""
