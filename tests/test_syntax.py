"""Source can be parsed from several threads at once."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor

from mmlab.syntax import parse


def test_threads_may_parse_at_once() -> None:
    """Without the lock, Python 3.11 fails here: a collection of garbage hands over to a thread that parses too."""
    nested = "x = " + "f(" * 20 + ")" * 20 + "\n"
    before = gc.get_threshold()

    def yield_to_others(*_: object) -> None:
        time.sleep(0.0005)

    gc.callbacks.append(yield_to_others)
    gc.set_threshold(300)
    try:
        with ThreadPoolExecutor(4) as pool:
            trees = list(pool.map(parse, [nested * 30] * 12))
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(yield_to_others)
    assert len({len(tree.body) for tree in trees}) == 1
