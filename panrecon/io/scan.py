"""The `scan` artifact: `scan.json`, `classes.csv` and the images, the same for every data set."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from panrecon.errors import InputError
from panrecon.geometry.projective import register, resample
from panrecon.io.files import read_json, write_json
from panrecon.io.images import read_color, read_depth, write_depth, write_image
from panrecon.structures import Camera, Frame, Scan, View, Views
from panrecon.threads import parallel_map

DepthOfFrame = Callable[[Frame], Float[np.ndarray, "h w"]]  # along the optical axis (m), 0 where not measured


def write_scan(folder: Path, scan: Scan, frames: Iterable[Frame], depth_of_frame: DepthOfFrame | None = None) -> None:
    """Writes `scan.json` and the images of `frames` (raw; iterated once): colour registered to depth, else linked.

    Depth images are linked too or, where there are none yet, written as `depth_of_frame` computes them, several frames
    at once.

    Raises:
        InputError: an image cannot be read, or its size is not its camera's.
    """
    written = list(parallel_map(lambda frame: _write_frame(folder, scan, frame, depth_of_frame), frames))
    if not written:
        raise InputError(f"The scan of {scan.scene} has no frame; at least one posed RGB-D frame is needed.")
    cameras = {"camera": asdict(scan.camera), "source_camera": asdict(scan.source_camera)}
    write_json(
        folder / "scan.json", {"scene": scan.scene, **cameras, "depth_scale": scan.depth_scale, "frames": written}
    )


def _write_frame(folder: Path, scan: Scan, frame: Frame, depth_of_frame: DepthOfFrame | None) -> dict[str, Any]:
    """Writes one frame's images; what `scan.json` says of it."""
    color = read_source_image(scan, frame)
    names = {"color": f"color/{frame.name}{frame.color.suffix}", "depth": f"depth/{frame.name}.png"}
    if depth_of_frame is None:
        depth = read_frame_depth(scan, frame)
        _link_or_copy(frame.depth, folder / names["depth"])
    else:
        depth = depth_of_frame(frame)
        write_depth(folder / names["depth"], depth, scan.depth_scale)
    if scan.needs_registration:
        write_image(folder / names["color"], registered(scan, color, depth))
    else:
        _link_or_copy(frame.color, folder / names["color"])
    return {"name": frame.name, **names, "world_from_camera": frame.world_from_camera.tolist()}


def registered(
    scan: Scan, color: UInt8[np.ndarray, "h w 3"], depth: Float[np.ndarray, "H W"]
) -> UInt8[np.ndarray, "H W 3"]:
    """A raw scan's colour image resampled to its depth camera, by the depth (m) where the two have different poses."""
    if scan.source_from_camera is not None:
        return register(color, scan.source_camera, depth, scan.camera, scan.source_from_camera)
    return resample(color, scan.source_camera, scan.camera) if scan.source_camera != scan.camera else color


def read_source_image(scan: Scan, frame: Frame) -> UInt8[np.ndarray, "h w 3"]:
    """A raw scan's colour image as its camera sees it, turned where it is stored otherwise.

    Raises:
        InputError: it cannot be read, or its size is not the camera's.
    """
    return _check_size(frame.color, turned(read_color(frame.color), scan.source_turned), scan.source_camera)


def read_frame_depth(scan: Scan, frame: Frame) -> Float[np.ndarray, "h w"]:
    """The frame's depth (m) as its image holds it, 0 where not measured.

    Raises:
        InputError: it cannot be read, or its size is not the camera's.
    """
    return _check_size(frame.depth, read_depth(frame.depth, scan.depth_scale), scan.camera)


def turned(image: UInt8[np.ndarray, "h w *c"], degrees: int) -> UInt8[np.ndarray, "H W *c"]:
    """An image turned counter-clockwise by a multiple of 90 degrees."""
    return np.ascontiguousarray(np.rot90(image, degrees // 90)) if degrees else image


def read_scan(folder: Path) -> Scan:
    """The scan of the artifact; its images are read by `read_view` and the like.

    Raises:
        InputError: `scan.json` is missing or no JSON.
    """
    content = read_json(folder / "scan.json")
    frames = tuple(
        Frame(item["name"], folder / item["color"], folder / item["depth"], np.array(item["world_from_camera"]))
        for item in content["frames"]
    )
    cameras = Camera(**content["camera"]), Camera(**content["source_camera"])
    return Scan(content["scene"], *cameras, content["depth_scale"], frames)


def read_view(scan: Scan, frame: Frame) -> View:
    """The frame with its images.

    Raises:
        InputError: an image cannot be read, or its size is not the camera's.
    """
    color = read_image(scan, frame)
    return View(frame.name, scan.camera, frame.world_from_camera, color, read_frame_depth(scan, frame))


def read_image(scan: Scan, frame: Frame) -> UInt8[np.ndarray, "h w 3"]:
    """The frame's colour image alone.

    Raises:
        InputError: as for `read_view`.
    """
    return _check_size(frame.color, read_color(frame.color), scan.camera)


def read_views(scan: Scan) -> Iterator[View]:
    """All frames in order, one in memory at a time."""
    return (read_view(scan, frame) for frame in scan.frames)


def scan_views(scan: Scan) -> Views:
    """All frames, read when they are asked for."""
    names = tuple(frame.name for frame in scan.frames)
    return Views(names, scan.camera, scan.poses, lambda index: read_view(scan, scan.frames[index]))


def raw_views(scan: Scan, depth_of_frame: DepthOfFrame | None = None) -> Views:
    """The frames of a raw scan as `write_scan` would keep them: colour registered to depth, read when asked for."""

    def read(index: int) -> View:
        frame = scan.frames[index]
        color = read_source_image(scan, frame)
        depth = read_frame_depth(scan, frame) if depth_of_frame is None else depth_of_frame(frame)
        return View(frame.name, scan.camera, frame.world_from_camera, registered(scan, color, depth), depth)

    return Views(tuple(frame.name for frame in scan.frames), scan.camera, scan.poses, read)


def _check_size(path: Path, image: np.ndarray, camera: Camera) -> np.ndarray:
    if image.shape[:2] != (camera.height, camera.width):
        raise InputError(
            f"The image {path} is {image.shape[1]} x {image.shape[0]} pixels, its camera is stated as "
            f"{camera.width} x {camera.height}; export it again or mend the stated size."
        )
    return image


def _link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the disk allows one: no second copy of the images, and none lost if the raw ones move."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
