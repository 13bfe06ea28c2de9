"""Frames of three files each, the layout of 7-Scenes (Shotton et al., CVPR 2013), 3DMatch (Zeng et al., CVPR 2017),
BundleFusion (Dai et al., ToG 2017), 3RScan (Wald et al., ICCV 2019) and of ScanNet's reader of .sens in C++:

frame-000000.color.png, .jpg     here or in folders such as seq-01/, all of one world
frame-000000.depth.png, .pgm     16 bit, mm; 0 and 65535 are not measured
frame-000000.pose.txt            4 x 4, camera to world, m, x right, y down, z forward; not finite where lost
_info.txt, info.txt              beside them or above: `key = value`, sizes, intrinsics, extrinsics, units a metre; or
camera-intrinsics.txt            3 x 3, of colour and of depth registered to it; without both 7-Scenes' cameras

7-Scenes' colour is not registered: its Kinect's cameras are those of DSAC* (Brachmann and Rother, TPAMI 2021).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float

from panrecon.datasets.importers.base import Source, SourceFrame, pixels_of
from panrecon.datasets.importers.numbering import files_by_key, natural, number_in, renumbered_notes
from panrecon.datasets.poses import read_pose
from panrecon.errors import InputError, reason
from panrecon.geometry.projective import invert
from panrecon.io.images import read_depth
from panrecon.structures import Camera

FILE: Final = re.compile(r"frame-\d+\.(color|depth|pose)\.(png|jpg|jpeg|pgm|txt)")
KINDS: Final = ("color", "depth", "pose")
INFO: Final = ("_info.txt", "info.txt")
MATRIX: Final = "camera-intrinsics.txt"
MILLIMETRES: Final = 1000.0  # a metre
INVALID: Final = 65535  # a depth in 7-Scenes that is none
SEVEN_SCENES_DEPTH: Final = Camera(640, 480, 585.0, 585.0, 320.0, 240.0)
SEVEN_SCENES_COLOR: Final = Camera(640, 480, 525.0, 525.0, 320.0, 240.0)
KINECT_COLOR_FROM_DEPTH: Final = np.array(  # m; N. Burrus's calibration of a Kinect, which DSAC* takes for 7-Scenes
    [
        [9.9996518012567637e-01, 2.6765126468950343e-03, -7.9041012313000904e-03, -2.5558943178152542e-02],
        [-2.7409311281316700e-03, 9.9996302803027592e-01, -8.1504520778013286e-03, 1.0109636268061706e-04],
        [7.8819942130445332e-03, 8.1718328771890631e-03, 9.9993554558014031e-01, 2.0318321729487039e-03],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


@dataclass(frozen=True)
class Rig:
    """Both cameras, the colour camera's frame from the depth camera's (m), units of depth a metre."""

    depth: Camera
    color: Camera
    color_from_depth: Float[np.ndarray, "4 4"]
    depth_scale: float
    note: str


class Frames:
    """An Importer of a folder of such frames, or of one whose folders hold them."""

    name = "frames"
    needs = "a folder with frame-000000.color.png, .depth.png and .pose.txt, or with folders of them (7-Scenes)"
    files = ("frame-*.color.png", "frame-*.depth.png", "frame-*.pose.txt")

    def recognise(self, path: Path) -> str | None:
        """Names a frame's pose file, where there is one and no scan.yaml describes the folder; else None."""
        files = frame_files(path)["pose"] if path.is_dir() and not (path / "scan.yaml").is_file() else []
        return f"it holds {files[0].relative_to(path)}" if files else None

    def read(self, path: Path) -> Source:
        """The frames with colour, depth and pose, by folder and number.

        Raises:
            InputError: a file is damaged, no frame has all three, or no intrinsics are stated and 7-Scenes' not fit.
        """
        files = frame_files(path)
        colors, depths, poses = files_by_key(path, [files[kind] for kind in KINDS])
        keys = [key for key in colors if key in depths and key in poses]
        if not keys:
            counts = ", ".join(f"{len(files[kind])} .{kind}" for kind in KINDS)
            raise InputError(f"No frame of {path} has colour, depth and pose: there are {counts}; copy all.")
        first_depth = read_depth(depths[keys[0]], MILLIMETRES)
        rig = read_rig(path, colors[keys[0]], first_depth)
        is_numbered_anew = len({key.number for key in keys}) < len(keys)
        frames = [
            SourceFrame(
                f"{index if is_numbered_anew else int(key.number):06d}",
                read_pose(poses[key]),
                partial(Path, colors[key]),
                partial(depth_in_metres, depths[key], rig.depth_scale),
            )
            for index, key in enumerate(keys)
        ]
        left_out = len(colors.keys() | depths.keys() | poses.keys()) - len(keys)
        notes = [f"{left_out} frames lack colour, depth or pose and are left out"] if left_out else []
        notes += renumbered_notes(keys, [colors[key].relative_to(path).parent for key in keys])
        return Source(rig.depth, rig.color, frames, [rig.note, *notes], rig.color_from_depth)


def frame_files(path: Path) -> Mapping[str, list[Path]]:
    """The files of each of `KINDS` in a folder or, where it has none, in its folders, by the numbers in their names."""
    for pattern in ("frame-*", "*/frame-*"):
        files: dict[str, list[Path]] = {kind: [] for kind in KINDS}
        for file in path.glob(pattern):
            match = FILE.fullmatch(file.name)
            if match:
                files[match[1]].append(file)
        if files["pose"]:
            break
    return {kind: sorted(files[kind], key=lambda file: natural(number_in(file))) for kind in KINDS}


def depth_in_metres(file: Path, scale: float) -> Float[np.ndarray, "h w"]:
    """The depth (m) of a 16-bit image of `scale` units a metre; 0 where it is 0 or 65535."""
    units = read_depth(file, 1.0)
    return np.where(units == INVALID, np.float32(0), units / np.float32(scale))


def read_rig(path: Path, color: Path, depth: Float[np.ndarray, "h w"]) -> Rig:
    """The cameras of the file that states them, beside the frames, in the scan's folder or above it; else 7-Scenes'.

    Raises:
        InputError: the file is damaged, or there is none and the images are not of 7-Scenes' size.
    """
    folders = (color.parent, path, path.resolve().parent)
    info = next((folder / name for folder in folders for name in INFO if (folder / name).is_file()), None)
    if info is not None:
        return read_info(info)
    color_height, color_width = pixels_of(color).shape[:2]
    height, width = depth.shape
    matrix = next((folder / MATRIX for folder in folders if (folder / MATRIX).is_file()), None)
    if matrix is not None:
        camera = read_intrinsics(matrix, color_width, color_height)
        scaled = camera.scaled(width / color_width)
        if (scaled.width, scaled.height) != (width, height):
            raise InputError(
                f"Colour is {color_width} x {color_height} pixels, depth {width} x {height}: not registered."
            )
        return Rig(scaled, camera, np.eye(4), MILLIMETRES, f"intrinsics are those of {matrix.name}")
    if {(color_width, color_height), (width, height)} != {(640, 480)}:
        raise InputError(
            f"{path} has no {INFO[0]} and no {MATRIX}, and its images, {width} x {height} pixels, are not 7-Scenes' "
            f"640 x 480; write {MATRIX} (3 x 3)."
        )
    note = (
        "no file states intrinsics: 7-Scenes' are taken, depth 585 and colour 525 px, 2.6 cm apart; where depth is "
        f"registered to colour write {MATRIX} (3 x 3)"
    )
    return Rig(SEVEN_SCENES_DEPTH, SEVEN_SCENES_COLOR, KINECT_COLOR_FROM_DEPTH, MILLIMETRES, note)


def read_intrinsics(file: Path, width: int, height: int) -> Camera:
    """The camera of a 3 x 3 matrix, for images of this size.

    Raises:
        InputError: it holds anything else.
    """
    try:
        matrix = np.loadtxt(file, dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{file} cannot be read as 3 x 3 numbers: {reason(error)}; write it again.") from error
    if matrix.shape not in ((3, 3), (4, 4)) or not np.isfinite(matrix).all() or min(matrix[0, 0], matrix[1, 1]) <= 0:
        raise InputError(f"{file} holds {matrix.ravel().tolist()[:9]}; it must be fx 0 cx, 0 fy cy, 0 0 1.")
    return Camera(width, height, *(float(matrix[index]) for index in ((0, 0), (1, 1), (0, 2), (1, 2))))


def read_info(file: Path) -> Rig:
    """The cameras of a `_info.txt` as ScanNet's reader writes it.

    Raises:
        InputError: an entry is missing or misstated.
    """
    lines = [line.partition("=") for line in file.read_text(errors="replace").splitlines()]
    text = {key.strip(): value.split() for key, _, value in lines}
    try:
        cameras = {}
        shared_from = {}
        for kind in ("Color", "Depth"):
            width = int(text[f"m_{kind.lower()}Width"][0])
            height = int(text[f"m_{kind.lower()}Height"][0])
            intrinsic, extrinsic = (
                np.array(text[f"m_calibration{kind}{what}"], dtype=np.float64).reshape(4, 4)
                for what in ("Intrinsic", "Extrinsic")
            )
            focal_and_centre = [float(intrinsic[index]) for index in ((0, 0), (1, 1), (0, 2), (1, 2))]
            if not (np.isfinite(focal_and_centre).all() and min(width, height, *focal_and_centre[:2]) > 0):
                raise ValueError(f"the {kind.lower()} camera is {width} x {height}, {focal_and_centre}")
            cameras[kind] = Camera(width, height, *focal_and_centre)
            shared_from[kind] = extrinsic if np.any(extrinsic) else np.eye(4)
        scale = float(text.get("m_depthShift", [str(MILLIMETRES)])[0])
        if not (np.isfinite(scale) and scale > 0):
            raise ValueError(f"m_depthShift is {scale}")
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(f"{file} lacks or misstates sizes, intrinsics or extrinsics: {error}; mend it.") from error
    color_from_depth = invert(shared_from["Color"]) @ shared_from["Depth"]
    return Rig(cameras["Depth"], cameras["Color"], color_from_depth, scale, f"intrinsics are those of {file.name}")
