"""Meshes as binary PLY; labelled ones carry the integer vertex properties `category` and `instance` (0 = none)."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Int

from panrecon.errors import InputError
from panrecon.io.files import atomic_write
from panrecon.io.ids import categories_of_ids, ids_of_categories, instances_of_ids
from panrecon.structures import VOID, CategoryTable, Labels, PanopticMesh, TriangleMesh

CATEGORY_PROPERTIES = ("category", "semantic", "label")


class EmptyMeshError(InputError):
    """A PLY that can be read and holds no vertices."""


def write_mesh(path: Path, mesh: TriangleMesh) -> None:
    """Writes vertices (m), faces and vertex colours."""
    with atomic_write(path) as partial:
        partial.write_bytes(_ply(mesh, {}))


def write_panoptic_mesh(path: Path, panoptic: PanopticMesh, table: CategoryTable) -> None:
    """Writes a mesh with the table's ids as `category` and instances from 1 as `instance`; 0 = void and none."""
    category = ids_of_categories(panoptic.labels.category, table)
    attributes = {"category": category, "instance": (panoptic.labels.instance - VOID).astype(np.int32)}
    with atomic_write(path) as partial:
        partial.write_bytes(_ply(panoptic.mesh, attributes))


def read_mesh(path: Path) -> TriangleMesh:
    """Vertices, faces and vertex colours (grey where the file has none).

    Raises:
        InputError: there is no such file, it is no PLY, it has no vertices, or one of them is not finite.
    """
    return read_vertices(path)[0]


def read_vertices(path: Path) -> tuple[TriangleMesh, dict[str, np.ndarray]]:
    """A mesh or point cloud, and every property of its vertices by name, in the file's own types.

    Positions keep the precision of the file: those of a map (UTM) need doubles.

    Raises:
        InputError: there is no such file, it is no PLY, it has no vertices (an EmptyMeshError), one of them is not
            finite, or a property holds what its type cannot.
    """
    if not path.is_file():
        raise InputError(f"The mesh {path} does not exist; name another.")
    try:
        with np.errstate(invalid="ignore"):  # of whole numbers that do not fit, which are looked for below
            loaded = trimesh.load(path, file_type="ply", process=False)
        elements = loaded.metadata["_ply_raw"]
        raw = elements["vertex"]["data"]
    except (ValueError, LookupError, TypeError, AttributeError, NameError) as error:  # whatever trimesh stumbles over
        raise InputError(f"The mesh {path} cannot be read as PLY ({error}); write it anew.") from error
    vertices = np.asarray(getattr(loaded, "vertices", np.empty((0, 3))))
    if not len(vertices):
        raise EmptyMeshError(f"The mesh {path} has no vertices; write it anew.")
    if len(vertices) != elements["vertex"]["length"]:
        stated = elements["vertex"]["length"]
        raise InputError(f"{path} is cut: it states {stated} vertices and holds {len(vertices)}; write it anew.")
    not_finite = int((~np.isfinite(vertices)).any(axis=1).sum())
    if not_finite:
        raise InputError(f"{not_finite} of {len(vertices)} vertices of {path} are nan or inf; remove them.")
    triangles = getattr(loaded, "faces", None)  # a point cloud has none
    faces = np.asarray(np.empty((0, 3)) if triangles is None else triangles, dtype=np.int32).reshape(-1, 3)
    if len(faces) and not 0 <= faces.min() <= faces.max() < len(vertices):
        raise InputError(f"A face of {path} names vertex {faces.max()}, it has {len(vertices)}; write it anew.")
    names = raw.dtype.names if isinstance(raw, np.ndarray) else tuple(raw)
    properties = {name: np.asarray(raw[name]).reshape(-1) for name in names or ()}
    _check_range_of_text(path, properties)
    if properties["x"].dtype.itemsize <= np.dtype(np.float32).itemsize:
        vertices = vertices.astype(np.float32)
    if {"red", "green", "blue"} <= properties.keys():
        colors = np.column_stack([properties[name] for name in ("red", "green", "blue")]).astype(np.uint8)
    else:
        colors = np.full((len(vertices), 3), 128, np.uint8)
    return TriangleMesh(vertices, faces, colors), properties


def _check_range_of_text(path: Path, properties: Mapping[str, np.ndarray]) -> None:
    """That the whole numbers of a file in text fit the types that it declares; they were cut to these when read."""
    whole = [index for index, values in enumerate(properties.values()) if np.issubdtype(values.dtype, np.integer)]
    with path.open("rb") as file:
        header = list(iter(lambda: file.readline().strip(), b"end_header"))
        declared = [line for line in header if line.startswith((b"element", b"property"))]
        of_vertices = declared[1 : 1 + len(properties)]
        is_table = declared[0].startswith(b"element vertex") and not any(b" list " in line for line in of_vertices)
        if b"format ascii 1.0" not in header or not is_table or not whole:
            return
        try:
            stated = np.loadtxt(file, usecols=whole, max_rows=len(next(iter(properties.values()))), ndmin=2)
        except ValueError as error:
            raise InputError(f"The mesh {path} cannot be read as PLY ({error}); write it anew.") from error
    for column, name in zip(stated.T, [list(properties)[index] for index in whole], strict=True):
        limits = np.iinfo(properties[name].dtype)
        beyond = column[(column < limits.min) | (column > limits.max)]
        if len(beyond):
            raise InputError(
                f"The property {name!r} of {path} holds {beyond[0]:.0f}, too much for {properties[name].dtype}; "
                "declare a larger type."
            )


def read_panoptic_mesh(path: Path, table: CategoryTable, remembers_unlisted: bool = False) -> PanopticMesh:
    """A labelled mesh or point cloud; ids that the table does not list become void, or `VOID` - id to remember them.

    Instances are kept whatever the class, of stuff and of void too, for some protocols count them.

    Raises:
        InputError: the file lacks a category (or `semantic`, `label`) or an `instance` property, or they are no ids.
    """
    mesh, properties = read_vertices(path)
    category, instance = label_properties(path, properties)
    labels = Labels(categories_of_ids(category, table, remembers_unlisted), instances_of_ids(instance))
    return PanopticMesh(mesh, labels)


def label_properties(
    path: Path, properties: Mapping[str, np.ndarray]
) -> tuple[Int[np.ndarray, " V"], Int[np.ndarray, " V"]]:
    """The category ids and the instance ids among the vertex properties of the file at `path`.

    Raises:
        InputError: one of them is missing or not of whole numbers.
    """
    category = next((name for name in CATEGORY_PROPERTIES if name in properties), None)
    if category is None or "instance" not in properties:
        lacks = "'instance'" if category else "'category'" if "instance" in properties else "'category' and 'instance'"
        raise InputError(
            f"{path} has vertex properties {', '.join(properties) or 'none'}; it lacks {lacks}, "
            "and integer 'category' and 'instance' are needed."
        )
    return whole_numbers(path, category, properties[category]), whole_numbers(path, "instance", properties["instance"])


def whole_numbers(path: Path, name: str, values: np.ndarray) -> Int[np.ndarray, " V"]:
    """A vertex property as 64-bit ids, whatever type the file gives it.

    Raises:
        InputError: it is a list, or holds a value that is no whole number.
    """
    if not np.issubdtype(values.dtype, np.number):
        raise InputError(f"The property {name!r} of {path} is a list, or a line is cut; write one integer a vertex.")
    if not np.issubdtype(values.dtype, np.integer):
        broken = ~np.isfinite(values) | (values != np.round(values))
        if broken.any():
            raise InputError(f"The property {name!r} of {path} holds {values[broken][0]:g}; write ids as integers.")
        exact = 2 ** (np.finfo(values.dtype).nmant + 1)
        if np.abs(values).max(initial=0) > exact:
            raise InputError(
                f"The property {name!r} of {path} holds {np.abs(values).max():.0f}, where {values.dtype} skips whole "
                "numbers; write ids as integers."
            )
    return values.astype(np.int64)


def panoptic_digest(panoptic: PanopticMesh) -> str:
    """SHA-256 of the points and labels as they were read, whatever the format."""
    result = hashlib.sha256()
    for values in (panoptic.mesh.vertices, panoptic.labels.category, panoptic.labels.instance):
        result.update(values.tobytes())
    return result.hexdigest()


def _ply(mesh: TriangleMesh, attributes: dict[str, np.ndarray]) -> bytes:
    rgba = np.column_stack([mesh.colors, np.full(len(mesh.colors), 255, np.uint8)])
    export = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=rgba, process=False)
    export.vertex_attributes.update(attributes)
    ply: bytes = trimesh.exchange.ply.export_ply(export, include_attributes=True, vertex_normal=False)
    return ply
