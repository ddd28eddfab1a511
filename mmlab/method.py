"""The base class of every method: a module that also owns its objective."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim, load, methods

__all__ = ["Batch", "Budget", "Card", "Claim", "Method", "Objective", "load", "methods"]

Batch = dict[str, Tensor]
"""A batch: tensors with first dimension B, keyed by modality or role."""

LossFunction = Callable[[Batch, torch.Generator], dict[str, Tensor]]


@dataclass(frozen=True)
class Objective:
    """One optimiser's share of a method: what it minimises and over which parameters.

    Attributes:
        name: Prefix of its columns in the history, for example ``"generator"``.
        parameters: The parameters that its optimiser moves; a list, since an iterator would be used up.
        loss: Function of (batch, rng) that returns a dict; its ``"loss"`` is minimised, the rest is logged.
    """

    name: str
    parameters: list[nn.Parameter]
    loss: LossFunction


class Method(nn.Module, PyTorchModelHubMixin, library_name="mmlab"):
    """A published method: an ``nn.Module`` with its loss, its card and its smallest honest example.

    A subclass sets :attr:`card`, takes plain JSON-able constructor arguments (they are the saved configuration), and
    gives :meth:`loss` and :meth:`demo`. It adds the verb that fits its task: ``sample``, ``predict``, ``embed`` or
    ``generate``. It draws randomness only from the generator that it is handed, and knows no training loop.
    """

    card: ClassVar[Card]

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The training objective.

        Args:
            batch: Tensors with first dimension B, with the keys in ``card.inputs``.
            rng: The only source of randomness; it lives on the device of the method.

        Returns:
            Scalars; ``"loss"`` is minimised, every other entry is logged.
        """
        raise NotImplementedError(f"{type(self).__name__} is solved or wrapped, not trained: it has no loss.")

    def objectives(self) -> list[Objective]:
        """The optimisers' tasks: by default one, over all parameters that require a gradient."""
        return [Objective("", [p for p in self.parameters() if p.requires_grad], self.loss)]

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """The smallest honest instance of the method and a batch for it. The tests train it."""
        raise NotImplementedError(f"{cls.__name__} needs a demo(): the contract tests stand on it.")

    @property
    def device(self) -> torch.device:
        """Where the first parameter lives."""
        return next(self.parameters()).device

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, defaults included: what ``save_pretrained`` writes as ``config.json``."""
        return dict(self._hub_mixin_config or {})

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse constructor arguments that JSON cannot hold: they would be lost by saving.

        Raises:
            TypeError: If an argument is not made of numbers, strings, booleans, lists and dicts.
        """
        names = list(inspect.signature(cls.__init__).parameters)[1:]
        for name, value in [*zip(names, args, strict=False), *kwargs.items()]:
            try:
                json.dumps(value)
            except TypeError:
                kind = type(value).__name__
                raise TypeError(
                    f"{cls.__name__}: argument {name!r} is a {kind}; pass numbers, strings, booleans or lists of them."
                ) from None
        return super().__new__(cls, *args, **kwargs)

    def _save_pretrained(self, save_directory: Path) -> None:
        save_file(dict(_unshared(self)), save_directory / "model.safetensors", metadata={"format": "pt"})

    @classmethod
    def _from_pretrained(  # type: ignore[override]
        cls,
        *,
        model_id: str,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        map_location: str = "cpu",
        strict: bool = True,
        **arguments: Any,
    ) -> Self:
        """Build the method from its arguments and load its weights: safetensors only, every name and shape checked."""
        name = "model.safetensors"
        if Path(model_id).is_dir():
            file = Path(model_id) / name
            if not file.exists():
                raise FileNotFoundError(f"{model_id} holds no {name}: save a method there with save_pretrained first.")
        else:
            file = Path(
                hf_hub_download(
                    model_id,
                    name,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    token=token,
                    local_files_only=local_files_only,
                )
            )
        try:
            state = load_file(file, device=map_location)
        except SafetensorError as error:
            raise ValueError(f"{file} is damaged ({error}): get it again from where it came from.") from None
        method = cls(**arguments).to(map_location)
        missing, unexpected = method.load_state_dict(state, strict=False)  # a wrong shape raises here
        missing = [key for key in missing if key in dict(_unshared(method))]
        if strict and (missing or unexpected):
            raise ValueError(
                f"{file} does not fit {cls.__name__}: missing {missing or 'nothing'}, unknown {unexpected or 'nothing'}."
            )
        return method.eval()


def _unshared(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The entries of the state dict, each storage once: tied weights are saved under their first name."""
    seen = set()
    for name, tensor in module.state_dict().items():
        if tensor.numel() == 0 or (key := (tensor.data_ptr(), tensor.shape, tensor.stride())) not in seen:
            yield name, tensor.contiguous()
            if tensor.numel():
                seen.add(key)
