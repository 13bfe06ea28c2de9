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
from panrecon.fusion.chunks import overlapping, plan
from panrecon.fusion.cleaning import canonical, without_small_components
from panrecon.fusion.kernels import BLOCK, BLOCK_BITS, EMPTY, VOXELS, BlockTable, Cases, Lens, Voxels
from panrecon.fusion.marching_cubes import EDGES, triangles_of_cases
from panrecon.fusion.point_to_plane import across
from panrecon.geometry.projective import invert
from panrecon.progress import Progress, no_progress
from panrecon.structures import TriangleMesh, View, Views
from panrecon.threads import in_parallel

PIXEL_STEP: Final = 4  # between the pixels whose rays tell which blocks a frame touches, at most
INITIAL_BLOCKS: Final = 1_024
GROWTH: Final = 1.25
SHIFTS: Final = (2 * BLOCK_BITS, BLOCK_BITS, 0)  # of a block's coordinates in its key
TRIANGLES: Final = triangles_of_cases()
CASES: Final = Cases(TRIANGLES, (TRIANGLES[..., 0] >= 0).sum(axis=1), *np.array(EDGES).T)


@dataclass(frozen=True)
class Region:
    """Blocks from `low` to `high` (exclusive), counted from block `lower` of the world: what one volume holds."""

    lower: Int[np.ndarray, "3"]
    low: Int[np.ndarray, "3"]
    high: Int[np.ndarray, "3"]


@dataclass(frozen=True)
class Surface:
    """Triangles between edges of the voxel grid, whose keys are sorted and mean the same edges in all of a scan."""

    edges: Int[np.ndarray, " V"]
    vertices: Float[np.ndarray, "V 3"]
    colors: UInt8[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]


class TSDFVolume:
    """Signed distance, colour and number of observations of the voxels near what was measured, within a region."""

    def __init__(self, region: Region, settings: MeshSettings) -> None:
        self._region, self._settings = region, settings
        self._truncation = settings.truncation * settings.voxel_size
        self._keys = np.empty(0, np.int64)  # of all blocks, in the order of their rows
        self._table = _table_of(self._keys, 2 * INITIAL_BLOCKS)
        self._voxels = Voxels(
            np.zeros((INITIAL_BLOCKS, VOXELS), np.int32),
            np.zeros((INITIAL_BLOCKS, VOXELS, 3), np.int32),
            np.zeros((INITIAL_BLOCKS, VOXELS), np.uint16),
        )

    def integrate(self, view: View) -> tuple[Int[np.ndarray, "3"], Int[np.ndarray, "3"]]:
        """Adds one posed RGB-D image; what lies beyond `depth_max` is ignored.

        Gives the lowest and the highest block that the image touches, outside of the region too.
        """
        settings, region, camera = self._settings, self._region, view.camera
        depth = view.depth.astype(np.float32)
        shares = across(depth, camera) if settings.point_to_plane else np.empty((0, 0), np.float32)
        picture = kernels.framed(depth, np.ascontiguousarray(view.color), shares, np.float32(settings.depth_max))
        block_size = BLOCK * settings.voxel_size
        stride = int(np.clip(block_size * camera.fx / settings.depth_max, 1, PIXEL_STEP))
        steps = int(np.ceil(4 * settings.truncation / BLOCK))  # half a block apart
        places = np.full(_power_of_two(2 * (steps + 1) * (view.depth.size // stride**2 + sum(view.depth.shape))), EMPTY)
        lens = Lens(camera.fx, camera.fy, camera.cx, camera.cy)
        keys, lowest, highest = kernels.touched_blocks(
            picture.depth[1:-1, 1:-1],
            lens,
            view.world_from_camera,
            stride,
            steps,
            self._truncation,
            block_size,
            region.lower,
            region.low,
            region.high,
            places,
        )
        blocks = self._blocks(keys)
        kernels.integrate(
            self._voxels,
            blocks,
            keys,
            region.lower,
            picture,
            lens,
            invert(view.world_from_camera),
            settings.voxel_size,
            self._truncation,
        )
        return lowest, highest

    def content(self) -> tuple[Int[np.ndarray, " n"], Voxels]:
        """The keys of all blocks, and the sums of their voxels."""
        return self._keys, Voxels(*(values[: len(self._keys)] for values in self._voxels))

    def surface(self, low: Int[np.ndarray, "3"], high: Int[np.ndarray, "3"]) -> Surface:
        """The zero crossing where observed often enough, in the cells of the blocks `low` to `high` (exclusive)."""
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
        return Surface(edges, vertices, colors, faces.reshape(-1, 3).astype(np.int32))

    def _blocks(self, keys: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The rows of the blocks with these keys, made where there is none."""
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
    """One coloured mesh of all views, without small components, its vertices in an order that only the surface decides.

    Space is fused chunk by chunk; where the cuts lie leaves no trace.

    Raises:
        InputError: the views measure nothing that gives a surface, or their poses are too far apart.
    """
    planned = plan(views, settings)
    touched, surfaces, before = planned.reached.copy(), [], 0
    with progress("frames", planned.visits) as advance:
        for chunk in planned.chunks:
            upper = chunk.high + 1  # cells end in the next block
            needed = overlapping(touched, chunk.low, upper)
            if len(needed):
                volume = TSDFVolume(Region(planned.lower, chunk.low, upper), settings)
                for position, view in enumerate(in_parallel(views.read, needed.tolist())):
                    touched[needed[position]] = volume.integrate(view)
                    advance(before + position + 1)
                surfaces.append(volume.surface(chunk.low, chunk.high))
            before += chunk.frames
            advance(before)
    joined = join(surfaces)
    mesh = TriangleMesh(joined.vertices, joined.faces, joined.colors)
    mesh = canonical(without_small_components(mesh, settings.min_component_faces))
    if not len(mesh.faces):
        raise InputError(
            f"The depth images give no surface within mesh.depth_max = {settings.depth_max:g} m "
            f"of {settings.min_component_faces} faces or more; check scan.depth_scale and the depth images."
        )
    return mesh


def join(surfaces: Sequence[Surface]) -> Surface:
    """One surface of those of neighbouring chunks: a vertex that both have is one."""
    ends = np.cumsum([0, *(len(surface.edges) for surface in surfaces)])
    edges, first, rank = np.unique(
        np.concatenate([surface.edges for surface in surfaces]), return_index=True, return_inverse=True
    )
    return Surface(
        edges,
        np.concatenate([surface.vertices for surface in surfaces])[first],
        np.concatenate([surface.colors for surface in surfaces])[first],
        rank.astype(np.int32)[np.concatenate([s.faces + end for s, end in zip(surfaces, ends[:-1], strict=True)])],
    )


def _table_of(keys: Int[np.ndarray, " n"], length: int) -> BlockTable:
    table = BlockTable(np.full(_power_of_two(length), EMPTY), np.full(_power_of_two(length), EMPTY))
    kernels.find_or_add(keys, table, 0)
    return table


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
