"""Visibility of a mesh by exact ray casting (Open3D's RaycastingScene on Embree)."""

import numpy as np
from jaxtyping import Float, Int

from panrecon.geometry.projective import invert, nearest_pixel, pixel_directions, project, transform
from panrecon.structures import VOID, Camera, SurfaceImage, TriangleMesh, View
from panrecon.system import import_open3d


class Raycaster:
    """Casts rays against one mesh, which is indexed once when it is built."""

    def __init__(self, mesh: TriangleMesh) -> None:
        o3d = import_open3d()
        self._to_tensor = o3d.core.Tensor
        self._scene = o3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(
            o3d.core.Tensor(np.ascontiguousarray(mesh.vertices, dtype=np.float32)),
            o3d.core.Tensor(np.ascontiguousarray(mesh.faces, dtype=np.uint32)),
        )
        self._miss = self._scene.INVALID_ID

    def cast(self, camera: Camera, world_from_camera: Float[np.ndarray, "4 4"]) -> SurfaceImage:
        """Depth (m) and face of the first surface along every pixel's ray."""
        directions = pixel_directions(camera) @ world_from_camera[:3, :3].T
        distance, face = self.first_hits(np.broadcast_to(world_from_camera[:3, 3], directions.shape), directions)
        return SurfaceImage(distance, face)

    def first_hits(
        self, origins: Float[np.ndarray, "*rays 3"], directions: Float[np.ndarray, "*rays 3"]
    ) -> tuple[Float[np.ndarray, "*rays"], Int[np.ndarray, "*rays"]]:
        """The distance of the first surface along each ray, in lengths of its direction (0 = none), and its face."""
        rays = np.concatenate([origins, directions], axis=-1).astype(np.float32)
        hits = self._scene.cast_rays(self._to_tensor(rays))
        face = hits["primitive_ids"].numpy()
        missed = face == self._miss
        distance = np.where(missed, 0.0, hits["t_hit"].numpy())
        return distance.astype(np.float32), np.where(missed, VOID, face.astype(np.int64)).astype(np.int32)


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
