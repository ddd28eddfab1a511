"""Files from the Hugging Face Hub, with errors that say what is the matter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["hub_file"]


def hub_file(repository: str, name: str, **options: Any) -> Path | None:
    """A file of a repository, downloaded or from the cache.

    Args:
        repository: Name on the Hub, ``user/model``.
        name: Name of the file.
        **options: Arguments of ``huggingface_hub.hf_hub_download``.

    Returns:
        Where it is, or None if the repository was looked into and does not hold it.

    Raises:
        FileNotFoundError: If the name is neither a folder nor a repository, or it is not in the cache and nobody could
            or should ask the Hub.
        PermissionError: If the Hub wants a token for it.
    """
    import requests
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(hf_hub_download(repository, name, **options))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:  # before the class that it is one of
        raise FileNotFoundError(_not_in_the_cache(repository, name, options, error)) from None
    except EntryNotFoundError:
        return None
    except HFValidationError:
        raise FileNotFoundError(
            f"There is no folder {repository}, and no model of the Hugging Face Hub can have that name: check the path."
        ) from None
    except GatedRepoError:
        raise PermissionError(
            f"{repository} is gated: accept its terms on https://huggingface.co/{repository} and pass token=..., or "
            "log in with `hf auth login`."
        ) from None
    except RevisionNotFoundError:
        raise FileNotFoundError(
            f"{repository} has no revision {options.get('revision')!r}: see https://huggingface.co/{repository}/commits."
        ) from None
    except RepositoryNotFoundError:
        raise FileNotFoundError(
            f"There is no folder {repository}, and the Hugging Face Hub shows no model of that name: check the name; a "
            "private one needs token=..."
        ) from None
    except (HfHubHTTPError, requests.RequestException, OSError) as error:
        if isinstance(error, OSError) and error.filename:
            raise
        detail = " ".join(str(error).split())[:200]
        raise FileNotFoundError(
            f"{name} of {repository} could not be had from the Hugging Face Hub ({type(error).__name__}: {detail}): "
            "try again later, or give a folder."
        ) from None


def _not_in_the_cache(repository: str, name: str, options: dict[str, Any], error: Exception) -> str:
    """Why nobody looked into the repository, and what would help."""
    offline = os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in {"1", "on", "yes", "true"}
    if offline:
        why, remedy = "HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE"
    elif options.get("local_files_only"):
        why, remedy = "local_files_only=True forbids the network", "pass local_files_only=False"
    else:
        why, remedy = "the Hugging Face Hub cannot be reached", "try again with a network connection"
    return (
        f"{repository} is no folder here, and its {name} is not in the cache of the Hugging Face Hub, while {why}: "
        f"{remedy}, or give the folder of a saved model."
    )
