"""Meshes as binary PLY; labelled ones carry the integer vertex properties `category` and `instance` (0 = none)."""

from pathlib import Path

import numpy as np
import trimesh

from panrecon.errors import InputError
from panrecon.io.files import aside
from panrecon.structures import VOID, CategoryTable, Labels, PanopticMesh, TriangleMesh


def write_mesh(path: Path, mesh: TriangleMesh) -> None:
    with aside(path) as partial:
        partial.write_bytes(_ply(mesh, {}))


def write_panoptic_mesh(path: Path, panoptic: PanopticMesh, table: CategoryTable) -> None:
    """Categories by the table's ids, instances from 1; 0 = void and none."""
    category = ids_of_rows(panoptic.labels.category, table)
    attributes = {"category": category, "instance": (panoptic.labels.instance - VOID).astype(np.int32)}
    with aside(path) as partial:
        partial.write_bytes(_ply(panoptic.mesh, attributes))


def read_mesh(path: Path) -> TriangleMesh:
    """Vertices, faces and vertex colours (grey where the file has none).

    Raises:
        InputError: there is no such file, it is no PLY, or it has no vertices.
    """
    return _read(path)[0]


def read_panoptic_mesh(path: Path, table: CategoryTable) -> PanopticMesh:
    """A labelled mesh; ids that the table does not list become void.

    Raises:
        InputError: the file lacks a category (or `semantic`, `label`) or an `instance` property.
    """
    mesh, properties = _read(path)
    semantic = next((properties[name] for name in ("category", "semantic", "label") if name in properties), None)
    instance = properties.get("instance")
    if semantic is None or instance is None:
        raise InputError(
            f"{path} has vertex properties {', '.join(properties) or 'none'}; "
            "integer 'category' and 'instance' are needed."
        )
    category = rows_of_ids(semantic.astype(np.int64), table)
    is_thing = np.append(table.is_thing, False)[category]
    number = np.where(is_thing & (instance > 0), instance.astype(np.int64) + VOID, VOID)
    return PanopticMesh(mesh, Labels(category, number.astype(np.int32)))


def ids_of_rows(rows: np.ndarray, table: CategoryTable) -> np.ndarray:
    """The table's ids; `VOID` becomes 0."""
    return np.append(table.ids, 0)[rows].astype(np.int32)


def rows_of_ids(ids: np.ndarray, table: CategoryTable) -> np.ndarray:
    """Rows of the table; ids it does not list become `VOID`."""
    order = np.argsort(table.ids)
    slot = np.clip(np.searchsorted(table.ids[order], ids), 0, len(table) - 1)
    return np.where(table.ids[order][slot] == ids, order[slot], VOID).astype(np.int32)


def _ply(mesh: TriangleMesh, attributes: dict[str, np.ndarray]) -> bytes:
    rgba = np.column_stack([mesh.colors, np.full(len(mesh.colors), 255, np.uint8)])
    export = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=rgba, process=False)
    export.vertex_attributes.update(attributes)
    ply: bytes = trimesh.exchange.ply.export_ply(export, include_attributes=True, vertex_normal=False)
    return ply


def _read(path: Path) -> tuple[TriangleMesh, dict[str, np.ndarray]]:
    if not path.is_file():
        raise InputError(f"The mesh {path} does not exist.")
    try:
        loaded = trimesh.load(path, process=False)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise InputError(f"The mesh {path} cannot be read as PLY ({error}); write it anew.") from error
    vertices = np.asarray(getattr(loaded, "vertices", np.empty((0, 3))), dtype=np.float32)
    if not len(vertices):
        raise InputError(f"The mesh {path} has no vertices.")
    faces = np.asarray(getattr(loaded, "faces", np.empty((0, 3))), dtype=np.int32).reshape(-1, 3)
    raw = loaded.metadata["_ply_raw"]["vertex"]["data"]
    names = raw.dtype.names if isinstance(raw, np.ndarray) else tuple(raw)
    properties = {name: np.asarray(raw[name]).reshape(-1) for name in names or ()}
    if {"red", "green", "blue"} <= properties.keys():
        colors = np.column_stack([properties[name] for name in ("red", "green", "blue")]).astype(np.uint8)
    else:
        colors = np.full((len(vertices), 3), 128, np.uint8)
    return TriangleMesh(vertices, faces, colors), properties
