"""What the pipeline takes from a data set: a posed RGB-D scan, and its annotation for scoring."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from panrecon.config import ScanSettings
from panrecon.datasets.label_images import LabelFrames
from panrecon.errors import InputError
from panrecon.io.scan import DepthOfFrame
from panrecon.structures import CategoryTable, PanopticMesh, Scan

DATASETS = ("scannet", "own", "kitti360")


@runtime_checkable
class Dataset(Protocol):
    """Reads raw scene folders; raises InputError for whatever a user can cause."""

    def check(self, folder: Path) -> None:
        """Raises InputError, with the way out, where the folder (which need not exist) means no scene."""

    def files(self, folder: Path) -> list[Path]:
        """The files `scan` depends on, sorted."""

    def scan(self, folder: Path, settings: ScanSettings) -> Scan:
        """The scan, its frames in the order they were taken, their images not yet copied; poses in metres."""

    def depths(self, folder: Path, scan: Scan, settings: ScanSettings) -> DepthOfFrame | None:
        """The function that computes the depth (m) of a frame, where `frame.depth` is no depth image; else None."""

    def alignment(self, folder: Path, settings: ScanSettings) -> Float[np.ndarray, "4 4"]:
        """The scan's world from the files' world (m), by which annotation is moved, too; often the identity."""

    def annotation_files(self, folder: Path) -> list[Path]:
        """The files `annotation` reads; empty where the scene is not annotated."""

    def annotation(self, folder: Path, table: CategoryTable, visible_only: bool = False) -> PanopticMesh:
        """The true mesh; void where not annotated or of a class that the table does not list.

        With `visible_only` also what no camera saw, where the data set tells.
        """

    def label_frames(self, folder: Path, table: CategoryTable) -> LabelFrames:
        """The true label images of the frames."""


def dataset(name: str) -> Dataset:
    """The reader of a data set by its name, one of `DATASETS`.

    Raises:
        InputError: there is none of this name.
    """
    match name:
        case "scannet" | "own":  # what `panrecon import` writes has ScanNet's layout
            from panrecon.datasets.scannet.dataset import ScanNet

            return ScanNet()
        case "kitti360":
            from panrecon.datasets.kitti360.dataset import KITTI360

            return KITTI360()
        case _:
            raise InputError(f"There is no data set {name!r}; there is {', '.join(DATASETS)}.")
