"""The hash volumes' loops, compiled for every core (numba): gather features and derivatives, scatter their gradients.

Rows of the table come from all over memory, and that bounds the speed. Hence blocks of points: first the rows of all
their corners, all prefetched at once, and only then the sums, over whole rows (`simd`).

All numbers are of the table's precision and all indices unsigned: a plain 1 would make every product of the loop a
double, and signed indices every access a test for a negative one. Numbers of features arrive as the lengths of tuples:
the length is part of a tuple's type, hence known when the loop over them is compiled.
"""

from typing import Any, Final, NamedTuple, no_type_check

import numba
import numpy as np

from panrecon.field.cpu.simd import broadcast, extract, insert, load, prefetch, store
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

    A level's features are as many as `of_volume` is long in one volume, as `of_row` in all of these; as `of_derivative`
    have derivatives, those of the first volume or none.
    """

    first: np.uint64
    of_volume: tuple[int, ...]
    of_row: tuple[int, ...]
    of_derivative: tuple[int, ...]


@numba.njit(inline="always", **COMPILED)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def _axis(position, resolution, last, real):
    """Cell, smoothstep weights of its near and far end, and the derivative of the far end's weight by position."""
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
def _prefetch(table, rows, count, first):
    """Prefetches all rows of a block."""
    for i in range(count):
        for corner in range(8):
            prefetch(table, rows[i, corner], first)


@numba.njit(inline="always", **COMPILED)
@no_type_check
def _interpolate(table, r, w, first, like):
    """Features of columns and their derivatives by x, y and z, from the rows of a cell's corners and `_axis`'s weights.

    Along x first, then y, then z: what was interpolated along one axis has a derivative along the next.
    """
    vy, wy, vz, wz = w[3], w[4], w[6], w[7]
    r0, r2 = load(table, r[0], first, like), load(table, r[2], first, like)
    r4, r6 = load(table, r[4], first, like), load(table, r[6], first, like)
    x0, x1 = load(table, r[1], first, like) - r0, load(table, r[3], first, like) - r2
    x2, x3 = load(table, r[5], first, like) - r4, load(table, r[7], first, like) - r6
    near, far = r0 + w[1] * x0, r4 + w[1] * x2
    y0, y1 = r2 + w[1] * x1 - near, r6 + w[1] * x3 - far
    near, far = near + wy * y0, far + wy * y1
    z = far - near
    x = vz * (vy * x0 + wy * x1) + wz * (vy * x2 + wy * x3)
    return near + wz * z, w[2] * x, w[5] * (vz * y0 + wz * y1), w[8] * z


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def gather(positions, grid, table, features, jacobian, columns):
    """Fills features [V, N, E] of V volumes and the Jacobian [N, E, 3] of the first; positions [N, 3] in [0, 1]."""
    count, real = len(positions), table.dtype.type
    first, of_volume, of_row, of_derivative = columns
    for chunk in numba.prange((count + CHUNK - 1) // CHUNK):
        rows, weights = np.empty((BLOCK, 8), np.uint64), np.empty((BLOCK, 9), real)
        for level in range(len(grid.resolutions)):
            at = level * len(of_volume)
            for start in range(chunk * CHUNK, min((chunk + 1) * CHUNK, count), BLOCK):
                stop = min(start + BLOCK, count)
                _locate(positions, start, stop, grid, level, rows, weights)
                _prefetch(table, rows, stop - start, first)
                for i in range(stop - start):
                    point = start + i
                    interpolated, x, y, z = _interpolate(table, rows[i], weights[i], first, of_row)
                    for c in range(len(of_row)):
                        features[c // len(of_volume), point, at + c % len(of_volume)] = extract(interpolated, c)
                    for c in range(len(of_derivative)):
                        jacobian[point, at + c, 0] = extract(x, c)
                        jacobian[point, at + c, 1] = extract(y, c)
                        jacobian[point, at + c, 2] = extract(z, c)


@numba.njit(inline="always", **COMPILED)
@no_type_check
def _add(table, row, first, vector, like):
    """Adds a vector to a row's numbers, from a column on."""
    store(load(table, row, first, like) + vector, table, row, first)


@numba.njit(inline="always", **COMPILED)
@no_type_check
def _scatter_point(gradient, r, w, features_grad, derivative_grads, first, like, has_derivatives):
    """Adds to the rows of a cell's corners the gradients of its features and, if there are any, derivatives."""
    x, y, z = derivative_grads
    for pair in range(4):
        uy, ty = (w[4], w[5]) if pair & 1 else (w[3], -w[5])
        uz, tz = (w[7], w[8]) if pair & 2 else (w[6], -w[8])
        across, along = uy * uz * features_grad, x
        if has_derivatives:
            across, along = across + ty * uz * y + uy * tz * z, w[2] * uy * uz * x
        _add(gradient, r[2 * pair], first, w[0] * across - along, like)
        _add(gradient, r[2 * pair + 1], first, w[1] * across + along, like)


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def scatter(positions, grid, gradient, features_grad, jacobian_grad, columns, cores):
    """Adds to a table's gradient, given those of `gather`'s features, an array a volume, and Jacobian.

    Every level has rows of its own and belongs to one core: no two cores meet in a row, and sums keep one order
    whatever the number of cores. Levels are dealt out in turn, for the fine ones take longer.
    """
    count, real = len(positions), gradient.dtype.type
    first, of_volume, of_row, of_derivative = columns
    for core in numba.prange(cores):
        rows, weights = np.empty((BLOCK, 8), np.uint64), np.empty((BLOCK, 9), real)
        for chunk in range(0, count, CHUNK):
            for level in range(core, len(grid.resolutions), cores):
                at = level * len(of_volume)
                for start in range(chunk, min(chunk + CHUNK, count), BLOCK):
                    stop = min(start + BLOCK, count)
                    _locate(positions, start, stop, grid, level, rows, weights)
                    _prefetch(gradient, rows, stop - start, first)
                    for i in range(stop - start):
                        point, grad = start + i, broadcast(real(0), of_row)
                        x = y = z = grad
                        for c in range(len(of_row)):
                            grad = insert(grad, c, features_grad[c // len(of_volume)][point, at + c % len(of_volume)])
                        for c in range(len(of_derivative)):
                            x = insert(x, c, jacobian_grad[point, at + c, 0])
                            y = insert(y, c, jacobian_grad[point, at + c, 1])
                            z = insert(z, c, jacobian_grad[point, at + c, 2])
                        _scatter_point(
                            gradient, rows[i], weights[i], grad, (x, y, z), first, of_row, len(of_derivative) > 0
                        )


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
    """A step of Adam (Kingma and Ba 2015): betas, bias-corrected rate, inverse bias-corrected root, and epsilon."""

    beta1: np.floating
    beta2: np.floating
    rate: np.floating
    root: np.floating
    epsilon: np.floating


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def adam(values, gradient, moments, step):
    """Moves values [n] and their moments by a step of Adam, and sets their gradient to 0: one pass through memory."""
    count, real = len(values), values.dtype.type
    beta1, beta2, rate, root, epsilon = step
    for stretch in numba.prange((count + STRETCH - 1) // STRETCH):
        part = slice(stretch * STRETCH, min((stretch + 1) * STRETCH, count))
        value, grad, mean, square = values[part], gradient[part], moments.mean[part], moments.square[part]
        for i in range(len(value)):
            g = grad[i]
            m = beta1 * mean[i] + (real(1) - beta1) * g
            s = beta2 * square[i] + (real(1) - beta2) * g * g
            mean[i], square[i], grad[i] = m, s, 0
            value[i] -= rate * m / (np.sqrt(s) * root + epsilon)
