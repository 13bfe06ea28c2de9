"""Laws of ScanNet's label map, on small maps of its form."""

from pathlib import Path

import pytest

from panrecon.datasets.scannet.label_map import FILE_NAME, find_label_map, read_label_map
from panrecon.errors import InputError
from panrecon.structures import Category, CategoryTable

COLUMNS = ("id", "raw_category", "category", "count", "nyu40id", "eigen13id", "nyuClass", "nyu40class", "rest")
ROWS = (
    ("22", "books", "book", "9", "23", "2", "book", "books", ""),
    ("2", "chair", "chair", "8", "5", "4", "chair", "chair", ""),
    ("22", "book", "book", "5", "23", "2", "book", "books", ""),
    ("23", "armchair", "armchair", "4", "5", "4", "chair", "chair", "n02738535"),
    ("1163", "object", "object", "3", "40", "7", "", "otherprop", ""),
    ("2", "Stack of  chairs", "chair", "3", "5", "4", "chair", "chair", ""),
)


def write_map(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text("\n".join("\t".join(row) for row in (COLUMNS, *ROWS)) + "\n")
    return folder / FILE_NAME


def test_words_have_ids_and_ids_have_words_from_fine_to_coarse(tmp_path: Path) -> None:
    found = read_label_map(write_map(tmp_path))
    assert found.raw_id_of_word["stack of chairs"] == 2
    assert found.raw_id_of_word["book"] == found.raw_id_of_word["books"] == 22
    assert "otherprop" not in found.raw_id_of_word
    assert found.words_of_raw_id == {
        22: ("books", "book"),
        2: ("chair", "stack of chairs"),
        23: ("armchair", "chair"),
        1163: ("object", "otherprop"),
    }


def test_a_class_means_its_raw_ids_and_without_any_those_of_its_words(tmp_path: Path) -> None:
    label_map = read_label_map(write_map(tmp_path))
    by_words = (Category(1, "Seat", thing=True, synonyms=("chair",)), Category(2, "book", thing=True))
    assert label_map.index_of_raw_id(CategoryTable(by_words)) == {2: 0, 23: 0, 22: 1}
    exact = (Category(1, "chair", thing=True, synonyms=("armchair",), raw_ids=(2, 77)), by_words[1])
    assert label_map.index_of_raw_id(CategoryTable(exact)) == {2: 0, 77: 0, 22: 1}


def test_the_finest_word_decides(tmp_path: Path) -> None:
    table = CategoryTable((Category(1, "chair", thing=True), Category(2, "armchair", thing=True)))
    assert read_label_map(write_map(tmp_path)).index_of_raw_id(table) == {2: 0, 23: 1}


def test_the_map_is_found_up_to_three_folders_above(tmp_path: Path) -> None:
    write_map(tmp_path)
    scene = tmp_path / "scans" / "part"
    assert find_label_map(scene / "scene0") == tmp_path / FILE_NAME
    assert find_label_map(scene / "scene0" / "deeper") is None
    nearest = write_map(scene / "scene0")
    assert find_label_map(scene / "scene0") == nearest


@pytest.mark.parametrize(
    "content", ["id\traw_category\n1\twall\n", "id\traw_category\tcategory\tnyu40class\nx\ta\tb\tc\n"]
)
def test_a_bad_map_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "map.tsv").write_text(content)
    with pytest.raises(InputError, match=r"map\.tsv is not ScanNet's"):
        read_label_map(tmp_path / "map.tsv")
    with pytest.raises(InputError, match=r"none\.tsv does not exist"):
        read_label_map(tmp_path / "none.tsv")
