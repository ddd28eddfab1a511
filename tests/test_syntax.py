"""Source can be parsed from several threads at once."""

import gc
from concurrent.futures import ThreadPoolExecutor

from mmlab.syntax import parse


def test_threads_may_parse_at_once() -> None:
    """Without the lock, Python 3.11 fails here within a few rounds: collections switch threads inside the parser."""
    nested = "x = " + "f(" * 40 + ")" * 40 + "\n"
    before = gc.get_threshold()
    gc.set_threshold(20)
    try:
        with ThreadPoolExecutor(8) as pool:
            trees = list(pool.map(parse, [nested * 50] * 48))
    finally:
        gc.set_threshold(*before)
    assert len({len(tree.body) for tree in trees}) == 1
