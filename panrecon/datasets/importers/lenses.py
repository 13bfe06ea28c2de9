"""Cameras with a lens: COLMAP's and OpenCV's distortion models, and images resampled to one pinhole camera."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, Shaped

from panrecon.datasets.importers.base import Lens, Source, SourceFrame, SourceImage, pixels_of
from panrecon.errors import InputError
from panrecon.geometry.projective import resample
from panrecon.structures import Camera

OUTSIDE: Final = -1e4  # px: a place that no image has
RADII: Final = np.linspace(0.0, 5.0, 2001)  # tangents of the angle off the axis at which a lens is looked at
# Of COLMAP's models (colmap.github.io/cameras.html) those of OpenCV, and how many coefficients they have.
RADIAL_TANGENTIAL: Final = {
    "SIMPLE_PINHOLE": 0,
    "PINHOLE": 0,
    "SIMPLE_RADIAL": 1,
    "RADIAL": 2,
    "OPENCV": 4,
    "FULL_OPENCV": 8,
}
FISHEYE: Final = {"OPENCV_FISHEYE": 4, "SIMPLE_RADIAL_FISHEYE": 1, "RADIAL_FISHEYE": 2}
ONE_FOCAL_LENGTH: Final = {"SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE"}


def is_readable(model: str) -> bool:
    """Whether a model of COLMAP is one of OpenCV's."""
    return model in RADIAL_TANGENTIAL or model in FISHEYE


def parameter_count(model: str) -> int:
    """The number of parameters of a model of COLMAP that is readable."""
    return (RADIAL_TANGENTIAL | FISHEYE)[model] + (3 if model in ONE_FOCAL_LENGTH else 4)


def colmap_lens(model: str, width: int, height: int, parameters: Sequence[float]) -> Lens:
    """The lens of a readable model of COLMAP, its centre moved by half a pixel to pixel centres at integers.

    Raises:
        ValueError: the parameters are too few or too many, not finite, or focal lengths or sizes not above 0.
    """
    focal_count = 1 if model in ONE_FOCAL_LENGTH else 2
    focal = parameters[:focal_count]
    is_valid = np.isfinite(parameters).all() and len(parameters) == parameter_count(model)
    if not is_valid or min(width, height, *focal) <= 0:
        raise ValueError(f"the parameters of a {model} of {width} x {height} pixels are {list(parameters)}")
    cx, cy, *coefficients = parameters[focal_count:]
    pinhole = Camera(width, height, focal[0], focal[-1], cx - 0.5, cy - 0.5)
    return lens_of(pinhole, coefficients, model in FISHEYE)


def lens_of(pinhole: Camera, coefficients: Sequence[float], is_fisheye: bool = False) -> Lens:
    """The lens of the first coefficients of OpenCV's k1 k2 p1 p2 k3 k4 k5 k6, or of k1 k2 k3 k4 of a fisheye lens."""
    if not is_fisheye and not any(coefficients):
        return Lens(pinhole)
    missing = (4 if is_fisheye else 8) - len(coefficients)
    return Lens(pinhole, (*coefficients, *[0.0] * missing), is_fisheye)


def shared_pinhole(lenses: Sequence[Lens]) -> tuple[Camera, list[str]]:
    """The pinhole to which all frames are resampled, the median of those of the commonest size, and what to note of it.

    Without a note all lenses are this pinhole, and nothing is resampled.
    """
    distinct = set(lenses)
    (size, _), *_ = Counter((lens.pinhole.width, lens.pinhole.height) for lens in lenses).most_common(1)
    pinholes = [lens.pinhole for lens in lenses if (lens.pinhole.width, lens.pinhole.height) == size]
    fx, fy, cx, cy = np.median([(one.fx, one.fy, one.cx, one.cy) for one in pinholes], axis=0).tolist()
    pinhole = Camera(*size, fx, fy, cx, cy)
    distorted = sum(not lens.is_pinhole for lens in lenses)
    reasons = [f"{distorted} of {len(lenses)} frames are distorted"] if distorted else []
    reasons += [f"they have {len(distinct)} cameras"] if len(distinct) > 1 else []
    note = (
        f"Colour and depth are resampled to one pinhole of {pinhole.width} x {pinhole.height} pixels, fx fy cx cy = "
        f"{fx:.1f} {fy:.1f} {cx:.1f} {cy:.1f}: {', '.join(reasons)}."
    )
    return pinhole, [note] if reasons else []


def rectified(source: Source) -> Source:
    """The scan with the images of every frame that has a lens resampled to the scan's pinhole cameras.

    Depth is that of the nearest pixel, 0 where the lens did not see; colour is black there.
    """
    return replace(source, frames=[_rectified_frame(source, frame) for frame in source.frames])


def _rectified_frame(source: Source, frame: SourceFrame) -> SourceFrame:
    lens = frame.lens
    if lens is None or lens == Lens(source.color_camera):
        return frame
    color = partial(_rectified_color, frame, lens, source.color_camera)
    return replace(frame, color=color, depth=partial(_rectified_depth, frame, lens, source.camera), lens=None)


def _rectified_color(frame: SourceFrame, lens: Lens, target: Camera) -> SourceImage:
    image = pixels_of(frame.color())
    height, width = image.shape[:2]
    if (width, height) != (lens.pinhole.width, lens.pinhole.height):
        raise InputError(
            f"The image of frame {frame.name} is {width} x {height} pixels, its camera is {lens.pinhole.width} x "
            f"{lens.pinhole.height}; give it the images for which its intrinsics are."
        )
    return undistorted(image, lens, target)


def _rectified_depth(frame: SourceFrame, lens: Lens, target: Camera) -> Float[np.ndarray, "h w"]:
    depth = frame.depth()
    height, width = depth.shape
    scaled = lens.pinhole.scaled(width / lens.pinhole.width)
    if (scaled.width, scaled.height) != (width, height):
        raise InputError(
            f"The depth of frame {frame.name} is {width} x {height} pixels, of another shape than its camera's "
            f"{lens.pinhole.width} x {lens.pinhole.height}; both must show the same view."
        )
    return undistorted(depth, replace(lens, pinhole=scaled), target, nearest=True)


def undistorted(
    image: Shaped[np.ndarray, "h w *channels"], lens: Lens, target: Camera, nearest: bool = False
) -> Shaped[np.ndarray, "H W *channels"]:
    """The image of a lens resampled to the pinhole `target` at the same pose; 0 where the lens did not see.

    Bilinear, or the nearest pixel.
    """
    if lens.is_pinhole:
        return resample(image, lens.pinhole, target, nearest)
    columns, rows = sampled_pixels(lens, target)
    return cv2.remap(image, columns, rows, cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)


@lru_cache(maxsize=8)
def sampled_pixels(lens: Lens, target: Camera) -> tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """Column and row (px) of the lens's image that every pixel of the pinhole shows; `OUTSIDE` beyond its rim.

    Beyond the rim the polynomial of the lens turns back to the centre, which no lens does.
    """
    coefficients = np.array(lens.distortion)
    size = target.width, target.height
    rectify = cv2.fisheye.initUndistortRectifyMap if lens.is_fisheye else cv2.initUndistortRectifyMap
    columns, rows = rectify(lens.pinhole.matrix, coefficients, np.eye(3), target.matrix, size, cv2.CV_32FC1)
    x = (np.arange(target.width) - target.cx) / target.fx
    y = (np.arange(target.height) - target.cy) / target.fy
    beyond = np.hypot(x[None, :], y[:, None]) > rim(lens)
    return np.where(beyond, np.float32(OUTSIDE), columns), np.where(beyond, np.float32(OUTSIDE), rows)


def rim(lens: Lens) -> float:
    """The tangent of the angle off the axis up to which radii grow in the image; the largest of `RADII` at most."""
    points = np.stack([RADII, np.zeros_like(RADII), np.ones_like(RADII)], axis=1)[:, None]
    still = np.zeros(3)
    radial = np.array(lens.distortion)
    if lens.is_fisheye:
        image, _ = cv2.fisheye.projectPoints(points, still, still, np.eye(3), radial)
    else:
        radial[2:4] = 0
        image, _ = cv2.projectPoints(points, still, still, np.eye(3), radial)
    turns_back = np.flatnonzero(np.diff(image.reshape(-1, 2)[:, 0]) <= 0)
    return float(RADII[turns_back[0]]) if len(turns_back) else float(RADII[-1])
