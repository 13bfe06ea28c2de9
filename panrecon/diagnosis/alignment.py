"""Estimator of how colour images are aligned with depth images: edges of both correlated over shifts and zooms.

Edges of depth and gradients of colour are both taken between two neighbouring pixels, so that neither is displaced
against the other, and edges that face left, right, up and down count alike: a sensor that makes things too large
displaces opposite edges in opposite directions, which is no shift.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.fft import irfft2, rfft2

from panrecon.diagnosis.parameters import AlignmentParameters
from panrecon.diagnosis.sample import subsampled
from panrecon.structures import Camera

SIDES: Final = 4  # edges whose nearer surface lies left, right, above, below
MAX_SLOPE_RATIO: Final = 2.0  # of a step in inverse depth over the slopes beside it, up to which it is a surface
RESAMPLINGS: Final = 64  # of the frames, for the deviation of the shift
Edges = Float[np.ndarray, "4 h w"]  # by side; at [y, x] that between the pixel and the next one right or below
Gradients = Float[np.ndarray, "2 h w"]  # across such edges: horizontal and vertical, absolute
Correlation = Float[np.ndarray, "s s"]  # by shift down and right


@dataclass(frozen=True)
class ColorDepthPair:
    """One frame's depth (m, 0 = none) and gray values of its colour, as the depth camera should see it."""

    depth: Float[np.ndarray, "h w"]
    gray: UInt8[np.ndarray, "h w"]


@dataclass(frozen=True)
class Parallax:
    """By how much more a point at 1 m is shifted than one far away, right and down (px m), as by a camera beside.

    `deviation` (px m) is its standard deviation over other choices of frames, infinite where it cannot be measured;
    `inverse_depth` (1/m) is the mean at edges.
    """

    shift: tuple[float, float]
    deviation: float
    inverse_depth: float


@dataclass(frozen=True)
class ColorDepthAlignment:
    """Where colour lies on depth: right and down by `shift` (px of the depth camera), and larger by the factor `zoom`.

    `deviation` (px) is the standard deviation of the shift over other choices of frames; `ratio` the correlation of
    edges as they are over that at the best shift and zoom; `strength` the height of the best correlation over the
    median, in standard deviations. `height` is the correlation as they are.
    """

    shift: tuple[float, float]
    zoom: float
    deviation: float
    ratio: float
    strength: float
    height: float
    parallax: Parallax

    @property
    def peak(self) -> float:
        """The correlation at the best shift and zoom."""
        return self.height / self.ratio if self.ratio else 0.0


def color_depth_pair(
    depth: Float[np.ndarray, "h w"],
    color: UInt8[np.ndarray, "h w 3"],
    parameters: AlignmentParameters = AlignmentParameters(),
) -> ColorDepthPair:
    """A frame at the resolution of the correlation; colour already as the depth camera should see it."""
    stride = _stride(depth.shape[1], parameters)
    first = (stride - 1) // 2
    small_depth = np.ascontiguousarray(depth[first::stride, first::stride])
    return pair_of_small_depth(small_depth, color)


def pair_of_small_depth(depth: Float[np.ndarray, "h w"], color: UInt8[np.ndarray, "H W 3"]) -> ColorDepthPair:
    """A frame whose depth (m, 0 = none) is that of `correlated_camera` already."""
    gray = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
    return ColorDepthPair(depth, cv2.resize(gray, depth.shape[::-1], interpolation=cv2.INTER_AREA))


def correlated_camera(camera: Camera, parameters: AlignmentParameters = AlignmentParameters()) -> Camera:
    """The depth camera at the resolution of the correlation."""
    return subsampled(camera, _stride(camera.width, parameters))


def color_depth_alignment(
    pairs: Sequence[ColorDepthPair], camera: Camera, parameters: AlignmentParameters = AlignmentParameters()
) -> ColorDepthAlignment | None:
    """How colour is aligned with depth (of `camera`, at full resolution).

    None where depth has no discontinuities, or images are too small to be shifted.
    """
    stride = _stride(camera.width, parameters)
    centre = (camera.cx / stride, camera.cy / stride)
    edges = [depth_edges(pair.depth, parameters) for pair in pairs]
    if not any(edge.any() for edge in edges) or _is_too_small(pairs[0], parameters):
        return None
    correlator = _Correlator(pairs, edges, centre, parameters)
    unzoomed = correlator.correlations(1.0)
    best_zoom, zoomed = 1.0, unzoomed
    for zoom in _away_from_1(np.linspace(*parameters.zooms, parameters.zoom_steps), parameters):
        candidate = correlator.correlations(zoom)
        if _peak(candidate) > _peak(zoomed) and _peak(candidate) >= parameters.min_zoom_gain * _peak(unzoomed):
            best_zoom, zoomed = zoom, candidate
    if best_zoom != 1.0:
        steps = np.linspace(-parameters.zoom_refinement, parameters.zoom_refinement, parameters.zoom_refinement_steps)
        for zoom in (best_zoom + steps).tolist():
            candidate = correlator.correlations(zoom)
            if _peak(candidate) > _peak(zoomed):
                best_zoom, zoomed = zoom, candidate
    parallax = _parallax(correlator, best_zoom, pairs, stride, parameters)
    return _aligned(unzoomed, zoomed, best_zoom, stride, parallax)


def turn_gain(pairs: Sequence[ColorDepthPair], parameters: AlignmentParameters = AlignmentParameters()) -> float:
    """The best correlation over shifts with colour turned by 180 degrees, over that with colour as it is.

    1 where depth has no edges, or images are too small to be shifted.
    """
    edges = [depth_edges(pair.depth, parameters) for pair in pairs]
    if not any(edge.any() for edge in edges) or _is_too_small(pairs[0], parameters):
        return 1.0
    turned = [replace(pair, gray=np.ascontiguousarray(pair.gray[::-1, ::-1])) for pair in pairs]
    upright, upside_down = (
        _peak(_Correlator(some_pairs, edges, (0.0, 0.0), parameters).correlations(1.0))
        for some_pairs in (pairs, turned)
    )
    return upside_down / max(upright, 1e-9)


def _is_too_small(pair: ColorDepthPair, parameters: AlignmentParameters) -> bool:
    return min(pair.depth.shape) <= 2 * parameters.max_shift


def _stride(width: int, parameters: AlignmentParameters) -> int:
    return max(round(width / parameters.width), 1)


def _away_from_1(zooms: Float[np.ndarray, " z"], parameters: AlignmentParameters) -> list[float]:
    return [float(zoom) for zoom in zooms if abs(zoom - 1) >= parameters.min_zoom]


class _Correlator:
    """Correlates the frames' edges with their colour, zoomed about the depth camera's centre."""

    def __init__(
        self,
        pairs: Sequence[ColorDepthPair],
        edges: Sequence[Edges],
        centre: tuple[float, float],
        parameters: AlignmentParameters,
    ) -> None:
        self.gradients = [color_gradients(pair.gray, parameters) for pair in pairs]
        self.edges = edges
        self.centre = centre
        self.max_shift = parameters.max_shift

    def correlations(self, zoom: float, chosen: Sequence[Bool[np.ndarray, "h w"]] | None = None) -> "_Correlations":
        """Of every frame and side, by shift; only of the edges chosen in each frame, if any are."""
        size = 2 * self.max_shift + 1
        sums = np.zeros((len(self.edges), SIDES, size, size))
        weights = np.zeros((len(self.edges), SIDES))
        for frame_index, (edges, gradients) in enumerate(zip(self.edges, self.gradients, strict=True)):
            used = edges if chosen is None else edges * chosen[frame_index]
            weights[frame_index] = used.sum(axis=(1, 2))
            if weights[frame_index].any():
                sums[frame_index] = self._correlate(used, self._zoomed(gradients, zoom))
        return _Correlations(sums, weights)

    def _zoomed(self, gradients: Gradients, zoom: float) -> Gradients:
        if zoom == 1.0:
            return gradients
        result = []
        for axis, image in enumerate(gradients):
            # Gradients lie half a pixel right of, or below their indices.
            x, y = self.centre[0] - 0.5 * (axis == 0), self.centre[1] - 0.5 * (axis == 1)
            unzoom = np.array([[zoom, 0, x * (1 - zoom)], [0, zoom, y * (1 - zoom)]])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            result.append(cv2.warpAffine(image, unzoom, image.shape[::-1], flags=flags))
        return np.stack(result)

    def _correlate(self, edges: Edges, gradients: Gradients) -> Float[np.ndarray, "4 s s"]:
        shape = gradients.shape[1:]
        spectra = np.conj(rfft2(edges)) * np.repeat(rfft2(gradients), 2, axis=0)
        correlation = irfft2(spectra, s=shape)
        size = 2 * self.max_shift + 1
        return np.asarray(np.roll(correlation, (self.max_shift, self.max_shift), axis=(1, 2))[:, :size, :size])


@dataclass(frozen=True)
class _Correlations:
    """Sums of gradients at edges by frame, side and shift, and the sums of the edges."""

    sums: Float[np.ndarray, "n 4 s s"]
    weights: Float[np.ndarray, "n 4"]

    def total(self, frames: Sequence[int] | slice = slice(None)) -> Correlation:
        """The mean gradient at edges of these frames, over sides that have edges enough, each counted alike."""
        weights = self.weights[frames].sum(axis=0)
        means = self.sums[frames].sum(axis=0) / np.maximum(weights, 1e-9)[:, None, None]
        has_enough = weights > 0.1 * weights.max()
        result = np.zeros(means.shape[1:])
        for axis in range(2):
            sides = [side for side in (2 * axis, 2 * axis + 1) if has_enough[side]]
            if sides:
                result += means[sides].mean(axis=0)
        return result


def _peak(correlations: _Correlations) -> float:
    return float(correlations.total().max())


def _top(correlation: Correlation) -> tuple[float, float]:
    """Shift right and down of the highest correlation, between pixels."""
    middle = len(correlation) // 2
    down, right = (int(index) for index in np.unravel_index(correlation.argmax(), correlation.shape))
    return right - middle + _subpixel(correlation[down], right), down - middle + _subpixel(correlation[:, right], down)


def _aligned(
    unzoomed: _Correlations,
    zoomed: _Correlations,
    zoom: float,
    stride: int,
    parallax: Parallax,
) -> ColorDepthAlignment:
    total = zoomed.total()
    middle = len(total) // 2
    top = np.array(_top(total))
    tops = [_top(zoomed.total(frames)) for frames in _resampled(len(zoomed.weights))]
    deviation = float(np.sqrt(np.mean(np.sum((np.array(tops) - top) ** 2, axis=1))))
    # Colour is averaged over a block around its middle, depth sampled at a pixel next to it.
    sampling = (stride - 1) / 2 - (stride - 1) // 2
    right, down = (float(value) for value in stride * top + sampling)
    height = float(unzoomed.total()[middle, middle])
    ratio = height / max(float(total.max()), 1e-9)
    strength = float((total.max() - np.median(total)) / max(float(total.std()), 1e-9))
    return ColorDepthAlignment(
        (right, down),
        zoom,
        deviation * stride,
        ratio=ratio,
        strength=strength,
        height=height,
        parallax=parallax,
    )


def _parallax(
    correlator: _Correlator, zoom: float, pairs: Sequence[ColorDepthPair], stride: int, parameters: AlignmentParameters
) -> Parallax:
    """How the shift of near edges differs from that of far ones, over the difference of their inverse depths."""
    nearest = [_nearest(pair.depth) for pair in pairs]
    inverse = 1 / np.concatenate(
        [depth[edges.any(axis=0)] for depth, edges in zip(nearest, correlator.edges, strict=True)]
    )
    low, high = np.percentile(inverse, [40, 60])
    far = correlator.correlations(zoom, [depth > 1 / low for depth in nearest])
    near = correlator.correlations(zoom, [depth < 1 / high for depth in nearest])
    mean = float(inverse.mean())
    difference = float(np.median(inverse[inverse >= high]) - np.median(inverse[inverse <= low]))
    if difference < parameters.min_inverse_difference or not (far.weights.any() and near.weights.any()):
        return Parallax((0.0, 0.0), np.inf, mean)

    def measured(frames: Sequence[int] | slice) -> Float[np.ndarray, "2"]:
        return stride * (np.array(_top(near.total(frames))) - np.array(_top(far.total(frames)))) / difference

    right, down = measured(slice(None)).tolist()
    others = [measured(frames) - (right, down) for frames in _resampled(len(pairs))]
    return Parallax((right, down), float(np.sqrt(np.mean(np.sum(np.square(others), axis=1)))), mean)


def _resampled(count: int) -> list[list[int]]:
    """Choices of so many frames with replacement, always the same."""
    return np.random.default_rng(0).integers(0, count, (RESAMPLINGS, count)).tolist()


def _nearest(depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """The nearest depth (m) of every pixel and its eight neighbours; infinite where there is none."""
    return np.asarray(cv2.erode(np.where(depth > 0, depth, np.inf).astype(np.float32), np.ones((3, 3), np.uint8)))


def depth_edges(depth: Float[np.ndarray, "h w"], parameters: AlignmentParameters = AlignmentParameters()) -> Edges:
    """By how much, as a share of it, depth steps between two neighbouring pixels; 0 on surfaces.

    Holes of a few pixels do not hide an edge, which then is that of the nearer surface.
    """
    result = np.zeros((SIDES, *depth.shape), np.float32)
    for axis in (1, 0):
        lines = np.moveaxis(depth, axis, 1)
        before = _filled(lines, parameters.depth_window)
        after = _filled(lines[:, ::-1], parameters.depth_window)[:, ::-1]
        left, right = before[:, :-1], after[:, 1:]
        is_known = (left > 0) & (right > 0)
        nearer, farther = np.minimum(left, right), np.maximum(left, right)
        step = np.divide(farther, nearer, where=is_known, out=np.ones_like(nearer)) - 1
        step -= MAX_SLOPE_RATIO * farther * np.maximum(_slopes(lines)[:, :-2], _slopes(lines)[:, 2:])
        step = np.where(step > parameters.min_depth_step, np.minimum(step, parameters.max_depth_step), 0)
        for side, is_of_side in enumerate(((left < right) & (lines[:, :-1] > 0), (left > right) & (lines[:, 1:] > 0))):
            target = np.moveaxis(result[2 * (1 - axis) + side], axis, 1)
            target[:, :-1] = np.where(is_of_side, step, 0)
    return result


def _slopes(lines: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m+1"]:
    """By how much inverse depth (1/m) changes before every pixel, absolute; on a plane it does so everywhere alike."""
    inverse = np.divide(1, lines, where=lines > 0, out=np.zeros_like(lines))
    is_known = (lines[:, :-1] > 0) & (lines[:, 1:] > 0)
    return np.pad(np.where(is_known, np.abs(np.diff(inverse, axis=1)), 0), ((0, 0), (1, 1)))


def _filled(lines: Float[np.ndarray, "n m"], window: int) -> Float[np.ndarray, "n m"]:
    """Holes filled with the last value before them in their line, up to `window` pixels."""
    result = lines.copy()
    for _ in range(window):
        result[:, 1:] = np.where(result[:, 1:] > 0, result[:, 1:], result[:, :-1])
    return result


def color_gradients(
    gray: UInt8[np.ndarray, "h w"], parameters: AlignmentParameters = AlignmentParameters()
) -> Gradients:
    """Differences of smoothed gray values to the next pixel above the mean of their surroundings, in deviations."""
    smooth = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1.0)
    size = 2 * parameters.max_shift + 1
    result = []
    for axis in (1, 0):
        gradient = np.zeros_like(smooth)
        np.moveaxis(gradient, axis, 0)[:-1] = np.abs(np.diff(np.moveaxis(smooth, axis, 0), axis=0))
        gradient = np.minimum(gradient, np.percentile(gradient, parameters.max_gradient_percentile) + 1e-3)
        gradient -= cv2.blur(gradient, (size, size))
        result.append(gradient / (gradient.std() + 1e-6))
    return np.stack(result)


def _subpixel(values: Float[np.ndarray, " s"], peak: int) -> float:
    """How far from the greatest of values the top of the parabola through it and its two neighbours lies."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, here, after = values[peak - 1 : peak + 2]
    curvature = before - 2 * here + after
    return float(0.5 * (before - after) / curvature) if curvature < 0 else 0.0
