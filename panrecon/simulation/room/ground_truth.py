"""The ground truth of a built-in room as an annotated mesh of the surfaces that a scan has measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.geometry.mesh import vertex_normals
from panrecon.geometry.projective import invert, nearest_pixel, project, transform
from panrecon.geometry.subdivision import subdivide
from panrecon.simulation.room.room import Room
from panrecon.simulation.room.sensor import SimulatedView
from panrecon.structures import Labels, TriangleMesh

TOLERANCE: Final = 0.02  # m between a vertex and the depth at its pixel, plus 1 % of that depth
PATCH: Final = 0.5  # m, side of the grid cells that divide large planar segments


@dataclass(frozen=True)
class GroundTruth:
    """The measured surface in the world frame, with labels and the index of an over-segment for every vertex.

    No segment holds vertices of two objects. Objects share no vertices.
    """

    mesh: TriangleMesh
    labels: Labels
    segment: Int[np.ndarray, " V"]


def ground_truth_mesh(room: Room, views: Sequence[SimulatedView], edge: float = 0.05) -> GroundTruth:
    """The room's surface with edges of at most `edge` metres, without the faces that no view has measured."""
    mesh, room_face = subdivide(room.mesh, edge)
    face_of_vertex = _any_face(mesh, room_face)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    is_measured = np.zeros(len(mesh.vertices), dtype=bool)
    for view in views:
        unmeasured = np.flatnonzero(~is_measured)
        labels = room.labels.at(face_of_vertex[unmeasured])
        is_measured[unmeasured] = _is_measured(mesh.vertices[unmeasured], normals[unmeasured], labels, view)
    faces = mesh.faces[is_measured[mesh.faces].all(axis=1)]
    old_vertex = np.unique(faces)
    new_vertex = np.full(len(mesh.vertices), -1, dtype=np.int32)
    new_vertex[old_vertex] = np.arange(len(old_vertex))
    vertices = mesh.vertices[old_vertex]
    face = face_of_vertex[old_vertex]
    colors = np.rint(255 * room.texture(vertices, face)).astype(np.uint8)
    return GroundTruth(
        TriangleMesh(vertices, new_vertex[faces], colors),
        room.labels.at(face),
        _segments(room, vertices, face, normals[old_vertex]),
    )


def _any_face(mesh: TriangleMesh, room_face: Int[np.ndarray, " F"]) -> Int[np.ndarray, " V"]:
    """A face of the room on which each vertex lies."""
    result = np.zeros(len(mesh.vertices), dtype=np.int32)
    result[mesh.faces.ravel()] = np.repeat(room_face, 3)
    return result


def _is_measured(
    vertices: Float[np.ndarray, "V 3"], normals: Float[np.ndarray, "V 3"], labels: Labels, view: SimulatedView
) -> Bool[np.ndarray, " V"]:
    """Whether a vertex faces the camera, is not occluded and has valid depth at its pixel.

    Its pixel must have its own labels: the floor under a rug is within the tolerance of the rug, but occluded.
    """
    facing = np.flatnonzero(np.einsum("vi,vi->v", normals, view.world_from_camera[:3, 3] - vertices) > 0)
    pixels, depth = project(view.camera, transform(invert(view.world_from_camera), vertices[facing]))
    column, row, inside = nearest_pixel(view.camera, pixels)
    depth_agrees = np.abs(view.true_depth[row, column] - depth) < TOLERANCE + 0.01 * np.maximum(depth, 0)
    same_category = view.truth.category[row, column] == labels.category[facing]
    same_instance = view.truth.instance[row, column] == labels.instance[facing]
    has_depth = view.depth[row, column] > 0
    result = np.zeros(len(vertices), dtype=bool)
    result[facing] = inside & depth_agrees & same_category & same_instance & has_depth
    return result


def _segments(
    room: Room,
    vertices: Float[np.ndarray, "V 3"],
    face: Int[np.ndarray, " V"],
    normals: Float[np.ndarray, "V 3"],
) -> Int[np.ndarray, " V"]:
    """Segment indices from 0: one for each part, dominant axis of the normal and cell of a grid."""
    axis = np.abs(normals).argmax(axis=1)
    sign = np.take_along_axis(normals, axis[:, None], axis=1)[:, 0] > 0
    cell = np.floor(vertices / PATCH).astype(np.int64)
    keys = np.ravel_multi_index(
        (room.part_of_face[face], axis, sign.astype(np.int64), *(cell - cell.min(axis=0)).T),
        (len(room.parts), 3, 2, *(np.ptp(cell, axis=0) + 1)),
    )
    return np.unique(keys, return_inverse=True)[1].astype(np.int32)
