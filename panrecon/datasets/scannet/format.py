"""A posed RGB-D sequence with its truth written as ScanNet's exporters do (layout: the `dataset` beside this)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from panrecon.io.files import write_json, write_text
from panrecon.io.images import read_ids, write_depth, write_ids, write_image
from panrecon.io.mesh import write_mesh
from panrecon.structures import VOID, Camera, CategoryTable, Labels, TriangleMesh, View

DEPTH_SCALE = 1000.0


@dataclass(frozen=True)
class AnnotatedMesh:
    """A true mesh: labels of its vertices, and an over-segmentation that no object's border crosses."""

    mesh: TriangleMesh
    labels: Labels
    segment: Int[np.ndarray, " V"]


def write_frame(folder: Path, view: View, truth: Labels, table: CategoryTable) -> None:
    """Colour, depth, pose, `label-filt` (the table's raw ids) and `instance-filt` (object id + 1) of one frame."""
    write_image(folder / "color" / f"{view.name}.jpg", view.color)
    write_depth(folder / "depth" / f"{view.name}.png", view.depth, DEPTH_SCALE)
    write_text(folder / "pose" / f"{view.name}.txt", _rows(view.world_from_camera))
    raw_id_of_row = np.array([category.raw_ids[0] for category in table] + [0])
    write_ids(folder / "label-filt" / f"{view.name}.png", raw_id_of_row[truth.category])
    write_ids(folder / "instance-filt" / f"{view.name}.png", object_ids(truth, table) + 1)


def write_scene(folder: Path, camera: Camera, annotated: AnnotatedMesh, table: CategoryTable) -> None:
    """Intrinsics, stated sizes, and the annotated mesh as mesh, segments and aggregation."""
    matrix = np.eye(4)
    matrix[:3, :3] = camera.matrix
    for kind in ("color", "depth"):
        write_text(folder / "intrinsic" / f"intrinsic_{kind}.txt", _rows(matrix))
        write_text(folder / "intrinsic" / f"extrinsic_{kind}.txt", _rows(np.eye(4)))
    sizes = {"Width": camera.width, "Height": camera.height}
    stated = [f"{kind}{side} = {value}" for kind in ("color", "depth") for side, value in sizes.items()]
    write_text(folder / f"{folder.name}.txt", "\n".join(stated) + "\n")
    write_mesh(folder / f"{folder.name}_vh_clean_2.ply", annotated.mesh)
    segments = {"sceneId": folder.name, "segIndices": annotated.segment.tolist()}
    segs = json.dumps(segments, separators=(",", ":"))
    write_text(folder / f"{folder.name}_vh_clean_2.0.010000.segs.json", segs)
    groups = {"sceneId": f"scannet.{folder.name}", "segGroups": _groups(annotated, table)}
    write_json(folder / f"{folder.name}.aggregation.json", groups)


def read_truth(folder: Path, frame: str, table: CategoryTable) -> Labels:
    """The exact labels of a frame, from `label-filt` and `instance-filt`; unknown raw ids are void."""
    raw, number = (read_ids(folder / kind / f"{frame}.png") for kind in ("label-filt", "instance-filt"))
    row_of_raw = np.full(max(int(raw.max()), max(table.index_of_raw_id, default=0)) + 1, VOID, dtype=np.int32)
    for raw_id, row in table.index_of_raw_id.items():
        row_of_raw[raw_id] = row
    category = row_of_raw[raw]
    is_thing = np.append(table.is_thing, False)[category] & (number > 0)
    return Labels(category, np.where(is_thing, number - 1, VOID).astype(np.int32))


def object_ids(labels: Labels, table: CategoryTable) -> Int[np.ndarray, "*points"]:
    """ScanNet numbers stuff like things: classes of stuff first, then instances; `VOID` where void."""
    stuff = np.where(labels.category == VOID, VOID, labels.category)
    return np.where(labels.instance == VOID, stuff, labels.instance + len(table)).astype(np.int32)


def _groups(annotated: AnnotatedMesh, table: CategoryTable) -> list[dict[str, object]]:
    objects = object_ids(annotated.labels, table)
    result: list[dict[str, object]] = []
    for object_id in np.unique(objects[objects != VOID]):
        mine = objects == object_id
        name = table[int(annotated.labels.category[mine][0])].name
        segments = np.unique(annotated.segment[mine]).tolist()
        result.append({"id": len(result), "objectId": int(object_id), "label": name, "segments": segments})
    return result


def _rows(matrix: Float[np.ndarray, "4 4"]) -> str:
    return "\n".join(" ".join(f"{value:.9g}" for value in row) for row in matrix) + "\n"
