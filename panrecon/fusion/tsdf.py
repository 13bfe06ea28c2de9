"""Depth images fused into a truncated signed distance field (Curless & Levoy 1996) on Open3D's voxel-block grid."""

from collections.abc import Iterable

import numpy as np

from panrecon.config import MeshSettings
from panrecon.errors import InputError
from panrecon.fusion.cleaning import canonical, without_small_components
from panrecon.geometry import invert
from panrecon.structures import TriangleMesh, View
from panrecon.system import import_open3d

BLOCK = 8  # voxels along an edge of an allocated block
INITIAL_BLOCKS = 20_000  # the grid grows beyond them


class TSDFVolume:
    """Signed distance, weight and colour of the voxels near what was measured."""

    def __init__(self, settings: MeshSettings) -> None:
        o3d = import_open3d()
        self._o3d = o3d
        self._settings = settings
        scalar, color = o3d.core.SizeVector([1]), o3d.core.SizeVector([3])
        self._grid = o3d.t.geometry.VoxelBlockGrid(
            attr_names=("tsdf", "weight", "color"),
            attr_dtypes=(o3d.core.float32,) * 3,
            attr_channels=(scalar, scalar, color),
            voxel_size=settings.voxel_size,
            block_resolution=BLOCK,
            block_count=INITIAL_BLOCKS,
        )

    def integrate(self, view: View) -> None:
        """Adds one posed RGB-D image; what lies beyond `depth_max` is ignored."""
        depth = np.where(view.depth <= self._settings.depth_max, view.depth, 0.0).astype(np.float32)
        if not depth.any():
            return
        depth_image = self._o3d.t.geometry.Image(self._o3d.core.Tensor(depth))
        color_image = self._o3d.t.geometry.Image(self._o3d.core.Tensor(view.color.astype(np.float32) / 255))
        intrinsic = self._o3d.core.Tensor(view.camera.matrix)
        camera_from_world = self._o3d.core.Tensor(invert(view.world_from_camera))
        reach = (1.0, self._settings.depth_max, self._settings.truncation)
        blocks = self._grid.compute_unique_block_coordinates(depth_image, intrinsic, camera_from_world, *reach)
        self._grid.integrate(blocks, depth_image, color_image, intrinsic, intrinsic, camera_from_world, *reach)

    def surface(self) -> TriangleMesh:
        """The zero crossing by marching cubes (Lorensen & Cline 1987), where observed often enough."""
        if not self._grid.hashmap().size():
            return TriangleMesh(np.empty((0, 3), np.float32), np.empty((0, 3), np.int32), np.empty((0, 3), np.uint8))
        mesh = self._grid.extract_triangle_mesh(weight_threshold=self._settings.weight_threshold)
        vertices = mesh.vertex.positions.numpy().astype(np.float32)
        colors = np.clip(np.rint(mesh.vertex.colors.numpy() * 255), 0, 255).astype(np.uint8)
        return TriangleMesh(vertices, mesh.triangle.indices.numpy().astype(np.int32), colors)


def fuse(views: Iterable[View], settings: MeshSettings) -> TriangleMesh:
    """One coloured mesh of all views, without loose crumbs, its vertices in an order that only the surface decides.

    Raises:
        InputError: the views measure nothing that gives a surface.
    """
    volume = TSDFVolume(settings)
    for view in views:
        volume.integrate(view)
    mesh = canonical(without_small_components(volume.surface(), settings.min_component_faces))
    if not len(mesh.faces):
        raise InputError(
            f"The depth images give no surface within mesh.depth_max = {settings.depth_max:g} m "
            f"of {settings.min_component_faces} faces or more; check scan.depth_scale and the depth images."
        )
    return mesh
