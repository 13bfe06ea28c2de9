"""Illumination of a room: direct light of lamps and window with soft shadows, and diffuse interreflection."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from panrecon.geometry.mesh import mesh_edges, vertex_normals
from panrecon.geometry.raycasting import Raycaster
from panrecon.geometry.subdivision import subdivide
from panrecon.simulation.room.items import Light
from panrecon.simulation.room.room import Room
from panrecon.structures import VOID, TriangleMesh

BOUNCE_DIRECTIONS: Final = 40  # rays a vertex that sample the light of other surfaces
NEAR: Final = 0.025  # m; a surface so near that a vertex which sees it in most directions lies in a solid
BOUNCES: Final = 4  # interreflections
_CHUNK: Final = 400_000  # rays cast at once


@dataclass(frozen=True)
class LitMesh:
    """A room's subdivided surface with the irradiance of every vertex (linear RGB, 1 = white paper fully lit)."""

    mesh: TriangleMesh
    room_face: Int[np.ndarray, " F"]
    irradiance: Float[np.ndarray, "V 3"]


def light_room(room: Room, edge: float = 0.14) -> LitMesh:
    """The room's surface with edges of at most `edge` metres, and the irradiance of its vertices."""
    mesh, room_face = subdivide(room.mesh, edge)
    return LitMesh(mesh, room_face, _irradiance(room, mesh, room_face))


def linear(srgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """The linear value of a colour as images hold it, with a gamma of 2, which is cheap."""
    return srgb * srgb


def _irradiance(room: Room, mesh: TriangleMesh, room_face: Int[np.ndarray, " F"]) -> Float[np.ndarray, "V 3"]:
    raycaster = Raycaster(mesh)
    centres = mesh.vertices[mesh.faces].mean(axis=1)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    origins = _just_off_the_surface(mesh, centres, normals)
    visible_faces, is_buried = _visible_faces(mesh, origins, normals, raycaster)
    fill = _hole_filling(mesh, ~is_buried)
    reflectance = 0.9 * linear(room.texture(centres, room_face))
    by_light = (_direct(light, origins, normals, raycaster) for light in room.lights)
    direct = fill(sum(by_light, np.zeros((len(origins), 3))))
    total = direct
    for _ in range(BOUNCES):
        radiosity = reflectance * total[mesh.faces].mean(axis=1)
        total = fill(direct + _mean_of_visible(radiosity, visible_faces))
    return total.astype(np.float32)


def _just_off_the_surface(
    mesh: TriangleMesh, centres: Float[np.ndarray, "F 3"], normals: Float[np.ndarray, "V 3"]
) -> Float[np.ndarray, "V 3"]:
    """Points 3 mm off the vertices, moved a little towards their faces' centres: a wall's rim is not in the ceiling."""
    corners = mesh.faces.ravel()
    count = np.maximum(np.bincount(corners, minlength=len(mesh.vertices)), 1)
    repeated = np.repeat(centres, 3, axis=0)
    sums = [np.bincount(corners, repeated[:, i], minlength=len(mesh.vertices)) for i in range(3)]
    middle = np.stack(sums, axis=1) / count[:, None]
    return mesh.vertices + 0.2 * (middle - mesh.vertices) + 3e-3 * normals


def _hole_filling(
    mesh: TriangleMesh, known: Bool[np.ndarray, " V"]
) -> Callable[[Float[np.ndarray, "V 3"]], Float[np.ndarray, "V 3"]]:
    """A function that sets vertices which are not `known` to the mean of their known neighbours, over four rings.

    Vertices inside other solids are dark; without this their triangles would darken the visible surface.
    """
    a, b = mesh_edges(mesh.faces).T
    ones = np.ones(2 * len(a), dtype=np.float32)
    links = csr_array((ones, (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(len(known), len(known)))

    def fill(values: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
        weight = known.astype(np.float64)
        values = values * weight[:, None]
        for _ in range(4):
            known_neighbours = np.asarray(links @ weight)
            reached = (weight == 0) & (known_neighbours > 0)
            values[reached] = np.asarray(links @ values)[reached] / known_neighbours[reached, None]
            weight[reached] = 1.0
        return values

    return fill


def _direct(
    light: Light, origins: Float[np.ndarray, "V 3"], normals: Float[np.ndarray, "V 3"], raycaster: Raycaster
) -> Float[np.ndarray, "V 3"]:
    samples = light.samples(4 if any(light.facing) else 2)
    irradiance = np.zeros(len(origins))
    for sample in samples:
        to_light = sample - origins
        square = np.maximum((to_light**2).sum(axis=1), 0.02)
        cosine = np.einsum("vi,vi->v", to_light, normals) / np.sqrt(square)
        if any(light.facing):
            cosine = cosine * np.maximum(-(to_light @ np.asarray(light.facing)) / np.sqrt(square), 0.0)
        lit = np.flatnonzero(cosine > 0)
        is_visible = ~raycaster.occluded(origins[lit], np.broadcast_to(sample, (len(lit), 3)))
        irradiance[lit] += cosine[lit] / square[lit] * is_visible
    return irradiance[:, None] / len(samples) / np.pi * np.asarray(light.power)


def _visible_faces(
    mesh: TriangleMesh,
    origins: Float[np.ndarray, "V 3"],
    normals: Float[np.ndarray, "V 3"],
    raycaster: Raycaster,
) -> tuple[Int[np.ndarray, "V R"], Bool[np.ndarray, " V"]]:
    """The faces visible from each vertex along cosine-distributed directions, and whether it lies inside a solid."""
    a, b, c = mesh.vertices[mesh.faces].swapaxes(0, 1)
    face_normals = np.cross(b - a, c - a)
    local = _cosine_directions(BOUNCE_DIRECTIONS).astype(np.float32)
    step = max(1, _CHUNK // BOUNCE_DIRECTIONS)
    faces = []
    buried = []
    for start in range(0, len(origins), step):
        chunk = slice(start, start + step)
        directions = np.einsum("vij,rj->vri", _frames(normals[chunk]).astype(np.float32), local)
        starts = np.broadcast_to(origins[chunk, None], directions.shape)
        distance, face = raycaster.first_hits(starts, directions)
        is_hit = face != VOID
        is_behind = is_hit & (np.einsum("vri,vri->vr", face_normals[face], directions) > 0)
        is_near = is_hit & (distance < NEAR)
        faces.append(face)
        buried.append((is_behind | is_near).mean(axis=1) > 0.6)
    return np.concatenate(faces), np.concatenate(buried)


def _mean_of_visible(
    radiosity: Float[np.ndarray, "F 3"], visible_faces: Int[np.ndarray, "V R"]
) -> Float[np.ndarray, "V 3"]:
    padded = np.concatenate([radiosity, np.zeros((1, 3))]).astype(np.float32)  # the last one for rays that hit nothing
    return np.stack([padded[:, channel][visible_faces].mean(axis=1) for channel in range(3)], axis=1)


def _cosine_directions(count: int) -> Float[np.ndarray, "R 3"]:
    """Directions about +z, evenly spaced on the projected disc (Vogel's spiral, 1979)."""
    index = np.arange(count) + 0.5
    radius = np.sqrt(index / count)
    angle = index * np.pi * (3 - np.sqrt(5))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - radius**2)], axis=1)


def _frames(normals: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3 3"]:
    """Rotations that turn +z into the normals."""
    helper = np.where(np.abs(normals[:, 2:]) > 0.9, [1.0, 0.0, 0.0], [0.0, 0.0, 1.0])
    side = np.cross(helper, normals)
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    return np.stack([side, np.cross(normals, side), normals], axis=2)
