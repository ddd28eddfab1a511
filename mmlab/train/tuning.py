"""Tune a vision-language model: LoRA on its language model alone, the connector beside it, and which parts are trained.

The names are those of LLaVA-like methods: submodules ``language_model``, ``vision_tower`` and ``connector``. Everything
here works in place, so that :func:`mmlab.fit` goes on training the method that it was given. Saving and loading is
:mod:`mmlab.store.adapters`' business; merging is plain peft's.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from mmlab.store.lora import check_named_parts, quiet
from mmlab.wording import few

if TYPE_CHECKING:
    from peft import PeftModel

    from mmlab.method import Batch, Method

__all__ = ["adapter_off", "add_lora", "language_targets", "require_gradients", "train_only", "trainable"]


def language_targets(method: nn.Module) -> str:
    r"""The linear layers of the language model that LoRA goes on, as a regular expression for peft.

    All but the head, as in TinyLLaVA's recipe: q, k, v, dense, fc1 and fc2 of each layer of Phi. It is anchored:
    ``["q_proj", "v_proj"]`` would also hit the vision tower, and ``"all-linear"`` the tower, its unused pooling head
    and the connector.

    Args:
        method: With a submodule ``language_model``.

    Returns:
        Such as ``language_model\..*\.(dense|fc1|fc2|k_proj|q_proj|v_proj)``.

    Raises:
        ValueError: If there is no such submodule, it has no linear layer but the head, or it has an adapter already.
    """
    language = getattr(method, "language_model", None)
    if not isinstance(language, nn.Module):
        raise ValueError(f"{type(method).__name__} has no language_model: LoRA has nothing to go on.")
    if any("lora_" in name for name, _ in method.named_parameters()):
        raise ValueError(f"{type(method).__name__} has an adapter already: merge or unload it first, or copy the base.")
    linear = {name for name, module in language.named_modules() if _is_linear(module) and "head" not in name}
    head = getattr(language, "get_output_embeddings", lambda: None)()  # it may have any name
    linear -= {name for name, module in language.named_modules() if module is head}
    if not linear:
        raise ValueError("The language_model has no linear layer but its head.")
    leaves = sorted({re.escape(name.rpartition(".")[2]) for name in linear})
    return rf"language_model\..*\.({'|'.join(leaves)})"


def _is_linear(module: nn.Module) -> bool:
    """Also GPT-2's layers, which transformers calls one-dimensional convolutions."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def add_lora(
    method: nn.Module,
    rank: int,
    alpha: float | None = None,
    dropout: float = 0.0,
    train_connector: bool = True,
    seed: int = 0,
) -> PeftModel:
    r"""Put LoRA (Hu et al. 2021) on the language model of a method, in place, and freeze the rest.

    Each linear layer computes :math:`W x + \frac{\alpha}{r} B A x`, with A of shape (r, inputs) drawn at random and B
    of shape (outputs, r) zero: before the first step nothing has changed. The global random state is left alone.

    Args:
        method: With submodules ``language_model`` and, if it is to be trained, ``connector``.
        rank: r, of the change.
        alpha: The change is scaled by alpha / rank; by default alpha is twice the rank, as in TinyLLaVA's recipe.
        dropout: On the input of A, in [0, 1).
        train_connector: Whether a copy of the connector is trained, too. It is part of what is saved.
        seed: Seed of A.

    Returns:
        The peft model around the method: for :func:`mmlab.store.adapters.save_adapter`, for ``merge_and_unload()``,
        which gives back the method without layers of peft, and for :func:`adapter_off`. Go on training the method
        itself.

    Raises:
        ValueError: If a number is impossible, a submodule is missing, or there is an adapter already.
    """
    # peft looks for bitsandbytes, which warns of a kernel that it lacks; nothing here uses it.
    logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(lambda record: "gemm_4bit" not in record.getMessage())
    from peft import LoraConfig, get_peft_model

    alpha = 2 * rank if alpha is None else alpha
    if rank < 1 or alpha <= 0 or not 0 <= dropout < 1:
        raise ValueError(f"add_lora: rank={rank}, alpha={alpha}, dropout={dropout}; they must be >= 1, > 0, in [0, 1).")
    targets = language_targets(method)
    if train_connector and not isinstance(getattr(method, "connector", None), nn.Module):
        raise ValueError(f"{type(method).__name__} has no connector: call add_lora with train_connector=False.")
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # peft takes any number
        lora_dropout=dropout,
        target_modules=targets,
        modules_to_save=["connector"] if train_connector else None,
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(method, config)


@contextmanager
def adapter_off(model: PeftModel) -> Iterator[nn.Module]:
    """The base, for a while: adapter and tuned connector are switched off, and on again afterwards.

    Args:
        model: What :func:`add_lora` returned.

    Yields:
        The method, which computes what it did before it was tuned, to the bit.
    """
    with quiet(), model.disable_adapter():
        yield model.get_base_model()


def train_only(method: nn.Module, *parts: str) -> int:
    """Train these parts and freeze all others: the stages of LLaVA's recipe.

    ``train_only(method, "connector")`` is stage 1, ``train_only(method, "connector", "language_model")`` stage 2 with
    full tuning.

    Args:
        method: It is changed in place.
        parts: Names of submodules or parameters, or beginnings of them up to a dot.

    Returns:
        The number of trainable values.

    Raises:
        ValueError: If a part is not there, or the method has an adapter, which decides itself what is trained.
    """
    names = [name for name, _ in method.named_parameters()]
    if any("lora_" in name for name in names):
        raise ValueError("train_only: the method has an adapter, which decides what is trained.")
    if missing := [part for part in parts if not any(_within(name, part) for name in names)]:
        raise ValueError(
            f"train_only: there is no part {missing[0]!r}; there are {few(sorted({n.split('.')[0] for n in names}))}."
        )
    for name, parameter in method.named_parameters():
        parameter.requires_grad_(any(_within(name, part) for part in parts))
    return trainable(method)


def _within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def trainable(method: nn.Module) -> int:
    """The number of values that training moves."""
    return sum(parameter.numel() for parameter in method.parameters() if parameter.requires_grad)


def require_gradients(method: Method, batch: Batch, rng: torch.Generator) -> None:
    """Refuse to train in vain: one backward pass must reach whatever is trainable.

    Adapters get no gradient without any error if activations are recomputed in a way that loses the graph (reentrant
    checkpointing over frozen embeddings), or if they sit in a part that the loss does not see. A of a fresh adapter is
    left out: its gradient is zero as long as B is.

    Args:
        method: Its gradients are cleared; nothing else is changed.
        batch: As for its loss.
        rng: As for its loss.

    Raises:
        RuntimeError: If a trainable parameter gets no gradient, or exactly zero.
        ValueError: If an adapter was told to train a module that is not there.
    """
    for name, config in (getattr(method, "peft_config", None) or {}).items():
        check_named_parts(method, config, f"The adapter {name!r}")
    kept = {name: p for name, p in method.named_parameters() if p.requires_grad}
    method.zero_grad(set_to_none=True)
    loss = method.loss(batch, rng)["loss"]
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
    fresh = {name.replace("lora_B", "lora_A") for name, p in kept.items() if "lora_B" in name and not p.any()}
    lost = [name for name, p in kept.items() if name not in fresh and (p.grad is None or not p.grad.any())]
    method.zero_grad(set_to_none=True)
    if lost:
        raise RuntimeError(f"No gradient reaches {few(lost)}: training would not move them.")
