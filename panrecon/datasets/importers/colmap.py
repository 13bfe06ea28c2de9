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

ImageRecord = tuple[str, int, list[float]]  # name, camera id, qw qx qy qz tx ty tz (camera from world)


class Colmap:
    """An Importer of a workspace."""

    name = "colmap"
    needs = "a folder with images/, a sparse model in it, sparse/ or sparse/0/, and depth/ or stereo/depth_maps/"

    def recognise(self, path: Path) -> str | None:
        """Names the model's file, where there is one beside images/; else None."""
        model = find_model(path)
        return f"it holds images/ and COLMAP's {model[0].name}" if model and (path / "images").is_dir() else None

    def read(self, path: Path) -> Source:
        """The images of the model that exist and have a depth map, in the order of their names.

        Raises:
            InputError: the model is missing, damaged, distorted or of several cameras, or no image has a depth map.
        """
        model = find_model(path)
        if model is None:
            raise InputError(
                f"{path} has no cameras and images, .bin or .txt, in it, sparse/ or sparse/0/; add the model."
            )
        cameras, records = read_model(*model)
        depths = depth_folder(path)
        frames = []
        used_cameras = set()
        for image_index, (name, camera_id, values) in enumerate(records):
            color = path / "images" / name
            depth = find_depth(depths, name)
            if color.is_file() and depth is not None:
                pose = invert(camera_from_world(values, name, model[1]))
                frames.append(
                    SourceFrame(f"{image_index:06d}", pose, partial(Path, color), partial(read_depth_map, depth))
                )
                used_cameras.add(cameras.get(camera_id))
        if not frames:
            raise InputError(
                f"None of the {len(records)} images of {model[1]} is in {path / 'images'} and has a depth map in "
                f"{depths}; give them the model's names."
            )
        notes = [f"COLMAP's scale is arbitrary: poses and {depths.name}/ are taken as metres, true of a scaled model"]
        if len(frames) < len(records):
            notes.append(
                f"{len(records) - len(frames)} images of the model have no file or no depth map and are left out"
            )
        color_camera = single_camera(used_cameras, model[0])
        return Source(fitted(color_camera, frames[0].depth(), depths), color_camera, frames, notes)


def find_model(path: Path) -> tuple[Path, Path] | None:
    """The model's files of cameras and of images, in the folder, sparse/ or sparse/0/; None without both."""
    for folder in (path, path / "sparse", path / "sparse" / "0"):
        for suffix in ("bin", "txt"):
            files = folder / f"cameras.{suffix}", folder / f"images.{suffix}"
            if all(file.is_file() for file in files):
                return files
    return None


def read_model(cameras: Path, images: Path) -> tuple[dict[int, Camera], list[ImageRecord]]:
    """Cameras by their ids, and the images in the order of the numbers in their names.

    Raises:
        InputError: a file is damaged, or a camera has distortion.
    """
    binary = cameras.suffix == ".bin"
    try:
        camera_of_id = dict(cameras_of_bytes(cameras) if binary else cameras_of_text(cameras))
    except (ValueError, IndexError, struct.error) as error:
        raise InputError(f"{cameras} is no list of COLMAP's cameras: {error}; export the model again.") from error
    try:
        records = list(images_of_bytes(images.read_bytes()) if binary else images_of_text(images))
    except (ValueError, IndexError, struct.error) as error:
        raise InputError(f"{images} is no list of COLMAP's images: {error}; export the model again.") from error
    return camera_of_id, sorted(records, key=lambda record: _by_numbers(record[0]))


def _by_numbers(name: str) -> list[tuple[int, str]]:
    return [(int(word) if word.isdecimal() else 0, word) for word in re.split(r"(\d+)", name)]


def cameras_of_text(file: Path) -> Iterator[tuple[int, Camera]]:
    """Cameras and their ids of a cameras.txt."""
    for line in file.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            camera_id, model, width, height, *parameters = line.split()
            yield int(camera_id), pinhole(file, model, int(width), int(height), [float(word) for word in parameters])


def cameras_of_bytes(file: Path) -> Iterator[tuple[int, Camera]]:
    """Cameras and their ids of a cameras.bin."""
    data = file.read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    offset = 8
    for _ in range(count):
        camera_id, model, width, height = struct.unpack_from("<iiQQ", data, offset)
        name = MODELS[model] if 0 <= model < len(MODELS) else f"number {model}"
        parameters = struct.unpack_from(f"<{PINHOLES.get(name, 0)}d", data, offset + 24)
        yield camera_id, pinhole(file, name, width, height, list(parameters))
        offset += 24 + 8 * len(parameters)


def pinhole(file: Path, model: str, width: int, height: int, parameters: list[float]) -> Camera:
    """The camera of COLMAP's parameters, its centre moved by half a pixel to centres at integers.

    Raises:
        InputError: the model has distortion.
        ValueError: the parameters are too few, not finite, or not above 0.
    """
    if model not in PINHOLES:
        raise InputError(
            f"{file} has a camera of the model {model}, not SIMPLE_PINHOLE or PINHOLE; run `colmap image_undistorter` "
            "and import the folder that it writes."
        )
    *focal, cx, cy = parameters
    if len(parameters) != PINHOLES[model] or not (np.isfinite(parameters).all() and min(width, height, *focal) > 0):
        raise ValueError(f"the parameters of a {model} of {width} x {height} pixels are {parameters}")
    return Camera(width, height, focal[0], focal[-1], cx - 0.5, cy - 0.5)


def images_of_text(file: Path) -> Iterator[ImageRecord]:
    """The images of an images.txt: two lines an image; the second, which may be empty, lists its points."""
    lines = iter([line for line in file.read_text().splitlines() if not line.startswith("#")])
    for line in lines:
        if line.strip():
            _, qw, qx, qy, qz, tx, ty, tz, camera_id, name = line.split(maxsplit=9)
            yield name.strip(), int(camera_id), [float(word) for word in (qw, qx, qy, qz, tx, ty, tz)]
            next(lines, None)


def images_of_bytes(data: bytes) -> Iterator[ImageRecord]:
    """The images of an images.bin.

    Raises:
        ValueError: the file is longer than its images.
    """
    (count,) = struct.unpack_from("<Q", data)
    offset = 8
    for _ in range(count):
        _, *values, camera_id = struct.unpack_from("<i7di", data, offset)
        end = data.index(b"\0", offset + 64)
        (points,) = struct.unpack_from("<Q", data, end + 1)
        yield data[offset + 64 : end].decode(), camera_id, values
        offset = end + 9 + 24 * points
    if offset != len(data):
        raise ValueError(f"it has {len(data)} bytes, its images take {offset}")


def camera_from_world(values: list[float], name: str, file: Path) -> Float[np.ndarray, "4 4"]:
    """The pose of an image, of a quaternion w, x, y, z and a shift in the model's units.

    Raises:
        InputError: it holds nan or inf, or no quaternion.
    """
    if not np.isfinite(values).all() or np.linalg.norm(values[:4]) < 0.5:
        raise InputError(f"The pose of {name} in {file} is {values}; it must be a unit quaternion and a shift.")
    result = np.eye(4)
    result[:3, :3] = Rotation.from_quat(np.roll(values[:4], -1)).as_matrix()
    result[:3, 3] = values[4:]
    return result


def single_camera(cameras: set[Camera | None], file: Path) -> Camera:
    """The only camera of a set.

    Raises:
        InputError: there are several, or one that the model does not list.
    """
    camera, *others = cameras
    if camera is None or others:
        raise InputError(
            f"The images have {len(cameras)} cameras in {file}, or one that it does not list; one for all is needed: "
            "run `colmap feature_extractor` with --ImageReader.single_camera 1."
        )
    return camera


def depth_folder(path: Path) -> Path:
    """The folder of depth maps: `depth/` of one's own before COLMAP's.

    Raises:
        InputError: there is neither.
    """
    folders = path / "depth", path / "stereo" / "depth_maps"
    existing = next((folder for folder in folders if folder.is_dir()), None)
    if existing is None:
        raise InputError(
            f"{path} has no depth/ and no stereo/depth_maps/; COLMAP's poses alone are no scan, add depth."
        )
    return existing


def find_depth(folder: Path, name: str) -> Path | None:
    """The depth map of an image; None without one."""
    stem = str(Path(name).with_suffix(""))
    names = [f"{name}.geometric.bin", *(base + suffix for base in (stem, name) for suffix in (".png", ".npy"))]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_depth_map(file: Path) -> Float[np.ndarray, "h w"]:
    """The depth along the optical axis, in metres if the file's units are (PNG: mm); 0 where not measured.

    Raises:
        InputError: the file is damaged.
    """
    try:
        depth = read_colmap_map(file) if file.suffix == ".bin" else depth_in_metres(file, MILLIMETRES)
    except (ValueError, EOFError) as error:
        raise InputError(f"The depth map {file} cannot be read: {error}; write it again.") from error
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def read_colmap_map(file: Path) -> Float[np.ndarray, "h w"]:
    """The numbers of a `.geometric.bin`, in the model's units.

    Raises:
        ValueError: the file is no map of one channel.
    """
    data = file.read_bytes()
    header = re.match(rb"(\d+)&(\d+)&1&", data)
    if header is None:
        raise ValueError(f"it begins with {data[:20]!r}, not with width&height&1&")
    width = int(header[1])
    height = int(header[2])
    return np.frombuffer(data, dtype="<f4", offset=header.end()).reshape(height, width)


def fitted(camera: Camera, depth: Float[np.ndarray, "h w"], folder: Path) -> Camera:
    """The camera of the depth maps, which may be smaller than the images.

    Raises:
        InputError: their ratio of width to height is another.
    """
    scaled = camera.scaled(depth.shape[1] / camera.width)
    if (scaled.height, scaled.width) != depth.shape:
        raise InputError(
            f"Depth maps of {folder} are {depth.shape[1]} x {depth.shape[0]} pixels, images {camera.width} x "
            f"{camera.height}, of another shape; both must show the same view."
        )
    return scaled
