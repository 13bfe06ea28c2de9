"""Depth images fused into a truncated signed distance field (Curless & Levoy 1996) of hashed voxel blocks (Niessner et
al. 2013), and its surface by marching cubes (Lorensen & Cline 1987)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int, UInt8

from panrecon.config import MeshSettings
from panrecon.errors import InputError
from panrecon.fusion import kernels
from panrecon.fusion.chunks import ChunkPlan, overlapping, plan_chunks
from panrecon.fusion.cleaning import canonical, without_small_components
from panrecon.fusion.kernels import BLOCK, BLOCK_BITS, EMPTY, VOXELS, BlockTable, Cases, Intrinsics, VoxelSums
from panrecon.fusion.marching_cubes import EDGES, triangles_of_cases
from panrecon.fusion.point_to_plane import incidence_cosine
from panrecon.geometry.projective import invert
from panrecon.progress import Progress, no_progress
from panrecon.structures import TriangleMesh, View, Views
from panrecon.threads import parallel_map

PIXEL_STEP: Final = 4  # pixels at most between the rays that find the blocks a frame touches
INITIAL_BLOCKS: Final = 1_024
GROWTH: Final = 1.25
SHIFTS: Final = (2 * BLOCK_BITS, BLOCK_BITS, 0)  # of a block's coordinates in its key
TRIANGLES: Final = triangles_of_cases()
CASES: Final = Cases(TRIANGLES, (TRIANGLES[..., 0] >= 0).sum(axis=1), *np.array(EDGES).T)


@dataclass(frozen=True)
class Region:
    """The blocks of one volume: `low` to `high` (exclusive), counted from block `lower` of the world."""

    lower: Int[np.ndarray, "3"]
    low: Int[np.ndarray, "3"]
    high: Int[np.ndarray, "3"]


@dataclass(frozen=True)
class GridSurface:
    """Triangles with vertices on edges of the voxel grid; the sorted keys of edges are unique in the whole scan."""

    edges: Int[np.ndarray, " V"]
    vertices: Float[np.ndarray, "V 3"]
    colors: UInt8[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]


class TSDFVolume:
    """Signed distance, colour and number of observations of the voxels near what was measured, within a region."""

    def __init__(self, region: Region, settings: MeshSettings) -> None:
        self._region = region
        self._settings = settings
        self._truncation = settings.truncation * settings.voxel_size
        self._keys = np.empty(0, np.int64)  # of all blocks, in the order of their indices
        self._table = _table_of(self._keys, 2 * INITIAL_BLOCKS)
        self._voxels = VoxelSums(
            np.zeros((INITIAL_BLOCKS, VOXELS), np.int32),
            np.zeros((INITIAL_BLOCKS, VOXELS, 3), np.int32),
            np.zeros((INITIAL_BLOCKS, VOXELS), np.uint16),
        )

    def integrate(self, view: View) -> tuple[Int[np.ndarray, "3"], Int[np.ndarray, "3"]]:
        """Adds one posed RGB-D image, without depths above `depth_max`.

        Returns the lowest and the highest block that the image touches, including those outside of the region.
        """
        settings = self._settings
        region = self._region
        camera = view.camera
        depth = view.depth.astype(np.float32)
        cosine = incidence_cosine(depth, camera) if settings.point_to_plane else np.empty((0, 0), np.float32)
        image = kernels.padded(depth, np.ascontiguousarray(view.color), cosine, np.float32(settings.depth_max))
        block_size = BLOCK * settings.voxel_size
        stride = int(np.clip(block_size * camera.fx / settings.depth_max, 1, PIXEL_STEP))
        steps = int(np.ceil(4 * settings.truncation / BLOCK))  # half a block apart
        slots = np.full(_power_of_two(2 * (steps + 1) * (view.depth.size // stride**2 + sum(view.depth.shape))), EMPTY)
        intrinsics = Intrinsics(camera.fx, camera.fy, camera.cx, camera.cy)
        keys, lowest, highest = kernels.touched_blocks(
            image.depth[1:-1, 1:-1],
            intrinsics,
            view.world_from_camera,
            stride,
            steps,
            self._truncation,
            block_size,
            region.lower,
            region.low,
            region.high,
            slots,
        )
        blocks = self._blocks(keys)
        kernels.integrate(
            self._voxels,
            blocks,
            keys,
            region.lower,
            image,
            intrinsics,
            invert(view.world_from_camera),
            settings.voxel_size,
            self._truncation,
        )
        return lowest, highest

    def content(self) -> tuple[Int[np.ndarray, " n"], VoxelSums]:
        """The keys of all blocks, and the sums of their voxels in the same order."""
        return self._keys, VoxelSums(*(values[: len(self._keys)] for values in self._voxels))

    def surface(self, low: Int[np.ndarray, "3"], high: Int[np.ndarray, "3"]) -> GridSurface:
        """The zero level set in the cells of the blocks `low` to `high` (exclusive), where observed often enough."""
        coordinates = np.stack([self._keys >> shift & 2**BLOCK_BITS - 1 for shift in SHIFTS], axis=1)
        keys = np.sort(self._keys[((coordinates >= low) & (coordinates < high)).all(axis=1)])
        threshold = self._settings.weight_threshold
        counts = kernels.count_faces(self._voxels, self._table, keys, threshold, CASES)
        first = np.cumsum(counts) - counts
        corners = kernels.faces_of_blocks(self._voxels, self._table, keys, threshold, CASES, first, int(counts.sum()))
        edges, faces = np.unique(corners, return_inverse=True)
        vertices, colors = kernels.vertices_on_edges(
            self._voxels, self._table, edges, self._region.lower, self._settings.voxel_size
        )
        return GridSurface(edges, vertices, colors, faces.reshape(-1, 3).astype(np.int32))

    def _blocks(self, keys: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The indices of the blocks with these keys, added where they are new."""
        count = len(self._keys)
        if 2 * (count + len(keys)) > len(self._table.keys):
            self._table = _table_of(self._keys, 4 * (count + len(keys)))
        blocks = kernels.find_or_add(keys, self._table, count)
        self._keys = np.concatenate([self._keys, keys[blocks >= count]])
        if len(self._keys) > len(self._voxels.weight):
            for values in self._voxels:  # in place, for two copies of a volume would not fit
                values.resize((int(GROWTH * len(self._keys)), *values.shape[1:]), refcheck=False)
        return blocks


def fuse(views: Views, settings: MeshSettings, progress: Progress = no_progress) -> TriangleMesh:
    """One coloured mesh of all views, without small components, its vertices and faces in a canonical order.

    Raises:
        InputError: the views measure nothing that gives a surface, their poses are too far apart, or the backend is not
            installed.
    """
    planned = plan_chunks(views, settings)
    match settings.backend:
        case "numba":
            mesh = fuse_in_chunks(views, planned, settings, progress)
        case "open3d":
            from panrecon.fusion.voxel_block_grid import fuse_whole

            mesh = fuse_whole(views, settings, progress)
    mesh = canonical(without_small_components(mesh, settings.min_component_faces))
    if not len(mesh.faces):
        raise InputError(
            f"The depth images, {_measured_range(views)}, give no surface within mesh.depth_max = "
            f"{settings.depth_max:g} m of {settings.min_component_faces} faces or more; check their unit "
            "(scan.depth_scale) and the poses."
        )
    return mesh


def fuse_in_chunks(
    views: Views, planned: ChunkPlan, settings: MeshSettings, progress: Progress = no_progress
) -> TriangleMesh:
    """The surface of all views, fused chunk by chunk with the same result for all chunk sizes."""
    touched = planned.block_range.copy()
    surfaces = []
    before = 0
    with progress("frames", planned.visits) as advance:
        for chunk in planned.chunks:
            upper = chunk.high + 1  # cells end in the next block
            needed = overlapping(touched, chunk.low, upper)
            if len(needed):
                volume = TSDFVolume(Region(planned.lower, chunk.low, upper), settings)
                for position, view in enumerate(parallel_map(views.read, needed.tolist())):
                    touched[needed[position]] = volume.integrate(view)
                    advance(before + position + 1)
                surfaces.append(volume.surface(chunk.low, chunk.high))
            before += chunk.frames
            advance(before)
    joined = join(surfaces)
    return TriangleMesh(joined.vertices, joined.faces, joined.colors)


def join(surfaces: Sequence[GridSurface]) -> GridSurface:
    """One surface of those of neighbouring chunks, their shared vertices merged."""
    ends = np.cumsum([0, *(len(surface.edges) for surface in surfaces)])
    edges, first, rank = np.unique(
        np.concatenate([surface.edges for surface in surfaces]), return_index=True, return_inverse=True
    )
    return GridSurface(
        edges,
        np.concatenate([surface.vertices for surface in surfaces])[first],
        np.concatenate([surface.colors for surface in surfaces])[first],
        rank.astype(np.int32)[np.concatenate([s.faces + end for s, end in zip(surfaces, ends[:-1], strict=True)])],
    )


def _measured_range(views: Views) -> str:
    """What the depth images hold, for a sentence."""
    images = (views.read(index).depth for index in range(len(views.names)))
    ranges = [(float(image[image > 0].min()), float(image.max())) for image in images if (image > 0).any()]
    if not ranges:
        return "which measure nothing"
    return f"of {min(low for low, _ in ranges):.4g} to {max(high for _, high in ranges):.4g} m"


def _table_of(keys: Int[np.ndarray, " n"], length: int) -> BlockTable:
    table = BlockTable(np.full(_power_of_two(length), EMPTY), np.full(_power_of_two(length), EMPTY))
    kernels.find_or_add(keys, table, 0)
    return table


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
