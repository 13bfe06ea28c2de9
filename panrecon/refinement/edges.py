"""Edges made sharp again where segments meet: a vertex there returns to the surface of its own segment.

A fused surface is round by a voxel or two where two surfaces meet at an angle, and what lies in the rounding is on
neither. The label of a vertex says of which it is, and the inside of that segment, a hand's breadth away, where that
runs. And where one surface stands out from another, the step between them is a side of what stands out.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from panrecon.geometry.mesh import mesh_edges, vertex_normals
from panrecon.refinement.boundaries import members, near_border
from panrecon.refinement.segments import counted
from panrecon.structures import VOID, Labels, PanopticMesh, TriangleMesh

ROUNDED: Final = 0.4  # of the field's reach from a border, that vertices are moved within
INSIDE: Final = 0.3  # of it from a border, that those they are moved after keep
FARTHEST: Final = 1.5  # of it, from a vertex to the inside of its segment
STEP: Final = 0.02  # of it, from which one surface is taken to stand out from another
ALIKE: Final = 0.95  # length of their mean normal, from which inner vertices are taken to be of one plane
PARALLEL: Final = 0.9  # cosine between the normals of two surfaces with a step between them
NEIGHBOURS: Final = 30  # inner vertices
ROUNDS: Final = 2  # in which inner vertices take the mean of their neighbours' places and normals
FEWEST: Final = 10  # inner vertices that a segment needs


_Surface = tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "V 3"]]  # places and unit normals of all vertices


@dataclass(frozen=True)
class _Planes:
    """The surface of its segment beside each of n vertices: a point and a unit normal, 0 where there is none."""

    place: Float[np.ndarray, "n 3"]
    normal: Float[np.ndarray, "n 3"]

    def height_of(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Of every point above its plane, m; 0 where there is none."""
        return np.asarray(np.einsum("nc,nc->n", points - self.place, self.normal))

    def at(self, index: Int[np.ndarray, " m"]) -> "_Planes":
        return _Planes(self.place[index], self.normal[index])


def sharpened(mesh: TriangleMesh, labels: Labels, reach: float) -> PanopticMesh:
    """Vertices near a change of segment are moved along a normal onto their own segment's surface.

    That is the mean plane of the nearest inner vertices of the segment, if these agree on one. Vertices of segments
    that have no inside, and void ones, stay. Before, where one segment lies above another, the lower one's vertices at
    the foot of the step become the upper one's. `reach` is `field.reach` (m).
    """
    surface = _smoothed(mesh)
    labels = _with_steps(mesh, labels, surface, reach)
    segment, _ = counted(labels)
    moving = np.flatnonzero(near_border(mesh, segment, ROUNDED * reach))
    planes = _planes(mesh, segment, moving, surface, reach)
    vertices = mesh.vertices.astype(np.float64)
    vertices[moving] -= planes.height_of(vertices[moving])[:, None] * planes.normal
    return PanopticMesh(TriangleMesh(vertices.astype(mesh.vertices.dtype), mesh.faces, mesh.colors), labels)


def _with_steps(mesh: TriangleMesh, labels: Labels, surface: _Surface, reach: float) -> Labels:
    """The labels, but a vertex beside a parallel surface that stands out from its own belongs to that.

    What stands out is as thick as it is high, and masks, which are drawn from above, are sure of its top alone. Of
    several such surfaces it is the highest; and in a bend, where each lies above the plane of the other, it is none.
    """
    (segment, _), edges = counted(labels), mesh_edges(mesh.faces)
    edges = edges[segment[edges[:, 0]] != segment[edges[:, 1]]]
    upper, lower = np.concatenate([edges, edges[:, ::-1]]).T
    vertex, place = np.unique(np.concatenate([upper, lower]), return_inverse=True)
    planes = _planes(mesh, segment, vertex, surface, reach)
    above, below = (planes.at(index) for index in np.split(place.reshape(-1), 2))
    height = np.minimum(below.height_of(above.place), -above.height_of(below.place))
    parallel = np.einsum("nc,nc->n", above.normal, below.normal) > PARALLEL
    steps = np.flatnonzero(parallel & (height > STEP * reach))
    steps = steps[np.argsort(height[steps], kind="stable")]  # the last word on a vertex is the highest's
    category, instance = labels.category.copy(), labels.instance.copy()
    category[lower[steps]], instance[lower[steps]] = labels.category[upper[steps]], labels.instance[upper[steps]]
    return Labels(category, instance)


def _planes(
    mesh: TriangleMesh,
    segment: Int[np.ndarray, " V"],
    vertex: Int[np.ndarray, " n"],
    surface: _Surface,
    reach: float,
) -> _Planes:
    """The mean plane of the inner vertices next to each vertex, of those of its own segment."""
    inner = np.flatnonzero(~near_border(mesh, segment, INSIDE * reach))
    planes = _Planes(np.zeros((len(vertex), 3)), np.zeros((len(vertex), 3)))
    count = int(segment.max(initial=VOID)) + 1
    for some, inside in zip(*(members(segment[chosen], count) for chosen in (vertex, inner)), strict=True):
        if len(some) and len(inside) >= FEWEST:
            nearest = cKDTree(mesh.vertices[inner[inside]]).query(
                mesh.vertices[vertex[some]],
                k=min(NEIGHBOURS, len(inside)),
                distance_upper_bound=FARTHEST * reach,
                workers=-1,
            )
            distance, near = (np.asarray(values) for values in nearest)
            found = np.isfinite(distance)
            share = (found / found.sum(axis=1, keepdims=True).clip(1))[..., None]
            near = inner[inside][np.where(found, near, 0)]
            planes.place[some], normal = ((share * values[near]).sum(axis=1) for values in surface)
            length = np.linalg.norm(normal, axis=1, keepdims=True)
            planes.normal[some] = np.where(length > ALIKE, normal / length.clip(1e-12), 0.0)
    return planes


def _smoothed(mesh: TriangleMesh) -> _Surface:
    """Places and unit normals, averaged over neighbours on the mesh."""
    start, end = mesh_edges(mesh.faces).T
    rows, columns = np.concatenate([start, end]), np.concatenate([end, start])
    count = len(mesh.vertices)
    neighbours = csr_array((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    share = 1 / (1 + np.bincount(rows, minlength=count))[:, None]
    values = np.concatenate([mesh.vertices, vertex_normals(mesh.vertices, mesh.faces)], axis=1).astype(np.float64)
    for _ in range(ROUNDS):
        values = (neighbours @ values + values) * share
    length: Float[np.ndarray, " V"] = np.linalg.norm(values[:, 3:], axis=1)
    return values[:, :3], values[:, 3:] / length[:, None].clip(1e-12)
