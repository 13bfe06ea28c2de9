"""The layout of a scene: gravity, levels, and the situation of every vertex, in one go."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from panrecon.layout.columns import columns
from panrecon.layout.gravity import Gravity, estimate_gravity
from panrecon.layout.levels import Levels, find_levels
from panrecon.layout.parameters import LayoutParameters
from panrecon.layout.situations import situations
from panrecon.structures import TriangleMesh


@dataclass(frozen=True)
class Layout:
    """What geometry alone says of a scene; `situation` is a `Situation` and `height` metres along gravity's upward.

    Heights are measured from the world's origin, as those of the levels.
    """

    gravity: Gravity
    levels: Levels
    height: Float[np.ndarray, " V"]
    situation: Int[np.ndarray, " V"]


def scene_layout(
    mesh: TriangleMesh,
    poses: Float[np.ndarray, "n 4 4"],
    voxel_size: float,
    parameters: LayoutParameters = LayoutParameters(),
) -> Layout:
    """The layout of a mesh that was fused with voxels of this size (m) from these poses (world from camera)."""
    gravity = estimate_gravity(mesh, poses, parameters)
    surface = columns(mesh, gravity, voxel_size, parameters)
    levels = find_levels(surface, poses, parameters)
    return Layout(gravity, levels, surface.height, situations(surface, levels, parameters))
