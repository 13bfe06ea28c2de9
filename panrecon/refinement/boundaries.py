"""Where segments meet on the surface, and which of them a vertex there looks like.

Masks are sure of what they cover and unsure of where it ends. But a vertex near a border looks like the inside of the
segment that it belongs to: the same colour on a surface that faces the same way, a hand's breadth away.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from panrecon.geometry.mesh import mesh_edges, vertex_normals
from panrecon.structures import VOID, TriangleMesh

REACH: Final = 0.5  # of the field's reach from a border, that its place is doubted
ALIKE: Final = 15  # inner vertices that a doubtful one is compared with
DISTANCE: Final = 1.5  # of the field's reach, and the next two: what counts as one unit of difference between vertices
COLOR: Final = 0.06  # of RGB in [0, 1]
NORMAL: Final = 0.3  # of unit normals
FARTHEST: Final = 4.0  # units; what differs more says nothing
BESIDE: Final = 24  # nearest vertices within `REACH`, among whose segments a vertex may choose


@dataclass(frozen=True)
class Borders:
    """The n vertices near a border; the segments of inner vertices like each (`VOID` = none), and how like, in [0, 1].

    `beside` holds the segments of the nearest vertices: it belongs to one of these.
    """

    vertex: Int[np.ndarray, " n"]
    alike: Int[np.ndarray, "n K"]
    likeness: Float[np.ndarray, "n K"]
    beside: Int[np.ndarray, "n B"]

    def likeness_of(self, segment: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """How much every vertex looks like the inside of the segment named for it."""
        return np.asarray(((self.alike == segment[:, None]) * self.likeness).sum(axis=1))

    def may_be(self, segment: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Whether the segment named for every vertex is one that lies beside it."""
        return np.asarray((segment != VOID) & (self.beside == segment[:, None]).any(axis=1))


def borders(mesh: TriangleMesh, segment: Int[np.ndarray, " V"], reach: float) -> Borders:
    """The vertices near a change of segment; those of segments that are hardly more than border keep out.

    `reach` is `field.reach` (m), in which distances are counted.

    What has no inside (a cup, a cable) has no look of its own by which to tell where it ends.
    """
    near = near_border(mesh, segment, REACH * reach)
    inner = ~near & (segment != VOID)
    count = int(segment.max(initial=VOID)) + 1
    whole, inside = (np.bincount(segment[chosen], minlength=count) for chosen in (segment != VOID, inner))
    has_inside = np.append(2 * inside > whole, False)  # the last is read by VOID
    vertex = np.flatnonzero(near & has_inside[segment])
    looks = look(mesh, reach)
    distance, like = cKDTree(looks[inner]).query(looks[vertex], k=ALIKE, distance_upper_bound=FARTHEST, workers=-1)
    everywhere = cKDTree(mesh.vertices)
    _, beside = everywhere.query(mesh.vertices[vertex], k=BESIDE, distance_upper_bound=REACH * reach, workers=-1)
    return Borders(
        vertex,
        np.append(segment[inner], VOID)[like],
        np.exp(-(distance**2) / 2),
        np.append(segment, VOID)[beside],
    )


def look(mesh: TriangleMesh, reach: float) -> Float[np.ndarray, "V 9"]:
    """Place, colour and normal of every vertex, in units in which what differs by one may be of one surface."""
    return np.concatenate(
        [
            mesh.vertices / (DISTANCE * reach),
            mesh.colors / (255 * COLOR),
            vertex_normals(mesh.vertices, mesh.faces) / NORMAL,
        ],
        axis=1,
    ).astype(np.float32)


def near_border(mesh: TriangleMesh, segment: Int[np.ndarray, " V"], radius: float) -> Bool[np.ndarray, " V"]:
    """The vertices within `radius` (m) of one whose neighbour on the mesh is of another segment."""
    start, end = mesh_edges(mesh.faces).T
    changes = segment[start] != segment[end]
    at_border = np.unique(np.concatenate([start[changes], end[changes]]))
    if not len(at_border):
        return np.zeros(len(segment), dtype=bool)
    distance, _ = cKDTree(mesh.vertices[at_border]).query(mesh.vertices, distance_upper_bound=radius, workers=-1)
    return np.isfinite(distance)


def members(group: Int[np.ndarray, " n"], count: int) -> list[Int[np.ndarray, " m"]]:
    """The positions of the members of every group, in order; what is `VOID` is of none."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.searchsorted(group[order], np.arange(count + 1)))[1:-1]
