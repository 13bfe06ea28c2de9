"""The hash volumes' loops, compiled for every core (numba): gather features and slopes, scatter their gradients.

Rows of the table come from all over memory, and that bounds the speed. Hence blocks of points: first the rows of all
their corners, then one look at each row, so that many come from memory at once, and only then the sums.

All numbers are of the table's precision and all indices unsigned: a plain 1 would make every product of the loop a
double, and signed indices every access a test for a negative one. Numbers of features arrive as the lengths of tuples:
the length is part of a tuple's type, hence known when the loop over them is compiled.
"""

from typing import Any, Final, NamedTuple, no_type_check

import numba
import numpy as np

from panrecon.field.encoding import HASH_PRIMES
from panrecon.threads import prefer_openmp

CHUNK: Final = 512  # points whose features and gradients stay in a core's own cache while it goes through the levels
BLOCK: Final = 64  # points whose rows do
STRETCH: Final = 2048  # numbers of a table that a core goes through at a time, where it goes through all
NEXT: Final = np.uint64(1)
PRIME_Y, PRIME_Z = (np.uint64(prime) for prime in HASH_PRIMES[1:])  # that of x is 1
COMPILED: Final[dict[str, Any]] = {"cache": True, "fastmath": {"contract"}}
prefer_openmp()


class Grid(NamedTuple):
    """Cells along an axis and the first row of every level; how many levels are dense, and the mask of hashed rows."""

    resolutions: np.ndarray
    first_row: np.ndarray
    dense_levels: int
    mask: np.uint64


class Columns(NamedTuple):
    """The columns of some volumes in a row of the table, as a first one and lengths of tuples.

    A level's features are as many as `of_volume` is long in one volume, as `of_row` in all of these; as `of_slope`
    have slopes, those of the first volume or none.
    """

    first: np.uint64
    of_volume: tuple[int, ...]
    of_row: tuple[int, ...]
    of_slope: tuple[int, ...]


@numba.njit(inline="always", **COMPILED)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def _axis(position, resolution, last, real):
    """Cell, smoothstep weights of its near and far end, and the slope of the far end's weight by position."""
    scaled = min(max(position, real(0)), real(1)) * resolution
    cell = min(np.uint64(scaled), last)
    offset = scaled - real(cell)
    far = offset * offset * (real(3) - real(2) * offset)
    return cell, real(1) - far, far, real(6) * offset * (real(1) - offset) * resolution


@numba.njit(inline="always", **COMPILED)
@no_type_check
def _row(x, y, z, side, is_dense, mask):
    """The row of a corner in its level's part of the table, as `HashVolumes.corner_rows` has it."""
    if is_dense:
        return (z * side + y) * side + x
    return (x ^ (y * PRIME_Y) ^ (z * PRIME_Z)) & mask


@numba.njit(inline="always", **COMPILED)
@no_type_check
def _locate(positions, start, stop, grid, level, rows, weights):
    """The rows of the eight corners, x fastest, and per axis what `_axis` gives, of a block of points."""
    real = positions.dtype.type
    is_dense, first, mask = level < grid.dense_levels, grid.first_row[level], grid.mask
    last, side, resolution = (
        grid.resolutions[level] - NEXT,
        grid.resolutions[level] + NEXT,
        real(grid.resolutions[level]),
    )
    for i in range(stop - start):
        x, weights[i, 0], weights[i, 1], weights[i, 2] = _axis(positions[start + i, 0], resolution, last, real)
        y, weights[i, 3], weights[i, 4], weights[i, 5] = _axis(positions[start + i, 1], resolution, last, real)
        z, weights[i, 6], weights[i, 7], weights[i, 8] = _axis(positions[start + i, 2], resolution, last, real)
        rows[i, 0] = first + _row(x, y, z, side, is_dense, mask)
        rows[i, 1] = first + _row(x + NEXT, y, z, side, is_dense, mask)
        rows[i, 2] = first + _row(x, y + NEXT, z, side, is_dense, mask)
        rows[i, 3] = first + _row(x + NEXT, y + NEXT, z, side, is_dense, mask)
        rows[i, 4] = first + _row(x, y, z + NEXT, side, is_dense, mask)
        rows[i, 5] = first + _row(x + NEXT, y, z + NEXT, side, is_dense, mask)
        rows[i, 6] = first + _row(x, y + NEXT, z + NEXT, side, is_dense, mask)
        rows[i, 7] = first + _row(x + NEXT, y + NEXT, z + NEXT, side, is_dense, mask)


@numba.njit(inline="always", **COMPILED)
@no_type_check
def _look_at(table, rows, count):
    """Brings the rows near; the sum is there for the compiler to keep the reads."""
    total = table[0, 0]
    for i in range(count):
        for corner in range(8):
            total += table[rows[i, corner], 0]
    return total


@numba.njit(inline="always", **COMPILED)
@no_type_check
def _slope(table, r, k, w):
    """The slope by x, y and z of column k, from the rows of a cell's corners and what `_axis` gives."""
    vx, wx, sx, vy, wy, sy, vz, wz, sz = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]
    x0, x1 = table[r[1], k] - table[r[0], k], table[r[3], k] - table[r[2], k]
    x2, x3 = table[r[5], k] - table[r[4], k], table[r[7], k] - table[r[6], k]
    y0 = vx * (table[r[2], k] - table[r[0], k]) + wx * (table[r[3], k] - table[r[1], k])
    y1 = vx * (table[r[6], k] - table[r[4], k]) + wx * (table[r[7], k] - table[r[5], k])
    z0 = vx * (table[r[4], k] - table[r[0], k]) + wx * (table[r[5], k] - table[r[1], k])
    z1 = vx * (table[r[6], k] - table[r[2], k]) + wx * (table[r[7], k] - table[r[3], k])
    x = sx * (vy * vz * x0 + wy * vz * x1 + vy * wz * x2 + wy * wz * x3)
    return x, sy * (vz * y0 + wz * y1), sz * (vy * z0 + wy * z1)


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def gather(positions, grid, table, features, jacobian, columns):
    """Fills features [V, N, E] of V volumes and the Jacobian [N, E, 3] of the first; positions [N, 3] in [0, 1]."""
    count, real = len(positions), table.dtype.type
    first, of_volume, of_row, of_slope = columns
    for chunk in numba.prange((count + CHUNK - 1) // CHUNK):
        rows, weights = np.empty((BLOCK, 8), np.uint64), np.empty((BLOCK, 9), real)
        mixed = np.empty(len(of_row), real)
        for level in range(len(grid.resolutions)):
            at = level * len(of_volume)
            for start in range(chunk * CHUNK, min((chunk + 1) * CHUNK, count), BLOCK):
                stop = min(start + BLOCK, count)
                _locate(positions, start, stop, grid, level, rows, weights)
                mixed[0] = _look_at(table, rows, stop - start)
                for i in range(stop - start):
                    point, w, r = start + i, weights[i], rows[i]
                    vx, wx, vy, wy, vz, wz = w[0], w[1], w[3], w[4], w[6], w[7]
                    yz00, yz10, yz01, yz11 = vy * vz, wy * vz, vy * wz, wy * wz
                    for c in range(len(of_row)):
                        k = first + c
                        near = (
                            yz00 * table[r[0], k]
                            + yz10 * table[r[2], k]
                            + yz01 * table[r[4], k]
                            + yz11 * table[r[6], k]
                        )
                        far = (
                            yz00 * table[r[1], k]
                            + yz10 * table[r[3], k]
                            + yz01 * table[r[5], k]
                            + yz11 * table[r[7], k]
                        )
                        mixed[c] = vx * near + wx * far
                    for c in range(len(of_row)):
                        features[c // len(of_volume), point, at + c % len(of_volume)] = mixed[c]
                    for c in range(len(of_slope)):
                        x, y, z = _slope(table, r, first + c, w)
                        jacobian[point, at + c, 0], jacobian[point, at + c, 1], jacobian[point, at + c, 2] = x, y, z


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def scatter(positions, grid, gradient, of_features, of_jacobian, columns, cores):
    """Adds to a table's gradient what the gradients of `gather`'s features, an array a volume, and Jacobian bring.

    Every level has rows of its own and belongs to one core: no two cores meet in a row, and sums keep one order
    whatever the number of cores. Levels are dealt out in turn, for the fine ones take longer.
    """
    count, real = len(positions), gradient.dtype.type
    first, of_volume, of_row, of_slope = columns
    for core in numba.prange(cores):
        rows, weights = np.empty((BLOCK, 8), np.uint64), np.empty((BLOCK, 9), real)
        given = np.empty(len(of_row), real)
        for chunk in range(0, count, CHUNK):
            for level in range(core, len(grid.resolutions), cores):
                at = level * len(of_volume)
                for start in range(chunk, min(chunk + CHUNK, count), BLOCK):
                    stop = min(start + BLOCK, count)
                    _locate(positions, start, stop, grid, level, rows, weights)
                    given[0] = _look_at(gradient, rows, stop - start)
                    for i in range(stop - start):
                        point, w = start + i, weights[i]
                        for c in range(len(of_row)):
                            given[c] = of_features[c // len(of_volume)][point, at + c % len(of_volume)]
                        for corner in range(0, 8, 2):
                            uy, ty = (w[4], w[5]) if corner & 2 else (w[3], -w[5])
                            uz, tz = (w[7], w[8]) if corner & 4 else (w[6], -w[8])
                            near, far = rows[i, corner], rows[i, corner + 1]
                            near_weight, far_weight = w[0] * uy * uz, w[1] * uy * uz
                            for c in range(len(of_row)):
                                gradient[near, first + c] += near_weight * given[c]
                            for c in range(len(of_row)):
                                gradient[far, first + c] += far_weight * given[c]
                            for c in range(len(of_slope)):
                                along = w[2] * uy * uz * of_jacobian[point, at + c, 0]
                                across = (
                                    ty * uz * of_jacobian[point, at + c, 1] + uy * tz * of_jacobian[point, at + c, 2]
                                )
                                gradient[near, first + c] += w[0] * across - along
                                gradient[far, first + c] += w[1] * across + along


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def clear(table):
    """Sets a table to 0."""
    for row in numba.prange(len(table)):
        table[row] = 0


class Moments(NamedTuple):
    """Adam's running means of a gradient and of its square, as long as what they are of."""

    mean: np.ndarray
    square: np.ndarray


class AdamStep(NamedTuple):
    """Numbers of a step of Adam: the share kept of each mean, the corrected rate and root, and the least root."""

    keep_mean: np.floating
    keep_square: np.floating
    rate: np.floating
    root: np.floating
    least: np.floating


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def adam(values, gradient, moments, step):
    """Moves values [n] and their moments by a step of Adam, and sets their gradient to 0: one way through memory."""
    count, real = len(values), values.dtype.type
    keep_mean, keep_square, rate, root, least = step
    for stretch in numba.prange((count + STRETCH - 1) // STRETCH):
        part = slice(stretch * STRETCH, min((stretch + 1) * STRETCH, count))
        value, given, mean, square = values[part], gradient[part], moments.mean[part], moments.square[part]
        for i in range(len(value)):
            g = given[i]
            m = keep_mean * mean[i] + (real(1) - keep_mean) * g
            s = keep_square * square[i] + (real(1) - keep_square) * g * g
            mean[i], square[i], given[i] = m, s, 0
            value[i] -= rate * m / (np.sqrt(s) * root + least)
