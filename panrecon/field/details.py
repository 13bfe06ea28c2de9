"""Slim and small segments keep what the frames that show them give to them.

Superfaces and voxels are coarser than a whisk or the foot of a lamp, and what is hardly more than border has no inside
by whose look its end could be told. The masks of the frames that show such a segment draw it as fine as their pixels.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from panrecon.field.borders import REACH, look, members, near_border
from panrecon.field.segments import counted, labels_of
from panrecon.field.shown import Claims, Support, support
from panrecon.geometry import vertex_areas
from panrecon.structures import VOID, Labels, PanopticMesh, TriangleMesh, View, Views

SHARE: Final = 0.4  # of the frames that show a segment, above which they give a vertex to it
FRAMES: Final = 2  # at least, that must show a segment for it to take what looks alike
SLIM: Final = 0.8  # of a slim segment's vertices, at most, lie further from its border than borders are doubted
UNLIKE: Final = 1.0  # units of look (`borders.look`) from the inside of its segment, from which a vertex may leave it
ALONE: Final = 2.0  # units from which it may leave it on the word of a single frame, and for good
BESIDE: Final = 2.0  # of the field's reach: how far around slim segments vertices are asked for
SMALL: Final = 10.0  # reaches squared: the area that a small thing's is below
AROUND: Final = 0.3  # of the field's reach: how far around small things the mesh is made finer
ROUNDS: Final = 2  # of halving edges: a voxel of 2 cm becomes pixels of 5 mm

# Sides halved -> triangles, of corners 0 to 2 and the middles 3 to 5 of the sides 0-1, 1-2 and 2-0.
SPLITS: Final = {
    1: ((0, 3, 2), (3, 1, 2)),
    2: ((0, 1, 4), (0, 4, 5), (5, 4, 2)),
    3: ((0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5)),
}


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
        return panoptic
    for _ in range(ROUNDS):
        near = _within(mesh.vertices, mesh.vertices[np.isin(segment, small)], AROUND * reach)
        mesh, segment = _halved(mesh, segment, near)
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
    for claimant in claimants:
        larger = np.append(size > size[claimant], False)[segment]  # the last is read by VOID
        found = np.flatnonzero(larger & _within(vertices, vertices[segment == claimant], radius))
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
    """Units of look between each vertex and what is most like it of the inside of its segment; inf without inside."""
    looks, result = look(mesh, reach), np.full(len(vertex), np.inf)
    inside = np.flatnonzero(inner)
    count = int(segment.max(initial=VOID)) + 1
    for some, of_inside in zip(*(members(segment[chosen], count) for chosen in (vertex, inside)), strict=True):
        if len(some) and len(of_inside):
            result[some], _ = cKDTree(looks[inside[of_inside]]).query(looks[vertex[some]], workers=-1)
    return result


def _given(
    segment: Int[np.ndarray, " V"],
    present: Int[np.ndarray, " S"],
    place: Int[np.ndarray, " n"],
    row: Int[np.ndarray, " n"],
    told: Support,
    granted: Int[np.ndarray, " m"],
) -> Labels:
    """The labels after the claims `granted`; of several to a vertex that with the most frames' word wins."""
    order = granted[np.argsort(told.share[granted], kind="stable")]
    final = np.append(present, 0)[segment]
    final[place[order]] = present[row[order]]
    return labels_of(final)


def _halved(
    mesh: TriangleMesh, segment: Int[np.ndarray, " V"], chosen: Bool[np.ndarray, " V"]
) -> tuple[TriangleMesh, Int[np.ndarray, " V2"]]:
    """Every edge of a face with a vertex `chosen` is halved, so that the mesh has no gaps, nor new ends of edges."""
    faces, count = mesh.faces.astype(np.int64), len(mesh.vertices)
    around = faces[chosen[faces].any(axis=1)]
    key = np.unique(np.concatenate([_key(around[:, side], around[:, (side + 1) % 3], count) for side in range(3)]))
    start, end = key // count, key % count
    middle = np.stack([_position(key, _key(faces[:, side], faces[:, (side + 1) % 3], count)) for side in range(3)])
    middle = np.where(middle == VOID, VOID, middle + count).T
    return (
        TriangleMesh(
            np.concatenate([mesh.vertices, (mesh.vertices[start] + mesh.vertices[end]) / 2]),
            _split(faces, middle).astype(np.int32),
            np.concatenate([mesh.colors, ((mesh.colors[start].astype(int) + mesh.colors[end]) // 2).astype(np.uint8)]),
        ),
        np.concatenate([segment, segment[start]]),
    )


def _split(faces: Int[np.ndarray, "F 3"], middle: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "G 3"]:
    """The faces, split at the middles of their sides (0-1, 1-2, 2-0) that have one; `VOID` is none."""
    sides = (middle != VOID).sum(axis=1)
    result = [faces[sides == 0]]
    for count, corners in SPLITS.items():
        some = sides == count
        turn = (middle[some] != VOID).argmax(axis=1) if count == 1 else (middle[some] == VOID).argmax(axis=1)
        turned = (np.arange(3) + turn[:, None]) % 3  # the odd side comes first
        points = np.concatenate(
            [np.take_along_axis(values[some], turned, axis=1) for values in (faces, middle)], axis=1
        )
        result += [points[:, list(three)] for three in corners]
    return np.concatenate(result)


def _key(a: Int[np.ndarray, " F"], b: Int[np.ndarray, " F"], count: int) -> Int[np.ndarray, " F"]:
    """A number for the edge between two vertices of `count`."""
    return np.minimum(a, b) * count + np.maximum(a, b)


def _position(sorted_keys: Int[np.ndarray, " e"], keys: Int[np.ndarray, " F"]) -> Int[np.ndarray, " F"]:
    """Where each key is among those that are sorted; `VOID` where it is not."""
    found = np.searchsorted(sorted_keys, keys).clip(max=max(len(sorted_keys) - 1, 0))
    return np.where(np.append(sorted_keys, VOID)[found] == keys, found, VOID)
