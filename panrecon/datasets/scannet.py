"""Scans in ScanNet's export layout (Dai et al., CVPR 2017).

color/<i>.jpg  depth/<i>.png (16 bit)  pose/<i>.txt (camera to world)  intrinsic/intrinsic_{color,depth}.txt (4x4)
<scene>.txt (stated sizes, optional)
<scene>_vh_clean_2.ply + .aggregation.json + _vh_clean_2.0.010000.segs.json, label-filt/, instance-filt/: annotation
ground_truth/labelled.ply: an annotation of one's own, instead of ScanNet's
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from panrecon.config import ScanSettings
from panrecon.errors import InputError
from panrecon.io.files import read_json
from panrecon.io.images import read_color, read_depth, read_ids
from panrecon.io.mesh import read_mesh, read_panoptic_mesh
from panrecon.structures import VOID, Camera, CategoryTable, Frame, Labels, PanopticMesh, Scan

ROTATION_TOLERANCE = 0.01  # by which R R^T of a pose may differ from 1
SIDES = ("Height", "Width")  # as `<scene>.txt` calls the two axes of an image


class ScanNet:
    """One exported scene folder; its name is the scene's."""

    def files(self, folder: Path) -> list[Path]:
        found = [path for kind in ("color", "depth", "pose", "intrinsic") for path in (folder / kind).glob("*")]
        return sorted(found) + [path for path in (_statement(folder),) if path.is_file()]

    def scan(self, folder: Path, settings: ScanSettings) -> Scan:
        if not folder.is_dir():
            raise InputError(f"There is no scene folder {folder}; set DATA to the folder that holds {folder.name}/.")
        colors = _numbered(folder / "color")
        if not colors:
            raise InputError(f"There is no frame in {folder / 'color'}; export the scan's images there.")
        frames = [_frame(folder, path) for path in colors[:: settings.frame_stride]]
        valid = [frame for frame in frames if np.isfinite(frame.world_from_camera).all()]
        if len(valid) < len(frames) and not settings.skip_invalid_poses:
            bad = next(frame.name for frame in frames if not np.isfinite(frame.world_from_camera).all())
            raise InputError(
                f"The pose {folder / 'pose' / bad}.txt holds inf or nan, as do {len(frames) - len(valid)} of "
                f"{len(frames)}; set scan.skip_invalid_poses=true to leave such frames out."
            )
        if not valid:
            raise InputError(f"No frame of {folder} has a finite pose; export the poses again.")
        camera, source_camera = _cameras(folder, valid[0], settings.depth_scale)
        return Scan(folder.name, camera, source_camera, settings.depth_scale, tuple(valid))

    def annotation_files(self, folder: Path) -> list[Path]:
        scannet = [_mesh(folder), _aggregation(folder), _segments(folder)]
        own = folder / "ground_truth" / "labelled.ply"
        return scannet if all(path.is_file() for path in scannet) else [own] if own.is_file() else []

    def annotation(self, folder: Path, table: CategoryTable) -> PanopticMesh:
        own = folder / "ground_truth" / "labelled.ply"
        if own in self.annotation_files(folder):
            return read_panoptic_mesh(own, table)
        mesh = read_mesh(_mesh(folder))
        segment_of_vertex = np.asarray(_entry(_segments(folder), "segIndices"), dtype=np.int64)
        if len(segment_of_vertex) != len(mesh.vertices):
            raise InputError(
                f"{_segments(folder)} has {len(segment_of_vertex)} vertices, {_mesh(folder)} has {len(mesh.vertices)}; "
                "both must come from the same release."
            )
        groups = _entry(_aggregation(folder), "segGroups")
        object_of_vertex = _objects(groups, segment_of_vertex)
        category_of_object = _categories(folder, groups, table)
        category = np.append(category_of_object, VOID)[object_of_vertex].astype(np.int32)
        is_thing = np.append(table.is_thing, False)[category]
        return PanopticMesh(mesh, Labels(category, np.where(is_thing, object_of_vertex, VOID).astype(np.int32)))


def _mesh(folder: Path) -> Path:
    return folder / f"{folder.name}_vh_clean_2.ply"


def _aggregation(folder: Path) -> Path:
    return folder / f"{folder.name}.aggregation.json"


def _segments(folder: Path) -> Path:
    return folder / f"{folder.name}_vh_clean_2.0.010000.segs.json"


def _statement(folder: Path) -> Path:
    return folder / f"{folder.name}.txt"


def _entry(path: Path, key: str) -> Any:
    content = read_json(path)
    if not isinstance(content, dict) or key not in content:
        raise InputError(f"{path} has no {key!r}; it is not the annotation that ScanNet publishes under this name.")
    return content[key]


def _numbered(folder: Path) -> list[Path]:
    """Images in the order of their numbers (3, 5, ... 101), other names after them."""
    paths = [path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    return sorted(
        paths, key=lambda path: (not path.stem.isdigit(), int(path.stem) if path.stem.isdigit() else 0, path.stem)
    )


def _frame(folder: Path, color: Path) -> Frame:
    depth, pose = folder / "depth" / f"{color.stem}.png", folder / "pose" / f"{color.stem}.txt"
    if not depth.is_file():
        raise InputError(f"Frame {color.stem} has no depth image {depth}; export it, or remove {color}.")
    if not pose.is_file():
        raise InputError(f"Frame {color.stem} has no pose file {pose}; export it, or remove {color}.")
    return Frame(color.stem, color, depth, _rigid(pose))


def _rigid(path: Path) -> Float[np.ndarray, "4 4"]:
    """A pose: a rotation and a shift, or not finite where tracking was lost."""
    matrix = _matrix(path)
    rotation = matrix[:3, :3]
    if np.isfinite(matrix).all() and not (
        np.allclose(rotation @ rotation.T, np.eye(3), atol=ROTATION_TOLERANCE) and np.linalg.det(rotation) > 0
    ):
        raise InputError(f"The pose {path} is no rotation and shift; it must take points of the camera to the world.")
    return matrix


def _matrix(path: Path) -> Float[np.ndarray, "4 4"]:
    try:
        matrix = np.loadtxt(path, dtype=np.float64)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as 4 x 4 numbers: {error}.") from error
    if matrix.shape != (4, 4):
        raise InputError(f"{path} holds {matrix.shape} numbers, not 4 x 4.")
    return matrix


def _cameras(folder: Path, first: Frame, depth_scale: float) -> tuple[Camera, Camera]:
    """Depth and colour camera; sizes as `<scene>.txt` states them, else those of the first frame."""
    images = {"depth": read_depth(first.depth, depth_scale), "color": read_color(first.color)}
    found = {f"{kind}{side}": n for kind, i in images.items() for side, n in zip(SIDES, i.shape[:2], strict=True)}
    sizes = found | _stated(_statement(folder))
    depth, color = (
        _camera(
            folder / "intrinsic" / f"intrinsic_{kind}.txt",
            width=int(sizes[f"{kind}Width"]),
            height=int(sizes[f"{kind}Height"]),
        )
        for kind in images
    )
    return depth, color


def _camera(path: Path, width: int, height: int) -> Camera:
    matrix = _matrix(path)
    fx, fy, cx, cy = (float(matrix[index]) for index in ((0, 0), (1, 1), (0, 2), (1, 2)))
    if not (np.isfinite([fx, fy, cx, cy]).all() and fx > 0 and fy > 0):
        raise InputError(f"{path} states focal lengths {fx}, {fy} and centre {cx}, {cy}; export the intrinsics again.")
    return Camera(width, height, fx, fy, cx, cy)


def _stated(path: Path) -> dict[str, float]:
    """The single numbers of `key = value` lines."""
    result = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        key, _, value = (part.strip() for part in line.partition("="))
        if value.replace(".", "", 1).isdigit():
            result[key] = float(value)
    return result


def _objects(groups: list[dict[str, Any]], segment_of_vertex: Int[np.ndarray, " V"]) -> Int[np.ndarray, " V"]:
    """Position in `groups` of every vertex's object, `VOID` where none."""
    object_of_segment = np.full(segment_of_vertex.max(initial=0) + 2, VOID, dtype=np.int64)
    for number, group in enumerate(groups):
        segments = np.asarray(group["segments"], dtype=np.int64)
        object_of_segment[segments[segments < len(object_of_segment) - 1]] = number
    return object_of_segment[segment_of_vertex]


def _categories(folder: Path, groups: list[dict[str, Any]], table: CategoryTable) -> Int[np.ndarray, " O"]:
    """The class of every object: by its raw word, else by the raw id that its pixels carry in `label-filt`."""
    rows = np.array([table.row_of(group["label"]) for group in groups], dtype=np.int64)
    unknown = [number for number in np.flatnonzero(rows == VOID) if "objectId" in groups[number]]
    if unknown and table.row_of_raw_id:
        raw_id_of_object = _raw_ids(folder, [int(groups[number]["objectId"]) for number in unknown])
        rows[unknown] = [table.row_of_raw_id.get(raw, VOID) for raw in raw_id_of_object]
    return rows


def _raw_ids(folder: Path, object_ids: list[int]) -> list[int]:
    """The raw label id most pixels of each object carry, 0 for an object of no pixel."""
    counts: dict[int, dict[int, int]] = {object_id: {} for object_id in object_ids}
    for path in _numbered(folder / "instance-filt"):
        label = folder / "label-filt" / path.name
        if not label.is_file():
            continue
        instance, raw = read_ids(path), read_ids(label)
        for object_id, found in counts.items():
            for raw_id, count in zip(*np.unique(raw[instance == object_id + 1], return_counts=True), strict=True):
                found[int(raw_id)] = found.get(int(raw_id), 0) + int(count)
    return [max(found, key=found.__getitem__) if found else 0 for found in counts.values()]
