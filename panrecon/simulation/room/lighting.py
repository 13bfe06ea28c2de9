"""Illumination of a room: direct light of lamps and window with soft shadows, and diffuse interreflection."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from panrecon.geometry.mesh import mesh_edges, vertex_normals
from panrecon.geometry.subdivision import subdivide
from panrecon.simulation.room.items import Light
from panrecon.simulation.room.room import Room
from panrecon.structures import TriangleMesh
from panrecon.system import import_open3d

BOUNCE_DIRECTIONS: Final = 40  # rays a vertex that sample the light of other surfaces
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
    caster = _Caster(mesh)
    centres = mesh.vertices[mesh.faces].mean(axis=1)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    origins = _just_off_the_surface(mesh, centres, normals)
    visible_faces, is_buried = _visible_faces(origins, normals, caster)
    fill = _hole_filling(mesh, ~is_buried)
    reflectance = 0.9 * linear(room.texture(centres, room_face))
    direct = fill(sum((_direct(light, origins, normals, caster) for light in room.lights), np.zeros((len(origins), 3))))
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


class _Caster:
    """Ray casting of arbitrary rays."""

    def __init__(self, mesh: TriangleMesh) -> None:
        o3d = import_open3d()

        self._tensor = o3d.core.Tensor.from_numpy
        self._scene = o3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(
            self._tensor(mesh.vertices.astype(np.float32)), self._tensor(mesh.faces.astype(np.uint32))
        )

    def blocked(self, origins: Float[np.ndarray, "n 3"], ends: Float[np.ndarray, "n 3"]) -> np.ndarray:
        """Whether a surface lies between the points."""
        rays = np.concatenate([origins, ends - origins], axis=1).astype(np.float32)
        return np.asarray(self._scene.test_occlusions(self._tensor(rays), 0.0, 0.995).numpy())

    def first_face(
        self, origins: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"]
    ) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """The first face that each ray hits (-1 = none), and whether within 2.5 cm or on its back side."""
        rays = np.concatenate([origins, directions], axis=1).astype(np.float32)
        hits = self._scene.cast_rays(self._tensor(rays))
        behind = np.einsum("ni,ni->n", hits["primitive_normals"].numpy(), rays[:, 3:]) > 0
        return hits["primitive_ids"].numpy().astype(np.int32), behind | (hits["t_hit"].numpy() < 0.025)


def _direct(
    light: Light, origins: Float[np.ndarray, "V 3"], normals: Float[np.ndarray, "V 3"], caster: _Caster
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
        is_visible = ~caster.blocked(origins[lit], np.broadcast_to(sample, (len(lit), 3)))
        irradiance[lit] += cosine[lit] / square[lit] * is_visible
    return irradiance[:, None] / len(samples) / np.pi * np.asarray(light.power)


def _visible_faces(
    origins: Float[np.ndarray, "V 3"], normals: Float[np.ndarray, "V 3"], caster: _Caster
) -> tuple[Int[np.ndarray, "V R"], Bool[np.ndarray, " V"]]:
    """The faces visible from each vertex along cosine-distributed directions, and whether it lies inside a solid."""
    local = _cosine_directions(BOUNCE_DIRECTIONS).astype(np.float32)
    step = max(1, _CHUNK // BOUNCE_DIRECTIONS)
    faces = []
    buried = []
    for start in range(0, len(origins), step):
        chunk = slice(start, start + step)
        directions = np.einsum("vij,rj->vri", _frames(normals[chunk]).astype(np.float32), local)
        starts = np.broadcast_to(origins[chunk, None], directions.shape)
        face, near = caster.first_face(starts.reshape(-1, 3), directions.reshape(-1, 3))
        faces.append(face.reshape(-1, BOUNCE_DIRECTIONS))
        buried.append(near.reshape(-1, BOUNCE_DIRECTIONS).mean(axis=1) > 0.6)
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
