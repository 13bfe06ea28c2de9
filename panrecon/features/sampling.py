"""Bilinear interpolation of feature maps."""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from panrecon.structures import Camera, FeatureMap


def sample(features: FeatureMap, camera: Camera, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n D"]:
    """The features at pixels (u, v) of `camera`, bilinear between cell centres, constant outside the outermost."""
    height, width, dimensions = features.values.shape
    cell, share = bilinear_weights((height, width), camera, pixels)
    return interpolate(features.values.reshape(-1, dimensions), cell, share)


def bilinear_weights(
    size: tuple[int, int], camera: Camera, pixels: Float[np.ndarray, "n 2"]
) -> tuple[Int[np.ndarray, "n 4"], Float[np.ndarray, "n 4"]]:
    """The four cells (row-major indices) around pixels in a map of this size, and their bilinear weights."""
    height, width = size
    column = ((pixels[:, 0] + 0.5) * width / camera.width - 0.5).clip(0, width - 1)
    row = ((pixels[:, 1] + 0.5) * height / camera.height - 0.5).clip(0, height - 1)
    left, top = np.floor(column).astype(np.int64), np.floor(row).astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    x, y = column - left, row - top
    cells = np.stack([top * width + left, top * width + right, bottom * width + left, bottom * width + right], axis=1)
    share = np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], axis=1).astype(np.float32)
    return cells, share


def interpolate(
    cells: Float[np.ndarray, "c D"], cell: Int[np.ndarray, "n 4"], share: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, "n D"]:
    """The sums of cells weighted by `share`."""
    starts = np.arange(0, 4 * len(cell) + 1, 4)
    interpolation = csr_array((share.ravel(), cell.ravel(), starts), (len(cell), len(cells)))
    return np.asarray(interpolation @ cells)


def on_camera(features: FeatureMap, source: Camera, target: Camera) -> FeatureMap:
    """Features over an image of `source`, resampled over that of `target` at the same pose, on a grid of one size."""
    if source == target:
        return features
    height, width, dimensions = features.values.shape
    u = (np.arange(width) + 0.5) * target.width / width - 0.5
    v = (np.arange(height) + 0.5) * target.height / height - 0.5
    u = (u - target.cx) / target.fx * source.fx + source.cx
    v = (v - target.cy) / target.fy * source.fy + source.cy
    pixels = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    return FeatureMap(sample(features, source, pixels).reshape(height, width, dimensions))
