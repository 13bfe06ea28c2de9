"""Scans in ScanNet's export layout (Dai et al., CVPR 2017).

color/<i>.jpg  depth/<i>.png (16 bit)  pose/<i>.txt (camera to world)  intrinsic/intrinsic_{color,depth}.txt (4x4)
intrinsic/extrinsic_{color,depth}.txt (4x4, camera to a frame that both share, optional)
<scene>.txt (stated sizes, axisAlignment, optional)
<scene>_vh_clean_2.ply + .aggregation.json + _vh_clean_2.0.010000.segs.json: annotation of the mesh, by words
label-filt/<i>.png (raw label ids)  instance-filt/<i>.png (object id + 1): annotation of the frames
scannetv2-labels.combined.tsv (here or up to three folders above): which words the raw label ids stand for
ground_truth/labelled.ply: an annotation of one's own, instead of ScanNet's
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from panrecon.config import ScanSettings
from panrecon.datasets.label_images import LabelFrames, in_order, paired_images
from panrecon.datasets.poses import read_matrix, read_pose, rigid
from panrecon.datasets.scannet.label_map import FILE_NAME, LabelMap, find_label_map, read_label_map
from panrecon.datasets.selection import in_groups, one_of_each
from panrecon.errors import InputError
from panrecon.geometry.projective import as_world_from_camera, invert
from panrecon.io.files import read_json
from panrecon.io.ids import categories_of_raw_ids, instances_of_ids
from panrecon.io.images import read_color, read_depth, read_ids
from panrecon.io.mesh import read_mesh, read_panoptic_mesh
from panrecon.structures import VOID, Camera, CategoryTable, Frame, Labels, PanopticMesh, Scan, normalised
from panrecon.visualization import evenly_spaced

FRAMES_LOOKED_AT = 100  # for the raw ids of objects whose word tells no class
ONE_PLACE = 1e-6  # m and sines of angles
SIDES = ("Height", "Width")  # as `<scene>.txt` calls the two axes of an image


class ScanNet:
    """One exported scene folder; its name is the scene's."""

    def check(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(
                f"There is no scene folder {folder}; set DATA (--data) to the folder that holds {folder.name}/."
            )

    def files(self, folder: Path) -> list[Path]:
        found = [path for kind in ("color", "depth", "pose", "intrinsic") for path in (folder / kind).glob("*")]
        return sorted(found) + [path for path in (_statement(folder),) if path.is_file()]

    def scan(self, folder: Path, settings: ScanSettings) -> Scan:
        self.check(folder)
        colors = _numbered(folder / "color")
        if not colors:
            raise InputError(f"There is no frame in {folder / 'color'}; export the scan's images there.")
        frames = _frames(folder, colors, settings)
        valid = [frame for frame in frames if np.isfinite(frame.world_from_camera).all()]
        if len(valid) < len(frames) and not settings.skip_invalid_poses:
            bad = next(frame.name for frame in frames if not np.isfinite(frame.world_from_camera).all())
            raise InputError(
                f"The pose {folder / 'pose' / bad}.txt holds inf or nan, as do {len(frames) - len(valid)} of "
                f"{len(frames)}; set scan.skip_invalid_poses=true to leave such frames out."
            )
        if not valid:
            raise InputError(f"No frame of {folder} has a finite pose; export the poses again.")
        camera, source_camera = _cameras(folder, valid[0], settings)
        moved = _source_from_camera(folder)
        return Scan(folder.name, camera, source_camera, settings.depth_scale, tuple(valid), moved)

    def stated_poses(self, folder: Path) -> dict[str, Float[np.ndarray, "4 4"]]:
        """What the pose file of every frame holds, by the frame's name, in order."""
        return {color.stem: read_pose(_pose(folder, color)) for color in _numbered(folder / "color")}

    def alignment(self, folder: Path, settings: ScanSettings) -> Float[np.ndarray, "4 4"]:
        if not settings.axis_alignment:
            return np.eye(4)
        lines = _statement(folder).read_text().splitlines() if _statement(folder).is_file() else []
        text = next((line.partition("=")[2] for line in lines if line.startswith("axisAlignment")), "")
        try:
            matrix = np.array([float(word) for word in text.split()]).reshape(4, 4)
        except ValueError as error:
            raise InputError(
                f"{_statement(folder)} states no axisAlignment of 16 numbers; set scan.axis_alignment=false."
            ) from error
        return rigid(matrix, f"axisAlignment of {_statement(folder)}")

    def depths(self, folder: Path, scan: Scan, settings: ScanSettings) -> None:
        """None: they are images."""

    def annotation_files(self, folder: Path) -> list[Path]:
        scannet = [_mesh(folder), _aggregation(folder), _segments(folder)]
        own = folder / "ground_truth" / "labelled.ply"
        label_map = find_label_map(folder)
        if all(path.is_file() for path in scannet):
            return [*scannet, label_map] if label_map else scannet
        return [own] if own.is_file() else []

    def annotation(
        self, folder: Path, table: CategoryTable, visible_only: bool = False, label_map: Path | None = None
    ) -> PanopticMesh:
        """The true mesh; objects are numbered as in `instance-filt`, those of stuff and of void too.

        With a label map (given, or found in the folder or above it) the words of objects are first turned into raw
        label ids, and `raw_ids` of the table decide; without one, names and synonyms of the classes do.
        """
        own = folder / "ground_truth" / "labelled.ply"
        if own in self.annotation_files(folder):
            return read_panoptic_mesh(own, table)
        groups = _groups(folder)
        mesh = read_mesh(_mesh(folder))
        segment_of_vertex = np.asarray(_entry(_segments(folder), "segIndices"), dtype=np.int64)
        if len(segment_of_vertex) != len(mesh.vertices):
            raise InputError(
                f"{_segments(folder)} has {len(segment_of_vertex)} vertices, {_mesh(folder)} has {len(mesh.vertices)}; "
                "both must come from the same release."
            )
        object_of_vertex = _objects(groups, segment_of_vertex)
        category_of_object = _categories(folder, groups, table, _label_map(folder, label_map))
        category = np.append(category_of_object, VOID)[object_of_vertex].astype(np.int32)
        number_of_object = np.array([*(group.get("objectId", n) for n, group in enumerate(groups)), VOID], np.int64)
        return PanopticMesh(mesh, Labels(category, number_of_object[object_of_vertex]))

    def label_frames(self, folder: Path, table: CategoryTable, label_map: Path | None = None) -> LabelFrames:
        """The true label images; the class of a raw id is the one that lists it or, by the label map, has its word.

        Raises:
            InputError: images are missing, or neither raw ids nor a label map tell what a class is.
        """
        row_of_raw_id = _row_of_raw_id(table, _label_map(folder, label_map))
        if not row_of_raw_id:
            raise InputError(
                f"No class of the table has an id of {folder / 'label-filt'}; give the table raw_ids, "
                f"or put ScanNet's {FILE_NAME} into the folder and use its words as names."
            )

        def decode(raw: Int[np.ndarray, "h w"], instance: Int[np.ndarray, "h w"]) -> Labels:
            return Labels(categories_of_raw_ids(raw, row_of_raw_id), instances_of_ids(instance))

        return LabelFrames(folder, paired_images(folder / "label-filt", folder / "instance-filt"), decode)


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
    """Images in the order of their numbers."""
    return in_order(path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))


def _frames(folder: Path, colors: list[Path], settings: ScanSettings) -> list[Frame]:
    """Of every n frames one, of those that are not to be skipped and to which the offset leaves a pose."""
    names = {color.stem for color in colors}
    unknown = [name for name in settings.skip_frames if name not in names]
    if unknown:
        raise InputError(f"scan.skip_frames names {unknown[0]!r}, of which there is no image in {folder / 'color'}.")
    alignment = ScanNet().alignment(folder, settings)

    def usable(row: int) -> Iterator[Frame]:
        posed = row + settings.pose_offset
        if 0 <= posed < len(colors) and colors[row].stem not in settings.skip_frames:
            pose = as_world_from_camera(read_pose(_pose(folder, colors[posed])), settings.poses_are, settings.axes)
            pose = alignment @ pose if settings.axis_alignment else pose
            yield Frame(colors[row].stem, colors[row], _depth(folder, colors[row]), pose)

    rows = in_groups(range(len(colors)), settings)
    frames = one_of_each(([frame for row in group for frame in usable(row)] for group in rows), settings)
    if not frames:
        raise InputError(f"The settings of scan leave no frame of {folder}; skip fewer, or make pose_offset smaller.")
    return frames


def _depth(folder: Path, color: Path) -> Path:
    depth = folder / "depth" / f"{color.stem}.png"
    if not depth.is_file():
        raise InputError(f"Frame {color.stem} has no depth image {depth}; export it, or remove {color}.")
    return depth


def _pose(folder: Path, color: Path) -> Path:
    pose = folder / "pose" / f"{color.stem}.txt"
    if not pose.is_file():
        raise InputError(f"Frame {color.stem} has no pose file {pose}; export it, or remove {color}.")
    return pose


def _source_from_camera(folder: Path) -> Float[np.ndarray, "4 4"] | None:
    """Of the colour and the depth camera; None where both are in one place, or nothing says that they are not."""
    files = [folder / "intrinsic" / f"extrinsic_{kind}.txt" for kind in ("color", "depth")]
    color, depth = (rigid(read_matrix(file), str(file)) if file.is_file() else np.eye(4) for file in files)
    if not np.isfinite([color, depth]).all():
        raise InputError(f"The extrinsics of {folder / 'intrinsic'} hold inf or nan; remove them or export them again.")
    moved = invert(color) @ depth
    return None if np.allclose(moved, np.eye(4), atol=ONE_PLACE) else moved


def _cameras(folder: Path, first: Frame, settings: ScanSettings) -> tuple[Camera, Camera]:
    """Depth and colour camera; sizes as `<scene>.txt` states them, else those of the first frame.

    Intrinsics of the settings are those of the images as they are, whatever a file states.
    """
    images = {"depth": read_depth(first.depth, settings.depth_scale), "color": read_color(first.color)}
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
    if settings.depth_intrinsics:
        depth = Camera(found["depthWidth"], found["depthHeight"], *settings.depth_intrinsics)
    if settings.color_intrinsics:
        color = Camera(found["colorWidth"], found["colorHeight"], *settings.color_intrinsics)
    right, down = settings.color_offset
    return depth, replace(color, cx=color.cx + right, cy=color.cy + down)


def _camera(path: Path, width: int, height: int) -> Camera:
    matrix = read_matrix(path)
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


def _groups(folder: Path) -> list[dict[str, Any]]:
    """The annotated objects, each with its word and its segments."""
    classes_only = folder / f"{folder.name}_vh_clean_2.labels.ply"
    if classes_only.is_file() and not _aggregation(folder).is_file():
        raise InputError(
            f"{classes_only} has classes but no instances; add {_aggregation(folder).name} and "
            f"{_segments(folder).name} of the same release."
        )
    groups: list[dict[str, Any]] = _entry(_aggregation(folder), "segGroups")
    for number, group in enumerate(groups):
        missing = next((key for key in ("label", "segments") if key not in group), None)
        if missing:
            raise InputError(f"Object {number} of {_aggregation(folder)} has no {missing!r}; download the file again.")
    return groups


def _objects(groups: list[dict[str, Any]], segment_of_vertex: Int[np.ndarray, " V"]) -> Int[np.ndarray, " V"]:
    """Position in `groups` of every vertex's object, `VOID` where none."""
    object_of_segment = np.full(segment_of_vertex.max(initial=0) + 2, VOID, dtype=np.int64)
    for number, group in enumerate(groups):
        segments = np.asarray(group["segments"], dtype=np.int64)
        object_of_segment[segments[segments < len(object_of_segment) - 1]] = number
    return object_of_segment[segment_of_vertex]


def _label_map(folder: Path, named: Path | None) -> LabelMap | None:
    path = named or find_label_map(folder)
    return read_label_map(path) if path else None


def _row_of_raw_id(table: CategoryTable, label_map: LabelMap | None) -> Mapping[int, int]:
    return label_map.index_of_raw_id(table) if label_map else table.index_of_raw_id


def _categories(
    folder: Path, groups: list[dict[str, Any]], table: CategoryTable, label_map: LabelMap | None
) -> Int[np.ndarray, " O"]:
    """The class of every object: by the raw id of its word, else by the class of this name, else by the raw id that its
    pixels carry, else by the class of which its word is a synonym.
    """
    row_of_raw_id = _row_of_raw_id(table, label_map)
    raw_id_of_word = label_map.raw_id_of_word if label_map else {}
    raw_ids = [raw_id_of_word.get(normalised(group["label"])) for group in groups]
    rows = np.array(
        [
            _row_of_word(group["label"], table) if raw_id is None else row_of_raw_id.get(raw_id, VOID)
            for group, raw_id in zip(groups, raw_ids, strict=True)
        ],
        dtype=np.int64,
    )
    unknown = [n for n in np.flatnonzero(rows == VOID) if raw_ids[n] is None and "objectId" in groups[n]]
    if unknown and row_of_raw_id:
        raw_id_of_object = _raw_ids(folder, [int(groups[number]["objectId"]) for number in unknown])
        rows[unknown] = [
            row_of_raw_id.get(raw, VOID) if raw else table.index_of(groups[number]["label"])
            for number, raw in zip(unknown, raw_id_of_object, strict=True)
        ]
    return rows


def _row_of_word(word: str, table: CategoryTable) -> int:
    """The class of this name or synonym; of a class with raw ids, which say what it means exactly, the name alone."""
    row = table.index_of(word)
    exact = row != VOID and bool(table[row].raw_ids) and normalised(table[row].name) != normalised(word)
    return VOID if exact else row


def _raw_ids(folder: Path, object_ids: list[int]) -> list[int]:
    """The raw label id most pixels of each object carry in some frames, 0 for an object of no pixel there."""
    paths = [path for path in _numbered(folder / "instance-filt") if (folder / "label-filt" / path.name).is_file()]
    counts: Counter[tuple[int, int]] = Counter()
    for number in evenly_spaced(len(paths), FRAMES_LOOKED_AT):
        instance, raw = read_ids(paths[number]), read_ids(folder / "label-filt" / paths[number].name)
        pairs, count = np.unique(instance.astype(np.int64) << 16 | raw, return_counts=True)
        counts.update({(pair >> 16, pair & 0xFFFF): n for pair, n in zip(pairs.tolist(), count.tolist(), strict=True)})
    best: dict[int, int] = {}
    for (instance_id, raw_id), _ in sorted(counts.items(), key=lambda item: (item[1], -item[0][1])):
        best[instance_id] = raw_id
    return [best.get(object_id + 1, 0) for object_id in object_ids]
