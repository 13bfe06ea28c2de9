"""Structures so thin that fusion loses them (the cord of a lamp, the leaves of a plant), recovered from depth images.

More rays pass a structure thinner than a voxel than hit it, and the mean of both is free space. But the pixels that do
hit it lie in front of the fused surface at the same position in frame after frame. Three kinds of others lie there,
too: stray pixels at the rim of something nearer, which are isolated within their frame; what was there for a while,
through which other frames see (free-space violation); and surfaces fused twice because poses are off, where masks show
what lies behind anyway.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from panrecon.geometry.isosurface import zero_level_set
from panrecon.geometry.projective import invert, nearest_pixel, project, transform, unproject
from panrecon.geometry.raycasting import Raycaster
from panrecon.geometry.resizing import resize_labels, resize_view, scale_to_side
from panrecon.progress import Advance, Progress, no_progress
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.segments import VOID_SEGMENT, indices_by_group, labels_of_ids, segment_ids
from panrecon.structures import VOID, Labels, LabelsOfView, PanopticMesh, TriangleMesh, View, Views
from panrecon.threads import parallel_map

TILE: Final = 32  # cells between nodes, along an edge of the blocks that are worked on at once
CHUNK: Final = 1 << 14  # positions whose windows are held at once

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
    """Occupied cells: the mean position (m, world) and colour of the pixels in each."""

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
    object which does not lie behind. Stuff is not thin. Every view is read once, and again if there are candidates.
    """
    with progress("thin structures", 2 * len(views.poses)) as advance:
        frames = _pixels_in_front(panoptic, views, labels_of_view, parameters)
        pixels = _concatenated(_counted(frames, advance, 0))
        distance, _ = cKDTree(panoptic.mesh.vertices).query(
            pixels.position, distance_upper_bound=parameters.metres(parameters.min_vertex_distance), workers=-1
        )
        pixels = _rows(pixels, np.flatnonzero(np.isinf(distance)))
        cells, cell_of_pixel = _cells(pixels, parameters)
        occupied = np.flatnonzero(_is_seen_often(cells, cell_of_pixel, pixels.frame, parameters))
        if len(occupied):
            occupied = occupied[~_violates_free_space(cells.position[occupied], views, parameters, advance)]
        advance(2 * len(views.poses))
    occupied_of_cell = np.full(len(cells.position), VOID)
    occupied_of_cell[occupied] = np.arange(len(occupied))
    pieces = list(_pieces(_rows(cells, occupied), occupied_of_cell[cell_of_pixel], pixels, parameters))
    return CompletedMesh(_with_pieces(panoptic, pieces), len(pieces))


def _pixels_in_front(
    panoptic: PanopticMesh, views: Views, labels_of_view: LabelsOfView, parameters: RefinementParameters
) -> Iterator[_Pixels]:
    """Of every view the pixels in front of the mesh that are in line with others."""
    id_of_vertex = segment_ids(panoptic.labels)
    first_vertex = panoptic.mesh.faces[:, 0]
    raycaster = Raycaster(panoptic.mesh)
    objects = np.unique(id_of_vertex[panoptic.labels.instance != VOID])

    def read(view_index: int) -> tuple[View, Int[np.ndarray, "h w"]]:
        view = views.read(view_index)
        resized = _resized(view, parameters)
        labels = resize_labels(labels_of_view(view), resized.camera.width, resized.camera.height)
        ids = segment_ids(labels)
        return resized, np.where(np.isin(ids, objects), ids, VOID_SEGMENT)  # rejected objects do not come back

    for frame_index, (view, mask_segment) in enumerate(parallel_map(read, range(len(views.poses)))):
        surface = raycaster.cast(view.camera, view.world_from_camera)
        front = _is_in_front(view, surface.depth, parameters)
        position = transform(view.world_from_camera, unproject(view.camera, view.depth)[front])
        mesh_segment = id_of_vertex[first_vertex[surface.face[front]]]
        frame = np.full(len(position), frame_index)
        pixels = _Pixels(position, view.color[front], frame, mask_segment[front], mesh_segment)
        yield _rows(pixels, _in_line(position, view.depth[front] / view.camera.fx, parameters))


def _resized(view: View, parameters: RefinementParameters) -> View:
    return resize_view(view, scale_to_side(view.camera.width, view.camera.height, parameters.image_side))


def _is_in_front(
    view: View, mesh_depth: Float[np.ndarray, "h w"], parameters: RefinementParameters
) -> Bool[np.ndarray, "h w"]:
    """Which pixels measure something in front of the mesh; none if they are too many."""
    measured = view.depth > 0
    noise = parameters.depth_noise * view.depth**2
    gap = np.maximum(parameters.metres(parameters.min_gap), parameters.gap_deviations * noise)
    front = measured & (mesh_depth > 0) & (mesh_depth - view.depth > gap)
    return front & (front.sum() <= parameters.max_gap_share * measured.sum())


def _in_line(
    position: Float[np.ndarray, "n 3"], pixel_width: Float[np.ndarray, " n"], parameters: RefinementParameters
) -> Int[np.ndarray, " m"]:
    """Those with as many neighbours as a line through them has; `pixel_width` in metres."""
    if not len(position):
        return np.zeros(0, np.int64)
    radius = parameters.metres(parameters.neighbor_radius)
    neighbour_count = cKDTree(position).query_ball_point(position, radius, return_length=True)
    return np.flatnonzero(neighbour_count >= np.maximum(parameters.min_line_share * 2 * radius / pixel_width, 2))


def _cells(pixels: _Pixels, parameters: RefinementParameters) -> tuple[_Cells, Int[np.ndarray, " n"]]:
    """The cells that hold pixels, and the cell of every pixel."""
    index = np.floor(pixels.position / parameters.metres(parameters.cell_size)).astype(np.int64)
    _, cell, count = np.unique(index, axis=0, return_inverse=True, return_counts=True)
    cell = cell.reshape(-1)

    def mean(values: np.ndarray) -> Float[np.ndarray, "c 3"]:
        return np.stack([np.bincount(cell, column, len(count)) for column in values.T], axis=1) / count[:, None]

    return _Cells(mean(pixels.position), mean(pixels.color)), cell


def _is_seen_often(
    cells: _Cells, cell_of_pixel: Int[np.ndarray, " n"], frame: Int[np.ndarray, " n"], parameters: RefinementParameters
) -> Bool[np.ndarray, " c"]:
    """Whether enough frames measure something in a cell or next to it."""
    shape = (len(cells.position), frame.max(initial=0) + 1)
    neighbours = _adjacency(cells.position, parameters.metres(parameters.neighbor_radius))
    seen = csr_array((np.ones(len(frame), np.int32), (cell_of_pixel, frame)), shape=shape)
    return np.asarray(np.diff(csr_array(neighbours @ seen).indptr) >= parameters.min_thin_frames)


def _adjacency(position: Float[np.ndarray, "c 3"], radius: float) -> csr_array:
    """Which positions lie within `radius` of one another, every one of itself."""
    a, b = cKDTree(position).query_pairs(radius, output_type="ndarray").reshape(-1, 2).T
    itself = np.arange(len(position))
    rows = np.concatenate([a, b, itself])
    columns = np.concatenate([b, a, itself])
    return csr_array((np.ones(len(rows), np.int32), (rows, columns)), shape=(len(position), len(position)))


def _violates_free_space(
    position: Float[np.ndarray, "c 3"], views: Views, parameters: RefinementParameters, advance: Advance
) -> Bool[np.ndarray, " c"]:
    """Whether too many of the frames that see a position measure nothing at it nor in front of it."""

    def test(view_index: int) -> tuple[Bool[np.ndarray, " c"], Bool[np.ndarray, " c"]]:
        return _hits_and_misses(position, _resized(views.read(view_index), parameters), parameters)

    hit_count = np.zeros(len(position), np.int64)
    miss_count = np.zeros(len(position), np.int64)
    view_count = len(views.poses)
    for hits, misses in _counted(parallel_map(test, range(view_count)), advance, view_count):
        hit_count += hits
        miss_count += misses
    return np.asarray(miss_count > parameters.max_free_space_share * (hit_count + miss_count))


def _hits_and_misses(
    position: Float[np.ndarray, "c 3"], view: View, parameters: RefinementParameters
) -> tuple[Bool[np.ndarray, " c"], Bool[np.ndarray, " c"]]:
    """At which positions a frame measures something, and at which only what is farther, in windows of a cell's size."""
    pixel, distance = project(view.camera, transform(invert(view.world_from_camera), position))
    column, row, inside = nearest_pixel(view.camera, pixel)
    cell_size = parameters.metres(parameters.cell_size)
    pixels_of_cell = np.ceil(cell_size * view.camera.fx / distance.clip(1e-3))
    radius = pixels_of_cell.clip(1, parameters.max_window).astype(np.int64)
    tolerance = cell_size + parameters.tolerance_deviations * parameters.depth_noise * distance**2
    nearest = np.full(len(position), np.inf)
    is_hit = np.zeros(len(position), dtype=bool)
    for size, index in _by_size(np.where(inside, radius, 0)):
        window = np.lib.stride_tricks.sliding_window_view(np.pad(view.depth, size), (2 * size + 1, 2 * size + 1))
        depth = window[row[index], column[index]].reshape(len(index), -1)
        is_near = np.abs(depth - distance[index, None]) < tolerance[index, None]
        is_hit[index] = ((depth > 0) & is_near).any(axis=1)
        nearest[index] = np.where(depth > 0, depth, np.inf).min(axis=1)
    return is_hit, ~is_hit & np.isfinite(nearest) & (nearest > distance)


def _by_size(radius: Int[np.ndarray, " c"]) -> Iterator[tuple[int, Int[np.ndarray, " m"]]]:
    """Every radius but 0, and the indices that have it, not too many at once."""
    for size in range(1, int(radius.max(initial=0)) + 1):
        index = np.flatnonzero(radius == size)
        for start in range(0, len(index), CHUNK):
            yield size, index[start : start + CHUNK]


def _pieces(
    cells: _Cells, cell_of_pixel: Int[np.ndarray, " n"], pixels: _Pixels, parameters: RefinementParameters
) -> Iterator[tuple[TriangleMesh, int]]:
    """The surface around every connected piece of cells and its segment id; the cell of other pixels is `VOID`."""
    linked = _adjacency(cells.position, parameters.metres(parameters.link_radius))
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
    spacing = parameters.metres(parameters.tube_spacing)
    link_radius = parameters.metres(parameters.link_radius)
    pairs = cKDTree(cells.position).query_pairs(link_radius, output_type="ndarray").reshape(-1, 2)
    tree = cKDTree(np.concatenate([cells.position, cells.position[pairs].mean(axis=1)]))
    margin = int(np.ceil(parameters.tube_radius / parameters.tube_spacing)) + 2  # nodes to every side of a cell
    offsets = np.stack(np.meshgrid(*[np.arange(-margin, margin + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    node = np.unique((np.rint(tree.data / spacing).astype(np.int64)[:, None] + offsets).reshape(-1, 3), axis=0)
    distance = np.asarray(tree.query(node * spacing, workers=-1)[0])
    radius = parameters.tube_radius / parameters.tube_spacing
    vertices, faces = _zero_level_set(node, distance / spacing - radius, float(margin))
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


def _concatenated(frames: Iterator[_Pixels]) -> _Pixels:
    columns = zip(*([getattr(frame, field.name) for field in fields(_Pixels)] for frame in frames), strict=True)
    return _Pixels(*(np.concatenate(parts) for parts in columns))


def _counted(results: Iterator[_Result], advance: Advance, done: int) -> Iterator[_Result]:
    for result_count, result in enumerate(results, start=done + 1):
        yield result
        advance(result_count)
