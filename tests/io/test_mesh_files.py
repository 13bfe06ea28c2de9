"""Laws of meshes as PLY."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.testing import assert_array_equal

from panrecon.errors import InputError
from panrecon.io.mesh import (
    ids_of_rows,
    read_mesh,
    read_panoptic_mesh,
    rows_of_ids,
    write_mesh,
    write_panoptic_mesh,
)
from panrecon.structures import VOID, Category, CategoryTable, Labels, PanopticMesh, TriangleMesh


@pytest.fixture
def mesh() -> TriangleMesh:
    """A ball with a vertex of no face, every vertex of its own colour."""
    sphere = trimesh.creation.icosphere(subdivisions=1)
    vertices = np.concatenate([sphere.vertices, [[9, 9, 9]]]).astype(np.float32)
    colors = np.random.default_rng(0).integers(0, 256, (len(vertices), 3)).astype(np.uint8)
    return TriangleMesh(vertices, sphere.faces.astype(np.int32), colors)


def assert_same(one: TriangleMesh, other: TriangleMesh) -> None:
    assert_array_equal(one.vertices, other.vertices)
    assert_array_equal(one.faces, other.faces)
    assert_array_equal(one.colors, other.colors)


def labelled(mesh: TriangleMesh, category: list[int], instance: list[int]) -> PanopticMesh:
    count = len(mesh.vertices)
    columns = (np.resize(np.array(column, np.int32), count) for column in (category, instance))
    return PanopticMesh(mesh, Labels(*columns))


def test_a_mesh_comes_back(tmp_path: Path, mesh: TriangleMesh) -> None:
    write_mesh(tmp_path / "m.ply", mesh)
    assert_same(read_mesh(tmp_path / "m.ply"), mesh)


def test_a_labelled_mesh_comes_back(tmp_path: Path, mesh: TriangleMesh, table: CategoryTable) -> None:
    panoptic = labelled(mesh, [0, 2, 2, 3, 4, VOID, 1], [VOID, 0, 5, 300, 1, VOID, VOID])
    write_panoptic_mesh(tmp_path / "p.ply", panoptic, table)
    found = read_panoptic_mesh(tmp_path / "p.ply", table)
    assert_same(found.mesh, mesh)
    assert_array_equal(found.labels.category, panoptic.labels.category)
    assert_array_equal(found.labels.instance, panoptic.labels.instance)


def test_files_carry_the_tables_ids_and_zero_for_none(tmp_path: Path, mesh: TriangleMesh, table: CategoryTable) -> None:
    write_panoptic_mesh(tmp_path / "p.ply", labelled(mesh, [2, VOID, 4, 0], [0, VOID, 7, VOID]), table)
    vertex = trimesh.load(tmp_path / "p.ply", process=False).metadata["_ply_raw"]["vertex"]["data"]
    assert np.ravel(vertex["category"])[:4].tolist() == [5, 0, 11, 1]
    assert np.ravel(vertex["instance"])[:4].tolist() == [1, 0, 8, 0]


def test_ids_the_table_does_not_list_become_void(tmp_path: Path, mesh: TriangleMesh, table: CategoryTable) -> None:
    other = CategoryTable((Category(5, "chair", thing=True), Category(6, "lamp", thing=True)))
    write_panoptic_mesh(tmp_path / "p.ply", labelled(mesh, [0, 1], [0, 1]), other)
    found = read_panoptic_mesh(tmp_path / "p.ply", table).labels
    assert_array_equal(found.category[:2], [2, VOID])
    assert_array_equal(found.instance[:2], [0, VOID])


def test_stuff_has_no_instance_whatever_the_file_says(tmp_path: Path, mesh: TriangleMesh, table: CategoryTable) -> None:
    write_panoptic_mesh(tmp_path / "p.ply", labelled(mesh, [0, 2], [3, 3]), table)
    assert_array_equal(read_panoptic_mesh(tmp_path / "p.ply", table).labels.instance[:2], [VOID, 3])


def test_rows_and_ids_are_inverse_even_in_an_unsorted_table() -> None:
    table = CategoryTable(tuple(Category(number, f"c{number}", thing=False) for number in (40, 3, 7)))
    rows = np.array([[2, 0], [VOID, 1]])
    assert_array_equal(ids_of_rows(rows, table), [[7, 40], [0, 3]])
    assert_array_equal(rows_of_ids(ids_of_rows(rows, table), table), rows)
    assert_array_equal(rows_of_ids(np.array([-5, 1, 41, 8]), table), [VOID] * 4)


@pytest.mark.parametrize("name", ["semantic", "label"])
def test_other_names_for_the_category_are_understood(
    tmp_path: Path, mesh: TriangleMesh, table: CategoryTable, name: str
) -> None:
    write_panoptic_mesh(tmp_path / "p.ply", labelled(mesh, [2], [0]), table)
    content = (tmp_path / "p.ply").read_bytes()
    (tmp_path / "q.ply").write_bytes(content.replace(b" category\n", b" " + name.encode() + b"\n"))
    assert (read_panoptic_mesh(tmp_path / "q.ply", table).labels.category == 2).all()


def test_a_mesh_without_labels_is_an_error_that_lists_what_it_has(
    tmp_path: Path, mesh: TriangleMesh, table: CategoryTable
) -> None:
    write_mesh(tmp_path / "m.ply", mesh)
    with pytest.raises(InputError, match=r"m\.ply has vertex properties x, y, z.*'category' and 'instance'"):
        read_panoptic_mesh(tmp_path / "m.ply", table)


def test_a_mesh_without_colours_is_grey_and_points_alone_have_no_faces(tmp_path: Path) -> None:
    vertices = np.random.default_rng(0).random((4, 3)).astype(np.float32)
    rows = "\n".join(" ".join(map(str, row)) for row in vertices)
    header = (
        "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    )
    (tmp_path / "points.ply").write_text(header + rows + "\n")
    found = read_mesh(tmp_path / "points.ply")
    assert_array_equal(found.vertices, vertices)
    assert found.faces.shape == (0, 3)
    assert (found.colors == 128).all()


@pytest.mark.parametrize("content", [None, b"", b"ply\n", b"no mesh at all", b"ply\nformat binary_little_endian 1.0\n"])
def test_what_is_no_mesh_is_an_error_that_names_the_file(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "m.ply").write_bytes(content)
    with pytest.raises(InputError, match=r"m\.ply"):
        read_mesh(tmp_path / "m.ply")


def test_a_truncated_mesh_is_an_error_that_names_the_file(tmp_path: Path, mesh: TriangleMesh) -> None:
    write_mesh(tmp_path / "whole.ply", mesh)
    content = (tmp_path / "whole.ply").read_bytes()
    (tmp_path / "m.ply").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"m\.ply"):
        read_mesh(tmp_path / "m.ply")
