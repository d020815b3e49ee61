"""Files that are made from code are up to date, and a type checker sees what they say."""

import pytest

import generate
import house_picture
import settings_page
from palate.contracts import models


@pytest.mark.parametrize("name", generate.FILES)
def test_generated_files_are_up_to_date(name):
    text = (generate.ROOT / name).read_text(encoding="utf-8")
    assert text == generate.FILES[name](), f"{name} is out of date: run make generate"


def test_the_stub_names_what_the_package_finds():
    import palate

    stub = (generate.ROOT / "src/palate/models/__init__.pyi").read_text(encoding="utf-8")
    for _, kind in models.items():
        assert f"import {kind.__name__} as {kind.__name__}\n" in stub
        assert getattr(palate.models, kind.__name__) is kind


def test_the_page_of_settings_has_a_section_for_every_system():
    text = settings_page.render()
    for name in models.names():
        assert f"\n### {name}\n" in text
    assert "| `dim` | int | `64` | >= 1 |" in text


def test_the_picture_shows_every_room():
    rooms = [room for storey in house_picture.layers() for room in storey]
    here = {path.name for path in (generate.ROOT / "src/palate").iterdir() if (path / "__init__.py").is_file()}
    assert here == set(rooms)
    picture = house_picture.render()
    assert all(f">{room}</text>" in picture for room in rooms)


def test_the_check_of_docstrings_sees_what_is_raised():
    import ast

    import check_docstrings

    source = """
def f(x):
    if x:
        raise ValueError('x')

def g():
    def h():
        raise ValueError('x')
"""
    functions = check_docstrings.public_functions(ast.parse(source).body)
    found = {name: check_docstrings.raises(one) for name, one in functions}
    assert found == {"f": True, "g": False}
