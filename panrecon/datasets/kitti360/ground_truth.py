"""Ground truth of KITTI-360 (Liao, Xie, Geiger, PAMI 2022), in 2D and 3D.

data_2d_semantics/train/<drive>/image_00/semantic/<frame>.png   class ids
data_2d_semantics/train/<drive>/image_00/instance/<frame>.png   class id * 1000 + instance id (0 = no instance)
data_3d_semantics/train/<drive>/static/<first>_<last>.ply       points: semantic, instance (as above), visible
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from panrecon.datasets.label_images import LabelFrames, paired_images
from panrecon.errors import InputError
from panrecon.io.ids import categories_of_raw_ids, instances_of_ids
from panrecon.io.mesh import label_properties, read_vertices, whole_numbers
from panrecon.structures import VOID, CategoryTable, Labels, PanopticMesh, TriangleMesh

SEMANTICS_2D, SEMANTICS_3D = "data_2d_semantics", "data_3d_semantics"
SPLIT = "train"  # the split whose truth is published
CAMERA = "image_00"
INSTANCES_PER_CLASS = 1000
HEADER_BYTES = 4096  # more than the header of a window


@dataclass(frozen=True)
class Drive:
    """One drive of the data set whose folders lie in `root`."""

    root: Path
    name: str

    def folder(self, semantics: str) -> Path:
        return self.root / semantics / SPLIT / self.name


def find_drive(path: Path, semantics: str) -> Drive | None:
    """The drive that a path means: any folder or file within one, or the root of a data set of one drive.

    `semantics` names the part whose drives count at the root. None where the path is not of this layout.

    Raises:
        InputError: the data set has several drives.
    """
    place = path.absolute()
    for folder in (place, *place.parents[:2]):
        if folder.parent.name == SPLIT and folder.parent.parent.name in (SEMANTICS_2D, SEMANTICS_3D):
            return Drive(folder.parents[2], folder.name)
    names = sorted(folder.name for folder in (place / semantics / SPLIT).glob("*") if folder.is_dir())
    if len(names) > 1:
        raise InputError(
            f"{path} has {len(names)} drives: {', '.join(names)}; name the folder of one, "
            f"such as {path / semantics / SPLIT / names[0]}."
        )
    return Drive(place, names[0]) if names else None


def is_window(path: Path) -> bool:
    """Whether a file is a PLY with the labels and the visibility of KITTI-360's accumulated points."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES).partition(b"end_header")[0].split()
    return {b"semantic", b"instance", b"visible"} <= set(header)


def label_frames(drive: Drive, table: CategoryTable) -> LabelFrames:
    """The label images of a drive; a pixel's class is the one of `semantic/`, whatever `instance/` says.

    Classes are those that list an id among their `raw_ids` or, listing none, have it as their own.
    """
    folder = drive.folder(SEMANTICS_2D) / CAMERA
    row_of_id = _row_of_id(table)

    def decode(semantic: Int[np.ndarray, "h w"], instance: Int[np.ndarray, "h w"]) -> Labels:
        return Labels(categories_of_raw_ids(semantic, row_of_id), _numbers(instance))

    return LabelFrames(folder, paired_images(folder / "semantic", folder / "instance"), decode)


def drive_points(drive: Drive, table: CategoryTable, visible_only: bool = False) -> PanopticMesh:
    """The accumulated static points of a drive, all windows one after the other.

    Neighbouring windows overlap by 10 m; points there count twice, as they do where windows are scored one by one.
    With `visible_only`, points that no camera saw are void.
    """
    folder = drive.folder(SEMANTICS_3D) / "static"
    paths = sorted(folder.glob("*.ply"))
    if not paths:
        raise InputError(f"There is no window <first>_<last>.ply in {folder}; put the accumulated points there.")
    return joined([window_points(path, table, visible_only) for path in paths])


def window_points(path: Path, table: CategoryTable, visible_only: bool = False) -> PanopticMesh:
    """The points of one window; all of them, as the data set's own scripts count, or those that a camera saw."""
    mesh, properties = read_vertices(path)
    semantic, instance = label_properties(path, properties)
    category, number = categories_of_raw_ids(semantic, _row_of_id(table)), _numbers(instance)
    if visible_only and "visible" in properties:
        unseen = whole_numbers(path, "visible", properties["visible"]) == 0
        category[unseen], number[unseen] = VOID, VOID
    return PanopticMesh(mesh, Labels(category, number))


def _row_of_id(table: CategoryTable) -> dict[int, int]:
    return {number: row for row, category in enumerate(table) for number in category.raw_ids or (category.id,)}


def _numbers(instance: Int[np.ndarray, "*points"]) -> Int[np.ndarray, "*points"]:
    """Instance numbers that are unique over all classes."""
    return np.where(instance % INSTANCES_PER_CLASS == 0, VOID, instances_of_ids(instance))


def joined(parts: Sequence[PanopticMesh]) -> PanopticMesh:
    """All points, one part after the other."""
    vertices, colors = (np.concatenate([getattr(part.mesh, name) for part in parts]) for name in ("vertices", "colors"))
    category, instance = (
        np.concatenate([getattr(part.labels, name) for part in parts]) for name in ("category", "instance")
    )
    return PanopticMesh(TriangleMesh(vertices, np.empty((0, 3), np.int32), colors), Labels(category, instance))
