"""What a browser loads by itself when it shows a page: read from HTML, style sheets, pictures in SVG and scripts."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

__all__ = ["elsewhere", "from_attributes", "from_css", "from_script", "plain"]

_ALWAYS = ("src", "poster", "background", "data", "manifest", "lowsrc", "dynsrc", "code", "archive", "codebase", "icon")
_LISTS = ("srcset", "imagesrcset")
_REFERENCES = ("href", "xlink:href")
_LINKS = {"a", "area"}  # in SVG too
_NOT_LOADED = {
    "alternate", "author", "bookmark", "canonical", "external", "help", "index", "license", "me", "next", "nofollow",
    "noopener", "noreferrer", "prev", "search", "tag", "up",
}  # fmt: skip
"""Relations of a ``<link>`` that a browser does not follow by itself."""

_STYLES = {
    "style", "fill", "stroke", "filter", "clip-path", "mask", "cursor", "marker", "marker-start", "marker-mid",
    "marker-end",
}  # fmt: skip
"""Attributes that hold CSS."""

_CANDIDATE = re.compile(r"(?:^|[\s,])([^\s,]\S*?)(?=,*(?:\s|$))[^,]*")
_URL = re.compile(r"(?:url|src)\(\s*(?:\"([^\"]*)\"|'([^']*)'|([^)'\"]*))\s*\)", re.IGNORECASE)
_IMPORT = re.compile(r"@import\s+(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_IMAGE_SET = re.compile(r"image-set\(((?:[^()]|\([^()]*\))*)\)", re.IGNORECASE)
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")
_CSS_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)
_CALLS = re.compile(
    r"(?:\bimport\s*\(?|\bfrom|\bfetch\s*\(|\bimportScripts\s*\(|\.(?:src|href)\s*=|\bopen\s*\(\s*['\"]\w+['\"]\s*,"
    r"|\bnew\s+(?:URL|Worker|SharedWorker|WebSocket|EventSource)\s*\(|\bsendBeacon\s*\()\s*(['\"`])(.*?)\1"
)
_REFRESH = re.compile(r"^\s*[\d.]*\s*[;,]?\s*(?:url\s*=\s*)?['\"]?([^'\"]*)", re.IGNORECASE)


def plain(address: str) -> str:
    """An address as a browser reads it: no blanks around it, no line breaks in it, and slashes that lean forward."""
    address = re.sub(r"[\t\n\r]", "", address.strip("".join(map(chr, range(33)))))
    return address if address.lower().startswith(("data:", "javascript:")) else address.replace("\\", "/")


def elsewhere(address: str) -> bool:
    """Whether an address leads to another host. What is in the page itself does not."""
    address = plain(address)
    if address.startswith("//"):
        return True
    scheme = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*(?=:)", address)
    return scheme is not None and scheme[0].lower() not in ("data", "blob", "about", "javascript")


def from_attributes(tag: str, found: dict[str, str | None]) -> list[str]:
    """Addresses that a tag makes a browser load.

    Args:
        tag: Its name, in small letters.
        found: Its attributes.
    """
    given = {name: value or "" for name, value in found.items()}
    addresses = [given[name] for name in _ALWAYS if given.get(name)]
    for name in _LISTS:
        addresses += _CANDIDATE.findall(given.get(name, ""))
    if tag not in _LINKS and not (tag == "link" and _is_idle(given.get("rel", ""))):
        addresses += [given[name] for name in _REFERENCES if given.get(name)]
    if tag == "meta" and given.get("http-equiv", "").strip().lower() == "refresh":
        addresses += [match[1] for match in [_REFRESH.match(given.get("content", ""))] if match and match[1]]
    for name in given.keys() & _STYLES:
        addresses += from_css(given[name])
    return addresses


def _is_idle(relations: str) -> bool:
    return set(relations.lower().split()) <= _NOT_LOADED


def from_css(text: str) -> list[str]:
    """Addresses that a style sheet makes a browser load."""
    text = _CSS_ESCAPE.sub(_unescaped, re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))
    found = ["".join(groups) for groups in [*_URL.findall(text), *_IMPORT.findall(text)]]
    for inner in _IMAGE_SET.findall(text):
        found += ["".join(groups) for groups in _QUOTED.findall(re.sub(r"\b(url|type)\([^)]*\)", "", inner))]
    return [address for address in map(str.strip, found) if address]


def _unescaped(match: re.Match[str]) -> str:
    if match[1]:
        number = int(match[1], 16)
        return chr(number) if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"
    return match[2]


def from_script(text: str) -> list[str]:
    """Addresses elsewhere that a script plainly loads; what it puts together as it runs cannot be seen."""
    return [address for _, address in _CALLS.findall(text) if elsewhere(address) and bool(urlsplit(address).netloc)]
