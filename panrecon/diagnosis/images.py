"""Blur and exposure, of every frame against its neighbours at the surface points that both show."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from panrecon.diagnosis.findings import SKIP, Finding, some
from panrecon.diagnosis.reprojection import land, relative
from panrecon.diagnosis.sample import Sample
from panrecon.geometry.projective import pixel_directions

NEIGHBOURS: Final = (1, 2, 3)  # frames before and behind
SAME: Final = 0.03  # of the depth, by which the same surface may differ
THINNED: Final = 2  # every second pixel and row of the small images is compared
FEWEST: Final = 100  # common points that are compared
MID_TONES: Final = (6.0, 60.0, 245.0)  # of the darker, and of the lighter: other pixels do not follow the exposure


@dataclass(frozen=True)
class Beside:
    """Natural logarithm of a frame's brightness and of its detail over its neighbours', median; nan where none.

    `step` is that of brightness over the next frame.
    """

    brightness: Float[np.ndarray, " n"]
    detail: Float[np.ndarray, " n"]
    step: Float[np.ndarray, " n"]


def beside(sample: Sample) -> Beside:
    """Compares every frame with the three before and behind it, where depth and pose say that they show the same."""
    count = len(sample)
    brightness, detail = (np.full((count, 2 * len(NEIGHBOURS)), np.nan) for _ in range(2))
    rays = pixel_directions(sample.camera).astype(np.float32)[::THINNED, ::THINNED]
    for first in range(count):
        for place, gap in enumerate(NEIGHBOURS):
            if first + gap < count:
                light, fine = _compared(sample, rays, first, first + gap)
                brightness[first, place], brightness[first + gap, place + len(NEIGHBOURS)] = light, -light
                detail[first, place], detail[first + gap, place + len(NEIGHBOURS)] = fine, -fine
    return Beside(_median(brightness), _median(detail), brightness[:, 0])


def _compared(sample: Sample, rays: Float[np.ndarray, "h w 3"], first: int, second: int) -> tuple[float, float]:
    one, other = sample.frames[first], sample.frames[second]
    own_depth, own_gray, own_detail = (image[::THINNED, ::THINNED] for image in (one.depth, one.gray, one.detail))
    mask = own_depth > 0
    points = rays[mask] * own_depth[mask][:, None]
    found = land(points, relative(sample.poses, first, second), sample.camera, other.depth)
    same = (found.measured > 0) & (np.abs(found.depth - found.measured) < SAME * found.depth)
    row, column = found.row[same], found.column[same]
    gray, other_gray = own_gray[mask][same], other.gray[row, column]
    lighter, darker = np.maximum(gray, other_gray), np.minimum(gray, other_gray)
    mid = (darker > MID_TONES[0]) & (lighter > MID_TONES[1]) & (lighter < MID_TONES[2])
    light = float(np.median(np.log(gray[mid] / other_gray[mid]))) if mid.sum() >= FEWEST else np.nan
    if same.sum() < FEWEST:
        return light, np.nan
    sums = own_detail[mask][same].mean() + 1e-3, other.detail[row, column].mean() + 1e-3
    return light, float(np.log(sums[0] / sums[1])) - 2 * float(np.nan_to_num(light))  # detail grows with light squared


def _median(values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    known = np.isfinite(values).any(axis=1)
    result = np.full(len(values), np.nan)
    result[known] = np.nanmedian(values[known], axis=1)
    return result


# Detail against the neighbours', in the unbroken scans: the most moved frames of the rendered kitchen and of the real
# scan have 0.31 of it (logarithm -1.17); blurred by a Gaussian of 3 pixels, frames keep 0.01 to 0.1.
SMEARED: Final = np.log(0.4)
BLURRED: Final = np.log(0.2)


def blur(sample: Sample, seen: Beside, told: Collection[str] = ()) -> Finding:
    """Frames that show much less detail than their neighbours of the same surface; those `told` of are left aside."""
    known = np.where(np.isin(sample.names, list(told)), 0, np.nan_to_num(seen.detail))
    blurred = [sample.names[row] for row in np.flatnonzero(known < BLURRED)]
    if blurred:
        worst = float(np.exp(known.min()))
        return Finding(
            "blur",
            "wrong",
            f"{len(blurred)} of {len(sample)} frames are blurred (down to {worst:.0%} of the detail that their "
            f"neighbours show of the same surface): {some(blurred)}.",
            "2D masks miss or merge objects in them, and the mesh's colour is smeared",
            {SKIP: blurred},
        )
    smeared = [sample.names[row] for row in np.flatnonzero(known < SMEARED)]
    if smeared:
        return Finding("blur", "note", f"{len(smeared)} frames are somewhat blurred by motion: {some(smeared)}.")
    return Finding("blur", "fine", f"No frame has less than {np.exp(known.min()):.0%} of its neighbours' detail.")


# The real scan's automatic exposure makes a frame up to 2.1 times as bright as its neighbours; simulated ones drift
# by 7 %.
UNSTEADY: Final = np.log(1.5)
FLASH: Final = np.log(2.7)
CLIPPED: Final = 0.4  # of the pixels; in the unbroken scans 30 % at most, before the real one's windows


def exposure(sample: Sample, seen: Beside) -> Finding:
    """Frames much brighter or darker than their neighbours, or that tell nothing for being black or white."""
    clipped = np.array([frame.clipped for frame in sample.frames])
    off = np.abs(np.nan_to_num(seen.brightness))
    bad = np.flatnonzero((off > FLASH) | (clipped > CLIPPED))
    if len(bad) > len(sample) / 2:
        return Finding(
            "exposure",
            "wrong",
            f"{len(bad)} of {len(sample)} frames are black or white at over {CLIPPED:.0%} of their pixels.",
            "2D networks see nothing there, and the mesh has no colour",
        )
    if len(bad):
        names = [sample.names[row] for row in bad]
        return Finding(
            "exposure",
            "wrong",
            f"{len(names)} of {len(sample)} frames are exposed otherwise than their neighbours (up to "
            f"{np.exp(off[bad].max()):.1f} times) or black or white at up to {clipped[bad].max():.0%}: {some(names)}.",
            "2D masks and features differ there, and the mesh's colour has seams",
            {SKIP: names},
        )
    steps = np.flatnonzero(np.abs(np.nan_to_num(seen.step)) > UNSTEADY)
    if len(steps):
        places = [f"{sample.names[row]}-{sample.names[row + 1]}" for row in steps]
        return Finding("exposure", "note", f"Brightness jumps by half at {len(places)} places: {some(places)}.")
    return Finding(
        "exposure",
        "fine",
        f"Frames are within {np.exp(off.max()):.2f} times of their neighbours' brightness, at most "
        f"{clipped.max():.0%} of a frame is black or white.",
    )
