"""Scans of ScanNet (Dai et al., CVPR 2017), and whatever `panrecon import` wrote in its layout (`format`)."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from panrecon.config import ScanSettings
from panrecon.datasets.label_images import LabelFrames, paired_images
from panrecon.datasets.poses import read_pose
from panrecon.datasets.scannet.annotation import category_of_raw_id, label_map_of, read_annotation
from panrecon.datasets.scannet.format import (
    aggregation_file,
    depth_file,
    images_in,
    mesh_file,
    own_annotation_file,
    pose_file,
    read_axis_alignment,
    read_camera,
    read_source_from_camera,
    read_stated_sizes,
    segments_file,
    statement_file,
)
from panrecon.datasets.scannet.label_map import FILE_NAME, find_label_map
from panrecon.datasets.selection import choose_frames, in_groups
from panrecon.errors import InputError
from panrecon.geometry.projective import invert, pixel_directions
from panrecon.geometry.trajectory import PoseConvention, poses_at, world_from_cameras
from panrecon.io.ids import categories_of_raw_ids, instances_of_ids
from panrecon.io.images import read_color, read_depth
from panrecon.io.mesh import read_panoptic_mesh
from panrecon.io.scan import DepthOfFrame, read_frame_depth, turned
from panrecon.structures import Camera, CategoryTable, Frame, Labels, PanopticMesh, Scan


class ScanNet:
    """A Dataset of exported scene folders; a folder's name is the scene's."""

    def check(self, folder: Path) -> None:
        """Raises InputError where there is no such folder."""
        if not folder.is_dir():
            raise InputError(
                f"There is no scene folder {folder}; set DATA (--data) to the folder that holds {folder.name}/."
            )

    def files(self, folder: Path) -> list[Path]:
        """Images, poses, intrinsics and, where there is one, `<scene>.txt`."""
        parts = ("color", "depth", "pose", "intrinsic")
        paths = sorted(path for part in parts for path in (folder / part).glob("*"))
        statement = statement_file(folder)
        return [*paths, statement] if statement.is_file() else paths

    def scan(self, folder: Path, settings: ScanSettings) -> Scan:
        """The frames that the settings take, with finite poses (m), in the order of their numbers.

        Raises:
            InputError: a file is missing or damaged, a pose is not finite and `skip_invalid_poses` is off, or no frame
                is left.
        """
        self.check(folder)
        colors = images_in(folder / "color")
        if not colors:
            raise InputError(f"There is no frame in {folder / 'color'}; export the scan's images there.")
        frames = _frames(folder, colors, settings)
        valid = [frame for frame in frames if np.isfinite(frame.world_from_camera).all()]
        if len(valid) < len(frames) and not settings.skip_invalid_poses:
            invalid = next(frame.name for frame in frames if not np.isfinite(frame.world_from_camera).all())
            raise InputError(
                f"The pose {folder / 'pose' / invalid}.txt holds inf or nan, as do {len(frames) - len(valid)} of "
                f"{len(frames)}; set scan.skip_invalid_poses=true to leave such frames out."
            )
        if not valid:
            raise InputError(f"No frame of {folder} has a finite pose; export the poses again.")
        camera, source_camera = _cameras(folder, valid[0], settings)
        return Scan(
            folder.name,
            camera,
            source_camera,
            settings.depth_scale,
            tuple(valid),
            _source_from_camera(folder, settings),
            settings.color_turned,
        )

    def raw_poses(self, folder: Path) -> dict[str, Float[np.ndarray, "4 4"]]:
        """What the pose file of every frame holds, whatever the settings say of poses; by the frame's name, in order.

        Raises:
            InputError: a pose file is missing, or its rotation is none.
        """
        return {color.stem: read_pose(pose_file(folder, color)) for color in images_in(folder / "color")}

    def alignment(self, folder: Path, settings: ScanSettings) -> Float[np.ndarray, "4 4"]:
        """The scan's world from the files': `axisAlignment` of `<scene>.txt` if the settings ask for it.

        Raises:
            InputError: the settings ask for it, and it is not stated.
        """
        return read_axis_alignment(folder) if settings.axis_alignment else np.eye(4)

    def depths(self, folder: Path, scan: Scan, settings: ScanSettings) -> DepthOfFrame | None:
        """Depth along the axis from images that hold it along every pixel's ray; None where the images hold it."""
        if settings.depth_along == "axis":
            return None
        lengths = np.linalg.norm(pixel_directions(scan.camera), axis=-1).astype(np.float32)
        return lambda frame: read_frame_depth(scan, frame) / lengths

    def annotation_files(self, folder: Path) -> list[Path]:
        """ScanNet's three files and the label map, else the labelled PLY of one's own; empty without both."""
        scannet = [mesh_file(folder), aggregation_file(folder), segments_file(folder)]
        label_map = find_label_map(folder)
        if all(path.is_file() for path in scannet):
            return [*scannet, label_map] if label_map else scannet
        own = own_annotation_file(folder)
        return [own] if own.is_file() else []

    def annotation(
        self, folder: Path, table: CategoryTable, visible_only: bool = False, label_map: Path | None = None
    ) -> PanopticMesh:
        """The true mesh, by ScanNet's annotation or one's own; instances are object ids, of stuff and of void too.

        `label_map` is read instead of the one in the folder or above it.

        Raises:
            InputError: a file is missing, damaged or of another release than the others.
        """
        own = own_annotation_file(folder)
        if own in self.annotation_files(folder):
            return read_panoptic_mesh(own, table)
        return read_annotation(folder, table, label_map)

    def label_frames(self, folder: Path, table: CategoryTable, label_map: Path | None = None) -> LabelFrames:
        """The true label images; the class of a raw id is the one that lists it or, by the label map, has its word.

        Raises:
            InputError: images are missing, or neither raw ids nor a label map tell what a class is.
        """
        category_of_raw = category_of_raw_id(table, label_map_of(folder, label_map))
        if not category_of_raw:
            raise InputError(
                f"No class of the table has an id of {folder / 'label-filt'}; give the table raw_ids, "
                f"or put ScanNet's {FILE_NAME} into the folder and use its words as names."
            )

        def decode(raw: Int[np.ndarray, "h w"], instance: Int[np.ndarray, "h w"]) -> Labels:
            return Labels(categories_of_raw_ids(raw, category_of_raw), instances_of_ids(instance))

        return LabelFrames(folder, paired_images(folder / "label-filt", folder / "instance-filt"), decode)


def _frames(folder: Path, colors: list[Path], settings: ScanSettings) -> list[Frame]:
    """Of every n frames one, of those that are not to be skipped and to which the offset leaves a pose."""
    names = {color.stem for color in colors}
    unknown = [name for name in settings.skip_frames if name not in names]
    if unknown:
        raise InputError(
            f"scan.skip_frames names {unknown[0]!r}, of which there is no image in {folder / 'color'}; remove it."
        )
    alignment = ScanNet().alignment(folder, settings)

    convention = PoseConvention(settings.poses_are, settings.axes, settings.quaternions, settings.pose_scale)

    def usable(frame_index: int) -> Iterator[Frame]:
        color = colors[frame_index]
        drifted = settings.pose_drift * frame_index / max(len(colors) - 1, 1)
        position = frame_index + settings.pose_offset + drifted
        if 0 <= position <= len(colors) - 1 and color.stem not in settings.skip_frames:
            first = math.floor(position)
            around = [read_pose(pose_file(folder, near)) for near in colors[first : math.ceil(position) + 1]]
            poses = world_from_cameras(np.stack(around), convention)
            pose = poses_at(poses, np.array([position - first]))[0]
            pose = alignment @ pose if settings.axis_alignment else pose
            yield Frame(color.stem, color, depth_file(folder, color), pose)

    groups = in_groups(range(len(colors)), settings)
    frames = choose_frames(([frame for index in group for frame in usable(index)] for group in groups), settings)
    if not frames:
        raise InputError(f"The settings of scan leave no frame of {folder}; skip fewer, or make pose_offset smaller.")
    return frames


def _cameras(folder: Path, first: Frame, settings: ScanSettings) -> tuple[Camera, Camera]:
    """Depth and colour camera; sizes as `<scene>.txt` states them, else those of the first frame.

    Intrinsics of the settings are those of the images as they are, whatever a file states.
    """
    stated = read_stated_sizes(folder)
    depth_image = read_depth(first.depth, settings.depth_scale)
    depth = _camera(folder, "depth", depth_image, stated, settings.depth_intrinsics)
    color_image = turned(read_color(first.color), settings.color_turned)
    color = _camera(folder, "color", color_image, stated, settings.color_intrinsics)
    right, down = settings.color_offset
    return depth, replace(color, cx=color.cx + right, cy=color.cy + down)


def _source_from_camera(folder: Path, settings: ScanSettings) -> Float[np.ndarray, "4 4"] | None:
    """The colour camera's frame from the depth camera's, by the settings or else by files; None where both are one."""
    if settings.color_position is None:
        return read_source_from_camera(folder)
    camera_from_source = np.eye(4)
    camera_from_source[:3, 3] = settings.color_position
    return invert(camera_from_source)


def _camera(
    folder: Path,
    kind: str,
    image: np.ndarray,
    stated: dict[str, float],
    intrinsics: tuple[float, float, float, float] | None,
) -> Camera:
    height, width = image.shape[:2]
    sizes = {f"{kind}Width": width, f"{kind}Height": height} | stated
    camera = read_camera(folder, kind, int(sizes[f"{kind}Width"]), int(sizes[f"{kind}Height"]))
    return Camera(width, height, *intrinsics) if intrinsics else camera
