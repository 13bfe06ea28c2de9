"""Estimator of how colour images are aligned with depth images: their gradients correlated over shifts and zooms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from panrecon.diagnosis.parameters import AlignmentParameters
from panrecon.structures import Camera

PARTS: Final = 3  # of the frames, whose correlations are compared
Gradients = Float[np.ndarray, "h w 2"]  # horizontal and vertical, absolute


@dataclass(frozen=True)
class ColorDepthPair:
    """One frame's depth (m, 0 = none) and gray values of its colour, as the depth camera should see it."""

    depth: Float[np.ndarray, "h w"]
    gray: UInt8[np.ndarray, "h w"]


@dataclass(frozen=True)
class ColorDepthAlignment:
    """Where colour lies on depth: right and down by `shift` (px of the depth camera), and larger by the factor `zoom`.

    `ratio` is the correlation of gradients as they are over that at the best shift and zoom; `spread` (px) is the
    largest distance of the best shift of a third of the frames to that of all; `strength` is the height of the best
    correlation over the median, in standard deviations.
    """

    shift: tuple[float, float]
    zoom: float
    ratio: float
    spread: float
    strength: float


def color_depth_pair(
    depth: Float[np.ndarray, "h w"],
    color: UInt8[np.ndarray, "h w 3"],
    parameters: AlignmentParameters = AlignmentParameters(),
) -> ColorDepthPair:
    """A frame at the resolution of the correlation; colour already as the depth camera should see it."""
    stride = _stride(depth.shape[1], parameters)
    first = (stride - 1) // 2
    small_depth = np.ascontiguousarray(depth[first::stride, first::stride])
    gray = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
    size = small_depth.shape[1], small_depth.shape[0]
    return ColorDepthPair(small_depth, cv2.resize(gray, size, interpolation=cv2.INTER_AREA))


def color_depth_alignment(
    pairs: Sequence[ColorDepthPair], camera: Camera, parameters: AlignmentParameters = AlignmentParameters()
) -> ColorDepthAlignment | None:
    """How colour is aligned with depth (of `camera`, at full resolution); None where depth has no discontinuities."""
    stride = _stride(camera.width, parameters)
    centre = (camera.cx / stride, camera.cy / stride)
    zooms = np.linspace(*parameters.zooms, parameters.zoom_steps)
    correlations = _correlations(pairs, centre, zooms, parameters)
    unzoomed = correlations[:, int(np.abs(zooms - 1).argmin())]
    if not unzoomed.any():
        return None
    zoom = 1.0
    zoomed = unzoomed
    best = _best_zoom(correlations)
    is_zoomed = abs(zooms[best] - 1) >= parameters.min_zoom
    if is_zoomed and _peak(correlations[:, best]) >= parameters.min_zoom_gain * _peak(unzoomed):
        steps = np.linspace(-parameters.zoom_refinement, parameters.zoom_refinement, parameters.zoom_refinement_steps)
        refined = zooms[best] + steps
        correlations = _correlations(pairs, centre, refined, parameters)
        best = _best_zoom(correlations)
        zoom = float(refined[best])
        zoomed = correlations[:, best]
    return _aligned(unzoomed, zoomed, zoom, stride)


def _stride(width: int, parameters: AlignmentParameters) -> int:
    return max(round(width / parameters.width), 1)


def _best_zoom(correlations: Float[np.ndarray, "3 z s s"]) -> int:
    return int(correlations.sum(axis=0).max(axis=(1, 2)).argmax())


def _peak(correlations: Float[np.ndarray, "3 s s"]) -> float:
    return float(correlations.sum(axis=0).max())


def _aligned(
    unzoomed: Float[np.ndarray, "3 s s"], zoomed: Float[np.ndarray, "3 s s"], zoom: float, stride: int
) -> ColorDepthAlignment:
    """The alignment from correlations over shifts, as they are and at the best zoom, of three parts of the frames."""
    total = zoomed.sum(axis=0)
    max_shift = len(total) // 2
    down, right = (int(index) for index in np.unravel_index(total.argmax(), total.shape))
    peaks = [np.unravel_index(part.argmax(), part.shape) for part in zoomed if part.any()]
    spread = max(np.hypot(peak[0] - down, peak[1] - right) for peak in peaks)
    # Colour is averaged over a block around its middle, depth sampled at a pixel next to it.
    sampling = (stride - 1) / 2 - (stride - 1) // 2
    shift_right = stride * (right - max_shift + _subpixel(total[down], right)) + sampling
    shift_down = stride * (down - max_shift + _subpixel(total[:, right], down)) + sampling
    ratio = float(unzoomed.sum(axis=0)[max_shift, max_shift] / total.max())
    strength = float((total.max() - np.median(total)) / total.std())
    return ColorDepthAlignment((shift_right, shift_down), zoom, ratio, float(spread * stride), strength)


def _correlations(
    pairs: Sequence[ColorDepthPair],
    centre: tuple[float, float],
    zooms: Float[np.ndarray, " z"],
    parameters: AlignmentParameters,
) -> Float[np.ndarray, "3 z s s"]:
    """Sums of `_correlation` over every third frame, from the first, second and third on."""
    size = 2 * parameters.max_shift + 1
    parts = np.zeros((PARTS, len(zooms), size, size))
    for frame_index, pair in enumerate(pairs):
        parts[frame_index % PARTS] += _correlation(pair, centre, zooms, parameters)
    return parts


def _correlation(
    pair: ColorDepthPair,
    centre: tuple[float, float],
    zooms: Float[np.ndarray, " z"],
    parameters: AlignmentParameters,
) -> Float[np.ndarray, "z s s"]:
    """Of depth discontinuities with colour gradients, by zoom of the colour about `centre`, shift down, shift right."""
    discontinuities = depth_discontinuities(pair.depth, parameters)
    gradients = color_gradients(pair.gray, parameters)
    max_shift = parameters.max_shift
    size = 2 * max_shift + 1
    result = np.zeros((len(zooms), size, size))
    if not discontinuities.any():
        return result
    spectra = [np.conj(np.fft.rfft2(discontinuities[..., axis])) for axis in range(2)]
    for zoom_index, zoom in enumerate(zooms):
        unzoom = np.array([[zoom, 0, centre[0] * (1 - zoom)], [0, zoom, centre[1] * (1 - zoom)]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(gradients, unzoom, gradients.shape[1::-1], flags=flags)
        products = (spectra[axis] * np.fft.rfft2(warped[..., axis]) for axis in range(2))
        correlation = sum(np.fft.irfft2(product, s=discontinuities.shape[:2]) for product in products)
        result[zoom_index] = np.roll(correlation, (max_shift, max_shift), axis=(0, 1))[:size, :size]
    return result / np.sqrt(discontinuities.sum())


def depth_discontinuities(
    depth: Float[np.ndarray, "h w"], parameters: AlignmentParameters = AlignmentParameters()
) -> Gradients:
    """By how much, as a share of it, depth changes from one side of a pixel to the other; 0 on surfaces.

    Sides are the nearest measurements in a window, so that holes do not hide a discontinuity.
    """
    window = parameters.depth_window
    margin = (window + 1) // 2
    depth_or_inf = np.where(depth > 0, depth, np.inf).astype(np.float32)
    result = np.zeros((*depth.shape, 2), np.float32)
    for axis in (1, 0):
        kernel = np.ones((1, window) if axis == 1 else (window, 1), np.uint8)
        nearest = np.moveaxis(cv2.erode(depth_or_inf, kernel, borderType=cv2.BORDER_REPLICATE), axis, 0)
        before = nearest[: -2 * margin]
        after = nearest[2 * margin :]
        is_known = np.isfinite(before) & np.isfinite(after)
        difference = np.abs(np.subtract(before, after, where=is_known, out=np.zeros_like(before)))
        step = np.divide(difference, np.minimum(before, after), where=is_known, out=np.zeros_like(before))
        target = np.moveaxis(result[..., 1 - axis], axis, 0)
        limited = np.minimum(step, parameters.max_depth_step)
        target[margin:-margin] = np.where(step > parameters.min_depth_step, limited, 0)
    return result


def color_gradients(
    gray: UInt8[np.ndarray, "h w"], parameters: AlignmentParameters = AlignmentParameters()
) -> Gradients:
    """Gradients of smoothed gray values above the mean of their surroundings, in standard deviations."""
    smooth = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1.0)
    size = 2 * parameters.max_shift + 1
    result = []
    for horizontal in (1, 0):
        gradient = np.abs(cv2.Sobel(smooth, cv2.CV_32F, horizontal, 1 - horizontal))
        gradient = np.minimum(gradient, np.percentile(gradient, parameters.max_gradient_percentile) + 1e-3)
        gradient -= cv2.blur(gradient, (size, size))
        result.append(gradient / (gradient.std() + 1e-6))
    return np.stack(result, axis=-1)


def _subpixel(values: Float[np.ndarray, " s"], peak: int) -> float:
    """How far from the greatest of values the top of the parabola through it and its two neighbours lies."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, here, after = values[peak - 1 : peak + 2]
    curvature = before - 2 * here + after
    return float(0.5 * (before - after) / curvature) if curvature < 0 else 0.0
