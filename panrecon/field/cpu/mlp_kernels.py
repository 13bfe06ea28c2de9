"""The heads' loops, compiled for every core (numba): distance and its gradient, networks, and backward passes.

A block of points at a time, every unit's values of all of them side by side: all that is between two layers stays in a
core's cache. Matrices come padded with zeros to multiples of `PAD` rows and columns, which are taken four at a time. As
in `hash_kernels`, all numbers are of one precision.
"""

from typing import Any, Final, no_type_check

import numba
import numpy as np
from llvmlite.binding import get_host_cpu_features

from panrecon.field.cpu.simd import broadcast, load, store

LANES: Final = 128  # points of a block
PART: Final = 4 * LANES  # points that are summed up on their own, whatever the number of cores
PAD: Final = 4
# lanes whose sums of four units stay in registers: AVX-512 has room for four times as many
TOGETHER: Final = (0,) * (64 if get_host_cpu_features().get("avx512f") else 16)
LARGEST: Final = 20.0  # exp(-20) is nothing beside 1
COMPILED: Final[dict[str, Any]] = {"cache": True, "fastmath": {"contract", "reassoc", "nsz"}}


@numba.njit(**COMPILED)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def _product(out, matrix, values):
    """out [o, LANES] = matrix [o, i] @ values [i, LANES]."""
    zeros = broadcast(matrix.dtype.type(0), TOGETHER)
    for o in range(0, len(matrix), PAD):
        for p in range(0, LANES, len(TOGETHER)):
            a = b = c = d = zeros
            for i in range(matrix.shape[1]):
                lanes = load(values, i, p, TOGETHER)
                a, b = a + matrix[o, i] * lanes, b + matrix[o + 1, i] * lanes
                c, d = c + matrix[o + 2, i] * lanes, d + matrix[o + 3, i] * lanes
            store(a, out, o, p)
            store(b, out, o + 1, p)
            store(c, out, o + 2, p)
            store(d, out, o + 3, p)


@numba.njit(**COMPILED)
@no_type_check
def _add_outer(total, left, right):
    """total [o, i] += left [o, LANES] @ right [i, LANES]^T."""
    for o in range(0, len(left), 2):
        for i in range(0, len(right), PAD):
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = total.dtype.type(0)
            for p in range(LANES):
                a, b = left[o, p], left[o + 1, p]
                v0, v1, v2, v3 = right[i, p], right[i + 1, p], right[i + 2, p], right[i + 3, p]
                a0, a1, a2, a3 = a0 + a * v0, a1 + a * v1, a2 + a * v2, a3 + a * v3
                b0, b1, b2, b3 = b0 + b * v0, b1 + b * v1, b2 + b * v2, b3 + b * v3
            total[o, i], total[o, i + 1] = total[o, i] + a0, total[o, i + 1] + a1
            total[o, i + 2], total[o, i + 3] = total[o, i + 2] + a2, total[o, i + 3] + a3
            total[o + 1, i], total[o + 1, i + 1] = total[o + 1, i] + b0, total[o + 1, i + 1] + b1
            total[o + 1, i + 2], total[o + 1, i + 3] = total[o + 1, i + 2] + b2, total[o + 1, i + 3] + b3


@numba.njit(inline="always", **COMPILED)
@no_type_check
def _exp_of_negative(x, real):
    """exp(-x) of a number that is not negative, to seven digits: the nearest power of 2, and a series for the rest."""
    x = min(x, real(LARGEST))
    halvings = np.int32(x * real(1.4426950408889634) + real(0.5))
    r = real(halvings) * real(0.6931471805599453) - x
    series = real(1) + r / real(7)
    series = real(1) + r / real(6) * series
    series = real(1) + r / real(5) * series
    series = real(1) + r / real(4) * series
    series = real(1) + r / real(3) * series
    series = real(1) + r / real(2) * series
    return (real(1) + r * series) / real(np.int32(1) << halvings)


@numba.njit(inline="always", **COMPILED)
@no_type_check
def _log1p(x, real):
    """log(1 + x) of a number in [0, 1], to seven digits, by the series of the inverse hyperbolic tangent."""
    s = x / (real(2) + x)
    q = s * s
    series = real(1 / 11) + q * real(1 / 13)
    series = real(1 / 9) + q * series
    series = real(1 / 7) + q * series
    series = real(1 / 5) + q * series
    series = real(1 / 3) + q * series
    return real(2) * s * (real(1) + q * series)


@numba.njit(**COMPILED)
@no_type_check
def _load(inputs, features, positions, start, size):
    """Fills a block with features and positions of its points; zeros in lanes and rows without any."""
    width = features.shape[1]
    inputs[:] = 0
    for p in range(size):
        for e in range(width):
            inputs[e, p] = features[start + p, e]
        for k in range(3):
            inputs[width + k, p] = positions[start + p, k]


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def distance(positions, features, jacobian, layer, bias, outer, outer_bias, beta, sdf, gradient, hidden, by_feature):
    """Fills sdf [N], its gradient by position [N, 3], the hidden layer [N, H] and the derivative by feature [N, E].

    `layer` [H, E + 3] and `bias` lead to the hidden layer, `outer` from it to the distance.
    """
    count, width, real = len(positions), features.shape[1], layer.dtype.type
    outer_layer, transposed = np.empty((layer.shape[1], len(layer)), real), layer.T
    for i in range(len(outer_layer)):
        for h in range(len(layer)):
            outer_layer[i, h] = outer[h] * transposed[i, h]
    for part in numba.prange((count + PART - 1) // PART):
        inputs, by_input = np.empty((layer.shape[1], LANES), real), np.empty((layer.shape[1], LANES), real)
        unit, derivative = np.empty((len(layer), LANES), real), np.empty((len(layer), LANES), real)
        for start in range(part * PART, min((part + 1) * PART, count), LANES):
            size = min(LANES, count - start)
            _load(inputs, features, positions, start, size)
            _product(unit, layer, inputs)
            for h in range(len(layer)):
                for p in range(LANES):
                    x = unit[h, p] + bias[h]
                    decay = _exp_of_negative(beta * abs(x), real)
                    derivative[h, p] = (real(1) if x > 0 else decay) / (real(1) + decay)
                    unit[h, p] = (real(0) if x < 0 else x) + _log1p(decay, real) / beta
            _product(by_input, outer_layer, derivative)
            for p in range(size):
                point, total = start + p, outer_bias
                for h in range(hidden.shape[1]):
                    total += outer[h] * unit[h, p]
                    hidden[point, h] = unit[h, p]
                sdf[point] = total
                x, y, z = by_input[width, p], by_input[width + 1, p], by_input[width + 2, p]
                for e in range(width):
                    s = by_input[e, p]
                    by_feature[point, e] = s
                    x += s * jacobian[point, e, 0]
                    y += s * jacobian[point, e, 1]
                    z += s * jacobian[point, e, 2]
                gradient[point, 0], gradient[point, 1], gradient[point, 2] = x, y, z


@numba.njit(**COMPILED)
@no_type_check
def _transpose(rows, start, size, columns):
    """Rows of some points as columns of a block, with zeros where there are no points."""
    for p in range(size):
        for i in range(rows.shape[1]):
            columns[i, p] = rows[start + p, i]
    columns[:, size:] = 0


@numba.njit(**COMPILED)
@no_type_check
def _transpose_all(inputs, start, size, columns):
    """Several arrays' rows of some points as columns of a block, one below the other."""
    first = 0
    for rows in inputs:
        _transpose(rows, start, size, columns[first : first + rows.shape[1]])
        first += rows.shape[1]


@numba.njit(**COMPILED)
@no_type_check
def _load_gradient(by_input, jacobian_grad, jacobian, by_feature, gradient_grad, start, size):
    """Gradients of the derivatives by a block's inputs, and of its Jacobian, given that of the distance's gradient."""
    width = by_feature.shape[1]
    by_input[:] = 0
    for p in range(size):
        point = start + p
        x, y, z = gradient_grad[point, 0], gradient_grad[point, 1], gradient_grad[point, 2]
        for e in range(width):
            s = by_feature[point, e]
            by_input[e, p] = x * jacobian[point, e, 0] + y * jacobian[point, e, 1] + z * jacobian[point, e, 2]
            jacobian_grad[point, e, 0], jacobian_grad[point, e, 1], jacobian_grad[point, e, 2] = s * x, s * y, s * z
        by_input[width, p], by_input[width + 1, p], by_input[width + 2, p] = x, y, z


@numba.njit(**COMPILED)
@no_type_check
def _softplus_back(unit, before, derivative, outer, beta, sdf_grad, start, size, real):
    """The gradient of a hidden unit's weight `outer`, by its backward pass through the softplus and its derivative.

    `before` holds the gradient of outer times the derivative and becomes that of the softplus's argument; `derivative`
    becomes outer times the derivative. The derivative of a softplus of value u is 1 - exp(-beta u).
    """
    total = real(0)
    for p in range(size):
        total += sdf_grad[start + p] * unit[p]
    for p in range(LANES):
        s = real(1) - _exp_of_negative(beta * unit[p], real)
        total += s * before[p]
        derivative[p] = outer * s
        before[p] = outer * beta * s * (real(1) - s) * before[p]
    for p in range(size):
        before[p] += sdf_grad[start + p] * derivative[p]
    return total


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def distance_back(
    positions,
    features,
    jacobian,
    layer,
    outer,
    beta,
    hidden,
    by_feature,
    sdf_grad,
    gradient_grad,
    features_grad,
    jacobian_grad,
    layer_grad,
    bias_grad,
    outer_grad,
):
    """Fills the gradients of features and Jacobian, and those of the weights part by part, from `distance`'s."""
    count, width, real = len(positions), features.shape[1], layer.dtype.type
    transposed = np.ascontiguousarray(layer.T)
    for part in numba.prange((count + PART - 1) // PART):
        inputs, by_input = np.empty((layer.shape[1], LANES), real), np.empty((layer.shape[1], LANES), real)
        derivative, before = np.empty((len(layer), LANES), real), np.empty((len(layer), LANES), real)
        unit = np.zeros((len(layer), LANES), real)
        for start in range(part * PART, min((part + 1) * PART, count), LANES):
            size = min(LANES, count - start)
            _load(inputs, features, positions, start, size)
            _load_gradient(by_input, jacobian_grad, jacobian, by_feature, gradient_grad, start, size)
            _transpose(hidden, start, size, unit)
            _product(before, layer, by_input)
            for h in range(len(layer)):
                outer_grad[part, h] += _softplus_back(
                    unit[h], before[h], derivative[h], outer[h], beta, sdf_grad, start, size, real
                )
                total = real(0)
                for p in range(LANES):
                    total += before[h, p]
                bias_grad[part, h] += total
            _add_outer(layer_grad[part], derivative, by_input)
            _add_outer(layer_grad[part], before, inputs)
            _product(by_input, transposed, before)
            for p in range(size):
                for e in range(width):
                    features_grad[start + p, e] = by_input[e, p]


@numba.njit(**COMPILED)
@no_type_check
def _forward(layers, biases, values, real):
    """Fills values [1:, ...] of every layer from the inputs in values [0]; between layers, what is negative is cut."""
    for k in range(len(layers)):
        _product(values[k + 1], layers[k], values[k])
        floor = real(0) if k + 1 < len(layers) else real(-np.inf)
        for o in range(len(biases[k])):
            for p in range(LANES):
                x = values[k + 1, o, p] + biases[k][o]
                values[k + 1, o, p] = floor if x < floor else x  # what is no number stays so


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def network(inputs, layers, biases, max_width, outputs):
    """Fills outputs [N, O] of layers with ReLU between them, from inputs [N, I1], [N, I2] ... side by side.

    `max_width` is the largest number of rows or columns of a layer.
    """
    count, real = len(outputs), outputs.dtype.type
    for part in numba.prange((count + PART - 1) // PART):
        values = np.zeros((len(layers) + 1, max_width, LANES), real)
        for start in range(part * PART, min((part + 1) * PART, count), LANES):
            size = min(LANES, count - start)
            _transpose_all(inputs, start, size, values[0])
            _forward(layers, biases, values, real)
            for p in range(size):
                for o in range(outputs.shape[1]):
                    outputs[start + p, o] = values[len(layers), o, p]


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def network_back(inputs, layers, transposed, biases, max_width, outputs_grad, inputs_grad, layers_grad, biases_grad):
    """Fills the inputs' gradients, and those of layers and biases part by part, from the outputs'.

    What is between layers is computed anew: that is faster than to read it from memory. `transposed` are the layers
    transposed, the first one up to the last input whose gradient is wanted.
    """
    count, real = len(outputs_grad), outputs_grad.dtype.type
    for part in numba.prange((count + PART - 1) // PART):
        values = np.zeros((len(layers) + 1, max_width, LANES), real)
        gradients = np.zeros((len(layers) + 1, max_width, LANES), real)
        for start in range(part * PART, min((part + 1) * PART, count), LANES):
            size = min(LANES, count - start)
            _transpose_all(inputs, start, size, values[0])
            _forward(layers, biases, values, real)
            _transpose(outputs_grad, start, size, gradients[len(layers)])
            for k in range(len(layers) - 1, -1, -1):
                for o in range(len(biases[k])):
                    total = real(0)
                    for p in range(LANES):
                        if k + 1 < len(layers) and values[k + 1, o, p] <= 0:
                            gradients[k + 1, o, p] = 0
                        total += gradients[k + 1, o, p]
                    biases_grad[k][part, o] += total
                _add_outer(layers_grad[k][part], gradients[k + 1, : len(biases[k])], values[k, : layers[k].shape[1]])
                _product(gradients[k], transposed[k], gradients[k + 1])
            first = 0
            for input_grad in inputs_grad:
                for p in range(size):
                    for i in range(input_grad.shape[1]):
                        input_grad[start + p, i] = gradients[0, first + i, p]
                first += input_grad.shape[1]
