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
from jaxtyping import Float, UInt8
from numpy.typing import ArrayLike

from panrecon import pipeline
from panrecon.arrays import (
    Mask,
    camera_poses,
    class_table,
    color_images,
    depth_images,
    detections_of,
    feature_maps,
    masks_of_frames,
    pinhole_camera,
    require_equal_counts,
    require_settings,
)
from panrecon.backends import find_extractor, find_segmenter
from panrecon.config import Settings
from panrecon.datasets.base import dataset
from panrecon.errors import InputError, missing_package_as
from panrecon.features.color import color_statistics
from panrecon.geometry.raycasting import index_kept
from panrecon.io.categories import read_categories
from panrecon.io.detections import compressed
from panrecon.io.files import joined_to
from panrecon.io.kept import images_kept
from panrecon.io.panoptic import write_result
from panrecon.io.scan import raw_views
from panrecon.layout.gravity import estimate_gravity
from panrecon.progress import Progress, no_progress
from panrecon.structures import (
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
from panrecon.visualization import isometric_view, labelled_image
from panrecon.workflow import sources
from panrecon.workflow.scenes import settings_of

show_progress: Progress = progress_bar


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
        color: ArrayLike,
        depth: ArrayLike,
        world_from_camera: ArrayLike,
        intrinsics: ArrayLike,
        classes: str | Path | CategoryTable,
        masks: Sequence[Sequence[Mask]],
        features: Sequence[Float[np.ndarray, "gh gw D"]] | None = None,
        settings: Settings = Settings(),
    ) -> "RgbdScan":
        """A scan of n frames in memory.

        `color` is RGB (n h w 3, uint8), `depth` metres along the optical axis (n h w, floats; 0 or not finite: none).
        `world_from_camera` (n 4 4) has OpenCV's axes (x right, y down, z forward); `intrinsics` (3 3, pixels) are those
        of a pinhole without skew, pixel centres at integers. `classes` is a table, a CSV file or the name of a table
        that comes with the package, such as "indoor". `masks` are the masks of every frame, which may overlap: each a
        word of the table, a score in [0, 1] and a boolean image. `features` are dense features of every frame over its
        whole image, any grid and any number of dimensions; without them colour statistics are taken, which tell far
        less.

        Raises:
            InputError: an array is of another shape, type or range; numbers of frames or sizes of images differ; a pose
                is no rigid motion; or a mask's word is of no class.
        """
        require_settings(settings)
        table = class_table(classes)
        images = color_images(color)
        depths = depth_images(depth)
        poses = camera_poses(world_from_camera)
        masks_of_frame = masks_of_frames(masks)
        maps = None if features is None else feature_maps(features)
        counts = {"color": len(images), "depth": len(depths), "world_from_camera": len(poses), "masks": len(masks)}
        require_equal_counts(counts if maps is None else counts | {"features": len(maps)})
        size = depths.shape[1:]
        if images.shape[1:3] != size:
            raise InputError(
                f"Colour is {images.shape[1:3]} (rows, columns), depth is {size}; register one to the other."
            )
        camera = pinhole_camera(intrinsics, *size)
        names = [f"{index:06d}" for index in range(len(images))]
        views = [
            View(name, camera, pose, image, measured)
            for name, pose, image, measured in zip(names, poses, images, depths, strict=True)
        ]
        detections = [
            (name, detections_of(name, of_frame, table, size))
            for name, of_frame in zip(names, masks_of_frame, strict=True)
            if of_frame
        ]

        def all_maps() -> Iterable[FeatureMap]:
            return (color_statistics(view.color) for view in views) if maps is None else maps

        return cls(Views.of(views), table, compressed(detections, table), all_maps, settings)


@dataclass(frozen=True)
class Reconstruction(pipeline.Reconstruction):
    """A panoptic reconstruction that can be looked at and saved; `up` is the upward direction of the world."""

    up: Float[np.ndarray, "3"]

    def image(self, height: int = 540, width: int = 720) -> UInt8[np.ndarray, "h w 3"]:
        """An isometric view of the mesh in the colours of its labels, with the legend of its classes below."""
        labels = Labels(self.category, self.instance)
        return labelled_image(isometric_view(self.mesh, self.up, height, width), labels, self.table)

    def save(self, folder: str | Path) -> None:
        """Writes `panoptic.ply` (vertex properties `category`: the table's id, and `instance`: from 1; 0 = none),
        `objects.json` and `classes.csv`, as a run leaves them: all three or none. Files of these names are replaced.

        Raises:
            InputError: the folder is a file, or it cannot be written to, for want of rights or room.
        """
        panoptic = PanopticMesh(self.mesh, Labels(self.category, self.instance))
        with joined_to(Path(folder), Path("panoptic.ply")) as aside:
            write_result(aside, panoptic, self.objects, self.table)


@missing_package_as(ImportError)
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
        ImportError: the settings name a network whose package is not installed.
    """
    raw = Path(folder)
    log = log or (lambda sentence: None)
    dataset(kind).check(raw)
    settings = settings_of(kind, [], overrides, raw)
    scan = dataset(kind).scan(raw, settings.scan)
    views = raw_views(scan, dataset(kind).depths(raw, scan, settings.scan))
    index_of_frame = {name: index for index, name in enumerate(views.names)}
    table = read_categories(sources.class_table(kind, raw, settings))

    def read_image(frame: Frame) -> UInt8[np.ndarray, "h w 3"]:
        return views.read(index_of_frame[frame.name]).color

    segmenter = find_segmenter(settings, raw, scan, table, read_image, log).segmenter
    detections = compressed(zip(views.names, segmenter.segment(scan, table), strict=True), table)
    extractor = find_extractor(settings, raw, read_image, log).extractor
    return RgbdScan(views, table, detections, lambda: extractor.extract(scan), settings)


@missing_package_as(ImportError)
def reconstruct(scan: RgbdScan, settings: Settings | None = None, progress: Progress = no_progress) -> Reconstruction:
    """The panoptic reconstruction of a scan, by its own settings or these.

    Raises:
        InputError: this is no scan, the depth gives no surface, or nothing is detected.
    """
    if not isinstance(scan, RgbdScan):
        raise InputError(
            f"reconstruct takes a scan, not a {type(scan).__name__}; make one by panrecon.read_scan or "
            "panrecon.RgbdScan.from_arrays."
        )
    settings = scan.settings if settings is None else settings
    require_settings(settings)
    with images_kept(), index_kept():
        result = pipeline.reconstruct(scan.views, scan.detections, scan.features, scan.table, settings, progress)
    fields = {name: getattr(result, name) for name in result.__dataclass_fields__}
    return Reconstruction(**fields, up=estimate_gravity(result.mesh, scan.views.poses).up)
