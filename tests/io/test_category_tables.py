"""Laws of class tables."""

from pathlib import Path

import pytest

from panrecon.errors import InputError
from panrecon.io.categories import read_categories, write_categories
from panrecon.roles import Role
from panrecon.structures import VOID, Category, CategoryTable


def read(tmp_path: Path, text: str) -> CategoryTable:
    (tmp_path / "classes.csv").write_text(text)
    return read_categories(tmp_path / "classes.csv")


def test_a_table_comes_back(tmp_path: Path, table: CategoryTable) -> None:
    write_categories(tmp_path / "classes.csv", table)
    assert read_categories(tmp_path / "classes.csv") == table


@pytest.mark.parametrize("role", [None, *Role])
def test_a_stated_role_comes_back_and_a_default_stays_one(tmp_path: Path, role: Role | None) -> None:
    table = CategoryTable((Category(1, "floor", False), Category(2, "Shelf", True, stated_role=role)))
    write_categories(tmp_path / "classes.csv", table)
    assert read_categories(tmp_path / "classes.csv") == table


def test_a_table_without_stated_roles_is_written_as_before_there_were_any(tmp_path: Path, table: CategoryTable) -> None:
    """So scans that were read before are not stale."""
    write_categories(tmp_path / "classes.csv", table)
    header = (tmp_path / "classes.csv").read_text().splitlines()[0]
    assert header == "id,name,thing,evaluated,synonyms,raw_ids"


def test_an_empty_role_is_that_of_the_name(tmp_path: Path) -> None:
    table = read(tmp_path, "id,name,thing,role\n1,Chairs,1,\n2,chair lift,1, any \n3,cup,1,standing\n4,rug,1\n")
    assert [category.role for category in table] == [Role.STANDING, Role.ANY, Role.STANDING, Role.ON_FLOOR]
    assert [category.stated_role for category in table] == [None, Role.ANY, Role.STANDING, None]


def test_columns_that_are_missing_have_their_defaults(tmp_path: Path) -> None:
    (wall,) = read(tmp_path, "thing,name,id\n0, wall ,4\n")
    assert (wall.id, wall.name, wall.thing, wall.evaluated) == (4, "wall", False, True)
    assert not wall.synonyms and not wall.raw_ids


def test_a_word_finds_its_row_whatever_its_case(tmp_path: Path) -> None:
    table = read(tmp_path, "id,name,thing,evaluated,synonyms\n1,wall,0,1,Shower Wall|chair\n2,chair,1,1,arm_chair\n")
    assert [table.index_of(word) for word in ("WALL", "shower  wall", "armchair", "Arm Chair")] == [0, 0, VOID, 1]
    assert table.index_of("chair") == 1  # a name goes before another's synonym


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("id,name\n1,wall\n", "no column thing"),
        ("", "no column id, name, thing"),
        ("id,name,thing\n", "lists no class"),
        ("id,name,thing\n1,wall,0\n1,floor,0\n", "id 1 twice"),
        ("id,name,thing\n1,wall,0\n2,wall,0\n", "name 'wall' twice"),
        ("id,name,thing\n1,wall,0\nx,floor,0\n", "Line 3 .*'x'"),
        ("id,name,thing\n1,wall,yes\n", "Line 2 .*'yes'"),
        ("id,name,thing\n1,wall\n", "Line 2 "),
        ("id,name,thing\n1.5,wall,0\n", "Line 2 .*'1.5'"),
        ("id,name,thing,evaluated,synonyms,raw_ids\n1,wall,0,1,,1|b\n", "Line 2 .*'b'"),
        (
            "id,name,thing,role\n1,wall,0,\n2,rug,1,flat\n",
            "Line 3 .*'flat'; give floor, ceiling, .*, or nothing",
        ),
        ("id,name,thing\n0,void,0\n", "id from 1 to 65535"),
        ("id,name,thing\n3,,0\n", "a name"),
        ('id,name,thing\n3,"' + "x" * 140_000, "no CSV: .*close its quotes"),
    ],
)
def test_a_bad_table_is_an_error_that_says_what_and_where(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read(tmp_path, text)


def test_a_table_that_is_not_text_is_an_error_of_the_input(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match=r"classes\.csv"):
        read_categories(tmp_path / "classes.csv")


def test_a_table_that_is_missing_is_an_error_of_the_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv does not exist"):
        read_categories(tmp_path / "none.csv")
