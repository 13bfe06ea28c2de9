"""Scenes in ScanNet's export layout (Dai et al., CVPR 2017), read and written.

color/<i>.jpg  depth/<i>.png (16 bit)  pose/<i>.txt (camera to world)  intrinsic/intrinsic_{color,depth}.txt (4x4)
intrinsic/extrinsic_{color,depth}.txt (4x4, camera to a frame that both share, optional)
<scene>.txt (stated sizes, axisAlignment, optional)
<scene>_vh_clean_2.ply + .aggregation.json + _vh_clean_2.0.010000.segs.json: annotation of the mesh, by words
label-filt/<i>.png (raw label ids)  instance-filt/<i>.png (object id + 1): annotation of the frames
scannetv2-labels.combined.tsv (here or up to three folders above): which words the raw label ids stand for
ground_truth/labelled.ply: an annotation of one's own, instead of ScanNet's
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.datasets.label_images import in_order
from panrecon.datasets.poses import read_matrix, rigid
from panrecon.errors import InputError, told
from panrecon.geometry.projective import invert
from panrecon.io.files import read_json, write_json, write_text
from panrecon.io.ids import categories_of_raw_ids, instances_of_ids
from panrecon.io.images import read_ids, write_depth, write_ids, write_image
from panrecon.io.mesh import write_mesh
from panrecon.structures import VOID, Camera, CategoryTable, Labels, TriangleMesh, View

DEPTH_SCALE: Final = 1000.0  # units of a written depth image per metre
MIN_FOCAL, MAX_FOCAL = 1.0, 1e6  # pixels
MAX_STATED: Final = 1e12  # of a number in `<scene>.txt`, where images have sizes and devices have ids
MAX_NUMBER: Final = 2**31  # below which numbers of segments and objects are
SAME_POSE: Final = 1e-6  # m and sines of angles by which the extrinsics of one rig may differ


@dataclass(frozen=True)
class AnnotatedMesh:
    """A true mesh: labels of its vertices, and an over-segmentation that no object's boundary crosses."""

    mesh: TriangleMesh
    labels: Labels
    segment: Int[np.ndarray, " V"]


def mesh_file(folder: Path) -> Path:
    """The annotated mesh of a scene, whether it exists or not."""
    return folder / f"{folder.name}_vh_clean_2.ply"


def aggregation_file(folder: Path) -> Path:
    """Which segments belong to which object of a scene, whether the file exists or not."""
    return folder / f"{folder.name}.aggregation.json"


def segments_file(folder: Path) -> Path:
    """Which vertices belong to which segment of a scene, whether the file exists or not."""
    return folder / f"{folder.name}_vh_clean_2.0.010000.segs.json"


def own_annotation_file(folder: Path) -> Path:
    """A labelled PLY of the user's own, whether it exists or not."""
    return folder / "ground_truth" / "labelled.ply"


def statement_file(folder: Path) -> Path:
    """`key = value` lines on a scene, whether the file exists or not."""
    return folder / f"{folder.name}.txt"


def images_in(folder: Path) -> list[Path]:
    """The JPEGs and PNGs of a folder in the order of the numbers that are their stems.

    Raises:
        InputError: a name is not UTF-8, in which reports and settings are written.
    """
    images = in_order(path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for image in images:
        try:
            image.name.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"The name of the image {image} is not UTF-8; give it another.") from error
    return images


def depth_file(folder: Path, color: Path) -> Path:
    """The depth image of the frame of a colour image.

    Raises:
        InputError: there is none.
    """
    depth = folder / "depth" / f"{color.stem}.png"
    if not depth.is_file():
        raise InputError(f"Frame {color.stem} has no depth image {depth}; export it, or remove {color}.")
    return depth


def pose_file(folder: Path, color: Path) -> Path:
    """The pose file of the frame of a colour image.

    Raises:
        InputError: there is none.
    """
    pose = folder / "pose" / f"{color.stem}.txt"
    if not pose.is_file():
        raise InputError(f"Frame {color.stem} has no pose file {pose}; export it, or remove {color}.")
    return pose


def read_camera(folder: Path, kind: str, width: int, height: int) -> Camera:
    """The camera of `intrinsic/intrinsic_<kind>.txt`, `kind` being color or depth, for images of this size in pixels.

    Raises:
        InputError: the file is missing, no 4 x 4 numbers, or its focal lengths are none of a camera's, in pixels.
    """
    path = folder / "intrinsic" / f"intrinsic_{kind}.txt"
    matrix = read_matrix(path)
    fx, fy, cx, cy = (float(matrix[index]) for index in ((0, 0), (1, 1), (0, 2), (1, 2)))
    is_finite = np.isfinite([fx, fy, cx, cy]).all()
    if not (is_finite and all(MIN_FOCAL <= focal <= MAX_FOCAL for focal in (fx, fy))):
        raise InputError(f"{path} states focal lengths {fx}, {fy} and centre {cx}, {cy}; export the intrinsics again.")
    return Camera(width, height, fx, fy, cx, cy)


def read_source_from_camera(folder: Path) -> Float[np.ndarray, "4 4"] | None:
    """The colour camera's frame from the depth camera's; None where both are one, or no file says that they are not.

    Raises:
        InputError: an extrinsic file holds no rigid motion of finite numbers.
    """
    color = _read_extrinsics(folder, "color")
    depth = _read_extrinsics(folder, "depth")
    color_from_depth = invert(color) @ depth
    return None if np.allclose(color_from_depth, np.eye(4), atol=SAME_POSE) else color_from_depth


def read_stated_sizes(folder: Path) -> dict[str, float]:
    """The single numbers that `<scene>.txt` states, such as `colorWidth`, by their keys; empty without the file.

    Raises:
        InputError: one of them is larger than any size.
    """
    path = statement_file(folder)
    stated = {}
    for line in _lines(path):
        key, _, value = (part.strip() for part in line.partition("="))
        if value.isascii() and value.replace(".", "", 1).isdigit():
            stated[key] = float(value)
            if stated[key] > MAX_STATED:
                raise InputError(f"{path} states {key} = {told(value)}; no scan has: mend the line or leave it out.")
    return stated


def read_axis_alignment(folder: Path) -> Float[np.ndarray, "4 4"]:
    """The aligned world (z up, walls along x and y) from the world of the poses, by `<scene>.txt`.

    Raises:
        InputError: the file or its line `axisAlignment` is missing, or no rigid motion.
    """
    path = statement_file(folder)
    text = next((line.partition("=")[2] for line in _lines(path) if line.startswith("axisAlignment")), "")
    try:
        matrix = np.array([float(word) for word in text.split()]).reshape(4, 4)
    except ValueError as error:
        raise InputError(f"{path} states no axisAlignment of 16 numbers; set scan.axis_alignment=false.") from error
    return rigid(matrix, f"axisAlignment of {path}")


def read_segments(folder: Path) -> Int[np.ndarray, " V"]:
    """The segment of every vertex of the annotated mesh.

    Raises:
        InputError: the file is missing or not of ScanNet's form.
    """
    path = segments_file(folder)
    return _whole_numbers(path, "segIndices", _read_entry(path, "segIndices"))


def read_groups(folder: Path) -> list[dict[str, Any]]:
    """The annotated objects, each with its word `label`, its `segments` and, in most releases, its `objectId`.

    Raises:
        InputError: the file is missing or not of ScanNet's form, or an object lacks its word or its segments.
    """
    path = aggregation_file(folder)
    classes_only = folder / f"{folder.name}_vh_clean_2.labels.ply"
    if classes_only.is_file() and not path.is_file():
        raise InputError(
            f"{classes_only} has classes but no instances; add {path.name} and {segments_file(folder).name} of the "
            "same release."
        )
    groups = _read_entry(path, "segGroups")
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise InputError(f"'segGroups' of {path} is {told(groups)}, no list of objects; download the file again.")
    for group_index, group in enumerate(groups):
        what = f"Object {group_index} of {path}"
        missing = next((key for key in ("label", "segments") if key not in group), None)
        if missing:
            raise InputError(f"{what} has no {missing!r}; download the file again.")
        if not isinstance(group["label"], str):
            raise InputError(f"{what} is called {told(group['label'])}, which is no word; download the file again.")
        object_id = group.get("objectId", group_index)
        if not (isinstance(object_id, int) and 0 <= object_id < MAX_NUMBER):
            raise InputError(f"{what} has the objectId {told(object_id)}; it needs a number from 0.")
        group["segments"] = _whole_numbers(path, f"segments of object {group_index}", group["segments"])
    return groups


def read_truth(folder: Path, frame: str, table: CategoryTable) -> Labels:
    """The true labels of a frame, from `label-filt` and `instance-filt`, with instances on things alone.

    Raw ids that no class of the table lists are void.
    """
    category = categories_of_raw_ids(read_ids(folder / "label-filt" / f"{frame}.png"), table.index_of_raw_id)
    instance = instances_of_ids(read_ids(folder / "instance-filt" / f"{frame}.png"))
    is_thing = np.append(table.is_thing, False)[category]
    return Labels(category, np.where(is_thing, instance, VOID).astype(np.int32))


def write_frame(folder: Path, view: View, truth: Labels, table: CategoryTable) -> None:
    """Writes colour, depth, pose, `label-filt` (the table's raw ids) and `instance-filt` (object id + 1) of a frame."""
    write_image(folder / "color" / f"{view.name}.jpg", view.color)
    write_depth(folder / "depth" / f"{view.name}.png", view.depth, DEPTH_SCALE)
    write_text(folder / "pose" / f"{view.name}.txt", _matrix_text(view.world_from_camera))
    raw_id_of_category = np.array([category.raw_ids[0] for category in table] + [0])
    write_ids(folder / "label-filt" / f"{view.name}.png", raw_id_of_category[truth.category])
    write_ids(folder / "instance-filt" / f"{view.name}.png", object_ids(truth, table) + 1)


def write_scene(folder: Path, camera: Camera, annotated: AnnotatedMesh, table: CategoryTable) -> None:
    """Writes intrinsics, stated sizes, and the annotated mesh as mesh, segments and aggregation."""
    matrix = np.eye(4)
    matrix[:3, :3] = camera.matrix
    for kind in ("color", "depth"):
        write_text(folder / "intrinsic" / f"intrinsic_{kind}.txt", _matrix_text(matrix))
        write_text(folder / "intrinsic" / f"extrinsic_{kind}.txt", _matrix_text(np.eye(4)))
    sizes = {"Width": camera.width, "Height": camera.height}
    stated = [f"{kind}{side} = {value}" for kind in ("color", "depth") for side, value in sizes.items()]
    write_text(statement_file(folder), "\n".join(stated) + "\n")
    write_mesh(mesh_file(folder), annotated.mesh)
    segments = {"sceneId": folder.name, "segIndices": annotated.segment.tolist()}
    write_text(segments_file(folder), json.dumps(segments, separators=(",", ":")))
    groups = {"sceneId": f"scannet.{folder.name}", "segGroups": _groups(annotated, table)}
    write_json(aggregation_file(folder), groups)


def object_ids(labels: Labels, table: CategoryTable) -> Int[np.ndarray, "*points"]:
    """ScanNet's object ids, stuff counted like things: classes of stuff first, then instances; `VOID` where void."""
    return np.where(labels.instance == VOID, labels.category, labels.instance + len(table)).astype(np.int32)


def _lines(path: Path) -> list[str]:
    """Lines of a text whose words, such as a room's name, may be in any encoding; none without the file."""
    return path.read_text(errors="replace").splitlines() if path.is_file() else []


def _read_entry(path: Path, key: str) -> Any:
    content = read_json(path)
    if not isinstance(content, dict) or key not in content:
        raise InputError(f"{path} has no {key!r}; it is not what ScanNet publishes under this name, download it again.")
    return content[key]


def _whole_numbers(path: Path, name: str, values: Any) -> Int[np.ndarray, " n"]:
    """A list of whole numbers from 0 to below `MAX_NUMBER`."""
    try:
        numbers = np.asarray(values)
    except ValueError:  # lists of several lengths
        numbers = np.empty((0, 0))
    if numbers.ndim != 1 or (len(numbers) and numbers.dtype.kind not in "iu"):
        raise InputError(f"{path}: {name} is {told(values)}, no list of whole numbers; download the file again.")
    beyond = numbers[(numbers < 0) | (numbers >= MAX_NUMBER)]
    if len(beyond):
        raise InputError(f"{path}: {name} holds {beyond[0]}, no number from 0 of a segment; download the file again.")
    return numbers.astype(np.int64)


def _read_extrinsics(folder: Path, kind: str) -> Float[np.ndarray, "4 4"]:
    path = folder / "intrinsic" / f"extrinsic_{kind}.txt"
    matrix = rigid(read_matrix(path), str(path)) if path.is_file() else np.eye(4)
    if not np.isfinite(matrix).all():
        raise InputError(f"{path} holds inf or nan; remove it or export it again.")
    return matrix


def _groups(annotated: AnnotatedMesh, table: CategoryTable) -> list[dict[str, object]]:
    object_of_vertex = object_ids(annotated.labels, table)
    groups: list[dict[str, object]] = []
    for object_id in np.unique(object_of_vertex[object_of_vertex != VOID]):
        of_object = object_of_vertex == object_id
        name = table[int(annotated.labels.category[of_object][0])].name
        segments = np.unique(annotated.segment[of_object]).tolist()
        groups.append({"id": len(groups), "objectId": int(object_id), "label": name, "segments": segments})
    return groups


def _matrix_text(matrix: Float[np.ndarray, "4 4"]) -> str:
    return "\n".join(" ".join(f"{value:.9g}" for value in line) for line in matrix) + "\n"
