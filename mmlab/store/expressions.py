"""Regular expressions from somebody else's file: tried with a time limit, in a process of their own, before any use.

An expression such as ``(a+)+b`` takes longer than anybody lives on some names, and Python cannot be stopped while it
tries. peft matches the expressions of an adapter with the names of all modules, so this is done here first, with the
same names, where it can be stopped.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmlab.wording import few

__all__ = ["check_matching"]

_SECONDS = 5.0
_TRY = """
import json, re, sys
expressions, names = json.load(sys.stdin)
for expression in expressions:
    compiled = re.compile(expression)
    for name in names:
        compiled.fullmatch(name)
        compiled.match(name)
"""


def check_matching(config: Mapping[str, Any], names: Sequence[str], where: str, seconds: float = _SECONDS) -> None:
    """Refuse the configuration of an adapter whose expressions are none, or take too long on these names.

    Args:
        config: What ``adapter_config.json`` says.
        names: The names of the model's modules.
        where: The file, for messages.
        seconds: The limit for all expressions together.

    Raises:
        ValueError: If an expression is not one, or the limit is passed; the sentence names the field.
    """
    found = dict(_expressions(config))
    for field, expression in found.items():
        try:
            re.compile(expression)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"{where}: {field} is no regular expression ({few([str(error)])}).") from None
    risky = [expression for expression in found.values() if not _is_harmless(expression)]
    if not risky:
        return
    names = [*names, *(f"base_model.model.{name}" for name in names)]
    try:
        run = [sys.executable, "-I", "-S", "-c", _TRY]
        subprocess.run(run, input=json.dumps([risky, names]).encode(), capture_output=True, timeout=seconds, check=True)
    except subprocess.TimeoutExpired:
        fields = sorted({field.split(".")[0] for field, expression in found.items() if expression in risky})
        raise ValueError(
            f"{where}: the regular expression in {few(fields)} took more than {seconds:g} s to match with the model's "
            "names: list the modules' names in its place."
        ) from None
    except subprocess.CalledProcessError as error:
        raise ValueError(
            f"{where}: its regular expressions cannot be tried ({error.stderr.decode()[-200:]!r})."
        ) from None


def _expressions(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What peft will use as expressions, in the form in which it does."""
    for field in ("target_modules", "exclude_modules"):
        if isinstance(config.get(field), str):
            yield field, config[field]
    for field in ("rank_pattern", "alpha_pattern"):
        for key in config.get(field) or {}:
            yield f"{field}.{key}", rf"(.*\.)?({key})$"
    layers = config.get("layers_pattern") or []
    for pattern in [layers] if isinstance(layers, str) else layers:
        yield f"layers_pattern.{pattern}", rf".*\.{pattern}\.(\d+)\."


def _is_harmless(expression: str) -> bool:
    """At most two plain repetitions, none of a group, and no way back: quick on any name."""
    repeats = re.findall(r"(?<!\\)[*+?{]", expression.replace("(.*\\.)?(", "(", 1))
    return len(repeats) <= 2 and not re.search(r"\)[*+{]|\\\d", expression)
