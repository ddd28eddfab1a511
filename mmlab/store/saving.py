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

from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from torch import nn

from mmlab.card import Card
from mmlab.store.folders import replaced_files
from mmlab.store.model_card import Provenance, has_own_readme, model_card
from mmlab.store.weights import FILE, load_weights, save_weights, saved_facts

__all__ = ["Saved"]


class Saved(PyTorchModelHubMixin, library_name="mmlab"):
    """What every method can do: remember how it was built, save itself, and be loaded again bit by bit."""

    card: ClassVar[Card]

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, defaults included, as JSON gives them back: tuples are lists."""
        return json.loads(json.dumps(self._hub_mixin_config or {}))

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse constructor arguments that JSON cannot hold: they would be lost by saving.

        Raises:
            TypeError: If an argument is not made of numbers, strings, booleans, lists and dicts.
        """
        names = list(inspect.signature(cls.__init__).parameters)[1:]
        for name, value in [*zip(names, args, strict=False), *kwargs.items()]:
            if not _is_plain(value):
                raise TypeError(
                    f"{cls.__name__}: argument {name!r} is a {type(value).__name__} that JSON cannot hold; "
                    "pass numbers, strings, booleans, or lists and dicts of them."
                )
        method = super().__new__(cls, *args, **kwargs)
        config = method.config  # a copy: later changes of a list do not reach it
        method._hub_mixin_config = {name: config[name] for name in names if name in config}  # the constructor's order
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
            ValueError: If ``config`` is not the configuration of this method, or a tensor holds no data.
            OSError: If the folder cannot be written.
        """
        if config is not None and config != self.config:
            raise ValueError("The configuration that is saved is the constructor's arguments: leave config out.")
        folder = Path(save_directory)
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
        place = str(pretrained_model_name_or_path)

        def find(name: str) -> Path | None:
            if Path(place).is_dir():
                return Path(place) / name if (Path(place) / name).is_file() else None
            try:
                path = hf_hub_download(
                    place,
                    name,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    token=token,
                    local_files_only=local_files_only,
                )
            except EntryNotFoundError:
                return None
            return Path(path)

        if (file := find(FILE)) is None:
            raise FileNotFoundError(f"{place} holds no {FILE}: mmlab reads no other format, since it could run code.")
        facts = saved_facts(file)
        if strict and facts.get("method", cls.__name__) != cls.__name__:
            raise ValueError(f"{file} holds the weights of {facts['method']}, not of {cls.__name__}.")
        config = cls._saved_config(find("config.json"), facts.get("config"), place)
        method = cls(**{**config, **arguments})
        load_weights(cast(nn.Module, method), file, strict=strict)
        cast(nn.Module, method).to(map_location).eval()
        return method

    @classmethod
    def _saved_config(cls, file: Path | None, saved: dict[str, Any] | None, place: str) -> dict[str, Any]:
        """The saved constructor arguments, from ``config.json`` or the weights' header, which must agree."""
        config = saved
        if file is not None:
            try:
                config = json.loads(file.read_text(encoding="utf-8"))
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


def _is_plain(value: Any) -> bool:
    """Whether JSON gives the value back as it was, but for tuples, which become lists."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)
