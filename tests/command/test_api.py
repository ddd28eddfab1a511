"""The API pages of the methods are those of the cards, with the equations that the code names."""

from pathlib import Path

import pytest

from mmlab.command.api import method_page, refresh_api
from mmlab.publish import project
from mmlab.registry import list_methods

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("stem", list_methods())
def test_the_page_of_a_method_is_up_to_date(stem: str) -> None:
    page = ROOT / "book" / "api" / "methods" / f"{stem}.md"
    assert page.read_text(encoding="utf-8") == method_page(stem, list_methods()[stem], ROOT), "run `make format`"


def test_there_are_no_other_pages_and_all_are_in_the_contents() -> None:
    pages = {f"book/api/methods/{path.stem}" for path in (ROOT / "book" / "api" / "methods").glob("*.md")}
    assert pages == {f"book/api/methods/{stem}" for stem in list_methods()}
    assert pages <= set(project.toc_entries(ROOT))


def test_only_the_equations_that_the_code_names_are_shown(tmp_path: Path) -> None:
    for folder in ("mmlab/methods", "notebooks", "book/api"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "mmlab" / "methods" / "toy.py").write_text(
        "class Toy:\n    card = Card('The toy', 'toys', 'p', 'Plays.', ('x',), chapter='toys')\n    x = 1  # Eq. (2)\n"
    )
    chapter = "# %% [markdown]\n# $$a \\tag{1}$$\n#\n# $$\n# b = 1,\n# \\tag{2}\n# $$\n# $$c \\tag{3}$$\n"
    (tmp_path / "notebooks" / "toys.py").write_text(chapter)
    (changed,) = refresh_api(tmp_path)
    text = changed.read_text(encoding="utf-8")
    assert "$$\nb = 1,\n\\tag{2}\n$$" in text
    assert "tag{1}" not in text
    assert "tag{3}" not in text
    assert "# The toy\n\nPlays. The chapter [The toy](/notebooks/toys.ipynb)" in text
    assert "<!-- modules: mmlab.methods.toy -->" in text
    assert refresh_api(tmp_path) == []
    (tmp_path / "mmlab" / "methods" / "toy.py").unlink()
    list_methods.cache_clear()
    refresh_api(tmp_path)
    assert not changed.exists()
