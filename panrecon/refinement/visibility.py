"""How often the masks of frames that show a segment give a vertex to it.

A frame whose masks miss an object gives its pixels to the surroundings, and is no evidence of where the object ends.
Counted with the others, such frames shrink every object, and remove the elongated ones.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.geometry.projective import invert, nearest_pixel, project, transform
from panrecon.progress import Advance
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.segments import VOID_SEGMENT, indices_by_group, segment_ids, unique_segments
from panrecon.structures import VOID, LabelsOfView, PanopticMesh, View, Views
from panrecon.threads import parallel_map


@dataclass(frozen=True)
class Candidates:
    """Pairs of a point (its index) and a segment (its id) that the point may belong to."""

    point: Int[np.ndarray, " n"]
    segment_id: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class Support:
    """For every candidate: frames that show the segment and have a label at the point, and how many agree with it."""

    frame_count: Int[np.ndarray, " n"]
    vote_count: Int[np.ndarray, " n"]

    @property
    def share(self) -> Float[np.ndarray, " n"]:
        """Votes per frame, in [0, 1]; 0 where there is no frame."""
        return np.asarray(self.vote_count / self.frame_count.clip(1))


def support(
    points: Float[np.ndarray, "p 3"],
    candidates: Candidates,
    panoptic: PanopticMesh,
    views: Views,
    labels_of_view: LabelsOfView,
    parameters: RefinementParameters,
    advance: Advance = lambda done: None,
) -> Support:
    """The votes of all views on every candidate: a point (m, world) and a segment of the mesh.

    A view shows a segment if its masks give enough of the segment's visible vertices to it. `advance` takes the number
    of views that are read.
    """
    count = len(candidates.point)
    result = Support(np.zeros(count, np.int64), np.zeros(count, np.int64))
    if not count:
        advance(len(views.poses))
        return result
    segment_of_vertex, present = unique_segments(panoptic.labels)
    ids, segment_of_candidate = np.unique(candidates.segment_id, return_inverse=True)
    samples = _sampled_vertices(segment_of_vertex, np.searchsorted(present, ids), parameters.max_sampled_vertices)
    sample = np.concatenate([np.zeros(0, np.int64), *samples])
    segment_of_sample = np.repeat(np.arange(len(ids)), [len(vertices) for vertices in samples])
    point, point_of_candidate = np.unique(candidates.point, return_inverse=True)
    tolerance = parameters.metres(parameters.depth_tolerance)

    def votes(view_index: int) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        view = views.read(view_index)
        image = segment_ids(labels_of_view(view))
        image = np.where(np.isin(image, present), image, VOID_SEGMENT)  # segments that the mesh lacks do not vote
        is_visible, id_at_sample = _ids_at_pixels(panoptic.mesh.vertices[sample], view, image, tolerance)
        visible = np.bincount(segment_of_sample, is_visible, len(ids))
        labelled = np.bincount(segment_of_sample, id_at_sample == ids[segment_of_sample], len(ids))
        is_shown = (visible >= parameters.min_shown_vertices) & (labelled >= parameters.min_shown_share * visible)
        _, id_at_point = _ids_at_pixels(points[point], view, image, tolerance)
        id_at_candidate = id_at_point[point_of_candidate]
        counts = is_shown[segment_of_candidate] & (id_at_candidate != VOID_SEGMENT)
        return counts, counts & (id_at_candidate == candidates.segment_id)

    for done, (counts, agrees) in enumerate(parallel_map(votes, range(len(views.poses))), start=1):
        np.add(result.frame_count, counts, out=result.frame_count)
        np.add(result.vote_count, agrees, out=result.vote_count)
        advance(done)
    return result


def _sampled_vertices(
    segment_of_vertex: Int[np.ndarray, " V"], segments: Int[np.ndarray, " s"], max_count: int
) -> list[Int[np.ndarray, " w"]]:
    """Evenly spaced vertices of each of the `segments`, at most `max_count`."""
    vertices_of_segment = indices_by_group(segment_of_vertex, int(segment_of_vertex.max(initial=VOID)) + 1)
    all_vertices = (vertices_of_segment[segment] for segment in segments)
    return [vertices[:: -(-len(vertices) // max_count)] for vertices in all_vertices]


def _ids_at_pixels(
    points: Float[np.ndarray, "p 3"], view: View, ids: Int[np.ndarray, "H W"], tolerance: float
) -> tuple[Bool[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Whether each point (m, world) is visible in the view, and the segment id at its pixel, void where it is not."""
    pixel, distance = project(view.camera, transform(invert(view.world_from_camera), points.astype(np.float64)))
    column, row, inside = nearest_pixel(view.camera, pixel)
    depth = view.depth[row, column]
    is_visible = inside & (depth > 0) & (np.abs(depth - distance) < tolerance)
    return is_visible, np.where(is_visible, ids[row, column], VOID_SEGMENT)
