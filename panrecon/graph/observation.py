"""What every frame says of the surface: the vertices that it sees, and the masks that they fall into."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array

from panrecon.geometry.projective import nearest_pixel
from panrecon.geometry.raycasting import visible_points
from panrecon.graph.evidence import Evidence
from panrecon.masks.overlap import resolve_overlaps
from panrecon.structures import VOID, CategoryTable, Detections, View

SAME_PLACE: Final = 0.01  # m
SAME_DIRECTION: Final = np.deg2rad(0.5)


@dataclass(frozen=True)
class FrameObservation:
    """One frame: its n visible vertices (ascending), and the thing and the stuff mask at each (`VOID` = none)."""

    frame: str
    world_from_camera: Float[np.ndarray, "4 4"]
    category: Int[np.ndarray, " D"]
    score: Float[np.ndarray, " D"]
    visible: Int[np.ndarray, " n"]
    thing: Int[np.ndarray, " n"]
    stuff: Int[np.ndarray, " n"]

    @property
    def jointly(self) -> "FrameObservation":
        """The same with one mask a vertex, the more certain of its thing and its stuff."""
        score = np.append(self.score, -np.inf)  # the last is read by VOID
        is_thing = score[self.thing] >= score[self.stuff]
        thing, stuff = np.where(is_thing, self.thing, VOID), np.where(is_thing, VOID, self.stuff)
        return replace(self, thing=thing, stuff=stuff)


def observe(
    view: View,
    vertices: Float[np.ndarray, "V 3"],
    detections: Detections,
    table: CategoryTable,
    tolerance: float,
) -> FrameObservation:
    """The vertices that lie within `tolerance` (m) of the measured depth, and the masks at their pixels.

    The measured depth itself says what is hidden, so that nothing is rendered. Things and stuff are made disjoint
    apart: a floor never hides a chair. Masks of the sky say nothing of a surface, whatever they leak onto.
    """
    visible, pixels = visible_points(vertices, view.camera, view.world_from_camera, view.depth, tolerance)
    column, row, _ = nearest_pixel(view.camera, pixels)
    is_thing = table.is_thing[detections.category]
    on_surface = ~table.is_background[detections.category]
    thing, stuff = (resolve_overlaps(detections, chosen & on_surface)[row, column] for chosen in (is_thing, ~is_thing))
    return FrameObservation(
        view.name, view.world_from_camera, detections.category, detections.score, visible, thing, stuff
    )


def aggregate_observations(
    observations: Sequence[FrameObservation], table: CategoryTable, vertex_count: int
) -> Evidence:
    """The evidence of all frames on every vertex, whatever their order; masks are numbered through."""
    frames = sorted(observations, key=lambda seen: seen.frame)
    counts = np.array([len(seen.category) for seen in frames], dtype=np.int64)
    first_mask = np.cumsum(counts) - counts
    visible = [(seen.visible, np.full(len(seen.visible), number)) for number, seen in enumerate(frames)]
    covered = [
        (seen.visible[held], mask[held] + first)
        for seen, first in zip(frames, first_mask, strict=True)
        for mask in (seen.thing, seen.stuff)
        for held in [mask != VOID]
    ]
    category = np.concatenate([seen.category for seen in frames]).astype(np.int32)
    return Evidence(
        frames=tuple(seen.frame for seen in frames),
        weight_of_frame=frame_weights(np.stack([seen.world_from_camera for seen in frames])),
        frame_of_mask=np.repeat(np.arange(len(frames)), counts),
        detection_of_mask=np.concatenate([np.arange(count) for count in counts]),
        category_of_mask=category,
        score_of_mask=np.concatenate([seen.score for seen in frames]),
        thing_mask=table.is_thing[category],
        vertices_of_unit=np.ones(vertex_count),
        visible=_counts(visible, (vertex_count, len(frames))),
        covered=_counts(covered, (vertex_count, int(counts.sum()))),
    )


def frame_weights(world_from_camera: Float[np.ndarray, "F 4 4"]) -> Float[np.ndarray, " F"]:
    """1 / the number of frames from the same place in the same direction, in (0, 1].

    What a segmenter gets wrong from one place it gets wrong again: a camera at rest, or a doubled frame, must not
    outvote the others.
    """
    place, axis = world_from_camera[:, :3, 3], world_from_camera[:, :3, 2]
    near = np.linalg.norm(place[:, None] - place, axis=-1) <= SAME_PLACE
    aligned = (axis @ axis.T) >= np.cos(SAME_DIRECTION)
    return 1 / _with_itself(near & aligned).sum(axis=1)


def _with_itself(same: Bool[np.ndarray, "F F"]) -> Bool[np.ndarray, "F F"]:
    return same | np.eye(len(same), dtype=bool)


def _counts(pairs: Sequence[tuple[np.ndarray, np.ndarray]], shape: tuple[int, int]) -> coo_array:
    rows, columns = (np.concatenate([pair[end] for pair in pairs]).astype(np.int32) for end in (0, 1))
    return coo_array((np.ones(len(rows), np.float32), (rows, columns)), shape)
