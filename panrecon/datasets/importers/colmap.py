"""Poses by COLMAP (Schonberger and Frahm, CVPR 2016) and a depth map for every image.

./, sparse/ or sparse/0/   cameras and images, .bin or .txt: pinholes; camera from world as qw qx qy qz tx ty tz
images/<name>              without distortion, as `colmap image_undistorter` writes them
depth/<name>.png, .npy     16 bit, mm, or metres; <name> with or without the image's own suffix
stereo/depth_maps/<name>.geometric.bin    instead of depth/: `w&h&1&` and float32 row by row, of `patch_match_stereo`

Pixel centres lie at halves in COLMAP, at integers here.
"""

import re
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from panrecon.datasets.importers.base import Source, SourceFrame
from panrecon.datasets.importers.plain import depth_in_metres
from panrecon.errors import InputError
from panrecon.geometry.projective import invert
from panrecon.structures import Camera

PINHOLES: Final = {"SIMPLE_PINHOLE": 3, "PINHOLE": 4}  # and how many parameters they have
MODELS: Final = (
    "SIMPLE_PINHOLE",
    "PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "OPENCV",
    "OPENCV_FISHEYE",
)  # in COLMAP's order
MILLIMETRES: Final = 1000.0  # a metre

Row = tuple[str, int, list[float]]  # of an image: name, camera, qw qx qy qz tx ty tz


class Colmap:
    """An Importer of a workspace."""

    name = "colmap"
    needs = "a folder with images/, a sparse model in it, sparse/ or sparse/0/, and depth/ or stereo/depth_maps/"

    def recognise(self, path: Path) -> str | None:
        model = find_model(path)
        return f"it holds images/ and COLMAP's {model[0].name}" if model and (path / "images").is_dir() else None

    def read(self, path: Path) -> Source:
        """The images of the model that are there and have a depth map, in the order of their names."""
        model = find_model(path)
        if model is None:
            raise InputError(
                f"{path} has no cameras and images, .bin or .txt, in it, sparse/ or sparse/0/; add the model."
            )
        cameras, rows = read_model(*model)
        depths = depth_folder(path)
        frames, seen = [], set()
        for number, (name, camera, values) in enumerate(rows):
            color, depth = path / "images" / name, find_depth(depths, name)
            if color.is_file() and depth is not None:
                pose = invert(camera_from_world(values, name, model[1]))
                frames.append(SourceFrame(f"{number:06d}", pose, partial(Path, color), partial(read_depth_of, depth)))
                seen.add(cameras.get(camera))
        if not frames:
            raise InputError(
                f"None of the {len(rows)} images of {model[1]} is in {path / 'images'} and has a depth map."
            )
        notes = [f"COLMAP's scale is arbitrary: poses and {depths.name}/ are taken as metres, true of a scaled model"]
        if len(frames) < len(rows):
            notes.append(f"{len(rows) - len(frames)} images of the model have no file or no depth map and are left out")
        color_camera = the_only(seen, model[0])
        return Source(fitted(color_camera, frames[0].depth(), depths), color_camera, frames, notes)


def find_model(path: Path) -> tuple[Path, Path] | None:
    """The files of cameras and of images."""
    for folder in (path, path / "sparse", path / "sparse" / "0"):
        for suffix in ("bin", "txt"):
            files = folder / f"cameras.{suffix}", folder / f"images.{suffix}"
            if all(file.is_file() for file in files):
                return files
    return None


def read_model(cameras: Path, images: Path) -> tuple[dict[int, Camera], list[Row]]:
    """Cameras by their ids, and the images in the order of the numbers in their names."""
    binary = cameras.suffix == ".bin"
    try:
        found = dict(cameras_of_bytes(cameras) if binary else cameras_of_text(cameras))
    except (ValueError, IndexError, struct.error) as error:
        raise InputError(f"{cameras} is no list of COLMAP's cameras: {error}; export the model again.") from error
    try:
        rows = list(images_of_bytes(images.read_bytes()) if binary else images_of_text(images))
    except (ValueError, IndexError, struct.error) as error:
        raise InputError(f"{images} is no list of COLMAP's images: {error}; export the model again.") from error
    return found, sorted(
        rows, key=lambda row: [(int(word) if word.isdecimal() else 0, word) for word in re.split(r"(\d+)", row[0])]
    )


def cameras_of_text(file: Path) -> Iterator[tuple[int, Camera]]:
    for line in file.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            number, model, width, height, *parameters = line.split()
            yield int(number), pinhole(file, model, int(width), int(height), [float(word) for word in parameters])


def cameras_of_bytes(file: Path) -> Iterator[tuple[int, Camera]]:
    data = file.read_bytes()
    (count,), place = struct.unpack_from("<Q", data), 8
    for _ in range(count):
        number, model, width, height = struct.unpack_from("<iiQQ", data, place)
        name = MODELS[model] if 0 <= model < len(MODELS) else f"number {model}"
        parameters = struct.unpack_from(f"<{PINHOLES.get(name, 0)}d", data, place + 24)
        yield number, pinhole(file, name, width, height, list(parameters))
        place += 24 + 8 * len(parameters)


def pinhole(file: Path, model: str, width: int, height: int, parameters: list[float]) -> Camera:
    """Raises: InputError for a model with distortion, ValueError for one without whose parameters are wrong."""
    if model not in PINHOLES:
        raise InputError(
            f"{file} has a camera of the model {model}, not SIMPLE_PINHOLE or PINHOLE; run `colmap image_undistorter` "
            "and import the folder that it writes."
        )
    *focal, cx, cy = parameters
    if len(parameters) != PINHOLES[model] or not (np.isfinite(parameters).all() and min(width, height, *focal) > 0):
        raise ValueError(f"the parameters of a {model} of {width} x {height} pixels are {parameters}")
    return Camera(width, height, focal[0], focal[-1], cx - 0.5, cy - 0.5)


def images_of_text(file: Path) -> Iterator[Row]:
    """Two lines an image; the second, which may be empty, lists its points."""
    lines = iter([line for line in file.read_text().splitlines() if not line.startswith("#")])
    for line in lines:
        if line.strip():
            _, qw, qx, qy, qz, tx, ty, tz, camera, name = line.split(maxsplit=9)
            yield name.strip(), int(camera), [float(word) for word in (qw, qx, qy, qz, tx, ty, tz)]
            next(lines, None)


def images_of_bytes(data: bytes) -> Iterator[Row]:
    (count,), place = struct.unpack_from("<Q", data), 8
    for _ in range(count):
        _, *values, camera = struct.unpack_from("<i7di", data, place)
        end = data.index(b"\0", place + 64)
        (points,) = struct.unpack_from("<Q", data, end + 1)
        yield data[place + 64 : end].decode(), camera, values
        place = end + 9 + 24 * points
    if place != len(data):
        raise ValueError(f"it has {len(data)} bytes, its images take {place}")


def camera_from_world(values: list[float], name: str, file: Path) -> Float[np.ndarray, "4 4"]:
    if not np.isfinite(values).all() or np.linalg.norm(values[:4]) < 0.5:
        raise InputError(f"The pose of {name} in {file} is {values}; it must be a unit quaternion and a shift.")
    result = np.eye(4)
    result[:3, :3] = Rotation.from_quat(np.roll(values[:4], -1)).as_matrix()
    result[:3, 3] = values[4:]
    return result


def the_only(cameras: set[Camera | None], file: Path) -> Camera:
    camera, *others = cameras
    if camera is None or others:
        raise InputError(
            f"The images have {len(cameras)} cameras in {file}, or one that it does not list; one for all is needed: "
            "run `colmap feature_extractor` with --ImageReader.single_camera 1."
        )
    return camera


def depth_folder(path: Path) -> Path:
    """One's own before COLMAP's."""
    folders = path / "depth", path / "stereo" / "depth_maps"
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        raise InputError(
            f"{path} has no depth/ and no stereo/depth_maps/; COLMAP's poses alone are no scan, add depth."
        )
    return found


def find_depth(folder: Path, name: str) -> Path | None:
    stem = str(Path(name).with_suffix(""))
    names = [f"{name}.geometric.bin", *(base + suffix for base in (stem, name) for suffix in (".png", ".npy"))]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_depth_of(file: Path) -> Float[np.ndarray, "h w"]:
    """In metres if the file is; 0 where not measured."""
    try:
        depth = read_map(file) if file.suffix == ".bin" else depth_in_metres(file, MILLIMETRES)
    except (ValueError, EOFError) as error:
        raise InputError(f"The depth map {file} cannot be read: {error}; write it again.") from error
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def read_map(file: Path) -> Float[np.ndarray, "h w"]:
    data = file.read_bytes()
    header = re.match(rb"(\d+)&(\d+)&1&", data)
    if header is None:
        raise ValueError(f"it begins with {data[:20]!r}, not with width&height&1&")
    width, height = int(header[1]), int(header[2])
    return np.frombuffer(data, dtype="<f4", offset=header.end()).reshape(height, width)


def fitted(camera: Camera, depth: Float[np.ndarray, "h w"], folder: Path) -> Camera:
    """The camera of the depth maps, which may be smaller than the images."""
    scaled = camera.scaled(depth.shape[1] / camera.width)
    if (scaled.height, scaled.width) != depth.shape:
        raise InputError(
            f"Depth maps of {folder} are {depth.shape[1]} x {depth.shape[0]} pixels, images {camera.width} x "
            f"{camera.height}, of another shape; both must show the same."
        )
    return scaled
