"""The true surface of a built-in room as a scan's annotators would deliver it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.geometry.mesh import vertex_normals
from panrecon.geometry.projective import invert, nearest_pixel, project, transform
from panrecon.geometry.subdivision import subdivided
from panrecon.simulation.room.room import Room
from panrecon.simulation.room.sensor import SimulatedView
from panrecon.structures import Labels, TriangleMesh

TOLERANCE: Final = 0.02  # m between a vertex and the surface seen at its pixel
PATCH: Final = 0.5  # m, side of the cells that large planar patches are cut into


@dataclass(frozen=True)
class GroundTruth:
    """The surface that the frames measured: labels and a segment number for every vertex.

    Segments are an over-segmentation: no segment holds vertices of two objects. Objects share no vertices.
    """

    mesh: TriangleMesh
    labels: Labels
    segment: Int[np.ndarray, " V"]


def ground_truth_mesh(room: Room, views: Sequence[SimulatedView], edge: float = 0.05) -> GroundTruth:
    """The room's surface cut to edges of at most `edge` metres, without what no view has measured."""
    mesh, room_face = subdivided(room.mesh, edge)
    face_of_vertex = _any_face(mesh, room_face)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    seen = np.zeros(len(mesh.vertices), dtype=bool)
    for view in views:
        waiting = np.flatnonzero(~seen)
        labels = room.labels.at(face_of_vertex[waiting])
        seen[waiting] = _measured(mesh.vertices[waiting], normals[waiting], labels, view)
    kept_face = seen[mesh.faces].all(axis=1)
    kept = np.unique(mesh.faces[kept_face])
    number = np.full(len(mesh.vertices), -1, dtype=np.int32)
    number[kept] = np.arange(len(kept))
    vertices = mesh.vertices[kept]
    face = face_of_vertex[kept]
    colors = np.rint(255 * room.texture(vertices, face)).astype(np.uint8)
    return GroundTruth(
        TriangleMesh(vertices, number[mesh.faces[kept_face]], colors),
        room.labels.at(face),
        _segments(room, vertices, face, normals[kept]),
    )


def _any_face(mesh: TriangleMesh, room_face: Int[np.ndarray, " F"]) -> Int[np.ndarray, " V"]:
    """A face of the room on which each vertex lies."""
    result = np.zeros(len(mesh.vertices), dtype=np.int32)
    result[mesh.faces.ravel()] = np.repeat(room_face, 3)
    return result


def _measured(
    vertices: Float[np.ndarray, "V 3"], normals: Float[np.ndarray, "V 3"], labels: Labels, view: SimulatedView
) -> Bool[np.ndarray, " V"]:
    """The vertices that face the camera, are not hidden and have valid depth at their pixel.

    Their pixel shows their own object: the floor under a rug is near what is seen, and yet unseen.
    """
    facing = np.flatnonzero(np.einsum("vi,vi->v", normals, view.world_from_camera[:3, 3] - vertices) > 0)
    pixels, depth = project(view.camera, transform(invert(view.world_from_camera), vertices[facing]))
    column, row, inside = nearest_pixel(view.camera, pixels)
    near = np.abs(view.true_depth[row, column] - depth) < TOLERANCE + 0.01 * np.maximum(depth, 0)
    result = np.zeros(len(vertices), dtype=bool)
    shown = view.truth
    own = (shown.category[row, column] == labels.category[facing]) & (
        shown.instance[row, column] == labels.instance[facing]
    )
    result[facing] = inside & near & own & (view.depth[row, column] > 0)
    return result


def _segments(
    room: Room,
    vertices: Float[np.ndarray, "V 3"],
    face: Int[np.ndarray, " V"],
    normals: Float[np.ndarray, "V 3"],
) -> Int[np.ndarray, " V"]:
    """Numbers from 0: one for each part, main direction of its normals and cell of the world grid."""
    axis = np.abs(normals).argmax(axis=1)
    sign = np.take_along_axis(normals, axis[:, None], axis=1)[:, 0] > 0
    cell = np.floor(vertices / PATCH).astype(np.int64)
    keys = np.ravel_multi_index(
        (room.part_of_face[face], axis, sign.astype(np.int64), *(cell - cell.min(axis=0)).T),
        (len(room.parts), 3, 2, *(np.ptp(cell, axis=0) + 1)),
    )
    return np.unique(keys, return_inverse=True)[1].astype(np.int32)
