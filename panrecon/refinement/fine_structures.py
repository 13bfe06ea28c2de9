"""Slim and small segments keep what the frames that show them give to them.

Superfaces and voxels are coarser than a whisk or the foot of a lamp, and a rod is lost piece by piece to its wall.
The masks of the frames that show such a segment draw it as fine as their pixels.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from panrecon.geometry.mesh import vertex_areas
from panrecon.geometry.subdivision import halved
from panrecon.refinement.boundaries import REACH, look, members, near_border
from panrecon.refinement.segments import NO_SEGMENT, counted, labels_of
from panrecon.refinement.visibility import Claims, Support, support
from panrecon.structures import VOID, Labels, PanopticMesh, TriangleMesh, View, Views

SHARE: Final = 0.4  # of the frames that show a segment, more than which must give a vertex to it
FRAMES: Final = 2  # at least, that must show a segment and see a vertex, for it to be taken on their word
SLIM: Final = 0.8  # of a slim segment's vertices, at most, lie inside: further from its border than is doubted
UNLIKE: Final = 1.0  # units of look (`borders.look`) from the inside of its segment, from which a vertex may leave it
ALONE: Final = 2.0  # units from which it may leave it on the word of a single frame, and for good
BESIDE: Final = 2.0  # of the field's reach: how far around slim segments vertices are asked for
SMALL: Final = 10.0  # reaches squared: the area that a small thing's is below
AROUND: Final = 0.3  # of the field's reach: how far around small things the mesh is made finer
# Halvings of edges, and whether a middle is of the smaller segment: so every quarter is of the end that is nearer.
HALVINGS: Final = (True, False)


def with_slim_segments(
    panoptic: PanopticMesh,
    views: Views,
    masks: Callable[[View], Labels],
    reach: float,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Labels, Bool[np.ndarray, " V"]]:
    """The labels, but vertices around a slim segment, of a larger one, belong to it where masks say so.

    That is where the frames which show the slim one give them to it, and they look unlike the inside of the segment
    that has them. The second result is which vertices look so unlike it that they need not be doubted again. For the
    arguments see `with_small_things`.
    """
    mesh = panoptic.mesh
    segment, present = counted(panoptic.labels)
    inner = ~near_border(mesh, segment, REACH * reach) & (segment != VOID)
    size, inside = (np.bincount(segment[some], minlength=len(present)) for some in (segment != VOID, inner))
    slim = np.flatnonzero(inside <= SLIM * size)
    place, row = _claims(mesh.vertices, segment, slim, size, BESIDE * reach)
    told = support(mesh.vertices, Claims(place, present[row]), panoptic, views, masks, reach, progress)
    likely = np.flatnonzero(told.share > SHARE)
    unlike = _unlike(mesh, segment, inner, place[likely], reach)
    enough = (unlike >= UNLIKE) & ((told.seen[likely] >= FRAMES) | (unlike >= ALONE))
    settled = np.zeros(len(segment), dtype=bool)
    settled[place[likely[unlike >= ALONE]]] = True
    return _given(segment, present, place, row, told, likely[enough]), settled


def with_small_things(
    panoptic: PanopticMesh,
    views: Views,
    masks: Callable[[View], Labels],
    reach: float,
    progress: Callable[[int], None] = lambda done: None,
) -> PanopticMesh:
    """The mesh made finer around small things, and vertices there given to them where masks say so.

    `masks` gives a view's own labels at its size, and is asked from several threads; `reach` is `field.reach` (m);
    `progress` hears how many views are read.
    """
    mesh = panoptic.mesh
    segment, present = counted(panoptic.labels)
    area = np.bincount(
        segment[segment != VOID], vertex_areas(mesh.vertices, mesh.faces)[segment != VOID], minlength=len(present)
    )
    small = np.flatnonzero((area < SMALL * reach**2) & (labels_of(present).instance != VOID))
    if not len(small):
        progress(len(views.poses))
        return panoptic
    for to_smaller in HALVINGS:
        near = _within(mesh.vertices, mesh.vertices[np.isin(segment, small)], AROUND * reach)
        mesh, segment = _finer(mesh, segment, near, area if to_smaller else -area)
    place, row = _claims(mesh.vertices, segment, small, area, AROUND * reach)
    told = support(mesh.vertices, Claims(place, present[row]), panoptic, views, masks, reach, progress)
    likely = np.flatnonzero((told.share > SHARE) & (told.seen >= FRAMES))
    return PanopticMesh(mesh, _given(segment, present, place, row, told, likely))


def _claims(
    vertices: Float[np.ndarray, "V 3"],
    segment: Int[np.ndarray, " V"],
    claimants: Int[np.ndarray, " s"],
    size: Float[np.ndarray, " S"] | Int[np.ndarray, " S"],
    radius: float,
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Vertices within `radius` (m) of a claimant, of segments larger than it; the vertex and the claimant of each."""
    place, row = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    mine = members(segment, len(size))
    for claimant in claimants:
        body = vertices[mine[claimant]]
        box = ((vertices >= body.min(axis=0) - radius) & (vertices <= body.max(axis=0) + radius)).all(axis=1)
        larger = np.append(size > size[claimant], False)[segment]  # the last is read by VOID
        found = np.flatnonzero(box & larger)
        found = found[_within(vertices[found], body, radius)]
        place.append(found)
        row.append(np.full(len(found), claimant))
    return np.concatenate(place), np.concatenate(row)


def _within(
    points: Float[np.ndarray, "p 3"], others: Float[np.ndarray, "q 3"], radius: float
) -> Bool[np.ndarray, " p"]:
    distance, _ = cKDTree(others).query(points, distance_upper_bound=radius, workers=-1)
    return np.isfinite(distance)


def _unlike(
    mesh: TriangleMesh,
    segment: Int[np.ndarray, " V"],
    inner: Bool[np.ndarray, " V"],
    vertex: Int[np.ndarray, " n"],
    reach: float,
) -> Float[np.ndarray, " n"]:
    """Units of look between each vertex and what is most like it of the inside of its segment; inf from `ALONE` on.

    What has no inside has no look: such vertices count as unlike it, but not so that they may leave it for good.
    """
    looks, result = look(mesh, reach), np.full(len(vertex), UNLIKE)
    inside = np.flatnonzero(inner)
    count = int(segment.max(initial=VOID)) + 1
    for some, of_inside in zip(*(members(segment[chosen], count) for chosen in (vertex, inside)), strict=True):
        if len(some) and len(of_inside):
            tree = cKDTree(looks[inside[of_inside]])
            result[some], _ = tree.query(looks[vertex[some]], distance_upper_bound=ALONE, workers=-1)
    return result


def _given(
    segment: Int[np.ndarray, " V"],
    present: Int[np.ndarray, " S"],
    place: Int[np.ndarray, " n"],
    row: Int[np.ndarray, " n"],
    told: Support,
    granted: Int[np.ndarray, " m"],
) -> Labels:
    """The labels after the claims `granted`; of several to a vertex that with the largest share of frames wins."""
    order = granted[np.argsort(told.share[granted], kind="stable")]
    final = np.append(present, NO_SEGMENT)[segment]
    final[place[order]] = present[row[order]]
    return labels_of(final)


def _finer(
    mesh: TriangleMesh, segment: Int[np.ndarray, " V"], chosen: Bool[np.ndarray, " V"], rank: Float[np.ndarray, " S"]
) -> tuple[TriangleMesh, Int[np.ndarray, " W"]]:
    """Every edge of a face with a vertex `chosen` is halved; its middle is of the segment of lower rank."""
    faces, count = mesh.faces.astype(np.int64), len(mesh.vertices)
    ends = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2), axis=2)
    edge = ends[..., 0] * count + ends[..., 1]
    around = np.unique(edge[chosen[faces].any(axis=1)])
    finer, parents, _ = halved(mesh, np.isin(edge, around))
    start, end = segment[parents].T
    rank = np.append(rank, np.inf)  # the last is read by VOID
    return finer, np.concatenate([segment, np.where(rank[start] <= rank[end], start, end)])
