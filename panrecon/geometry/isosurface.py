"""The zero level set of a signed distance on a regular grid, by marching cubes."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from panrecon.structures import TriangleMesh


def zero_level_set(values: Float[np.ndarray, "x y z"], mask: Bool[np.ndarray, "x y z"], spacing: float) -> TriangleMesh:
    """The surface between positive (free) and negative nodes, in cells whose eight nodes are all in the mask.

    Coordinates are those of the nodes, `spacing` (m) apart from node (0, 0, 0) on; the surface is black.
    """
    from skimage.measure import marching_cubes

    trusted = ndimage.minimum_filter(mask, size=2, origin=0)
    inside = values[mask]
    if not trusted.any() or inside.min(initial=1.0) > 0 or inside.max(initial=-1.0) < 0:
        return TriangleMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros((0, 3), np.uint8))
    extract: Callable[..., tuple[np.ndarray, ...]] = marching_cubes
    vertices, faces, _, _ = extract(values, 0.0, spacing=(spacing,) * 3, gradient_direction="descent", mask=trusted)
    return TriangleMesh(vertices.astype(np.float64), faces.astype(np.int32), np.zeros((len(vertices), 3), np.uint8))
