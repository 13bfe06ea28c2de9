"""The heads (MLPs) by compiled kernels on a CPU: equal to the plain ones, with the same bits on any number of cores."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from panrecon.field.cpu import mlp_kernels as kernels


class _Distance(torch.autograd.Function):
    """Distance [N], its gradient [N, 3] by position, and the hidden layer [N, H], which has no gradient itself.

    From positions, features and their Jacobian, the sharpness of the softplus, and weights and biases of both layers.
    """

    @staticmethod
    def forward(
        ctx: Any, positions: Tensor, features: Tensor, jacobian: Tensor, beta: float, *head: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        layer, bias, outer, outer_bias = head
        count, width = features.shape
        sdf = features.new_empty(count)
        gradient = features.new_empty(count, 3)
        hidden = features.new_empty(count, len(layer))
        by_feature = features.new_empty(count, width)
        ctx.inputs = [_array(values) for values in (positions, features, jacobian)]
        ctx.layer = _padded(layer)
        ctx.outer = _padded(outer[0])
        ctx.shape = layer.shape
        ctx.beta = ctx.layer.dtype.type(beta)
        ctx.outputs = [hidden.numpy(), by_feature.numpy()]
        weights = (ctx.layer, _padded(bias), ctx.outer, ctx.layer.dtype.type(outer_bias.item()), ctx.beta)
        kernels.distance(*ctx.inputs, *weights, sdf.numpy(), gradient.numpy(), *ctx.outputs)
        ctx.mark_non_differentiable(hidden)
        ctx.set_materialize_grads(False)
        return sdf, gradient, hidden

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, sdf_grad: Tensor | None, gradient_grad: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        _, features, jacobian = ctx.inputs
        sums = [_by_part(len(features), values) for values in (ctx.layer, ctx.outer, ctx.outer)]
        output_grads = [_or_zeros(sdf_grad, features[:, 0]), _or_zeros(gradient_grad, jacobian[:, 0])]
        filled = [np.empty_like(features), np.empty_like(jacobian)]
        kernels.distance_back(*ctx.inputs, ctx.layer, ctx.outer, ctx.beta, *ctx.outputs, *output_grads, *filled, *sums)
        layer_grad, bias_grad, outer_grad = (torch.from_numpy(values.sum(axis=0)) for values in sums)
        features_grad, jacobian_grad = (torch.from_numpy(values) for values in filled)
        units, inputs = ctx.shape
        outer_bias_grad = torch.tensor([output_grads[0].sum()])
        head_grads = (layer_grad[:units, :inputs], bias_grad[:units], outer_grad[None, :units], outer_bias_grad)
        return None, features_grad, jacobian_grad, None, *head_grads


class _Network(torch.autograd.Function):
    """Linear layers with ReLU between them, from `count` inputs side by side, then weights, bias, weights, bias ...

    Inputs after the last one that needs a gradient cost nothing in the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, count: int, *values: Tensor) -> Tensor:
        inputs = values[:count]
        weights_and_biases = values[count:]
        padded = [_padded(values) for values in weights_and_biases]
        ctx.inputs = tuple(_array(part) for part in inputs)
        ctx.shapes = [values.shape for values in weights_and_biases]
        ctx.layers = tuple(padded[::2])
        ctx.biases = tuple(padded[1::2])
        outputs = inputs[0].new_empty(len(inputs[0]), len(weights_and_biases[-1]))
        kernels.network(ctx.inputs, ctx.layers, ctx.biases, _widest(ctx.layers), outputs.numpy())
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outputs_grad: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.inputs)
        rows = len(outputs_grad)
        last = max((k for k in range(count) if ctx.needs_input_grad[1 + k]), default=0)
        inputs_grad = tuple(np.empty_like(part[:, : None if k <= last else 0]) for k, part in enumerate(ctx.inputs))
        columns = sum(values.shape[1] for values in inputs_grad)
        transposed = [np.ascontiguousarray(layer.T) for layer in ctx.layers]
        transposed[0] = transposed[0][: columns + -columns % kernels.PAD]
        layers_grad = tuple(_by_part(rows, values) for values in ctx.layers)
        biases_grad = tuple(_by_part(rows, values) for values in ctx.biases)
        weights = (ctx.layers, tuple(transposed), ctx.biases, _widest(ctx.layers))
        kernels.network_back(ctx.inputs, *weights, _array(outputs_grad), inputs_grad, layers_grad, biases_grad)
        parts = [values for pair in zip(layers_grad, biases_grad, strict=True) for values in pair]
        sums = (torch.from_numpy(values.sum(axis=0)) for values in parts)
        cut = (values[tuple(map(slice, shape))] for values, shape in zip(sums, ctx.shapes, strict=True))
        return None, *map(torch.from_numpy, inputs_grad[: last + 1]), *[None] * (count - 1 - last), *cut


distance: Callable[..., tuple[Tensor, Tensor, Tensor]] = _Distance.apply
network: Callable[..., Tensor] = _Network.apply


def _array(values: Tensor) -> np.ndarray:
    array: np.ndarray = values.detach().contiguous().numpy()
    return array


def _padded(values: Tensor) -> np.ndarray:
    """With zeros behind, up to a multiple of `PAD` along every axis."""
    gaps = [length for size in reversed(values.shape) for length in (0, -size % kernels.PAD)]
    return _array(pad(values.detach(), gaps))


def _by_part(count: int, values: np.ndarray) -> np.ndarray:
    """Zeros like the values, for every part of so many points."""
    return np.zeros((-(-count // kernels.PART), *values.shape), values.dtype)


def _or_zeros(gradient: Tensor | None, like: np.ndarray) -> np.ndarray:
    return np.zeros(like.shape, like.dtype) if gradient is None else _array(gradient)


def _widest(layers: tuple[np.ndarray, ...]) -> int:
    return max(size for layer in layers for size in layer.shape)
