"""Whether the colour images lie on the depth images: edges of depth against edges of colour, over shifts and zooms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from panrecon.diagnosis.findings import Finding
from panrecon.structures import Camera

WIDTH: Final = 320  # of the images that are compared, pixels
REACH: Final = 16  # of these pixels: shifts looked at
WINDOW: Final = 5  # over which a depth edge is looked for: holes as wide as 2 are bridged
STEP: Final = 0.08  # of the depth: an edge
ZOOMS: Final = np.linspace(0.8, 1.25, 10)  # 5 % apart
FINER: Final = np.linspace(-0.04, 0.04, 9)
ZOOMED: Final = 1.15  # by which a zoom must be better than none
LEAST_ZOOM: Final = 0.04
Edges = Float[np.ndarray, "h w 2"]  # across and down


@dataclass(frozen=True)
class Pictures:
    """One frame: depth (m, 0 = none) and colour in shades of gray as the depth camera should see it."""

    depth: Float[np.ndarray, "h w"]
    gray: UInt8[np.ndarray, "h w"]


@dataclass(frozen=True)
class Lying:
    """How colour lies on depth: right and down by `shift` pixels of the depth camera, and larger by `zoom`.

    `ratio` is the correlation of edges as they are over that at the best place; `spread` (pixels) how far the best
    places of three parts of the frames are from that of all; `strength` the best correlation in standard deviations.
    """

    shift: tuple[float, float]
    zoom: float
    ratio: float
    spread: float
    strength: float


# In the unbroken demo, rendered and real scans colour is found within 2 pixels of 640 (edges of depth lie beside those
# of colour by so much), the ratio is 0.98 to 1, the strength 4.1 to 5.7, and parts differ by 2 pixels.
OFF: Final = 0.006  # of the image's width, where the ratio is
WORSE: Final = 0.87
CERTAIN: Final = 3.0  # standard deviations
PARTS: Final = 0.012  # of the width, by which parts may differ


def registration(found: Lying | None, camera: Camera, color_camera: Camera, offset: tuple[float, float]) -> Finding:
    """What `lying` means for the colour camera, whose intrinsics are shifted by `offset` already (pixels)."""
    width = camera.width
    if found is None or found.strength < CERTAIN or found.spread > max(PARTS * width, 0.5 * np.hypot(*found.shift)):
        return Finding("registration", "note", "Depth has too few clear edges to tell whether colour lies on it.")
    u, v = (
        shift * scale
        for shift, scale in zip(found.shift, (color_camera.fx / camera.fx, color_camera.fy / camera.fy), strict=True)
    )
    if found.zoom != 1.0:
        values = (
            color_camera.fx * found.zoom,
            color_camera.fy * found.zoom,
            color_camera.cx + u - offset[0],
            color_camera.cy + v - offset[1],
        )
        return Finding(
            "registration",
            "wrong",
            f"Colour is {found.zoom:.3g} times as large as its intrinsics say: its focal length is about "
            f"{values[0]:.0f} px, not {color_camera.fx:.0f} (edges agree {found.ratio:.0%} as well as they could).",
            "masks and colours fall beside their objects, the more the farther from the middle",
            {"scan.color_intrinsics": [round(float(value), 3) for value in values]},
        )
    if np.hypot(*found.shift) > OFF * width and found.ratio < WORSE:
        return Finding(
            "registration",
            "wrong",
            f"Colour lies {u:+.1f} px right and {v:+.1f} px down of where it belongs (edges agree {found.ratio:.0%} as "
            "well as they could).",
            "masks and colours fall beside their objects, on what lies behind",
            {"scan.color_offset": [round(float(offset[0] + u), 1), round(float(offset[1] + v), 1)]},
        )
    return Finding(
        "registration", "fine", f"Edges of colour lie within {np.hypot(u, v):.1f} px of those of depth (of {width})."
    )


def small_pictures(depth: Float[np.ndarray, "h w"], color: UInt8[np.ndarray, "h w 3"]) -> Pictures:
    """A frame as it is compared; colour already as the depth camera should see it."""
    step = _step(depth.shape[1])
    first = (step - 1) // 2
    small = np.ascontiguousarray(depth[first::step, first::step])
    gray = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
    return Pictures(small, cv2.resize(gray, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA))


def _step(width: int) -> int:
    return max(round(width / WIDTH), 1)


def lying(pictures: Sequence[Pictures], camera: Camera) -> Lying | None:
    """How the colour of some frames lies on their depth (of `camera`); None where depth has no edges."""
    step = _step(camera.width)
    centre = (camera.cx / step, camera.cy / step)
    parts = _correlations(pictures, centre, ZOOMS)
    unity = int(np.abs(ZOOMS - 1).argmin())
    plain = parts[:, unity]
    if not plain.any():
        return None
    zoom, there = 1.0, plain
    best = int(parts.sum(axis=0).max(axis=(1, 2)).argmax())
    if abs(ZOOMS[best] - 1) >= LEAST_ZOOM and _best(parts[:, best]) >= ZOOMED * _best(plain):
        finer = ZOOMS[best] + FINER
        parts = _correlations(pictures, centre, finer)
        best = int(parts.sum(axis=0).max(axis=(1, 2)).argmax())
        zoom, there = float(finer[best]), parts[:, best]
    return _described(plain, there, zoom, step)


def _best(parts: Float[np.ndarray, "3 s s"]) -> float:
    return float(parts.sum(axis=0).max())


def _described(plain: Float[np.ndarray, "3 s s"], there: Float[np.ndarray, "3 s s"], zoom: float, step: int) -> Lying:
    """From the correlations as they are and at the best zoom, of three parts of the frames, over shifts."""
    total = there.sum(axis=0)
    down, right = (int(place) for place in np.unravel_index(total.argmax(), total.shape))
    peaks = [np.unravel_index(part.argmax(), part.shape) for part in there if part.any()]
    spread = max(np.hypot(peak[0] - down, peak[1] - right) for peak in peaks)
    sampled = (step - 1) / 2 - (step - 1) // 2  # colour is averaged about the middle of a block, depth taken beside it
    shift = (step * _refined(total[down], right) + sampled, step * _refined(total[:, right], down) + sampled)
    ratio = float(plain.sum(axis=0)[REACH, REACH] / total.max())
    return Lying(shift, zoom, ratio, float(spread * step), float((total.max() - np.median(total)) / total.std()))


def _correlations(
    pictures: Sequence[Pictures], centre: tuple[float, float], zooms: Float[np.ndarray, " z"]
) -> Float[np.ndarray, "3 z s s"]:
    """The sums of `_correlation` over every third frame, from the first, second and third on."""
    parts = np.zeros((3, len(zooms), 2 * REACH + 1, 2 * REACH + 1))
    for number, one in enumerate(pictures):
        parts[number % 3] += _correlation(one, centre, zooms)
    return parts


def _correlation(
    one: Pictures, centre: tuple[float, float], zooms: Float[np.ndarray, " z"]
) -> Float[np.ndarray, "z s s"]:
    """Of the edges of depth with those of colour, by zoom, shift down and shift right."""
    edges, tones = depth_edges(one.depth), color_edges(one.gray)
    result = np.zeros((len(zooms), 2 * REACH + 1, 2 * REACH + 1))
    if not edges.any():
        return result
    spectra = [np.conj(np.fft.rfft2(edges[..., axis])) for axis in range(2)]
    for number, zoom in enumerate(zooms):
        shrink = np.array([[zoom, 0, centre[0] * (1 - zoom)], [0, zoom, centre[1] * (1 - zoom)]])
        seen = cv2.warpAffine(tones, shrink, tones.shape[1::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        found = sum(
            np.fft.irfft2(spectra[axis] * np.fft.rfft2(seen[..., axis]), s=edges.shape[:2]) for axis in range(2)
        )
        result[number] = np.roll(found, (REACH, REACH), axis=(0, 1))[: 2 * REACH + 1, : 2 * REACH + 1]
    return result / np.sqrt(edges.sum())


def depth_edges(depth: Float[np.ndarray, "h w"]) -> Edges:
    """How far depth steps between the nearest measurements on the two sides of a pixel, up to half of it."""
    reach = (WINDOW + 1) // 2
    hidden = np.where(depth > 0, depth, np.inf).astype(np.float32)
    result = np.zeros((*depth.shape, 2), np.float32)
    for axis in (1, 0):
        kernel = np.ones((1, WINDOW) if axis == 1 else (WINDOW, 1), np.uint8)
        nearest = np.moveaxis(cv2.erode(hidden, kernel, borderType=cv2.BORDER_REPLICATE), axis, 0)
        one, other = nearest[: -2 * reach], nearest[2 * reach :]
        both = np.isfinite(one) & np.isfinite(other)
        apart = np.abs(np.subtract(one, other, where=both, out=np.zeros_like(one)))
        step = np.divide(apart, np.minimum(one, other), where=both, out=np.zeros_like(one))
        target = np.moveaxis(result[..., 1 - axis], axis, 0)
        target[reach:-reach] = np.where(step > STEP, np.minimum(step, 0.5), 0)
    return result


def color_edges(gray: UInt8[np.ndarray, "h w"]) -> Edges:
    """The slope of brightness above that of the surroundings, in standard deviations."""
    smooth = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1.0)
    result = []
    for across in (1, 0):
        slope = np.abs(cv2.Sobel(smooth, cv2.CV_32F, across, 1 - across))
        slope = np.minimum(slope, np.percentile(slope, 98) + 1e-3)
        slope -= cv2.blur(slope, (2 * REACH + 1, 2 * REACH + 1))
        result.append(slope / (slope.std() + 1e-6))
    return np.stack(result, axis=-1)


def _refined(values: Float[np.ndarray, " s"], peak: int) -> float:
    """The shift of a peak, between pixels."""
    return float(peak - REACH) + _bent(values, peak)


def _bent(values: Float[np.ndarray, " s"], peak: int) -> float:
    """How far beside the greatest of values the top of the parabola through it and its neighbours lies."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, here, after = values[peak - 1 : peak + 2]
    bend = before - 2 * here + after
    return float(0.5 * (before - after) / bend) if bend < 0 else 0.0
