"""A machine is measured once by a fixed workload, and a failure to do so stops nothing."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmlab.publish.run import machine


@pytest.fixture
def asked(monkeypatch):
    """How often the workload was run; it takes as long as the test says."""
    commands = []

    def answer(text):
        def run(command, **options):
            commands.append(command)
            if isinstance(text, Exception):
                raise text
            return subprocess.CompletedProcess(command, 0, text, "")

        monkeypatch.setattr(subprocess, "run", run)
        machine._measured.cache_clear()
        return commands

    yield answer
    machine._measured.cache_clear()


def test_a_machine_that_takes_twice_as_long_has_the_factor_two(asked):
    commands = asked(str(2 * machine._REFERENCE_SECONDS))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: machine.factor(), range(8)))
    assert found == [2.0] * 8
    assert len(commands) == 1


def test_as_many_are_measured_as_run_side_by_side(asked):
    commands = asked(str(3 * machine._REFERENCE_SECONDS))
    assert machine.factor(2) == 3.0
    assert len(commands) == 2


@pytest.mark.parametrize("answer", ["", "0", OSError("no process"), subprocess.TimeoutExpired("python", 1)])
def test_where_it_cannot_be_measured_the_reference_is_taken(asked, answer):
    asked(answer)
    assert machine.factor() == 1.0


def test_the_workload_takes_processor_time():
    assert 0.01 < machine.workload() < 10
