"""The surface of a mesh, sorted by the squares of the ground plan that it stands above and by height."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.geometry.mesh import smoothed_normals, vertex_areas
from panrecon.layout.gravity import Gravity
from panrecon.layout.parameters import LayoutParameters
from panrecon.structures import TriangleMesh


@dataclass(frozen=True)
class Columns:
    """The vertices of a mesh in vertical columns over a ground plan of squares.

    `height` is along the upward direction, from the world's origin (m); `area` the surface that a vertex stands for
    (m^2), `upward` the cosine of its smoothed normal with the upward direction.
    """

    height: Float[np.ndarray, " V"]
    area: Float[np.ndarray, " V"]
    upward: Float[np.ndarray, " V"]
    column: Int[np.ndarray, " V"]
    centre: Float[np.ndarray, "C 2"]  # of every column, in the ground plan (m)
    size: float  # m, side of a column
    gravity: Gravity
    voxel_size: float  # m

    @cached_property
    def upside_down(self) -> "Columns":
        """The same with the ceiling as the floor."""
        return replace(self, height=-self.height, upward=-self.upward)

    def faces_up(self, parameters: LayoutParameters) -> Bool[np.ndarray, " V"]:
        """Which vertices are of horizontal surface seen from above."""
        return self.upward > np.cos(parameters.horizontal_angle)

    def is_clear_below(self, vertices: Int[np.ndarray, " n"], parameters: LayoutParameters) -> Bool[np.ndarray, " n"]:
        """Whether hardly any surface lies deeper in the column of these vertices, as far down as the headroom.

        The ceiling of the storey below, which faces down, does not count.
        """
        area = np.where(self.upside_down.faces_up(parameters), 0.0, self.area)
        stride = np.ptp(self.height) + 2 * parameters.headroom if len(self.height) else 1.0
        key = self.column * stride + self.height
        order = np.argsort(key, kind="stable")
        cumulated = np.concatenate([[0.0], np.cumsum(area[order])])
        top = key[vertices] - 2 * parameters.level_tolerance(self.voxel_size)
        low, high = np.searchsorted(key[order], np.stack([key[vertices] - parameters.headroom, top]))
        return cumulated[high] - cumulated[low] < parameters.clear_share * self.size**2


def ground_axes(gravity: Gravity) -> Float[np.ndarray, "2 3"]:
    """Two horizontal unit vectors at right angles: the axes of the ground plan."""
    first = np.cross(gravity.up, np.eye(3)[np.abs(gravity.up).argmin()])
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(gravity.up, first)])


def columns(mesh: TriangleMesh, gravity: Gravity, voxel_size: float, parameters: LayoutParameters) -> Columns:
    """The columns of a mesh of voxels of this size (m)."""
    vertices = mesh.vertices.astype(np.float64)
    size = parameters.column_size * voxel_size
    place = np.einsum("vk,ak->va", vertices, ground_axes(gravity))
    square = np.floor((place - place.min(axis=0, initial=np.inf)) / size).astype(np.int64)
    rows = int(square[:, 1].max(initial=0)) + 1
    occupied, column = np.unique(square[:, 0] * rows + square[:, 1], return_inverse=True)
    squares = np.stack(np.divmod(occupied, rows), axis=1)
    normals = smoothed_normals(vertices, mesh.faces, parameters.smoothing_rounds)
    return Columns(
        height=np.einsum("vk,k->v", vertices, gravity.up),
        area=vertex_areas(vertices, mesh.faces),
        upward=np.einsum("vk,k->v", normals, gravity.up),
        column=column.reshape(-1),
        centre=place.min(axis=0, initial=np.inf) + (squares + 0.5) * size,
        size=size,
        gravity=gravity,
        voxel_size=voxel_size,
    )
