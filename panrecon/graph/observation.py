"""Observations of the surface: the vertices that every frame sees, and the masks that cover them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array

from panrecon.geometry.projective import nearest_pixel
from panrecon.geometry.raycasting import visible_points
from panrecon.graph.evidence import Evidence
from panrecon.graph.parameters import GraphParameters
from panrecon.masks.overlap import resolve_overlaps, resolve_things
from panrecon.structures import VOID, CategoryTable, Detections, View


@dataclass(frozen=True)
class FrameObservation:
    """One frame: its n visible vertices (ascending), and the thing and the stuff detection at each (`VOID` = none)."""

    frame: str
    world_from_camera: Float[np.ndarray, "4 4"]
    category: Int[np.ndarray, " D"]
    score: Float[np.ndarray, " D"]
    visible: Int[np.ndarray, " n"]
    thing: Int[np.ndarray, " n"]
    stuff: Int[np.ndarray, " n"]

    @property
    def exclusive(self) -> "FrameObservation":
        """The same with at most one detection at a vertex, the more certain of its thing and its stuff."""
        score = np.append(self.score, -np.inf)  # the last is read by VOID
        is_thing = score[self.thing] >= score[self.stuff]
        thing = np.where(is_thing, self.thing, VOID)
        stuff = np.where(is_thing, VOID, self.stuff)
        return replace(self, thing=thing, stuff=stuff)


def observe(
    view: View,
    vertices: Float[np.ndarray, "V 3"],
    detections: Detections,
    table: CategoryTable,
    tolerance: float,
) -> FrameObservation:
    """The vertices within `tolerance` (m) of the measured depth, and the detections at their pixels.

    The measured depth decides occlusion, so nothing is rendered. Overlaps of things and of stuff are resolved
    separately, so a floor never hides a chair. Masks of the background class (sky) are ignored: they leak onto
    surfaces.
    """
    visible, pixels = visible_points(vertices, view.camera, view.world_from_camera, view.depth, tolerance)
    column, row, _ = nearest_pixel(view.camera, pixels)
    is_thing = table.is_thing[detections.category]
    on_surface = ~table.is_background[detections.category]
    thing = resolve_things(detections, is_thing & on_surface)[row, column]
    stuff = resolve_overlaps(detections, ~is_thing & on_surface)[row, column]
    return FrameObservation(
        view.name, view.world_from_camera, detections.category, detections.score, visible, thing, stuff
    )


def aggregate_observations(
    observations: Sequence[FrameObservation],
    table: CategoryTable,
    vertex_count: int,
    parameters: GraphParameters = GraphParameters(),
) -> Evidence:
    """The evidence of all frames on every vertex; frames are sorted by name, so their given order has no effect."""
    frames = sorted(observations, key=lambda observation: observation.frame)
    mask_counts = np.array([len(frame.category) for frame in frames], dtype=np.int64)
    first_mask = np.cumsum(mask_counts) - mask_counts
    visible = [(frame.visible, np.full(len(frame.visible), index)) for index, frame in enumerate(frames)]
    covered = [
        (frame.visible[is_covered], detection[is_covered] + first)
        for frame, first in zip(frames, first_mask, strict=True)
        for detection in (frame.thing, frame.stuff)
        for is_covered in [detection != VOID]
    ]
    category = np.concatenate([frame.category for frame in frames]).astype(np.int32)
    return Evidence(
        frames=tuple(frame.frame for frame in frames),
        weight_of_frame=frame_weights(np.stack([frame.world_from_camera for frame in frames]), parameters),
        frame_of_mask=np.repeat(np.arange(len(frames)), mask_counts),
        detection_of_mask=np.concatenate([np.arange(count) for count in mask_counts]),
        category_of_mask=category,
        score_of_mask=np.concatenate([frame.score for frame in frames]),
        thing_mask=table.is_thing[category],
        vertices_of_unit=np.ones(vertex_count),
        visible=_incidence(visible, (vertex_count, len(frames))),
        covered=_incidence(covered, (vertex_count, int(mask_counts.sum()))),
    )


def frame_weights(
    world_from_camera: Float[np.ndarray, "F 4 4"], parameters: GraphParameters
) -> Float[np.ndarray, " F"]:
    """1 / the number of frames from the same position in the same direction, in (0, 1].

    A segmenter repeats its errors in equal images: a camera at rest, or a duplicated frame, must not outvote the
    others.
    """
    position = world_from_camera[:, :3, 3]
    optical_axis = world_from_camera[:, :3, 2]
    is_near = np.linalg.norm(position[:, None] - position, axis=-1) <= parameters.same_position
    is_aligned = (optical_axis @ optical_axis.T) >= np.cos(parameters.same_direction)
    return 1 / _with_itself(is_near & is_aligned).sum(axis=1)


def _with_itself(is_same: Bool[np.ndarray, "F F"]) -> Bool[np.ndarray, "F F"]:
    return is_same | np.eye(len(is_same), dtype=bool)


def _incidence(pairs: Sequence[tuple[np.ndarray, np.ndarray]], shape: tuple[int, int]) -> coo_array:
    rows = np.concatenate([row for row, _ in pairs]).astype(np.int32)
    columns = np.concatenate([column for _, column in pairs]).astype(np.int32)
    return coo_array((np.ones(len(rows), np.float32), (rows, columns)), shape)
