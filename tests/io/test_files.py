"""Laws of files that are whole or absent."""

import errno
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from panrecon.errors import InputError
from panrecon.io.files import (
    added_to,
    atomic_write,
    new_folder,
    read_arrays,
    read_json,
    write_arrays,
    write_json,
    write_text,
)


def test_a_failed_write_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.txt"
    for before in (set(), {path}):
        with pytest.raises(RuntimeError), atomic_write(path) as partial:
            partial.write_text("half")
            raise RuntimeError
        assert set(path.parent.iterdir()) == before
        write_text(path, "whole")
    with pytest.raises(RuntimeError), atomic_write(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "whole"


def test_what_is_written_aside_lies_beside_and_ends_alike(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "mesh.ply") as partial:
        partial.write_text("x")
        assert (partial.parent, partial.suffix) == (tmp_path, ".ply")
        assert not (tmp_path / "mesh.ply").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["mesh.ply"]


def test_a_file_where_a_folder_belongs_is_an_error_of_the_input(tmp_path: Path) -> None:
    (tmp_path / "stage").write_text("in the way")
    with pytest.raises(InputError, match="stage"):
        write_text(tmp_path / "stage" / "file.txt", "")
    with pytest.raises(InputError, match="stage"):
        write_text(tmp_path / "stage" / "deeper" / "file.txt", "")


@pytest.mark.parametrize("content", [{"ä": [1, 2.5, None, True], "b": {}}, [], "text", 3])
def test_json_comes_back(tmp_path: Path, content: object) -> None:
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content


def test_json_that_is_none_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.json does not exist"):
        read_json(tmp_path / "missing.json")
    for bad in (b"{", b"", b"\xff\xfe\x00"):
        (tmp_path / "bad.json").write_bytes(bad)
        with pytest.raises(InputError, match=r"bad\.json is not JSON"):
            read_json(tmp_path / "bad.json")


def test_arrays_come_back_with_type_and_the_same_bytes(tmp_path: Path) -> None:
    arrays: dict[str, np.ndarray] = {
        "a": np.arange(6, dtype=np.int32).reshape(2, 3),
        "b": np.empty((0, 4), np.float16),
        "c": np.array([True]),
    }
    write_arrays(tmp_path / "one.npz", **arrays)
    write_arrays(tmp_path / "two.npz", **arrays)
    found = read_arrays(tmp_path / "one.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert_array_equal(found[name], array)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_pickled_arrays_are_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="pickle"):
        read_arrays(tmp_path / "a.npz")


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mesh.ply").mkdir()
    with pytest.raises(InputError, match=r"mesh.ply cannot be written: is a directory; name another folder\."):
        write_text(tmp_path / "mesh.ply", "ply")
    with (
        pytest.raises(InputError, match=r"objects.json cannot be written: no space left"),
        atomic_write(tmp_path / "objects.json"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["mesh.ply"]


def test_a_copy_to_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="cannot be written: no space left"),
        atomic_write(tmp_path / "copy") as partial,
    ):
        raise OSError(errno.ENOSPC, "No space left on device", "/another/file", None, str(partial))


def test_what_cannot_be_read_while_writing_is_not_called_unwritable(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic_write(tmp_path / "copy"):
        raise PermissionError(errno.EACCES, "Permission denied", "/another/file")


def test_a_new_folder_is_whole_or_absent(tmp_path: Path) -> None:
    def write(fails: bool) -> None:
        with new_folder(tmp_path / "room") as partial:
            assert partial.name == "room"  # files in it may be named after it
            assert not partial.exists()
            write_json(partial / "deep" / "a.json", [1])
            if fails:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(fails=True)
    assert not list(tmp_path.iterdir())
    (tmp_path / ".room.partial" / "room").mkdir(parents=True)  # as a killed process leaves it
    write(fails=False)
    assert [path.name for path in tmp_path.iterdir()] == ["room"]
    with pytest.raises(InputError, match="exists already"):
        write(fails=False)
    assert read_json(tmp_path / "room" / "deep" / "a.json") == [1]


def test_what_is_added_to_a_folder_joins_what_is_there_and_its_mark_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[str] = []
    move = Path.replace

    def record(path: Path, target: Path) -> Path:
        moved.append(path.name)
        return move(path, target)

    monkeypatch.setattr(Path, "replace", record)
    write_text(tmp_path / "images" / "old" / "0.png", "old")
    (tmp_path / ".new.partial" / "killed").mkdir(parents=True)  # as a killed process leaves it
    with added_to(tmp_path, Path("images", "new")) as aside:
        for name in ("images/new/0.png", "images/also/0.png", "poses/new.txt", "zeros/new.txt"):
            write_text(aside / name, "new")
        moved.clear()
    assert sorted(moved[:3]) == ["also", "poses", "zeros"]
    assert moved[3:] == ["new"]
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert names == ["images/also/0.png", "images/new/0.png", "images/old/0.png", "poses/new.txt", "zeros/new.txt"]
    with pytest.raises(InputError, match="exists already"), added_to(tmp_path, Path("images", "new")):
        pass
