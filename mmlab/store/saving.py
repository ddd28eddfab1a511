"""Saving a method and loading it again: safetensors and JSON in a folder, on disk or on the Hugging Face Hub.

Stands on ``huggingface_hub``'s mixin, which remembers the constructor's arguments and pushes folders to the Hub. What
it would do silently is refused here: dropping arguments that JSON cannot hold, building from defaults when the
configuration is missing, skipping tensors that do not fit, and falling back to a pickle file.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, ClassVar, Self, cast

from huggingface_hub import PyTorchModelHubMixin
from torch import nn

from mmlab.card import Card
from mmlab.paths import expand
from mmlab.store.building import build, misfit
from mmlab.store.folders import replaced_files
from mmlab.store.hub import hub_file
from mmlab.store.model_card import Provenance, has_own_readme, model_card
from mmlab.store.parts import configuration, own_parts
from mmlab.store.weights import (
    FILE,
    described,
    load_weights,
    refuse_other_weights,
    savable_state,
    save_weights,
    strict_json,
)

__all__ = ["Saved"]


class Saved(PyTorchModelHubMixin, library_name="mmlab"):
    """What every method can do: remember how it was built, save itself, and be loaded again bit by bit.

    An argument of the constructor may be a network (or a dict of networks) of the user's own. It is noted by the path
    of its class, its weights are saved with the rest, and loading wants it handed in:
    ``from_pretrained(folder, network=mine)``. An argument may also be a configuration of transformers, such as
    ``LlamaConfig``: it is saved whole, and the part is built again from it.
    """

    card: ClassVar[Card]

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, defaults included, as JSON gives them back: tuples are lists."""
        return json.loads(json.dumps(self._hub_mixin_config or {}))

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note the constructor's arguments: they are the configuration that is saved.

        Raises:
            TypeError: If an argument is not made of numbers, strings, booleans, lists and dicts, and is no network
                (``torch.nn.Module``) and no configuration of transformers: it would be lost by saving.
        """
        config = configuration(cls, args, kwargs)
        method = super().__new__(cls, *args, **kwargs)
        method._hub_mixin_config = config  # a copy: later changes of a list do not reach it
        own = {name: value for name, value in kwargs.items() if own_parts(config.get(name))}
        names = [name for name in inspect.signature(cls.__init__).parameters if name != "self"]
        own |= {name: value for name, value in zip(names, args, strict=False) if own_parts(config.get(name))}
        method.__dict__["_users_own_parts"] = own  # as an attribute it would be a second submodule
        return method

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        config: Any = None,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Save the method: ``model.safetensors``, ``config.json`` and a model card, ``README.md``.

        All is written beside its place and then moved there, so a save that fails leaves the old files as they were.
        A README that was not written by mmlab is kept.

        Args:
            save_directory: Folder to save to; made if need be.
            config: Not used, since the constructor's arguments are the configuration; here for the Hub's sake.
            repo_id: Name on the Hub, if it is pushed there; by default the folder's name.
            push_to_hub: Whether to push it to the Hugging Face Hub afterwards.
            model_card_kwargs: Fields of :class:`mmlab.store.model_card.Provenance`: data, licence, metrics, limits.
            **push_to_hub_kwargs: Further arguments of ``push_to_hub``.

        Returns:
            The address of the commit on the Hub, or None.

        Raises:
            TypeError: If ``model_card_kwargs`` has an unknown field.
            ValueError: If ``config`` is not the configuration of this method, a tensor holds no data, or the method has
                been changed since it was built (by layers of LoRA, for example), so that it could not be loaded.
            NotOursError: If the folder holds weights, or a configuration, that another program wrote.
            OSError: If the folder cannot be written.
        """
        if config is not None and config != self.config:
            raise ValueError("The configuration that is saved is the constructor's arguments: leave config out.")
        self.check_savable()
        folder = expand(save_directory, "save_directory").absolute()  # "." has the name of its folder
        refuse_other_weights(folder, FILE, "config.json")
        text = self.generate_model_card(**(model_card_kwargs or {}))
        with replaced_files(folder, [FILE, "config.json", "README.md"]) as new:
            facts = {"method": type(self).__name__, "stem": self._stem(), "config": self.config}
            save_weights(cast(nn.Module, self), new / FILE, facts)
            (new / "config.json").write_text(json.dumps(self.config, indent=2, sort_keys=True) + "\n", "utf-8")
            if not has_own_readme(folder):
                (new / "README.md").write_text(text, encoding="utf-8")
        if not push_to_hub:
            return None
        return self.push_to_hub(repo_id or folder.name, model_card_kwargs=model_card_kwargs, **push_to_hub_kwargs)

    def check_savable(self) -> None:
        """Refuse what could be saved and not loaded again: the constructor has to make what is there now.

        Raises:
            TypeError: If a part of the state is no tensor, or has a type that the file format does not have.
            ValueError: If the constructor makes other tensors than there are now.
        """
        module = cast(nn.Module, self)
        state = savable_state(module)
        if faults := misfit(type(self), self.config, self._own_arguments(), state, type(self).__name__):
            adapter = any("lora_" in name for name in state)
            remedy = (
                "merge the adapter into it (merge_and_unload) or save that alone (mmlab.store.adapters.save_adapter)"
                if adapter
                else "undo what was changed since it was built, or make it an argument of the constructor"
            )
            raise ValueError(
                f"{type(self).__name__} could be saved but not loaded again, since its constructor makes something "
                f"else ({faults}): {remedy}."
            )

    def _own_arguments(self) -> dict[str, Any]:
        """Networks of the user's own, by argument, as long as the method holds them."""
        return dict(self.__dict__.get("_users_own_parts", {}))

    def generate_model_card(self, **facts: Any) -> str:  # type: ignore[override]
        """The text of the model card.

        Args:
            **facts: Fields of :class:`mmlab.store.model_card.Provenance`.
        """
        return model_card(self._stem(), type(self).__name__, self.card, self.config, Provenance(**facts))

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        map_location: str = "cpu",
        strict: bool = True,
        **arguments: Any,
    ) -> Self:
        """Load a method that :meth:`save_pretrained` wrote. Only safetensors and JSON are read.

        Args:
            pretrained_model_name_or_path: A folder, or a name on the Hugging Face Hub.
            force_download: Whether to download again what is in the cache (Hub only).
            token: Access token (Hub only).
            cache_dir: Folder of the cache (Hub only).
            local_files_only: Whether to stay off the network (Hub only).
            revision: Branch, tag or commit (Hub only).
            map_location: Device that the method is put on.
            strict: Whether missing or unknown tensors and other methods' weights are refused; wrong shapes always are.
            **arguments: Constructor arguments that replace the saved ones.

        Returns:
            The method, in evaluation mode.

        Raises:
            FileNotFoundError: If there are no weights; other formats than safetensors are never tried.
            ValueError: If weights or configuration are damaged, or do not fit this method.
        """
        place = str(expand(pretrained_model_name_or_path, "pretrained_model_name_or_path"))

        def find(name: str) -> Path | None:
            if Path(place).is_dir():
                return Path(place) / name if (Path(place) / name).is_file() else None
            return hub_file(
                place,
                name,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                token=token,
                local_files_only=local_files_only,
            )

        if (file := find(FILE)) is None:
            raise FileNotFoundError(f"{place} holds no {FILE}: mmlab reads no other format, since it could run code.")
        shapes, facts = described(file)
        if strict and facts.get("method", cls.__name__) != cls.__name__:
            raise ValueError(f"{file} holds the weights of {facts['method']}, not of {cls.__name__}.")
        config = cls._saved_config(find("config.json"), facts.get("config"), place)
        if strict and (faults := misfit(cls, config, arguments, shapes, place)):
            raise ValueError(f"{file} does not fit {cls.__name__}: {faults}.")
        method = build(cls, config, arguments, place)
        load_weights(cast(nn.Module, method), file, strict=strict)
        cast(nn.Module, method).to(map_location).eval()
        return method

    @classmethod
    def _saved_config(cls, file: Path | None, saved: dict[str, Any] | None, place: str) -> dict[str, Any]:
        """The saved constructor arguments, from ``config.json`` or the weights' header, which must agree."""
        config = saved
        if file is not None:
            try:
                config = strict_json(file.read_bytes())
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{file} is damaged ({error}): delete it or get it again.") from None
            if saved is not None and config != saved:
                raise ValueError(
                    f"{file} does not say what {FILE} beside it was saved with ({json.dumps(saved)}): delete it "
                    "to use that, and pass the arguments that you want to change to from_pretrained."
                )
        known = list(inspect.signature(cls.__init__).parameters)[1:]
        if not isinstance(config, dict):
            if known:
                raise ValueError(
                    f"{place} does not say how {cls.__name__} was built: it needs config.json beside {FILE}."
                )
            return {}
        if unknown := sorted(set(config) - set(known)):
            raise ValueError(
                f"{place} was saved with arguments that {cls.__name__} does not have: {', '.join(unknown)}."
            )
        return config

    @classmethod
    def _from_pretrained(cls, **_: Any) -> Self:  # type: ignore[override]
        """The mixin's own loader falls back to a pickle file: it must not be reached."""
        raise NotImplementedError("Use from_pretrained.")

    @classmethod
    def _stem(cls) -> str:
        """Name of its module in ``mmlab.methods``; empty if the class lives elsewhere."""
        return cls.__module__.removeprefix("mmlab.methods.") if cls.__module__.startswith("mmlab.methods.") else ""
