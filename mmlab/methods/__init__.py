"""Published methods, one module each. The folder is the registry: ``mmlab.methods()`` reads the cards in it.

Importing any method binds the name ``mmlab.methods`` to this package, so the package itself answers the call.
"""

import sys
from collections.abc import Mapping
from types import ModuleType

from mmlab.card import Card
from mmlab.card import methods as _cards


class _Methods(ModuleType):
    def __call__(self) -> Mapping[str, Card]:
        return _cards()


sys.modules[__name__].__class__ = _Methods
