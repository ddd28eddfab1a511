"""Checks of the learner's answers, one module per chapter under the chapter's name: ``check_<name>(answer)``."""
