"""Writes a foreign scan in ScanNet's export layout, which the pipeline reads."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from panrecon.datasets.importers.base import Source, SourceFrame, SourceImage
from panrecon.datasets.selection import sharpness
from panrecon.errors import InputError
from panrecon.geometry.projective import register
from panrecon.io.files import write_json
from panrecon.io.images import read_color, write_depth, write_image
from panrecon.structures import Camera

SUFFIX_OF_MAGIC: Final = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png"}
MAX_DEPTH: Final = 65.535  # m: what 16 bits of millimetres hold


def posed_frames(source: Source) -> list[SourceFrame]:
    """The frames whose pose is finite.

    Raises:
        InputError: there is none.
    """
    posed = [frame for frame in source.frames if np.isfinite(frame.world_from_camera).all()]
    if not posed:
        raise InputError(f"None of the {len(source.frames)} frames has a pose; export the scan with its poses.")
    return posed


def write_source(
    folder: Path,
    source: Source,
    frames: Sequence[SourceFrame],
    track: Callable[[Sequence[SourceFrame]], Iterator[SourceFrame]],
    record: Mapping[str, object],
) -> None:
    """Writes color/, depth/ (mm), pose/ and intrinsic/ of these posed frames, and `record` as import.json.

    The folder is whole or absent. Colour is resampled to the depth camera where the two cameras have different poses.

    Raises:
        InputError: an image is missing, damaged or of another size than its camera's.
    """
    with _atomic_folder(folder) as partial:
        for frame in track(frames):
            _write_frame(partial, source, frame)
        _write_cameras(partial / "intrinsic", source)
        write_json(partial / "import.json", record)


@contextmanager
def _atomic_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder`, which takes its place only if the block succeeds."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}; name another with --out.") from error
    try:
        yield partial
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_frame(folder: Path, source: Source, frame: SourceFrame) -> None:
    depth = _checked(frame.name, "depth image", frame.depth(), source.camera)
    if depth.max(initial=0) > MAX_DEPTH:
        raise InputError(
            f"Frame {frame.name} has a depth of {depth.max():.0f} m, more than 65 m, the most that is stored; "
            "check the scale of the depth images."
        )
    write_depth(folder / "depth" / f"{frame.name}.png", depth)
    if source.shares_viewpoint:
        _write_source_image(folder / "color" / frame.name, frame, source.color_camera)
    else:
        color = _checked(frame.name, "image", _pixels(frame.color()), source.color_camera)
        registered = register(color, source.color_camera, depth, source.camera, source.color_from_depth)
        write_image(folder / "color" / f"{frame.name}.jpg", registered)
    pose = folder / "pose" / f"{frame.name}.txt"
    pose.parent.mkdir(exist_ok=True)
    np.savetxt(pose, frame.world_from_camera, fmt="%.9g")


def _write_source_image(stem: Path, frame: SourceFrame, camera: Camera) -> None:
    """The image as it is where it is encoded already."""
    image = frame.color()
    _checked(frame.name, "image", _pixels(image), camera)
    stem.parent.mkdir(exist_ok=True)
    if isinstance(image, Path):
        target = stem.with_name(f"{stem.name}{image.suffix.lower()}")
        try:
            os.link(image.resolve(), target)
        except OSError:
            shutil.copyfile(image, target)
    elif isinstance(image, bytes):
        suffix = next(suffix for magic, suffix in SUFFIX_OF_MAGIC.items() if image.startswith(magic))
        stem.with_name(f"{stem.name}{suffix}").write_bytes(image)
    else:
        write_image(stem.with_name(f"{stem.name}.jpg"), image)


def _pixels(image: SourceImage) -> UInt8[np.ndarray, "h w 3"]:
    if isinstance(image, Path):
        return read_color(image)
    if isinstance(image, bytes):
        bgr = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR) if _is_encoded(image) else None
        if bgr is None:
            raise InputError("An image inside the scan cannot be decoded as JPEG or PNG; export the scan again.")
        return np.ascontiguousarray(bgr[..., ::-1])
    return image


def _is_encoded(image: bytes) -> bool:
    return any(image.startswith(magic) for magic in SUFFIX_OF_MAGIC)


def _checked(name: str, what: str, image: np.ndarray, camera: Camera) -> np.ndarray:
    if image.shape[:2] != (camera.height, camera.width):
        raise InputError(
            f"The {what} of frame {name} is {image.shape[1]} x {image.shape[0]} pixels, its camera is "
            f"{camera.width} x {camera.height}; all images of a scan need one size."
        )
    return image


def _write_cameras(folder: Path, source: Source) -> None:
    folder.mkdir()
    color_camera = source.color_camera if source.shares_viewpoint else source.camera
    for kind, camera in (("depth", source.camera), ("color", color_camera)):
        matrix = np.eye(4)
        matrix[:3, :3] = camera.matrix
        np.savetxt(folder / f"intrinsic_{kind}.txt", matrix, fmt="%.9g")


def sharpest_frames(
    frames: Sequence[SourceFrame],
    stride: int,
    track: Callable[[Sequence[Sequence[SourceFrame]]], Iterator[Sequence[SourceFrame]]],
) -> list[SourceFrame]:
    """Of every `stride` consecutive frames the sharpest, by the variance of the image's Laplacian."""
    groups = [frames[start : start + stride] for start in range(0, len(frames), stride)]
    return [max(group, key=lambda frame: sharpness(_pixels(frame.color()))) for group in track(groups)]
