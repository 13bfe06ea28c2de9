"""Reconstruction from Python: scans from a folder or from arrays, and results that can be saved.

import panrecon as pr

scan = pr.read_scan("data/raw/scannet/scene0087_02")
result = pr.reconstruct(scan, progress=pr.show_progress)
result.save("reconstruction")
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from panrecon import pipeline
from panrecon.backends import find_extractor, find_segmenter
from panrecon.config import Settings
from panrecon.datasets.base import dataset
from panrecon.datasets.poses import rigid
from panrecon.errors import InputError
from panrecon.features.color import color_statistics
from panrecon.geometry.projective import up_direction
from panrecon.io.categories import find_table, read_categories, write_categories
from panrecon.io.detections import compressed
from panrecon.io.graph import write_objects
from panrecon.io.mesh import write_panoptic_mesh
from panrecon.io.scan import raw_views
from panrecon.progress import Progress, no_progress
from panrecon.structures import (
    VOID,
    Camera,
    CategoryTable,
    Detections,
    FeatureMap,
    Frame,
    Labels,
    PanopticMesh,
    View,
    Views,
)
from panrecon.terminal import progress_bar
from panrecon.visualization import labelled_mesh_image
from panrecon.workflow.scenes import settings_of
from panrecon.workflow.sources import class_table

show_progress: Progress = progress_bar
Mask = tuple[str, float, Bool[np.ndarray, "_ _"]]  # a word of the class table, a score in [0, 1], pixels


@dataclass(frozen=True)
class RgbdScan:
    """A posed RGB-D scan with what a segmenter and a feature extractor gave for its frames.

    `detections` by frame name, on the pixels of the views' camera; `features` gives the maps of all frames in order.
    """

    views: Views
    table: CategoryTable
    detections: Mapping[str, Detections]
    features: Callable[[], Iterable[FeatureMap]]
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def from_arrays(
        cls,
        color: UInt8[np.ndarray, "n h w 3"],
        depth: Float[np.ndarray, "depths rows columns"],
        world_from_camera: Float[np.ndarray, "poses 4 4"],
        intrinsics: Float[np.ndarray, "3 3"],
        classes: str | Path | CategoryTable,
        masks: Sequence[Sequence[Mask]],
        features: Sequence[Float[np.ndarray, "gh gw D"]] | None = None,
        settings: Settings = Settings(),
    ) -> "RgbdScan":
        """A scan of n frames in memory: RGB, depth along the optical axis (m, 0 = none), poses, a pinhole camera.

        Poses are camera to world, with OpenCV's axes (x right, y down, z forward). `classes` is a table, a CSV file or
        the name of a table that comes with the package, such as "indoor". `masks` are the masks of every frame, which
        may overlap. `features` are dense features of every frame over its whole image, any grid and any number of
        dimensions; without them colour statistics are taken, which tell far less.

        Raises:
            InputError: numbers of frames or sizes of images differ, a pose is no rigid motion, or a mask's word is of
                no class.
        """
        table = classes if isinstance(classes, CategoryTable) else read_categories(find_table(classes))
        arrays = {"color": color, "depth": depth, "world_from_camera": world_from_camera, "masks": masks}
        counts = {name: len(array) for name, array in arrays.items()}
        if features is not None:
            counts["features"] = len(features)
        if len(set(counts.values())) > 1 or not len(color):
            stated = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise InputError(f"The arrays are of different numbers of frames ({stated}); give one entry a frame.")
        height, width = depth.shape[1:]
        if color.shape[1:3] != (height, width):
            raise InputError(
                f"Colour is {color.shape[1:3]} (rows, columns), depth is {(height, width)}; register one to the other."
            )
        camera = Camera(width, height, *(float(intrinsics[index]) for index in ((0, 0), (1, 1), (0, 2), (1, 2))))
        names = tuple(f"{index:06d}" for index in range(len(color)))
        views = [
            View(name, camera, rigid(pose.astype(np.float64), f"of frame {name}"), image, depths.astype(np.float32))
            for name, pose, image, depths in zip(names, world_from_camera, color, depth, strict=True)
        ]
        detections = {
            name: _detections(name, masks_of_frame, table, (height, width))
            for name, masks_of_frame in zip(names, masks, strict=True)
            if masks_of_frame
        }

        def maps() -> Iterable[FeatureMap]:
            if features is None:
                return (color_statistics(view.color) for view in views)
            return (FeatureMap(np.asarray(values, np.float32)) for values in features)

        return cls(Views.of(views), table, compressed(detections.items(), table), maps, settings)


@dataclass(frozen=True)
class Reconstruction(pipeline.Reconstruction):
    """A panoptic reconstruction that can be looked at and saved; `up` is the upward direction of the world."""

    up: Float[np.ndarray, "3"]

    def image(self, height: int = 540, width: int = 720) -> UInt8[np.ndarray, "h w 3"]:
        """An isometric view of the mesh in the colours of its labels, with the legend of its classes below."""
        labels = Labels(self.category, self.instance)
        return labelled_mesh_image(self.mesh, labels, self.table, self.up, height, width)

    def save(self, folder: str | Path) -> None:
        """Writes `panoptic.ply` (vertex properties `category`: the table's id, and `instance`: from 1; 0 = none),
        `objects.json` and `classes.csv`, as a run leaves them.
        """
        target = Path(folder)
        panoptic = PanopticMesh(self.mesh, Labels(self.category, self.instance))
        write_panoptic_mesh(target / "panoptic.ply", panoptic, self.table)
        write_objects(target / "objects.json", self.objects, self.table)
        write_categories(target / "classes.csv", self.table)


def read_scan(
    folder: str | Path,
    kind: str = "scannet",
    overrides: Sequence[str] = (),
    log: Callable[[str], None] | None = None,
) -> RgbdScan:
    """The scan of a folder in the layout of a data set (`scannet`, also what `panrecon import` writes, or `kitti360`).

    Images are read when they are needed. Masks and features come from where `settings.masks` and `settings.features`
    say: files in the folder, or networks, which then work while this is read. Settings are the data set's, the scene's
    own and `overrides` such as "mesh.voxel_size=0.03". `log` takes sentences on what is taken and left out.

    Raises:
        InputError: a file is missing or broken, or a setting is.
    """
    raw, log = Path(folder), log or (lambda sentence: None)
    dataset(kind).check(raw)
    settings = settings_of(kind, [], overrides, raw)
    scan = dataset(kind).scan(raw, settings.scan)
    views = raw_views(scan, dataset(kind).depths(raw, scan, settings.scan))
    index_of_frame = {name: index for index, name in enumerate(views.names)}
    table = read_categories(class_table(kind, raw, settings))

    def read_image(frame: Frame) -> UInt8[np.ndarray, "h w 3"]:
        return views.read(index_of_frame[frame.name]).color

    segmenter = find_segmenter(settings, raw, scan, table, read_image, log).segmenter
    detections = compressed(zip(views.names, segmenter.segment(scan, table), strict=True), table)
    extractor = find_extractor(settings, raw, read_image, log).extractor
    return RgbdScan(views, table, detections, lambda: extractor.extract(scan), settings)


def reconstruct(scan: RgbdScan, settings: Settings | None = None, progress: Progress = no_progress) -> Reconstruction:
    """The panoptic reconstruction of a scan, by its own settings or these.

    Raises:
        InputError: the depth gives no surface, or nothing is detected.
    """
    settings = scan.settings if settings is None else settings
    result = pipeline.reconstruct(scan.views, scan.detections, scan.features, scan.table, settings, progress)
    fields = {name: getattr(result, name) for name in result.__dataclass_fields__}
    return Reconstruction(**fields, up=up_direction(scan.views.poses))


def _detections(name: str, masks: Sequence[Mask], table: CategoryTable, size: tuple[int, int]) -> Detections:
    """Raises: InputError where a word is of no class, or a mask is of another size than the image."""
    for word, _, mask in masks:
        if table.index_of(word) == VOID:
            words = ", ".join(category.name for category in table)
            raise InputError(f"The word {word!r} of a mask of frame {name} is in no class; the classes are {words}.")
        if mask.shape != size:
            raise InputError(
                f"Masks of frame {name} are {mask.shape} (rows, columns), its image is {size}; scale them."
            )
    return Detections(
        np.array([table.index_of(word) for word, _, _ in masks], dtype=np.int32),
        np.array([score for _, score, _ in masks], dtype=np.float32),
        np.stack([mask.astype(bool) for _, _, mask in masks]),
    )
