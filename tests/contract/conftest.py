"""What the contract costs: processor seconds per method, at the end of the output."""

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from cost import summary


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Note what a check of a method costs, the loading of its class left out."""
    stem = getattr(item, "callspec", None) and item.callspec.params.get("stem")  # type: ignore[attr-defined]
    began = time.process_time()
    try:
        return (yield)
    finally:
        if stem:
            item.user_properties.append(("contract", (stem, time.process_time() - began)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say the mean, the most, and which methods cost too much."""
    spent: dict[str, float] = defaultdict(float)
    for report in (each for reports in terminalreporter.stats.values() for each in reports):
        for name, value in getattr(report, "user_properties", ()) if getattr(report, "when", "") == "call" else ():
            if name == "contract":
                spent[value[0]] += value[1]
    if spent:
        terminalreporter.write_line(summary(spent))
