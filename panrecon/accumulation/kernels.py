"""Loops over points and pixels that numpy cannot express, compiled once (numba) and cached."""

from typing import no_type_check

import numba
import numpy as np


@numba.njit(inline="always", cache=True)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def _direction(point, rows, columns, lowest, highest):
    """Row and column of a range image in which a point lies, and its range; row -1 where it lies in none."""
    x, y, z = point
    reach = np.sqrt(x * x + y * y + z * z)
    if reach < 1e-3:
        return -1, 0, reach
    row = int(np.floor((highest - np.arcsin(z / reach)) / (highest - lowest) * rows))
    column = int((np.arctan2(y, x) + np.pi) / (2 * np.pi) * columns) % columns
    return row if row < rows else -1, column, reach


@numba.njit(cache=True, nogil=True)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def nearest_ranges(points: np.ndarray, rows: int, columns: int, lowest: float, highest: float) -> np.ndarray:
    """The nearest range by direction; 0 where none."""
    ranges = np.zeros((rows, columns), np.float32)
    for i in range(len(points)):
        row, column, reach = _direction(points[i], rows, columns, lowest, highest)
        if row >= 0 and (ranges[row, column] == 0 or reach < ranges[row, column]):
            ranges[row, column] = reach
    return ranges


@numba.njit(cache=True, nogil=True)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def judge_points(
    points: np.ndarray,
    ranges: np.ndarray,
    lowest: float,
    highest: float,
    margin: float,
    share: float,
    through: np.ndarray,
    confirmed: np.ndarray,
) -> None:
    """Counts, in place, points that this range image saw through and those that it confirms."""
    rows, columns = ranges.shape
    for i in range(len(points)):
        row, column, reach = _direction(points[i], rows, columns, lowest, highest)
        if row < 0:
            continue
        slack = margin + share * reach
        met, passed, stopped = False, 0, False
        for r in range(max(row - 1, 0), min(row + 2, rows)):
            for c in range(column - 1, column + 2):
                seen = ranges[r, c % columns]
                if seen == 0:
                    continue
                if seen > reach + slack:
                    passed += 1
                else:
                    stopped = True
                    met = met or seen >= reach - slack
        if met:
            confirmed[i] += 1
        elif passed > 1 and not stopped:
            through[i] += 1


@numba.njit(cache=True, nogil=True)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def front_image(
    u: np.ndarray, v: np.ndarray, inverse: np.ndarray, radius: int, slope: float, height: int, width: int
) -> np.ndarray:
    """The least inverse depth that the points within `radius` pixels of every pixel leave to it; 0 where none.

    A surface through a point is at most `slope` (1/m a pixel) farther beside it.
    """
    front = np.zeros((height, width), np.float32)
    for i in range(len(u)):
        column, row = int(np.rint(u[i])), int(np.rint(v[i]))
        for r in range(max(row - radius, 0), min(row + radius + 1, height)):
            for c in range(max(column - radius, 0), min(column + radius + 1, width)):
                least = inverse[i] - slope * np.sqrt((u[i] - c) ** 2 + (v[i] - r) ** 2)
                if least > front[r, c]:
                    front[r, c] = least
    return front


@numba.njit(cache=True, nogil=True)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def plane_moments(
    u: np.ndarray,
    v: np.ndarray,
    inverse: np.ndarray,
    front: np.ndarray,
    slope: float,
    tolerance: float,
    radius: int,
) -> np.ndarray:
    """Weighted sums (height, width, 9) of the points of the front layer around every pixel.

    Of 1, x, y, xx, xy, yy, d, xd, yd with (x, y) the offset from the pixel and d the inverse depth.
    """
    height, width = front.shape
    sums = np.zeros((height, width, 9), np.float32)
    for i in range(len(u)):
        column, row = int(np.rint(u[i])), int(np.rint(v[i]))
        d = inverse[i]
        for r in range(max(row - radius, 0), min(row + radius + 1, height)):
            for c in range(max(column - radius, 0), min(column + radius + 1, width)):
                x, y = u[i] - c, v[i] - r
                if d < front[r, c] - tolerance - slope * np.sqrt(x * x + y * y):
                    continue
                w = np.exp(-0.5 * (x * x + y * y) / (0.36 * radius * radius))
                cell = sums[r, c]
                cell[0] += w
                cell[1] += w * x
                cell[2] += w * y
                cell[3] += w * x * x
                cell[4] += w * x * y
                cell[5] += w * y * y
                cell[6] += w * d
                cell[7] += w * x * d
                cell[8] += w * y * d
    return sums


@numba.njit(cache=True, nogil=True)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def front_points(
    u: np.ndarray, v: np.ndarray, inverse: np.ndarray, radius: int, slope: float, height: int, width: int
) -> np.ndarray:
    """Which point within `radius` pixels leaves the most inverse depth to every pixel, as above; -1 where none lies."""
    front, winner = np.zeros((height, width), np.float32), np.full((height, width), -1, np.int32)
    for i in range(len(u)):
        column, row = int(np.rint(u[i])), int(np.rint(v[i]))
        for r in range(max(row - radius, 0), min(row + radius + 1, height)):
            for c in range(max(column - radius, 0), min(column + radius + 1, width)):
                least = inverse[i] - slope * np.sqrt((u[i] - c) ** 2 + (v[i] - r) ** 2)
                if least > front[r, c]:
                    front[r, c], winner[r, c] = least, i
    return winner
