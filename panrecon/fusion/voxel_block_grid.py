"""Fusion by Open3D's VoxelBlockGrid (Dong et al., "ASH", PAMI 2022), on CUDA where there is one: the extra `open3d`."""

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from panrecon.config import MeshSettings
from panrecon.errors import InputError, require_packages
from panrecon.geometry.projective import invert
from panrecon.progress import Progress, no_progress
from panrecon.structures import TriangleMesh, View, Views
from panrecon.threads import parallel_map

BLOCK_VOXELS: Final = 8  # along the edge of a block
INITIAL_BLOCKS: Final = 20_000  # the grid grows where a scene needs more

# Debian's names of what Open3D 0.20 links against and pip cannot bring.
PACKAGE_OF_LIBRARY: Final = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11.so.6": "libx11-6",
    "libudev.so.1": "libudev1",
}


@cache
def import_open3d() -> ModuleType:
    """The module Open3D; the libusb that it links against is taken from the `libusb-package` wheel.

    Raises:
        InputError: it is not installed, or a system library is missing.
    """
    require_packages("open3d")
    missing = [library for library in PACKAGE_OF_LIBRARY if not _loads(library)]
    if missing:
        packages = " ".join(PACKAGE_OF_LIBRARY[library] for library in missing)
        raise InputError(f"Open3D needs {', '.join(missing)}; on Debian or Ubuntu: sudo apt-get install {packages}.")
    _preload_libusb()
    import open3d

    return open3d


def _preload_libusb() -> None:
    """Loads libusb, which Open3D links against for depth cameras only; a loaded library of that name satisfies it."""
    spec = importlib.util.find_spec("libusb_package")
    if not _loads("libusb-1.0.so.0") and spec is not None and spec.origin is not None:
        ctypes.CDLL(str(Path(spec.origin).with_name("libusb-1.0.so")), mode=ctypes.RTLD_GLOBAL)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


class VoxelBlockGrid:
    """Distance, weight and colour of the voxels near what was measured, of the whole scene at once.

    Raises:
        InputError: Open3D is not installed, or `settings.point_to_plane` is asked for, which it does not have.
    """

    def __init__(self, settings: MeshSettings) -> None:
        if settings.point_to_plane:
            raise InputError(
                "mesh.backend = open3d measures distance along the ray; set mesh.point_to_plane=false, "
                "or mesh.backend=numba."
            )
        self._open3d: Any = import_open3d()
        core = self._open3d.core
        self._settings = settings
        self._device = core.Device("CUDA:0" if core.cuda.is_available() else "CPU:0")
        self._grid = self._open3d.t.geometry.VoxelBlockGrid(
            attr_names=("tsdf", "weight", "color"),
            attr_dtypes=(core.float32,) * 3,
            attr_channels=(core.SizeVector([1]), core.SizeVector([1]), core.SizeVector([3])),
            voxel_size=settings.voxel_size,
            block_resolution=BLOCK_VOXELS,
            block_count=INITIAL_BLOCKS,
            device=self._device,
        )

    def integrate(self, view: View) -> None:
        """Adds one posed RGB-D image, without depths above `depth_max`; an image without depth changes nothing."""
        settings = self._settings
        depth = np.where(view.depth <= settings.depth_max, view.depth, 0.0).astype(np.float32)
        if not depth.any():
            return
        tensor, image = self._open3d.core.Tensor, self._open3d.t.geometry.Image
        depth_image = image(tensor(depth)).to(self._device)
        color_image = image(tensor(view.color.astype(np.float32) / 255)).to(self._device)
        intrinsics = tensor(view.camera.matrix)
        camera_from_world = tensor(invert(view.world_from_camera))
        limits = (1.0, settings.depth_max, settings.truncation)  # depth scale, greatest depth (m), truncation (voxels)
        blocks = self._grid.compute_unique_block_coordinates(depth_image, intrinsics, camera_from_world, *limits)
        self._grid.integrate(blocks, depth_image, color_image, intrinsics, intrinsics, camera_from_world, *limits)

    def surface(self) -> TriangleMesh:
        """The zero level set where observed often enough; it has no faces where nothing was."""
        if self._grid.hashmap().size() == 0:
            return TriangleMesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros((0, 3), np.uint8))
        mesh = self._grid.extract_triangle_mesh(weight_threshold=self._settings.weight_threshold).cpu()
        return TriangleMesh(
            mesh.vertex.positions.numpy().astype(np.float32),
            mesh.triangle.indices.numpy().astype(np.int32),
            np.clip(np.rint(mesh.vertex.colors.numpy() * 255), 0, 255).astype(np.uint8),
        )


def fuse_whole(views: Views, settings: MeshSettings, progress: Progress = no_progress) -> TriangleMesh:
    """The surface of all views in one volume, which must fit into memory.

    Raises:
        InputError: Open3D is not installed, or cannot do what the settings ask for.
    """
    grid = VoxelBlockGrid(settings)
    with progress("frames", len(views.names)) as advance:
        for index, view in enumerate(parallel_map(views.read, range(len(views.names)))):
            grid.integrate(view)
            advance(index + 1)
    surface = grid.surface()
    del grid
    release_cuda_memory()
    return surface


def release_cuda_memory() -> None:
    """Gives back what Open3D keeps of a CUDA device's memory, which torch wants next."""
    core = import_open3d().core
    if core.cuda.is_available():
        core.cuda.release_cache()
