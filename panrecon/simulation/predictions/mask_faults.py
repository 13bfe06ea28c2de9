"""Errors of the outline of a single mask."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float

Mask = Bool[np.ndarray, "h w"]


def jittered(mask: Mask, jitter: float, rng: np.random.Generator) -> Mask:
    """The mask with its boundary displaced by smooth noise of deviation `jitter` times the square root of its area."""
    size = float(np.sqrt(mask.sum()))
    deviation = jitter * size
    rows, columns = _window(mask, int(np.ceil(4 * deviation)) + 2)
    crop = mask[rows, columns]
    noise = _smooth_noise(crop.shape, max(2.0, 0.12 * size), rng)
    bias = 0.35 * deviation * rng.standard_normal()
    result = np.zeros_like(mask)
    result[rows, columns] = _signed_distance(crop) + deviation * noise + bias > 0
    return result


def cut_in_two(mask: Mask, rng: np.random.Generator) -> list[Mask]:
    """The two sides of the mask along a random line near its middle; one where the line misses it."""
    y, x = np.nonzero(mask)
    angle = rng.uniform(0, np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    side = np.zeros_like(mask)
    side[y, x] = along > np.quantile(along, rng.uniform(0.25, 0.5))
    return [piece for piece in (mask & side, mask & ~side) if piece.any()]


def grown_over_boundary(mask: Mask, neighbours: Sequence[Mask], rng: np.random.Generator) -> Mask:
    """The mask with the largest piece of a neighbour that lies within a disc about a random boundary pixel."""
    boundary_y, boundary_x = np.nonzero(mask & ~_eroded(mask))
    if not len(boundary_y):
        return mask
    centre = int(rng.integers(len(boundary_y)))
    radius = rng.uniform(0.2, 0.6) * np.sqrt(mask.sum())
    y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
    disc = (x - boundary_x[centre]) ** 2 + (y - boundary_y[centre]) ** 2 <= radius**2
    pieces = [disc & neighbour for neighbour in neighbours]
    pieces = [piece for piece in pieces if piece.any()]
    return mask | max(pieces, key=lambda piece: int(piece.sum())) if pieces else mask


def overlap(a: Mask, b: Mask, margin: int) -> bool:
    """Whether the masks come within `margin` pixels of each other."""
    rows, columns = _window(a, margin + 1)
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    near = cv2.dilate(a[rows, columns].astype(np.uint8), kernel) > 0
    return bool((near & b[rows, columns]).any())


def random_blob(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    """An ellipse with a jittered boundary at a random place of the image."""
    height, width = shape
    y, x = np.ogrid[:height, :width]
    centre = rng.uniform(0, 1, 2) * (height, width)
    radii = rng.uniform(0.03, 0.15, 2) * min(shape)
    ellipse = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1
    return jittered(ellipse, 0.1, rng) if ellipse.any() else ellipse


def _window(mask: Mask, margin: int) -> tuple[slice, slice]:
    """The rows and columns of the mask's bounding box, padded by `margin` pixels."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )


def _signed_distance(mask: Mask) -> Float[np.ndarray, "h w"]:
    """The distance to the boundary in pixels, positive inside; the border of the array is no boundary."""
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    if mask.all():
        return np.full(mask.shape, np.inf)
    return np.where(mask, inside - 0.5, 0.5 - outside)


def _smooth_noise(shape: tuple[int, ...], wavelength: float, rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Noise of about standard deviation 1, correlated over `wavelength` pixels."""
    coarse = tuple(int(np.ceil(n / wavelength)) + 3 for n in shape)
    grid = rng.standard_normal(coarse).astype(np.float32)
    scaled = cv2.resize(grid, None, fx=wavelength, fy=wavelength, interpolation=cv2.INTER_CUBIC)
    return np.asarray(scaled[: shape[0], : shape[1]], dtype=np.float64)


def _eroded(mask: Mask) -> Mask:
    return np.asarray(cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
