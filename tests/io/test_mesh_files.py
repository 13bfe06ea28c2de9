"""Laws of meshes as PLY."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.testing import assert_array_equal

from panrecon.errors import InputError
from panrecon.io.mesh import read_mesh, read_panoptic_mesh, whole_numbers, write_mesh, write_panoptic_mesh
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
    assert_array_equal(found.instance[:2], [0, 1])


def test_stuff_keeps_the_instances_of_the_file(tmp_path: Path, mesh: TriangleMesh, table: CategoryTable) -> None:
    write_panoptic_mesh(tmp_path / "p.ply", labelled(mesh, [0, 2], [3, 3]), table)
    assert_array_equal(read_panoptic_mesh(tmp_path / "p.ply", table).labels.instance[:2], [3, 3])


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


Properties = dict[str, tuple[str, list[float]]]  # PLY type and values of every vertex property
TYPES = {"uchar": "u1", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4", "double": "f8"}


def ply(form: str, values: Properties, faces: list[list[int]] | None = None, faces_first: bool = False) -> bytes:
    """A PLY as others write it."""
    count = len(next(iter(values.values()))[1])
    declared = [f"element vertex {count}", *(f"property {kind} {name}" for name, (kind, _) in values.items())]
    rows = np.empty(count, [(name, TYPES[kind]) for name, (kind, _) in values.items()])
    for name, (_, column) in values.items():
        rows[name] = column
    parts = [(declared, [row.tolist() for row in rows], rows)]
    if faces is not None:
        corners = np.array([(3, face) for face in faces], [("n", "u1"), ("corners", "i4", 3)])
        listed = [(3, *face) for face in faces]
        parts.append(([f"element face {len(faces)}", "property list uchar int vertex_indices"], listed, corners))
    parts = parts[::-1] if faces_first else parts
    lines = ["ply", f"format {form} 1.0", *(line for element, _, _ in parts for line in element), "end_header\n"]
    if form == "ascii":
        lines[-1] = "end_header"
        lines += [" ".join(map(repr, row)) for _, listed, _ in parts for row in listed]
        return ("\n".join(lines) + "\n").encode()
    big = form == "binary_big_endian"
    body = (array.astype(array.dtype.newbyteorder(">" if big else "<")).tobytes() for _, _, array in parts)
    return "\n".join(lines).encode() + b"".join(body)


POSITIONS: Properties = {axis: ("float", [0.0, 1.0, 2.5, 4.0]) for axis in "xyz"}
LABELS: Properties = {"instance": ("uint", [0, 1, 2**31, 2**32 - 1]), "semantic": ("ushort", [5, 1, 0, 77])}


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("order", ["points", "no faces", "faces", "faces first"])
def test_labels_of_any_kind_of_ply_are_read(tmp_path: Path, table: CategoryTable, form: str, order: str) -> None:
    faces = {"points": None, "no faces": []}.get(order, [[0, 1, 2], [1, 2, 3]])
    content = ply(form, LABELS | POSITIONS, faces, faces_first=order == "faces first")
    (tmp_path / "p.ply").write_bytes(content)
    found = read_panoptic_mesh(tmp_path / "p.ply", table)
    assert_array_equal(found.mesh.vertices, np.repeat([[0], [1], [2.5], [4]], 3, axis=1))
    assert_array_equal(found.mesh.faces, np.reshape(faces or [], (-1, 3)))
    assert_array_equal(found.labels.category, [2, 0, VOID, VOID])
    assert_array_equal(found.labels.instance, [VOID, 0, 2**31 - 1, 2**32 - 2])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"instance": None}, "lacks 'instance'"),
        ({"semantic": None}, "lacks 'category'"),
        ({"semantic": ("float", [5, 1, 0.5, 2])}, r"'semantic' of .*p\.ply holds 0\.5"),
        ({"instance": ("double", [5, 1, float("nan"), 2])}, r"'instance' of .*p\.ply holds nan"),
        ({"y": ("float", [0, float("nan"), 1, float("inf")])}, r"2 of 4 vertices of .*p\.ply are nan or inf"),
    ],
)
def test_labels_that_are_none_are_an_error(
    tmp_path: Path, table: CategoryTable, changes: dict[str, tuple[str, list[float]] | None], complaint: str
) -> None:
    values = {name: value for name, value in {**POSITIONS, **LABELS, **changes}.items() if value is not None}
    (tmp_path / "p.ply").write_bytes(ply("binary_little_endian", values))
    with pytest.raises(InputError, match=complaint):
        read_panoptic_mesh(tmp_path / "p.ply", table)


def test_ids_in_lists_are_an_error(tmp_path: Path, table: CategoryTable) -> None:
    head = "".join(f"property float {axis}\n" for axis in "xyz") + "property int category\n"
    rows = "0 0 0 5 1 7\n1 0 0 5 2 7 8\n"
    header = f"ply\nformat ascii 1.0\nelement vertex 2\n{head}property list uchar int instance\nend_header\n"
    (tmp_path / "p.ply").write_text(header + rows)
    with pytest.raises(InputError, match=r"p\.ply"):
        read_panoptic_mesh(tmp_path / "p.ply", table)


def test_whole_numbers_may_come_as_floats(tmp_path: Path, table: CategoryTable) -> None:
    values: Properties = POSITIONS | {"label": ("float", [5, 1, 0, 2]), "instance": ("double", [2**32 - 1, 0, -1, 7])}
    (tmp_path / "p.ply").write_bytes(ply("ascii", values))
    found = read_panoptic_mesh(tmp_path / "p.ply", table).labels
    assert_array_equal(found.category, [2, 0, VOID, 1])
    assert_array_equal(found.instance, [2**32 - 2, VOID, VOID, 6])


def text_ply(property_of_id: str, ids: list[str]) -> str:
    types = "".join(f"property double {axis}\n" for axis in "xyz") + f"property {property_of_id}\n"
    rows = "".join(f"5400000.{row} 0 1 {value}\n" for row, value in enumerate(ids))
    return f"ply\nformat ascii 1.0\nelement vertex {len(ids)}\n{types}end_header\n{rows}"


def test_positions_on_a_map_keep_their_precision(tmp_path: Path) -> None:
    (tmp_path / "m.ply").write_text(text_ply("int category", ["1", "1", "1"]))
    assert_array_equal(read_mesh(tmp_path / "m.ply").vertices[:, 0], [5400000.0, 5400000.1, 5400000.2])


@pytest.mark.parametrize(("kind", "largest"), [("int", 2**31 - 1), ("uint", 2**32 - 1), ("uchar", 255)])
def test_an_id_in_text_that_its_type_cannot_hold_is_an_error(tmp_path: Path, kind: str, largest: int) -> None:
    (tmp_path / "m.ply").write_text(text_ply(f"{kind} category", ["1", str(largest)]))
    read_mesh(tmp_path / "m.ply")
    (tmp_path / "m.ply").write_text(text_ply(f"{kind} category", ["1", str(largest + 2)]))
    with pytest.raises(InputError, match=f"category.*{largest + 2}"):
        read_mesh(tmp_path / "m.ply")


def test_a_list_before_the_ids_of_a_text_does_not_stand_for_them(tmp_path: Path) -> None:
    text = text_ply("uchar category", ["1", "2"]).replace(
        "property uchar", "property list uchar int corners\nproperty uchar"
    )
    (tmp_path / "m.ply").write_text(text.replace(" 0 1 1\n", " 0 1 1 4000 1\n").replace(" 0 1 2\n", " 0 1 1 5000 2\n"))
    read_mesh(tmp_path / "m.ply")


@pytest.mark.parametrize("value", [2**24, 2**24 + 2])
def test_a_float_that_skips_whole_numbers_is_no_id(value: int) -> None:
    ids = np.array([1, value], np.float32)
    if value == 2**24:
        assert_array_equal(whole_numbers(Path("m.ply"), "instance", ids), [1, value])
    else:
        with pytest.raises(InputError, match=str(value)):
            whole_numbers(Path("m.ply"), "instance", ids)


def test_a_mesh_of_another_format_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(InputError, match=r"m\.obj cannot be read as PLY"):
        read_mesh(tmp_path / "m.obj")


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
