"""The house stands: its arrows point down, it has no circles, and the book shows it as it is."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

from mmlab.command.house import END, START, circles, drawing, house, imports, refresh_house, rooms_table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "house.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"^\| (.+\?) \| \[`([^`]+)`\]\((\S+)\)", PAGE, re.MULTILINE)


def test_arrows_go_down_and_none_goes_round() -> None:
    found = house(ROOT / "mmlab")
    floor = {room: number for number, rooms in enumerate(found.floors()) for room in rooms}
    assert set(floor) == set(found.rooms)
    upward = [(room, other) for room, others in found.arrows.items() for other in others if floor[room] <= floor[other]]
    assert upward == []
    assert circles(found.arrows) == []
    assert circles(imports(ROOT / "mmlab")) == [], "a circle of modules, inside a room"


def test_the_page_shows_the_house_as_it_is() -> None:
    found = house(ROOT / "mmlab")
    between = PAGE.split(START)[1].split(END)[0].strip()
    remedy = "run `make format`: the rooms, or what they import, have changed"
    assert between == rooms_table(found), remedy
    assert (ROOT / "book" / "_static" / "house.svg").read_text(encoding="utf-8") == drawing(found), remedy


def test_the_picture_is_drawn_and_holds_every_room() -> None:
    found = house(ROOT / "mmlab")
    tree = ElementTree.fromstring(drawing(found))
    words = {element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")}
    assert words == set(found.rooms)
    paths = [element for element in tree.iter("{http://www.w3.org/2000/svg}path") if element.get("marker-end")]
    assert len(found.rooms) - 2 <= len(paths) <= sum(map(len, found.arrows.values()))


def test_there_are_ten_questions_and_more() -> None:
    assert len(QUESTIONS) >= 10


@pytest.mark.parametrize(("question", "place", "address"), QUESTIONS, ids=[place for _, place, _ in QUESTIONS])
def test_what_a_question_asks_for_is_where_the_page_says(question: str, place: str, address: str) -> None:
    assert (ROOT / place).exists(), question
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]
    kind = "tree" if (ROOT / place).is_dir() else "blob"
    assert place.endswith("/") == (ROOT / place).is_dir()
    assert address == f"{config['url']}/{kind}/{config['branch']}/{place.rstrip('/')}"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Four rooms: a front, a top that imports in a function, a middle that is a folder, a ground."""
    for path, text in {
        "__init__.py": '"""Toys: a house."""\n\nfrom mmlab.top import play\n',
        "top.py": '"""The top."""\n\ndef play():\n    from .middle import inner\n    import mmlab.ground\n',
        "middle/__init__.py": '"""The middle.\n\nMore.\n"""\n',
        "middle/inner.py": "from ..ground import floor\nfrom . import other\n",
        "middle/other.py": "import mmlab\n",
        "ground.py": '"""The ground."""\nfrom typing import TYPE_CHECKING\n',
    }.items():
        (tmp_path / "mmlab" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mmlab" / path).write_text(text, encoding="utf-8")
    return tmp_path / "mmlab"


def test_rooms_arrows_and_floors_are_counted(package: Path) -> None:
    found = house(package)
    assert found.rooms == {"mmlab": 1, "top": 1, "middle": 3, "ground": 1}
    assert found.arrows["top"] == {"middle", "ground"}
    assert found.floors() == [["ground"], ["middle"], ["top"], ["mmlab"]]
    assert found.says["middle"] == "The middle."
    assert found.places == {
        "mmlab": "mmlab/__init__.py",
        "top": "mmlab/top.py",
        "middle": "mmlab/middle/",
        "ground": "mmlab/ground.py",
    }
    assert imports(package)["mmlab.middle.inner"] == {"mmlab.ground", "mmlab.middle.other"}
    assert drawing(found).count("marker-end=") == 3  # that from top to ground follows from the others


def test_a_circle_is_found_and_takes_a_floor_for_each_of_its_rooms(package: Path) -> None:
    with (package / "ground.py").open("a", encoding="utf-8") as file:
        file.write("if TYPE_CHECKING:\n    from mmlab.middle import inner\n")
    found = house(package)
    assert circles(found.arrows) == [frozenset({"ground", "middle"})]
    assert len(found.floors()) == 4
    assert sorted(room for rooms in found.floors()[:2] for room in rooms) == ["ground", "middle"]


def test_the_page_is_brought_up_to_date_once(package: Path) -> None:
    root = package.parent
    assert refresh_house(root) == []
    (root / "book" / "_static").mkdir(parents=True)
    (root / "book" / "house.md").write_text(f"# House\n\n{START}\n\n{END}\n\nEnd.\n", encoding="utf-8")
    assert len(refresh_house(root)) == 2
    assert "**4 rooms on 4 floors, 4 arrows, 0 circles.**" in (root / "book" / "house.md").read_text(encoding="utf-8")
    assert refresh_house(root) == []
    (root / "book" / "house.md").write_text("# House\n", encoding="utf-8")
    with pytest.raises(ValueError, match="put them back"):
        refresh_house(root)
