"""Blind competitions: people judge answers without knowing whose they are, and the votes get honest intervals.

A :class:`~mmlab.arena.competition.Competition` says what is judged, a :class:`~mmlab.arena.store.Store` keeps what
people say, :mod:`mmlab.arena.server` shows it to them, :mod:`mmlab.arena.results` says what follows, and what does not.
"""
