"""What a camera sees of a mesh, by exact ray casting (Open3D's RaycastingScene on Embree)."""

import numpy as np
from jaxtyping import Float

from panrecon.geometry import pixel_directions
from panrecon.structures import VOID, Camera, SurfaceImage, TriangleMesh


class Raycaster:
    """Casts cameras against one mesh; building it indexes the mesh once."""

    def __init__(self, mesh: TriangleMesh) -> None:
        import open3d as o3d

        self._to_tensor = o3d.core.Tensor
        self._scene = o3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(
            o3d.core.Tensor(np.ascontiguousarray(mesh.vertices, dtype=np.float32)),
            o3d.core.Tensor(np.ascontiguousarray(mesh.faces, dtype=np.uint32)),
        )
        self._miss = self._scene.INVALID_ID

    def cast(self, camera: Camera, world_from_camera: Float[np.ndarray, "4 4"]) -> SurfaceImage:
        """Depth and face of the first surface behind every pixel centre."""
        directions = pixel_directions(camera) @ world_from_camera[:3, :3].T
        origins = np.broadcast_to(world_from_camera[:3, 3], directions.shape)
        rays = np.concatenate([origins, directions], axis=-1).astype(np.float32)
        hits = self._scene.cast_rays(self._to_tensor(rays))
        face = hits["primitive_ids"].numpy()
        missed = face == self._miss
        depth = np.where(missed, 0.0, hits["t_hit"].numpy())
        return SurfaceImage(depth.astype(np.float32), np.where(missed, VOID, face.astype(np.int64)).astype(np.int32))
