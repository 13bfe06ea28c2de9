"""Ground truth of KITTI-360 (Liao, Xie, Geiger, PAMI 2022), in 2D and 3D.

data_2d_semantics/train/<drive>/image_00/semantic/<frame>.png   class ids
data_2d_semantics/train/<drive>/image_00/instance/<frame>.png   class id * 1000 + instance id (0 = no instance)
data_3d_semantics/train/<drive>/static/<first>_<last>.ply       points: semantic, instance (as above), visible
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Int

from panrecon.datasets.kitti360.format import CAMERAS, INSTANCES_PER_CLASS, SEMANTICS_2D, SEMANTICS_3D, SPLIT, Drive
from panrecon.datasets.label_images import LabelFrames, paired_images
from panrecon.errors import InputError
from panrecon.io.ids import categories_of_raw_ids, instances_of_ids
from panrecon.io.mesh import label_properties, read_vertices, whole_numbers
from panrecon.structures import VOID, CategoryTable, Labels, PanopticMesh, TriangleMesh

HEADER_BYTES: Final = 4096  # more than the header of a window


def find_drive(path: Path, part: str) -> Drive | None:
    """The drive that a path means: any folder or file within one, or the root of a data set of one drive.

    `part` (`SEMANTICS_2D` or `SEMANTICS_3D`) is the one whose drives count at the root. None where the path is not of
    this layout.

    Raises:
        InputError: the data set has several drives.
    """
    start = path.absolute()
    for folder in (start, *start.parents[:2]):
        if folder.parent.name == SPLIT and folder.parent.parent.name in (SEMANTICS_2D, SEMANTICS_3D):
            return Drive(folder.parents[2], folder.name)
    names = sorted(folder.name for folder in (start / part / SPLIT).glob("*") if folder.is_dir())
    if len(names) > 1:
        raise InputError(
            f"{path} has {len(names)} drives: {', '.join(names)}; name the folder of one, "
            f"such as {path / part / SPLIT / names[0]}."
        )
    return Drive(start, names[0]) if names else None


def is_window(path: Path) -> bool:
    """Whether a file is a PLY with the labels and the visibility of KITTI-360's accumulated points."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES).partition(b"end_header")[0].split()
    return {b"semantic", b"instance", b"visible"} <= set(header)


def label_frames(drive: Drive, table: CategoryTable) -> LabelFrames:
    """The label images of a drive; a pixel's class is the one of `semantic/`, whatever `instance/` says.

    Classes are those that list an id among their `raw_ids` or, listing none, have it as their own.

    Raises:
        InputError: images are missing.
    """
    folder = drive.semantics(SEMANTICS_2D) / CAMERAS[0]
    category_of_id = _category_of_id(table)

    def decode(semantic: Int[np.ndarray, "h w"], instance: Int[np.ndarray, "h w"]) -> Labels:
        return Labels(categories_of_raw_ids(semantic, category_of_id), _instances(instance))

    return LabelFrames(folder, paired_images(folder / "semantic", folder / "instance"), decode)


def drive_points(drive: Drive, table: CategoryTable, visible_only: bool = False) -> PanopticMesh:
    """The accumulated static points of a drive, all windows one after the other.

    Neighbouring windows overlap by 10 m; points there count twice, as they do where windows are scored one by one.
    With `visible_only`, points that no camera saw are void.

    Raises:
        InputError: there is no window, or one is damaged.
    """
    folder = drive.semantics(SEMANTICS_3D) / "static"
    paths = sorted(folder.glob("*.ply"))
    if not paths:
        raise InputError(f"There is no window <first>_<last>.ply in {folder}; put the accumulated points there.")
    return concatenated([window_points(path, table, visible_only) for path in paths])


def window_points(path: Path, table: CategoryTable, visible_only: bool = False) -> PanopticMesh:
    """The points of one window; all of them, as the data set's own scripts count, or those that a camera saw."""
    mesh, properties = read_vertices(path)
    semantic, instance_ids = label_properties(path, properties)
    category = categories_of_raw_ids(semantic, _category_of_id(table))
    instance = _instances(instance_ids)
    if visible_only and "visible" in properties:
        unseen = whole_numbers(path, "visible", properties["visible"]) == 0
        category[unseen] = VOID
        instance[unseen] = VOID
    return PanopticMesh(mesh, Labels(category, instance))


def _category_of_id(table: CategoryTable) -> dict[int, int]:
    return {raw_id: index for index, category in enumerate(table) for raw_id in category.raw_ids or (category.id,)}


def _instances(ids: Int[np.ndarray, "*points"]) -> Int[np.ndarray, "*points"]:
    """Instances that are unique over all classes."""
    return np.where(ids % INSTANCES_PER_CLASS == 0, VOID, instances_of_ids(ids))


def concatenated(parts: Sequence[PanopticMesh]) -> PanopticMesh:
    """All points, one part after the other."""
    vertices = np.concatenate([part.mesh.vertices for part in parts])
    colors = np.concatenate([part.mesh.colors for part in parts])
    category = np.concatenate([part.labels.category for part in parts])
    instance = np.concatenate([part.labels.instance for part in parts])
    return PanopticMesh(TriangleMesh(vertices, np.empty((0, 3), np.int32), colors), Labels(category, instance))
