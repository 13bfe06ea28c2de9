"""Loops over points and pixels that numpy cannot express, compiled once (numba) and cached."""

from typing import no_type_check

import numba
import numpy as np


@numba.njit(inline="always", cache=True)
@no_type_check  # numba cannot cache a function that the shape checker wraps
def _range_pixel(point, rows, columns, lowest, highest):
    """Row and column of the range image's pixel in which a point lies, and its range; row -1 outside the image."""
    x, y, z = point
    distance = np.sqrt(x * x + y * y + z * z)
    if distance < 1e-3:
        return -1, 0, distance
    row = int(np.floor((highest - np.arcsin(z / distance)) / (highest - lowest) * rows))
    column = int((np.arctan2(y, x) + np.pi) / (2 * np.pi) * columns) % columns
    return row if row < rows else -1, column, distance


@numba.njit(cache=True, nogil=True)
@no_type_check  # numba cannot cache a function that the shape checker wraps
def nearest_ranges(points: np.ndarray, rows: int, columns: int, lowest: float, highest: float) -> np.ndarray:
    """The nearest range (m) of points (m, sensor's frame) by direction; elevations in radians; 0 where none."""
    ranges = np.zeros((rows, columns), np.float32)
    for i in range(len(points)):
        row, column, distance = _range_pixel(points[i], rows, columns, lowest, highest)
        if row >= 0 and (ranges[row, column] == 0 or distance < ranges[row, column]):
            ranges[row, column] = distance
    return ranges


@numba.njit(cache=True, nogil=True)
@no_type_check  # numba cannot cache a function that the shape checker wraps
def count_ray_tests(
    points: np.ndarray,
    ranges: np.ndarray,
    lowest: float,
    highest: float,
    margin: float,
    relative_margin: float,
    violations: np.ndarray,
    hits: np.ndarray,
) -> None:
    """Adds this range image's free-space violations and hits to the counts of every point, in place.

    A ray hits a point if it ends within `margin` + `relative_margin` * range of it, violates it if all rays around its
    direction end farther behind, and else misses it.
    """
    rows, columns = ranges.shape
    for i in range(len(points)):
        row, column, distance = _range_pixel(points[i], rows, columns, lowest, highest)
        if row < 0:
            continue
        slack = margin + relative_margin * distance
        is_hit = False
        passing_rays = 0
        is_occluded = False
        for r in range(max(row - 1, 0), min(row + 2, rows)):
            for c in range(column - 1, column + 2):
                measured = ranges[r, c % columns]
                if measured == 0:
                    continue
                if measured > distance + slack:
                    passing_rays += 1
                else:
                    is_occluded = True
                    is_hit = is_hit or measured >= distance - slack
        if is_hit:
            hits[i] += 1
        elif passing_rays > 1 and not is_occluded:
            violations[i] += 1


@numba.njit(cache=True, nogil=True)
@no_type_check  # numba cannot cache a function that the shape checker wraps
def front_image(
    u: np.ndarray, v: np.ndarray, inverse: np.ndarray, radius: int, gradient: float, height: int, width: int
) -> np.ndarray:
    """The least inverse depth (1/m) of the front surface at every pixel, by points within `radius` pixels; 0 = none.

    Inverse depth falls by at most `gradient` (1/m a pixel) on the surface around a point.
    """
    front = np.zeros((height, width), np.float32)
    for i in range(len(u)):
        column = int(np.rint(u[i]))
        row = int(np.rint(v[i]))
        for r in range(max(row - radius, 0), min(row + radius + 1, height)):
            for c in range(max(column - radius, 0), min(column + radius + 1, width)):
                least = inverse[i] - gradient * np.sqrt((u[i] - c) ** 2 + (v[i] - r) ** 2)
                if least > front[r, c]:
                    front[r, c] = least
    return front


@numba.njit(cache=True, nogil=True)
@no_type_check  # numba cannot cache a function that the shape checker wraps
def plane_moments(
    u: np.ndarray,
    v: np.ndarray,
    inverse: np.ndarray,
    front: np.ndarray,
    gradient: float,
    tolerance: float,
    radius: int,
) -> np.ndarray:
    """Weighted sums (height, width, 9) of the points of the front layer around every pixel.

    Of 1, x, y, xx, xy, yy, d, xd, yd with (x, y) the offset from the pixel (px) and d the inverse depth (1/m). The
    front layer reaches `tolerance` (1/m) behind `front`. Weights are Gaussian, sigma 0.6 `radius`.
    """
    height, width = front.shape
    sums = np.zeros((height, width, 9), np.float32)
    for i in range(len(u)):
        column = int(np.rint(u[i]))
        row = int(np.rint(v[i]))
        d = inverse[i]
        for r in range(max(row - radius, 0), min(row + radius + 1, height)):
            for c in range(max(column - radius, 0), min(column + radius + 1, width)):
                x, y = u[i] - c, v[i] - r
                if d < front[r, c] - tolerance - gradient * np.sqrt(x * x + y * y):
                    continue
                w = np.exp(-0.5 * (x * x + y * y) / (0.36 * radius * radius))
                moments = sums[r, c]
                moments[0] += w
                moments[1] += w * x
                moments[2] += w * y
                moments[3] += w * x * x
                moments[4] += w * x * y
                moments[5] += w * y * y
                moments[6] += w * d
                moments[7] += w * x * d
                moments[8] += w * y * d
    return sums


@numba.njit(cache=True, nogil=True)
@no_type_check  # numba cannot cache a function that the shape checker wraps
def front_points(
    u: np.ndarray, v: np.ndarray, inverse: np.ndarray, radius: int, gradient: float, height: int, width: int
) -> np.ndarray:
    """The index of the point to which `front_image` owes every pixel's value; -1 where none lies within `radius`."""
    front = np.zeros((height, width), np.float32)
    front_index = np.full((height, width), -1, np.int32)
    for i in range(len(u)):
        column = int(np.rint(u[i]))
        row = int(np.rint(v[i]))
        for r in range(max(row - radius, 0), min(row + radius + 1, height)):
            for c in range(max(column - radius, 0), min(column + radius + 1, width)):
                least = inverse[i] - gradient * np.sqrt((u[i] - c) ** 2 + (v[i] - r) ** 2)
                if least > front[r, c]:
                    front[r, c] = least
                    front_index[r, c] = i
    return front_index
