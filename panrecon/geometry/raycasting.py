"""Visibility of a mesh by exact ray casting (Embree; Wald et al., SIGGRAPH 2014)."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Final

import numpy as np
from embreex.mesh_construction import TriangleMesh as EmbreeMesh
from embreex.rtcore_scene import EmbreeScene
from jaxtyping import Bool, Float, Int

from panrecon.geometry.projective import invert, nearest_pixel, pixel_directions, project, transform
from panrecon.structures import VOID, Camera, SurfaceImage, TriangleMesh, View
from panrecon.threads import parallel_map

MINIMUM_SHARE: Final = 16_384  # rays that are worth a thread
REACH: Final = 0.995  # of the way to a point, short of the surface on which it lies


@dataclass(frozen=True)
class _Index:
    """Embree's index of a mesh, and a digest of the mesh."""

    scene: EmbreeScene
    mesh: EmbreeMesh
    digest: bytes

    @classmethod
    def build(cls, vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], digest: bytes) -> "_Index":
        scene = EmbreeScene(robust=True)
        mesh = EmbreeMesh(scene, vertices, faces)
        scene.run(np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32))  # what is lazy is done now
        return cls(scene, mesh, digest)


_users: list[object] = []  # those who want the latest index kept
_latest: list[_Index] = []
_lock = Lock()


@contextmanager
def index_kept() -> Iterator[None]:
    """Inside the context the index built last is kept: stages that follow one another cast against the same mesh."""
    user = object()
    with _lock:
        _users.append(user)
    try:
        yield
    finally:
        with _lock:
            _users.remove(user)
            if not _users:
                _latest.clear()


def _index_of(mesh: TriangleMesh) -> _Index:
    vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float32)
    faces = np.ascontiguousarray(mesh.faces, dtype=np.int32)
    digest = hashlib.blake2b(vertices.data)
    digest.update(faces.data)
    with _lock:
        if _latest and _latest[0].digest == digest.digest():
            return _latest[0]
        _latest.clear()  # before another takes as much memory
        index = _Index.build(vertices, faces, digest.digest())
        if _users:
            _latest.append(index)
        return index


class Raycaster:
    """Casts rays against one mesh, which is indexed once when it is built, or was before (`index_kept`).

    Rays are shared out over the cores.
    """

    def __init__(self, mesh: TriangleMesh) -> None:
        self._index = _index_of(mesh)

    def cast(self, camera: Camera, world_from_camera: Float[np.ndarray, "4 4"]) -> SurfaceImage:
        """Depth (m) and face of the first surface along every pixel's ray."""
        directions = pixel_directions(camera) @ world_from_camera[:3, :3].T
        distance, face = self.first_hits(np.broadcast_to(world_from_camera[:3, 3], directions.shape), directions)
        return SurfaceImage(distance, face)

    def first_hits(
        self, origins: Float[np.ndarray, "*rays 3"], directions: Float[np.ndarray, "*rays 3"]
    ) -> tuple[Float[np.ndarray, "*rays"], Int[np.ndarray, "*rays"]]:
        """The distance of the first surface along each ray, in lengths of its direction (0 = none), and its face."""
        shape = directions.shape[:-1]
        distance = np.zeros(np.prod(shape, dtype=int), np.float32)
        face = np.full(len(distance), VOID, np.int32)

        def cast(share: slice) -> None:
            hits = self._index.scene.run(start[share], direction[share], output=True)
            face[share] = hits["primID"]  # -1 where nothing is hit, as VOID
            distance[share] = np.where(face[share] == VOID, 0.0, hits["tfar"])

        start, direction = _flat(origins), _flat(directions)
        for _ in parallel_map(cast, _shares(len(distance))):
            pass
        return distance.reshape(shape), face.reshape(shape)

    def occluded(
        self, origins: Float[np.ndarray, "*rays 3"], ends: Float[np.ndarray, "*rays 3"]
    ) -> Bool[np.ndarray, "*rays"]:
        """Whether a surface lies between two points, up to `REACH` of the way to `ends`."""
        hidden = np.zeros(np.prod(origins.shape[:-1], dtype=int), bool)
        start, direction = _flat(origins), _flat(ends - origins)
        reach = np.full(len(hidden), REACH, np.float32)

        def cast(share: slice) -> None:
            occluders = self._index.scene.run(start[share], direction[share], dists=reach[share], query="OCCLUDED")
            hidden[share] = occluders == 0

        for _ in parallel_map(cast, _shares(len(hidden))):
            pass
        return hidden.reshape(origins.shape[:-1])


def _flat(values: Float[np.ndarray, "*rays 3"]) -> Float[np.ndarray, "n 3"]:
    return np.ascontiguousarray(values, dtype=np.float32).reshape(-1, 3)


def _shares(rays: int) -> list[slice]:
    """Slices that share out so many rays evenly over the cores."""
    count = min(len(os.sched_getaffinity(0)), max(1, rays // MINIMUM_SHARE))
    ends = np.linspace(0, rays, count + 1).astype(int).tolist()
    return [slice(first, end) for first, end in pairwise(ends)]


def confirmed_faces(surface: SurfaceImage, view: View, tolerance: float) -> Int[np.ndarray, "h w"]:
    """The face at every pixel whose measured depth agrees with the mesh within `tolerance` (m), else `VOID`."""
    agrees = (view.depth > 0) & (np.abs(surface.depth - view.depth) <= tolerance)
    return np.where(agrees, surface.face, VOID)


def visible_points(
    points: Float[np.ndarray, "n 3"],
    camera: Camera,
    world_from_camera: Float[np.ndarray, "4 4"],
    depth: Float[np.ndarray, "h w"],
    tolerance: float,
) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, "m 2"]]:
    """The indices of the points within `tolerance` (m) of the depth image (m), and their pixels (u, v)."""
    pixels, distance = project(camera, transform(invert(world_from_camera), points))
    column, row, inside = nearest_pixel(camera, pixels)
    seen = inside & (depth[row, column] > 0) & (np.abs(depth[row, column] - distance) <= tolerance)
    return np.flatnonzero(seen), pixels[seen]
