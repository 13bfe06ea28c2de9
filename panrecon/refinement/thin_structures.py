"""Structures so thin that fusion loses them (the cord of a lamp, the leaves of a plant), recovered from depth images.

More rays pass a structure thinner than a voxel than hit it, and the mean of both is free space. But the pixels that do
hit it lie in front of the fused surface at the same position in frame after frame: an occupancy grid tells them from
stray pixels and from what was there for a while (`occupancy`). Surfaces fused twice, because poses are off, stay out by
masks, which show there what lies behind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final, TypeVar

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from panrecon.geometry.isosurface import zero_level_set
from panrecon.geometry.projective import transform, unproject
from panrecon.geometry.raycasting import Raycaster
from panrecon.geometry.resizing import resize_labels, resize_view, scale_to_side
from panrecon.progress import Advance, Progress, no_progress
from panrecon.refinement.occupancy import DepthFrame, OccupancyGrid, adjacency, is_in_front, occupied_cells
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.segments import VOID_SEGMENT, indices_by_group, labels_of_ids, segment_ids
from panrecon.structures import VOID, Labels, LabelsOfView, PanopticMesh, TriangleMesh, Views
from panrecon.threads import parallel_map

TILE: Final = 32  # cells between nodes, along an edge of the blocks that are worked on at once

_T = TypeVar("_T", "_Pixels", "_Cells")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class CompletedMesh:
    """The mesh with thin structures added, after the vertices it had, and the number of their connected pieces."""

    panoptic: PanopticMesh
    piece_count: int


@dataclass(frozen=True)
class _Pixels:
    """Pixels in front of the mesh: position (m, world), frame index, and segment ids of their mask and of the mesh."""

    position: Float[np.ndarray, "n 3"]
    color: UInt8[np.ndarray, "n 3"]
    frame: Int[np.ndarray, " n"]
    mask_segment: Int[np.ndarray, " n"]
    mesh_segment: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class _Cells:
    """Voxels that hold pixels: the mean position (m, world) and colour of the pixels in each."""

    position: Float[np.ndarray, "c 3"]
    color: Float[np.ndarray, "c 3"]


def add_thin_structures(
    panoptic: PanopticMesh,
    views: Views,
    labels_of_view: LabelsOfView,
    parameters: RefinementParameters,
    progress: Progress = no_progress,
) -> CompletedMesh:
    """The mesh with the pieces of thin structures added that it lacks.

    Every piece belongs to one object of the mesh: that which most of its pixels' masks show, of those that show an
    object which does not lie behind. Stuff is not thin. Every view is read once.
    """
    with progress("thin structures", len(views.poses)) as advance:
        read = _counted(_read_frames(panoptic, views, labels_of_view, parameters), advance)
        fronts, frames = zip(*read, strict=True)
    pixels = _concatenated(fronts)
    distance, _ = cKDTree(panoptic.mesh.vertices).query(
        pixels.position, distance_upper_bound=parameters.metres(parameters.neighbor_radius), workers=-1
    )
    pixels = _rows(pixels, np.flatnonzero(np.isinf(distance)))
    grid = OccupancyGrid.of(pixels.position, pixels.frame, len(frames), parameters)
    occupied = occupied_cells(grid, frames, parameters)
    occupied_of_cell = np.full(len(grid.position), VOID)
    occupied_of_cell[occupied] = np.arange(len(occupied))
    cell_of_pixel = occupied_of_cell[grid.cell_of_pixel]
    cells = _Cells(grid.position[occupied], _mean_color(pixels.color, cell_of_pixel, len(occupied)))
    pieces = list(_pieces(cells, cell_of_pixel, pixels, parameters))
    return CompletedMesh(_with_pieces(panoptic, pieces), len(pieces))


def _read_frames(
    panoptic: PanopticMesh, views: Views, labels_of_view: LabelsOfView, parameters: RefinementParameters
) -> Iterator[tuple[_Pixels, DepthFrame]]:
    """Of every view the pixels in front of the mesh, and its depth."""
    id_of_vertex = segment_ids(panoptic.labels)
    first_vertex = panoptic.mesh.faces[:, 0]
    raycaster = Raycaster(panoptic.mesh)
    objects = np.unique(id_of_vertex[panoptic.labels.instance != VOID])

    def read(frame_index: int) -> tuple[_Pixels, DepthFrame]:
        recorded = views.read(frame_index)
        view = resize_view(
            recorded, scale_to_side(recorded.camera.width, recorded.camera.height, parameters.image_side)
        )
        ids = segment_ids(resize_labels(labels_of_view(recorded), view.camera.width, view.camera.height))
        mask_segment = np.where(np.isin(ids, objects), ids, VOID_SEGMENT)  # rejected objects do not come back
        surface = raycaster.cast(view.camera, view.world_from_camera)
        is_front = is_in_front(view.depth, surface.depth, parameters)
        position = transform(view.world_from_camera, unproject(view.camera, view.depth)[is_front])
        mesh_segment = id_of_vertex[first_vertex[surface.face[is_front]]]
        frame = np.full(len(position), frame_index)
        front = _Pixels(position, view.color[is_front], frame, mask_segment[is_front], mesh_segment)
        return front, DepthFrame.of(view, is_front)

    yield from parallel_map(read, range(len(views.poses)))


def _mean_color(
    color: UInt8[np.ndarray, "n 3"], cell_of_pixel: Int[np.ndarray, " n"], count: int
) -> Float[np.ndarray, "c 3"]:
    """The mean colour of the pixels of each of `count` cells; the cell of other pixels is `VOID`."""
    inside = cell_of_pixel != VOID
    cell = cell_of_pixel[inside]
    sums = np.stack([np.bincount(cell, column, count) for column in color[inside].T], axis=1)
    return np.asarray(sums / np.bincount(cell, minlength=count)[:, None])


def _pieces(
    cells: _Cells, cell_of_pixel: Int[np.ndarray, " n"], pixels: _Pixels, parameters: RefinementParameters
) -> Iterator[tuple[TriangleMesh, int]]:
    """The surface around every connected piece of cells and its segment id; the cell of other pixels is `VOID`."""
    linked = adjacency(cells.position, parameters.metres(parameters.neighbor_radius))
    _, piece = connected_components(linked, directed=False)
    piece_of_pixel = np.append(piece, VOID)[cell_of_pixel]
    votes = (pixels.mask_segment != VOID_SEGMENT) & (pixels.mask_segment != pixels.mesh_segment)
    count = int(piece.max(initial=VOID)) + 1
    cells_of_piece = indices_by_group(piece, count)
    pixels_of_piece = indices_by_group(piece_of_pixel, count)
    for cell_index, pixel_index in zip(cells_of_piece, pixels_of_piece, strict=True):
        voting = pixel_index[votes[pixel_index]]
        segment_id, vote_count = np.unique(pixels.mask_segment[voting], return_counts=True)
        if len(voting) and len(voting) >= parameters.min_mask_share * len(pixel_index):
            yield _tube(_rows(cells, cell_index), parameters), int(segment_id[vote_count.argmax()])


def _tube(cells: _Cells, parameters: RefinementParameters) -> TriangleMesh:
    """The surface at `tube_radius` around the cells and the midpoints of linked ones, in their colours."""
    spacing = parameters.metres(parameters.tube_radius)
    neighbor_radius = parameters.metres(parameters.neighbor_radius)
    pairs = cKDTree(cells.position).query_pairs(neighbor_radius, output_type="ndarray").reshape(-1, 2)
    tree = cKDTree(np.concatenate([cells.position, cells.position[pairs].mean(axis=1)]))
    margin = 3  # nodes to every side of a cell
    offsets = np.stack(np.meshgrid(*[np.arange(-margin, margin + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    node = np.unique((np.rint(tree.data / spacing).astype(np.int64)[:, None] + offsets).reshape(-1, 3), axis=0)
    distance = np.asarray(tree.query(node * spacing, workers=-1)[0])
    vertices, faces = _zero_level_set(node, distance / spacing - 1.0, float(margin))
    vertices *= spacing
    _, nearest = cKDTree(cells.position).query(vertices)
    return TriangleMesh(vertices, faces, np.rint(cells.color[nearest]).astype(np.uint8))


def _zero_level_set(
    node: Int[np.ndarray, "n 3"], distance: Float[np.ndarray, " n"], outside: float
) -> tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "F 3"]]:
    """The surface where the distance at nodes is 0, in their unit; it is `outside` at others. Works tile by tile."""
    vertices = [np.zeros((0, 3))]
    faces = [np.zeros((0, 3), np.int64)]
    count = 0
    for tile in np.unique(node // TILE, axis=0):  # a tile has the first nodes of the next, too
        inside = ((node >= tile * TILE) & (node <= (tile + 1) * TILE)).all(axis=1)
        values = np.full((TILE + 1,) * 3, outside)
        values[tuple((node[inside] - tile * TILE).T)] = distance[inside]
        part = zero_level_set(values, np.ones(values.shape, dtype=bool), 1.0)
        vertices.append(part.vertices + tile * TILE)
        faces.append(part.faces + count)
        count += len(part.vertices)
    position, index = np.unique(np.round(np.concatenate(vertices), 4), axis=0, return_inverse=True)
    corners = index.reshape(-1)[np.concatenate(faces)].astype(np.int32)
    return position, corners[(corners != np.roll(corners, 1, axis=1)).all(axis=1)]  # those at a node have no area


def _with_pieces(panoptic: PanopticMesh, pieces: list[tuple[TriangleMesh, int]]) -> PanopticMesh:
    mesh = panoptic.mesh
    labels = panoptic.labels
    meshes = [mesh, *(piece for piece, _ in pieces)]
    starts = np.cumsum([0, *(len(piece.vertices) for piece in meshes[:-1])])
    count = [len(piece.vertices) for piece, _ in pieces]
    added = labels_of_ids(np.repeat(np.array([segment_id for _, segment_id in pieces], np.int64), count))
    return PanopticMesh(
        TriangleMesh(
            np.concatenate([piece.vertices for piece in meshes]).astype(mesh.vertices.dtype),
            np.concatenate([piece.faces + start for piece, start in zip(meshes, starts, strict=True)]).astype(np.int32),
            np.concatenate([piece.colors for piece in meshes]),
        ),
        Labels(
            np.concatenate([labels.category, added.category]).astype(np.int32),
            np.concatenate([labels.instance, added.instance]).astype(labels.instance.dtype),
        ),
    )


def _rows(columns: _T, index: Int[np.ndarray, " m"]) -> _T:
    return type(columns)(*(getattr(columns, field.name)[index] for field in fields(columns)))


def _concatenated(parts: Sequence[_Pixels]) -> _Pixels:
    columns = zip(*([getattr(part, field.name) for field in fields(_Pixels)] for part in parts), strict=True)
    return _Pixels(*(np.concatenate(values) for values in columns))


def _counted(results: Iterator[_Result], advance: Advance) -> Iterator[_Result]:
    for result_count, result in enumerate(results, start=1):
        yield result
        advance(result_count)
