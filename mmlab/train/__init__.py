"""The training loop: :func:`fit` over Hugging Face Accelerate, and the :class:`History` that it returns."""

from mmlab.train.fit import fit
from mmlab.train.history import History, Row

__all__ = ["History", "Row", "fit"]
