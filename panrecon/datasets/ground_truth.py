"""The truth at a path, whatever data set wrote it, and how much of it is labelled."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from panrecon.config import Settings
from panrecon.datasets.base import dataset
from panrecon.datasets.kitti360 import ground_truth as kitti360
from panrecon.datasets.kitti360.format import SEMANTICS_2D, SEMANTICS_3D
from panrecon.datasets.label_images import LabelFrames, has_label_images, read_label_frames
from panrecon.datasets.scannet.dataset import ScanNet
from panrecon.errors import InputError
from panrecon.evaluation.scene import CompleteTruth
from panrecon.geometry.projective import transform
from panrecon.io.categories import find_table, read_categories
from panrecon.io.mesh import read_panoptic_mesh
from panrecon.structures import VOID, CategoryTable, PanopticMesh

OWN = "ground_truth"  # the folder of a scan's own annotation


@dataclass(frozen=True)
class LabelledShare:
    """How much of a truth is labelled: points in all, of a class of the table, and of an evaluated class.

    `noun` says what is counted: points, vertices, pixels.
    """

    total: int
    annotated: int
    evaluated: int
    noun: str = "points"

    @property
    def void(self) -> int:
        """Points that a score ignores: neither a miss nor an error."""
        return self.total - self.evaluated

    @property
    def counts(self) -> dict[str, int]:
        """All numbers by name."""
        return {"total": self.total, "annotated": self.annotated, "evaluated": self.evaluated, "void": self.void}

    def __add__(self, other: "LabelledShare") -> "LabelledShare":
        counts = (self.total + other.total, self.annotated + other.annotated, self.evaluated + other.evaluated)
        return LabelledShare(*counts, self.noun)

    def __str__(self) -> str:
        counts = {"annotated": self.annotated, "evaluated": self.evaluated, "void": self.void}
        shares = (f"{100 * count / max(self.total, 1):.1f} % {what}" for what, count in counts.items())
        return f"{self.total:,} {self.noun}: {', '.join(shares)}"


def labelled_share(
    category: Int[np.ndarray, "*points"],
    table: CategoryTable,
    noun: str = "points",
    count: Float[np.ndarray, "*points"] | None = None,
) -> LabelledShare:
    """How much of a truth of these categories is labelled; `count` is how many points each entry stands for, else 1."""
    weight = np.ones(category.shape) if count is None else count
    is_evaluated = np.append(table.is_evaluated, False)[category]
    annotated = weight[category != VOID].sum()
    return LabelledShare(int(weight.sum()), int(annotated), int(weight[is_evaluated].sum()), noun)


def default_class_table(path: Path) -> Path:
    """The file of the class table of a truth: `classes.csv` in its folder or the one above, else its data set's.

    Raises:
        InputError: there is none.
    """
    if not path.exists():
        raise InputError(f"The ground truth {path} does not exist; name another.")
    folder = path if path.is_dir() else path.parent
    for table in (folder / "classes.csv", folder.parent / "classes.csv"):
        if table.is_file():
            return table
    drives = (kitti360.find_drive(path, part) for part in (SEMANTICS_2D, SEMANTICS_3D))
    if is_outdoors(path) or (path.is_dir() and any(drive is not None for drive in drives)):
        return find_table("kitti360")
    if path.is_dir() and (_is_scan(path.absolute()) or (path / "label-filt").is_dir()):
        return find_table("scannet20")
    raise InputError(f"No class table lies with {path}; name one with --classes.")


def is_outdoors(path: Path) -> bool:
    """Whether the truth at a path is KITTI-360's, whose surfaces are measured less finely than those of rooms."""
    if path.is_file():
        return path.suffix.lower() == ".ply" and kitti360.is_window(path)
    return path.is_dir() and kitti360.find_drive(path, SEMANTICS_3D) is not None


def annotated_points(
    path: Path,
    table: CategoryTable,
    label_map: Path | None = None,
    visible_only: bool = False,
    remembers_unlisted: bool = False,
) -> PanopticMesh:
    """The labelled mesh or points of a ScanNet scan, a KITTI-360 drive, a labelled PLY or a folder that holds one.

    `label_map` is ScanNet's, where it does not lie with the scan; with `visible_only`, the points of KITTI-360 that no
    camera saw are void. Of a labelled PLY, ids that the table does not list can be remembered (`panrecon.io.ids`).

    Raises:
        InputError: the path is none of these, or its files are.
    """
    if path.is_file() and path.suffix.lower() == ".ply":
        if kitti360.is_window(path):
            return kitti360.window_points(path, table, visible_only)
        return read_panoptic_mesh(path, table, remembers_unlisted)
    if path.is_dir():
        folder = path.absolute()  # the name of the folder is the scan's, of `.` too
        if ScanNet().annotation_files(folder) or _is_scan(folder):
            return ScanNet().annotation(folder, table, label_map=label_map)
        if (folder / "labelled.ply").is_file():
            return read_panoptic_mesh(folder / "labelled.ply", table, remembers_unlisted)
        drive = kitti360.find_drive(path, SEMANTICS_3D)
        if drive is not None:
            return kitti360.drive_points(drive, table, visible_only)
    raise _unknown(path, "labelled points", "a labelled PLY (integer vertex properties category and instance)")


def annotated_frames(
    path: Path, table: CategoryTable, label_map: Path | None = None, remembers_unlisted: bool = False
) -> LabelFrames:
    """The label images of a ScanNet scan, a KITTI-360 drive or a folder of `semantic/` (`label/`) and `instance/`.

    `label_map` is ScanNet's, where it does not lie with the scan. Of a folder of one's own, ids that the table does not
    list can be remembered (`panrecon.io.ids`).

    Raises:
        InputError: the path is none of these, or its files are.
    """
    if (path / "label-filt").is_dir():
        return ScanNet().label_frames(path, table, label_map)
    if path.is_dir():
        drive = kitti360.find_drive(path, SEMANTICS_2D)
        if drive is not None:
            return kitti360.label_frames(drive, table)
    for folder in (path, path / OWN):
        if has_label_images(folder):
            return read_label_frames(folder, table, remembers_unlisted)
    raise _unknown(path, "label images", "a folder with semantic/ (or label/) and instance/ images")


def _is_scan(folder: Path) -> bool:
    return any(path.name.startswith(f"{folder.name}_vh_clean_2") for path in folder.iterdir())


def _unknown(path: Path, what: str, own: str) -> InputError:
    if not path.exists():
        return InputError(f"The ground truth {path} does not exist; name another.")
    return InputError(
        f"{path} holds no {what} known here; name a ScanNet scan folder, {own}, or of KITTI-360 the root of one drive, "
        "its folder in data_2d_semantics/train or data_3d_semantics/train, or one of its static PLYs."
    )


def scene_annotation(kind: str, raw: Path, table: CategoryTable, settings: Settings) -> PanopticMesh:
    """The true mesh of a scene of the data set `kind`: the file of a setting, else the scene's own annotation.

    It is turned as the scan is (`scan.axis_alignment`).

    Raises:
        InputError: there is none, or it is broken.
    """
    if settings.quality.ground_truth is not None:
        return read_panoptic_mesh(settings.quality.ground_truth, table)
    reader = dataset(kind)
    if not reader.annotation_files(raw):
        raise InputError(f"{raw} has no annotation to score against; set quality.ground_truth to a labelled PLY.")
    truth = reader.annotation(raw, table, settings.quality.visible_only)
    if not settings.scan.axis_alignment:
        return truth
    vertices = transform(reader.alignment(raw, settings.scan), truth.mesh.vertices)
    return replace(truth, mesh=replace(truth.mesh, vertices=vertices))


def complete_truth(kind: str, raw: Path, settings: Settings) -> CompleteTruth | None:
    """The truth with all classes of the scene's own table; None where the run's table is that one, or none is there."""
    own = raw / "classes.csv"
    if settings.scan.classes is None or settings.quality.ground_truth is not None or not own.is_file():
        return None
    table = read_categories(own)
    return CompleteTruth(scene_annotation(kind, raw, table, settings).labels, table)


def require_evaluated(truth: PanopticMesh, table: CategoryTable) -> LabelledShare:
    """How much of a true mesh is labelled.

    Raises:
        InputError: none of it is of an evaluated class.
    """
    labelled = labelled_share(truth.labels.category, table, "vertices")
    if not labelled.evaluated:
        raise InputError("No vertex of the truth is of an evaluated class; compare its ids with the class table's.")
    return labelled
