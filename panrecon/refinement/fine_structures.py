"""Elongated segments and small objects take the vertices that masks give to them.

Superfaces and voxels are coarser than a whisk or the foot of a lamp, and a rod is lost piece by piece to its wall. The
masks of the frames that show such a segment draw it as fine as their pixels.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from panrecon.geometry.mesh import vertex_areas
from panrecon.geometry.subdivision import split_edges
from panrecon.progress import Progress, no_progress
from panrecon.refinement.boundaries import appearance_descriptor, within_boundary_distance
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.segments import VOID_SEGMENT, indices_by_group, labels_of_ids, unique_segments
from panrecon.refinement.visibility import Candidates, Support, support
from panrecon.structures import VOID, Labels, LabelsOfView, PanopticMesh, TriangleMesh, Views

# Rounds of midpoint subdivision, and whether a midpoint is of the smaller segment: every quarter is of the nearer end.
SUBDIVISIONS: Final = (True, False)


@dataclass(frozen=True)
class ElongatedSegments:
    """The labels after elongated segments were refined, and which vertices keep theirs whatever is relabelled later."""

    labels: Labels
    is_frozen: Bool[np.ndarray, " V"]


@dataclass(frozen=True)
class _Joining:
    """Pairs of a vertex and a segment (its index) that it may join."""

    vertex: Int[np.ndarray, " n"]
    segment: Int[np.ndarray, " n"]


def refine_elongated_segments(
    panoptic: PanopticMesh,
    views: Views,
    labels_of_view: LabelsOfView,
    parameters: RefinementParameters,
    progress: Progress = no_progress,
) -> ElongatedSegments:
    """The labels, but vertices around an elongated segment, of a larger one, join it where masks say so.

    That is where the frames that show the elongated segment give them to it, and they differ in appearance from the
    interior of the segment that has them. Those that differ much are frozen. An elongated segment is one with a small
    interior.
    """
    mesh = panoptic.mesh
    segment, present = unique_segments(panoptic.labels)
    near_boundary = within_boundary_distance(mesh, segment, parameters.metres(parameters.boundary_distance))
    is_interior = ~near_boundary & (segment != VOID)
    size = np.bincount(segment[segment != VOID], minlength=len(present))
    interior_size = np.bincount(segment[is_interior], minlength=len(present))
    elongated = np.flatnonzero(interior_size <= parameters.max_interior_share * size)
    radius = parameters.metres(parameters.elongated_radius)
    joining = _vertices_of_larger_segments(mesh.vertices, segment, elongated, size, radius)
    candidates = Candidates(joining.vertex, present[joining.segment])
    with progress("elongated segments", len(views.poses)) as advance:
        votes = support(mesh.vertices, candidates, panoptic, views, labels_of_view, parameters, advance)
    supported = np.flatnonzero(votes.share > parameters.min_support)
    distance = _distance_to_own_interior(mesh, segment, is_interior, joining.vertex[supported], parameters)
    differs_much = distance >= parameters.freeze_distance
    has_frames = votes.frame_count[supported] >= parameters.min_support_frames
    joins = supported[(distance >= parameters.release_distance) & (has_frames | differs_much)]
    is_frozen = np.zeros(len(segment), dtype=bool)
    is_frozen[joining.vertex[supported[differs_much]]] = True
    return ElongatedSegments(_joined(segment, present, joining, votes, joins), is_frozen)


def refine_small_objects(
    panoptic: PanopticMesh,
    views: Views,
    labels_of_view: LabelsOfView,
    parameters: RefinementParameters,
    progress: Progress = no_progress,
) -> PanopticMesh:
    """The mesh subdivided around small objects, whose neighbouring vertices join them where masks say so.

    Vertices of the given mesh stay, with their indices. Without a small object the very mesh is returned.
    """
    mesh = panoptic.mesh
    segment, present = unique_segments(panoptic.labels)
    vertex_area = vertex_areas(mesh.vertices, mesh.faces)
    area = np.bincount(segment[segment != VOID], vertex_area[segment != VOID], minlength=len(present))
    is_small = area < parameters.small_area * parameters.voxel_size**2
    small = np.flatnonzero(is_small & (labels_of_ids(present).instance != VOID))
    if not len(small):
        return panoptic
    radius = parameters.metres(parameters.small_radius)
    for to_smaller in SUBDIVISIONS:
        is_near = _is_within(mesh.vertices, mesh.vertices[np.isin(segment, small)], radius)
        mesh, segment = _subdivided(mesh, segment, is_near, area if to_smaller else -area)
    joining = _vertices_of_larger_segments(mesh.vertices, segment, small, area, radius)
    candidates = Candidates(joining.vertex, present[joining.segment])
    with progress("small objects", len(views.poses)) as advance:
        votes = support(mesh.vertices, candidates, panoptic, views, labels_of_view, parameters, advance)
    is_supported = votes.share > parameters.min_support
    joins = np.flatnonzero(is_supported & (votes.frame_count >= parameters.min_support_frames))
    return PanopticMesh(mesh, _joined(segment, present, joining, votes, joins))


def _vertices_of_larger_segments(
    vertices: Float[np.ndarray, "V 3"],
    segment: Int[np.ndarray, " V"],
    targets: Int[np.ndarray, " s"],
    size: Float[np.ndarray, " S"] | Int[np.ndarray, " S"],
    radius: float,
) -> _Joining:
    """Vertices within `radius` (m) of a target segment that belong to segments larger than it, with that target."""
    joining_vertex = [np.zeros(0, np.int64)]
    joined_segment = [np.zeros(0, np.int64)]
    vertices_of_segment = indices_by_group(segment, len(size))
    for target in targets:
        body = vertices[vertices_of_segment[target]]
        in_box = ((vertices >= body.min(axis=0) - radius) & (vertices <= body.max(axis=0) + radius)).all(axis=1)
        is_of_larger = np.append(size > size[target], False)[segment]  # the last is read by VOID
        near = np.flatnonzero(in_box & is_of_larger)
        near = near[_is_within(vertices[near], body, radius)]
        joining_vertex.append(near)
        joined_segment.append(np.full(len(near), target))
    return _Joining(np.concatenate(joining_vertex), np.concatenate(joined_segment))


def _is_within(
    points: Float[np.ndarray, "p 3"], others: Float[np.ndarray, "q 3"], radius: float
) -> Bool[np.ndarray, " p"]:
    distance, _ = cKDTree(others).query(points, distance_upper_bound=radius, workers=-1)
    return np.isfinite(distance)


def _distance_to_own_interior(
    mesh: TriangleMesh,
    segment: Int[np.ndarray, " V"],
    is_interior: Bool[np.ndarray, " V"],
    vertex: Int[np.ndarray, " n"],
    parameters: RefinementParameters,
) -> Float[np.ndarray, " n"]:
    """Appearance distance of each vertex to the most similar interior vertex of its segment; inf if it differs much.

    A segment without an interior has no appearance: its vertices may leave it, but are not frozen.
    """
    descriptor = appearance_descriptor(mesh, parameters)
    result = np.full(len(vertex), parameters.release_distance)
    interior = np.flatnonzero(is_interior)
    count = int(segment.max(initial=VOID)) + 1
    queries_of_segment = indices_by_group(segment[vertex], count)
    interior_of_segment = indices_by_group(segment[interior], count)
    for queries, inside in zip(queries_of_segment, interior_of_segment, strict=True):
        if len(queries) and len(inside):
            tree = cKDTree(descriptor[interior[inside]])
            limit = parameters.freeze_distance
            result[queries], _ = tree.query(descriptor[vertex[queries]], distance_upper_bound=limit, workers=-1)
    return result


def _joined(
    segment: Int[np.ndarray, " V"],
    present: Int[np.ndarray, " S"],
    joining: _Joining,
    votes: Support,
    joins: Int[np.ndarray, " m"],
) -> Labels:
    """The labels after the pairs `joins` have joined; of several for one vertex the best supported counts."""
    order = joins[np.argsort(votes.share[joins], kind="stable")]
    ids = np.append(present, VOID_SEGMENT)[segment]
    ids[joining.vertex[order]] = present[joining.segment[order]]
    return labels_of_ids(ids)


def _subdivided(
    mesh: TriangleMesh, segment: Int[np.ndarray, " V"], is_near: Bool[np.ndarray, " V"], rank: Float[np.ndarray, " S"]
) -> tuple[TriangleMesh, Int[np.ndarray, " W"]]:
    """Every edge of a face with a near vertex is split; its midpoint is of the segment of lower rank."""
    faces = mesh.faces.astype(np.int64)
    count = len(mesh.vertices)
    ends = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2), axis=2)
    edge = ends[..., 0] * count + ends[..., 1]
    split = np.unique(edge[is_near[faces].any(axis=1)])
    finer, parents, _ = split_edges(mesh, np.isin(edge, split))
    start, end = segment[parents].T
    rank = np.append(rank, np.inf)  # the last is read by VOID
    return finer, np.concatenate([segment, np.where(rank[start] <= rank[end], start, end)])
