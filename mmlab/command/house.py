"""The house that the package is: its rooms, floors and arrows, counted from the imports and drawn.

A room is a folder or a loose file right under ``mmlab/``. An arrow goes from a room to one that it imports anything
from, also inside a function or for type checking alone. A room's floor is one above the highest that it stands on.
"""

from __future__ import annotations

import ast
import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmlab.syntax import parse

__all__ = ["END", "START", "House", "circles", "drawing", "house", "imports", "refresh_house", "rooms_table"]

START = "<!-- The rooms, made by `make format`. -->"
END = "<!-- End of the rooms. -->"

_PAGE = Path("book/house.md")
_PICTURE = Path("book/_static/house.svg")
_FRONT = "mmlab"
_WIDTH, _STOREY, _BOX, _GAP = 720, 92, 34, 14


@dataclass(frozen=True)
class House:
    """Rooms and what stands on what.

    Attributes:
        rooms: Number of modules of each room, by name; the front door, ``mmlab/__init__.py``, is called ``mmlab``.
        arrows: For each room the rooms that it imports from.
        says: First sentence of each room's docstring.
        places: Path of each room, seen from the root of the book.
    """

    rooms: Mapping[str, int]
    arrows: Mapping[str, frozenset[str]]
    says: Mapping[str, str]
    places: Mapping[str, str]

    def floors(self) -> list[list[str]]:
        """Rooms by floor, the ground floor first.

        In a house without circles, each arrow goes down by a floor at least. A circle of n rooms takes n floors:
        whatever their order, one of its arrows goes up.
        """
        together = {room: frozenset({room}) for room in self.rooms}
        for circle in circles(self.arrows):
            together |= dict.fromkeys(circle, circle)
        level: dict[frozenset[str], int] = {}

        def climb(group: frozenset[str]) -> int:
            if group not in level:
                below = {together[other] for room in group for other in self.arrows[room]} - {group}
                level[group] = len(group) + max(map(climb, below), default=0)
            return level[group]

        found: list[list[str]] = [[] for _ in range(max(climb(group) for group in together.values()))]
        for room in sorted(self.rooms):
            group = together[room]
            found[climb(group) - 1 - sorted(group).index(room)].append(room)
        return found


def imports(package: Path) -> dict[str, frozenset[str]]:
    """For each module of a package, by dotted name, the other modules of it that it imports.

    ``import mmlab`` alone, by which a module asks where the package lies, is no arrow.

    Args:
        package: Folder of the package.
    """
    modules = {_dotted(path, package): path for path in sorted(package.rglob("*.py")) if path.stem.isidentifier()}
    found = {}
    for name, path in modules.items():
        targets = {_module(target, modules) for target in _imported(path, name, package.name)}
        found[name] = frozenset(targets - {name, package.name, ""})
    return found


def house(package: Path) -> House:
    """Look at a package.

    Args:
        package: Its folder, for example ``mmlab/``.
    """
    counts: dict[str, int] = {}
    arrows: dict[str, set[str]] = {}
    for module, targets in imports(package).items():
        room = _room(module)
        counts[room] = counts.get(room, 0) + 1
        arrows.setdefault(room, set()).update(_room(target) for target in targets)
    outside = {room: frozenset(targets - {room}) for room, targets in arrows.items()}
    files = {room: _file(package, room) for room in counts}
    says = {room: _first_sentence(path) for room, path in files.items()}
    return House(counts, outside, says, {room: _place(path, package) for room, path in files.items()})


def circles(arrows: Mapping[str, frozenset[str]]) -> list[frozenset[str]]:
    """Groups of two or more, each of which is reached from each other along the arrows.

    Args:
        arrows: For each name the names that it points to.
    """
    reached = {name: _reached(name, arrows) for name in arrows}
    groups = {frozenset(other for other in reached[name] if name in reached[other]) | {name} for name in arrows}
    return sorted((group for group in groups if len(group) > 1), key=sorted)


def drawing(found: House) -> str:
    """The house as SVG: a row for each floor, and the arrows that do not follow from others.

    Args:
        found: The house.
    """
    floors = found.floors()
    height = _STOREY * len(floors) + 20
    place: dict[str, tuple[float, float, float]] = {}
    boxes = []
    for number, rooms in enumerate(floors):
        wide = (_WIDTH - _GAP * (len(rooms) + 1)) / len(rooms)
        width = min(wide, 150)
        left = (_WIDTH - len(rooms) * width - (len(rooms) - 1) * _GAP) / 2
        top = height - 10 - _STOREY * (number + 1) + (_STOREY - _BOX) / 2
        for at, room in enumerate(rooms):
            x = left + at * (width + _GAP)
            place[room] = (x, top, width)
            boxes.append(_box(room, found.rooms[room], x, top, width))
    lines = _lines([(room, other) for room in sorted(place) for other in sorted(_needed(room, found.arrows))], place)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">\n'
        f"<title>{len(found.rooms)} rooms on {len(floors)} floors</title>\n"
        '<defs><marker id="tip" markerWidth="7" markerHeight="6" refX="5" refY="3" orient="auto">'
        '<path d="M0 0L7 3L0 6z" fill="#64748b"/></marker></defs>\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>\n'
        '<g fill="none" stroke="#64748b" stroke-width="1.2">\n' + "\n".join(lines) + "\n</g>\n"
        '<g font-family="sans-serif" font-size="15" text-anchor="middle" fill="#1f2933">\n'
        + "\n".join(boxes)
        + "\n</g></svg>\n"
    )


def rooms_table(found: House) -> str:
    """Counts, picture and a table of the rooms from the top floor down, as Markdown.

    Args:
        found: The house.
    """
    floors = found.floors()
    arrows = sum(map(len, found.arrows.values()))
    rows = [
        f"| {number} | `{found.places[room]}` | {found.rooms[room]} | {found.says[room]} |"
        for number, rooms in reversed(list(enumerate(floors, start=1)))
        for room in rooms
    ]
    alt = "; ".join(f"floor {number}: {', '.join(rooms)}" for number, rooms in enumerate(floors, start=1))
    return "\n".join(
        [
            f"**{len(found.rooms)} rooms on {len(floors)} floors, {arrows} arrows, "
            f"{len(circles(found.arrows))} circles.**",
            "",
            f"```{{figure}} _static/{_PICTURE.name}",
            f":alt: The rooms of mmlab by floor, with arrows to what they stand on. {alt}.",
            ":width: 100%",
            "",
            "Who imports whom. An arrow that follows from others is left out.",
            "```",
            "",
            "| Floor | Where | Modules | What lives there |",
            "| --- | --- | --- | --- |",
            *rows,
        ]
    )


def refresh_house(root: Path) -> list[Path]:
    """Draw the package as it is, and put picture, counts and table into the book.

    Args:
        root: Folder of the book; its package is looked at, not the installed one.

    Returns:
        The files that changed.

    Raises:
        ValueError: If the page has lost the lines that the table stands between.
    """
    from mmlab.store.folders import write_whole

    page = root / _PAGE
    if not page.exists():
        return []
    text = page.read_text(encoding="utf-8")
    if START not in text or END not in text:
        raise ValueError(f"{page} has lost the lines {START!r} and {END!r}: put them back.")
    found = house(root / "mmlab")
    before, rest = text.split(START)
    made = {
        page: f"{before}{START}\n\n{rooms_table(found)}\n\n{END}{rest.split(END)[1]}",
        root / _PICTURE: drawing(found),
    }
    changed = [p for p, new in made.items() if not p.exists() or p.read_text(encoding="utf-8") != new]
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, made[path])
    return changed


def _imported(path: Path, name: str, package: str) -> Iterator[str]:
    for node in ast.walk(parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == package)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
                base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            if base.split(".")[0] == package:
                yield from (f"{base}.{alias.name}" for alias in node.names)


def _module(target: str, modules: Mapping[str, Path]) -> str:
    """The module that a dotted name lives in: itself, or the nearest above it."""
    while target not in modules and "." in target:
        target = target.rpartition(".")[0]
    return target if target in modules else ""


def _dotted(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else _FRONT


def _file(package: Path, room: str) -> Path:
    """The module that speaks for a room."""
    folder = package if room == _FRONT else package / room
    return folder / "__init__.py" if folder.is_dir() else package / f"{room}.py"


def _place(path: Path, package: Path) -> str:
    place = path.relative_to(package.parent)
    return f"{place.parent}/" if path.name == "__init__.py" and path.parent != package else str(place)


def _first_sentence(path: Path) -> str:
    documented = ast.get_docstring(parse(path.read_text(encoding="utf-8"), str(path))) or ""
    line = " ".join(documented.partition("\n\n")[0].split())
    return line.replace("``", "`").replace(":func:", "").replace(":class:", "").replace("|", "\\|")


def _reached(start: str, arrows: Mapping[str, frozenset[str]]) -> set[str]:
    found: set[str] = set()
    queue = list(arrows.get(start, ()))
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue += arrows.get(name, ())
    return found


def _needed(room: str, arrows: Mapping[str, frozenset[str]]) -> set[str]:
    """The arrows of a room without those to what another room that it points to stands on, too."""
    return {
        other for other in arrows[room] if not any(other in _reached(third, arrows) for third in arrows[room] - {other})
    }


def _lines(arrows: list[tuple[str, str]], place: Mapping[str, tuple[float, float, float]]) -> list[str]:
    """Curves from the lower edge of one box to the upper edge of another, side by side where several meet."""

    def along(room: str, ends: list[str], end: str) -> float:
        """Where an arrow meets the edge: ends that lie to the left meet it on the left."""
        ordered = sorted(ends, key=lambda other: (place[other][0] + place[other][2] / 2, other))
        left, _, width = place[room]
        return left + width * (ordered.index(end) + 1) / (len(ordered) + 1)

    lines = []
    for room, other in arrows:
        x0 = along(room, [b for a, b in arrows if a == room], other)
        x1 = along(other, [a for a, b in arrows if b == other], room)
        y0, y1 = place[room][1] + _BOX, place[other][1] - 4
        bend = (y1 - y0) / 2
        curve = f"M{x0:.0f} {y0:.0f}C{x0:.0f} {y0 + bend:.0f} {x1:.0f} {y1 - bend:.0f} {x1:.0f} {y1:.0f}"
        lines.append(f'<path d="{curve}" marker-end="url(#tip)"/>')
    return lines


def _box(room: str, modules: int, x: float, y: float, width: float) -> str:
    count = f"{modules} module{'s' * (modules != 1)}"
    return (
        f'<g><title>{html.escape(room)}: {count}</title><rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" '
        f'height="{_BOX}" rx="7" fill="{"#dbeafe" if modules > 1 else "#f1f5f9"}" stroke="#1f2933"/>'
        f'<text x="{x + width / 2:.0f}" y="{y + _BOX / 2 + 5:.0f}">{html.escape(room)}</text></g>'
    )
