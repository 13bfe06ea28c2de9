"""Poses by COLMAP (Schonberger and Frahm, CVPR 2016) and a depth map for every image.

./, sparse/ or sparse/0/   cameras and images, .bin or .txt; camera from world as qw qx qy qz tx ty tz
images/<name>              of any of COLMAP's models that OpenCV has; distorted ones are undistorted
depth/<name>.png, .npy     16 bit, mm, or metres; <name> with or without the image's own suffix
stereo/depth_maps/<name>.geometric.bin    instead of depth/: `w&h&1&` and float32 row by row, of `patch_match_stereo`

Rigs and frames of COLMAP 3.12 and later add nothing: images have their own poses and cameras as ever.
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

from panrecon.datasets.importers.base import Lens, Source, SourceFrame
from panrecon.datasets.importers.lenses import colmap_lens, is_readable, parameter_count, shared_pinhole
from panrecon.datasets.importers.plain import depth_in_metres
from panrecon.errors import InputError
from panrecon.geometry.projective import invert
from panrecon.structures import Camera

MAX_NAME: Final = 4096  # letters of a path
MODELS: Final = (
    "SIMPLE_PINHOLE",
    "PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "OPENCV",
    "OPENCV_FISHEYE",
    "FULL_OPENCV",
    "FOV",
    "SIMPLE_RADIAL_FISHEYE",
    "RADIAL_FISHEYE",
    "THIN_PRISM_FISHEYE",
    "RAD_TAN_THIN_PRISM_FISHEYE",
)  # in COLMAP's order
MILLIMETRES: Final = 1000.0  # a metre

ImageRecord = tuple[str, int, list[float]]  # name, camera id, qw qx qy qz tx ty tz (camera from world)


class Colmap:
    """An Importer of a workspace."""

    name = "colmap"
    needs = "a folder with images/, a model in sparse/, and depth/ or stereo/depth_maps/"
    files = ("images", "sparse", "depth", "stereo/depth_maps")

    def recognise(self, path: Path) -> str | None:
        """Names the model's file, where there is one beside images/; else None."""
        model = find_model(path)
        return f"it holds images/ and COLMAP's {model[0].name}" if model and (path / "images").is_dir() else None

    def read(self, path: Path) -> Source:
        """The images of the model that exist and have a depth map, in the order of their names.

        Raises:
            InputError: the model is missing, damaged or of a lens that OpenCV lacks, or no image has a depth map.
        """
        model = find_model(path)
        if model is None:
            raise InputError(
                f"{path} has no cameras and images, .bin or .txt, in it, sparse/ or sparse/0/; add the model."
            )
        cameras, records = read_model(*model)
        depths = depth_folder(path)
        frames = []
        lenses = []
        for image_index, (name, camera_id, values) in enumerate(records):
            color = path / "images" / name
            depth = find_depth(depths, name)
            if color.is_file() and depth is not None:
                lens = lens_of_image(cameras, camera_id, name, model[0])
                lenses.append(lens)
                frames.append(
                    SourceFrame(
                        f"{image_index:06d}",
                        invert(camera_from_world(values, name, model[1])),
                        partial(Path, color),
                        partial(read_depth_map, depth),
                        lens,
                    )
                )
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
        color_camera, camera_notes = shared_pinhole(lenses)
        depth_camera = fitted(color_camera, lenses[0].pinhole, frames[0].depth(), depths)
        return Source(depth_camera, color_camera, frames, notes + camera_notes)


def find_model(path: Path) -> tuple[Path, Path] | None:
    """The model's files of cameras and of images, in the folder, sparse/ or sparse/0/; None without both."""
    for folder in (path, path / "sparse", path / "sparse" / "0"):
        for suffix in ("bin", "txt"):
            files = folder / f"cameras.{suffix}", folder / f"images.{suffix}"
            if all(file.is_file() for file in files):
                return files
    return None


def read_model(cameras: Path, images: Path) -> tuple[dict[int, Lens], list[ImageRecord]]:
    """Cameras by their ids, and the images in the order of the numbers in their names.

    Raises:
        InputError: a file is damaged, or OpenCV lacks the model of a camera.
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
    longest = max((len(name) for name, _, _ in records), default=0)
    if longest > MAX_NAME:
        raise InputError(f"{images} has an image whose name has {longest} letters, as no file has; export it again.")
    return camera_of_id, sorted(records, key=lambda record: _by_numbers(record[0]))


def _by_numbers(name: str) -> list[tuple[int, str]]:
    return [(int(word) if word.isdecimal() else 0, word) for word in re.split(r"(\d+)", name)]


def cameras_of_text(file: Path) -> Iterator[tuple[int, Lens]]:
    """Cameras and their ids of a cameras.txt.

    Raises:
        InputError: OpenCV lacks the model of a camera.
    """
    for line in file.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            camera_id, model, width, height, *parameters = line.split()
            check_model(file, model)
            yield int(camera_id), colmap_lens(model, int(width), int(height), [float(word) for word in parameters])


def cameras_of_bytes(file: Path) -> Iterator[tuple[int, Lens]]:
    """Cameras and their ids of a cameras.bin.

    Raises:
        InputError: OpenCV lacks the model of a camera.
    """
    data = file.read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    offset = 8
    for _ in range(count):
        camera_id, model, width, height = struct.unpack_from("<iiQQ", data, offset)
        name = MODELS[model] if 0 <= model < len(MODELS) else f"number {model}"
        check_model(file, name)
        parameters = struct.unpack_from(f"<{parameter_count(name)}d", data, offset + 24)
        yield camera_id, colmap_lens(name, width, height, parameters)
        offset += 24 + 8 * len(parameters)


def check_model(file: Path, model: str) -> None:
    """Raises InputError where OpenCV lacks the model of a camera."""
    if not is_readable(model):
        raise InputError(
            f"{file} has a camera of the model {model}, which OpenCV lacks; run `colmap image_undistorter` and import "
            "its folder."
        )


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
        if offset > len(data):
            raise ValueError(f"it has {len(data)} bytes, its images take {offset} or more")
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


def lens_of_image(lenses: dict[int, Lens], camera_id: int, name: str, file: Path) -> Lens:
    """The lens of an image.

    Raises:
        InputError: the model does not list its camera.
    """
    if camera_id not in lenses:
        raise InputError(f"{name} has camera {camera_id}, which {file} does not list; export the model again.")
    return lenses[camera_id]


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


def fitted(camera: Camera, image_camera: Camera, depth: Float[np.ndarray, "h w"], folder: Path) -> Camera:
    """The pinhole of the depth maps, which may be smaller than the images, that of which is `image_camera`'s.

    Raises:
        InputError: their ratio of width to height is another.
    """
    factor = depth.shape[1] / image_camera.width
    scaled = image_camera.scaled(factor)
    if (scaled.height, scaled.width) != depth.shape:
        raise InputError(
            f"Depth maps of {folder} are {depth.shape[1]} x {depth.shape[0]} pixels, images {image_camera.width} x "
            f"{image_camera.height}, of another shape; both must show the same view."
        )
    return camera.scaled(factor)
