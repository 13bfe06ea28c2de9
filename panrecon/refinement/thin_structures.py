"""Things so thin that fusion loses them, found again in the depth images: the cord of a lamp, the leaves of a plant.

A voxel sees past a thing thinner than itself more often than onto it, and the mean of both is empty space. But pixels
that do see such a thing lie in front of the fused surface at one place in frame after frame. Three kinds of others lie
there, too: stray pixels at the rim of something nearer, which are alone within their frame; what came and went, through
which other frames see; and surfaces fused twice because poses are off, where masks show what lies behind anyway.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Final, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from panrecon.field.inference import zero_level
from panrecon.field.supervision import shrink_labels, shrink_view, training_scale
from panrecon.geometry.projective import invert, nearest_pixel, project, transform, unproject
from panrecon.geometry.raycasting import Raycaster
from panrecon.refinement.boundaries import members
from panrecon.refinement.segments import NO_SEGMENT, labels_of, numbers_of
from panrecon.structures import VOID, Labels, PanopticMesh, TriangleMesh, View, Views
from panrecon.threads import in_parallel

CELL: Final = 0.2  # of the field's reach: side of the cells that pixels are gathered in
BESIDE: Final = 0.3  # of it: pixels and cells so near to one another are neighbours
LINKED: Final = 0.35  # of it: cells so near to one another are of one piece
IN_FRONT: Final = 0.8  # of it, at least, that a pixel lies before the mesh
OFF: Final = 0.4  # of it, at least, from every vertex of the mesh
THICK: Final = 0.1  # of it: radius of the surface around cells
SPACING: Final = 0.1  # of it: between the nodes that this surface is extracted from
NOISE: Final = 0.002  # 1/m, of depth squared: standard deviation of a depth camera (Nguyen et al. 2012)
ASTRAY: Final = 0.2  # of a frame's pixels in front of the mesh, from which its pose is taken to be wrong
LINE: Final = 0.6  # of the pixels of a line through a pixel's neighbourhood, that must be neighbours of it
FRAMES: Final = 3  # at least, that see something at a place
THROUGH: Final = 0.2  # of the frames that see a place, at most, that look through it
SHOWN: Final = 0.2  # of a piece's pixels, at least, that masks give to an object that does not lie behind
WINDOW: Final = 8  # pixels, at most, around a place in which a frame is asked for its depth
MARGIN: Final = 3  # nodes on every side of a place
TILE: Final = 32  # cells between nodes, along an edge of the blocks that are worked on at once
CHUNK: Final = 1 << 14  # places whose windows are held at once

_T = TypeVar("_T", "_Pixels", "_Cells")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class _Pixels:
    """Pixels that lie in front of the mesh: place (m, world), frame, and the numbers of mask and of behind."""

    place: Float[np.ndarray, "n 3"]
    color: UInt8[np.ndarray, "n 3"]
    frame: Int[np.ndarray, " n"]
    shown: Int[np.ndarray, " n"]
    behind: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class _Cells:
    """Places where something was seen, and its colour: means over the pixels of a cell each."""

    place: Float[np.ndarray, "c 3"]
    color: Float[np.ndarray, "c 3"]


def with_thin_things(
    panoptic: PanopticMesh,
    views: Views,
    masks: Callable[[View], Labels],
    reach: float,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[PanopticMesh, int]:
    """The mesh with the pieces of thin things added that it lacks, and their number.

    Every piece belongs to one object of the mesh: that which most of its pixels' masks show, of those that show an
    object which does not lie behind. Stuff is not thin. `masks` gives a view's own labels at its size, and is asked
    from several threads; `reach` is `field.reach` (m); `progress` hears how many readings of a view are done, of at
    most two for each.
    """
    pixels = _joined(_counted(_pixels_in_front(panoptic, views, masks, reach), progress, 0))
    distance, _ = cKDTree(panoptic.mesh.vertices).query(pixels.place, distance_upper_bound=OFF * reach, workers=-1)
    pixels = _rows(pixels, np.flatnonzero(np.isinf(distance)))
    cells, cell_of_pixel = _gathered(pixels, reach)
    kept = np.flatnonzero(_seen_often(cells, cell_of_pixel, pixels.frame, reach))
    if len(kept):
        kept = kept[~_seen_through(cells.place[kept], views, reach, progress)]
    progress(2 * len(views.poses))
    position = np.full(len(cells.place), VOID)
    position[kept] = np.arange(len(kept))
    pieces = list(_pieces(_rows(cells, kept), position[cell_of_pixel], pixels, reach))
    return _added(panoptic, pieces), len(pieces)


def _pixels_in_front(
    panoptic: PanopticMesh, views: Views, masks: Callable[[View], Labels], reach: float
) -> Iterator[_Pixels]:
    """Of every view the pixels before the mesh that are in line with others."""
    numbers, first = numbers_of(panoptic.labels), panoptic.mesh.faces[:, 0]
    raycaster, objects = Raycaster(panoptic.mesh), np.unique(numbers[panoptic.labels.instance != VOID])

    def read(number: int) -> tuple[View, Int[np.ndarray, "h w"]]:
        view = views.read(number)
        small = _shrunk(view)
        shown = numbers_of(shrink_labels(masks(view), small.camera.width, small.camera.height))
        return small, np.where(np.isin(shown, objects), shown, NO_SEGMENT)  # no object that was left out comes back

    for number, (view, shown) in enumerate(in_parallel(read, range(len(views.poses)))):
        surface = raycaster.cast(view.camera, view.world_from_camera)
        front = _in_front(view, surface.depth, reach)
        place = transform(view.world_from_camera, unproject(view.camera, view.depth)[front])
        behind = numbers[first[surface.face[front]]]
        pixels = _Pixels(place, view.color[front], np.full(len(place), number), shown[front], behind)
        yield _rows(pixels, _in_line(place, view.depth[front] / view.camera.fx, reach))


def _shrunk(view: View) -> View:
    return shrink_view(view, training_scale(view.camera.width, view.camera.height))


def _in_front(view: View, depth: Float[np.ndarray, "h w"], reach: float) -> Bool[np.ndarray, "h w"]:
    """Which pixels see something before the mesh, whose depth is given; none if they are too many."""
    measured = view.depth > 0
    gap = np.maximum(IN_FRONT * reach, 4 * NOISE * view.depth**2)
    front = measured & (depth > 0) & (depth - view.depth > gap)
    return front & (front.sum() <= ASTRAY * measured.sum())


def _in_line(place: Float[np.ndarray, "n 3"], pixel: Float[np.ndarray, " n"], reach: float) -> Int[np.ndarray, " m"]:
    """Those with as many neighbours as a line through them has; `pixel` is the width (m) of a pixel at each."""
    if not len(place):
        return np.zeros(0, np.int64)
    neighbours = cKDTree(place).query_ball_point(place, BESIDE * reach, return_length=True)
    return np.flatnonzero(neighbours >= np.maximum(LINE * 2 * BESIDE * reach / pixel, 2))


def _gathered(pixels: _Pixels, reach: float) -> tuple[_Cells, Int[np.ndarray, " n"]]:
    """The cells that hold pixels, and the cell of every pixel."""
    index = np.floor(pixels.place / (CELL * reach)).astype(np.int64)
    _, cell, count = np.unique(index, axis=0, return_inverse=True, return_counts=True)
    cell = cell.reshape(-1)

    def mean(values: np.ndarray) -> Float[np.ndarray, "c 3"]:
        return np.stack([np.bincount(cell, column, len(count)) for column in values.T], axis=1) / count[:, None]

    return _Cells(mean(pixels.place), mean(pixels.color)), cell


def _seen_often(
    cells: _Cells, cell_of_pixel: Int[np.ndarray, " n"], frame: Int[np.ndarray, " n"], reach: float
) -> Bool[np.ndarray, " c"]:
    """Whether enough frames see something in a cell or beside it."""
    count, frames = len(cells.place), frame.max(initial=0) + 1
    beside = _adjacency(cells.place, BESIDE * reach)
    seen = csr_array((np.ones(len(frame), np.int32), (cell_of_pixel, frame)), shape=(count, frames))
    return np.asarray(np.diff(csr_array(beside @ seen).indptr) >= FRAMES)


def _adjacency(place: Float[np.ndarray, "c 3"], radius: float) -> csr_array:
    """Which places lie within `radius` of one another, every one of itself."""
    a, b = cKDTree(place).query_pairs(radius, output_type="ndarray").reshape(-1, 2).T
    itself = np.arange(len(place))
    rows, columns = np.concatenate([a, b, itself]), np.concatenate([b, a, itself])
    return csr_array((np.ones(len(rows), np.int32), (rows, columns)), shape=(len(place), len(place)))


def _seen_through(
    place: Float[np.ndarray, "c 3"], views: Views, reach: float, progress: Callable[[int], None]
) -> Bool[np.ndarray, " c"]:
    """Whether more than `THROUGH` of the frames that see a place find nothing at it nor before it."""

    def look(number: int) -> tuple[Bool[np.ndarray, " c"], Bool[np.ndarray, " c"]]:
        return _met(place, _shrunk(views.read(number)), reach)

    onto, past = np.zeros(len(place), np.int64), np.zeros(len(place), np.int64)
    count = len(views.poses)
    for here, beyond in _counted(in_parallel(look, range(count)), progress, count):
        onto += here
        past += beyond
    return np.asarray(past > THROUGH * (onto + past))


def _met(
    place: Float[np.ndarray, "c 3"], view: View, reach: float
) -> tuple[Bool[np.ndarray, " c"], Bool[np.ndarray, " c"]]:
    """At which places a frame measures something, and at which only what is beyond; in windows as large as a cell."""
    pixel, distance = project(view.camera, transform(invert(view.world_from_camera), place))
    column, row, inside = nearest_pixel(view.camera, pixel)
    nearest = np.full(len(place), np.inf)
    radius = np.ceil(CELL * reach * view.camera.fx / distance.clip(1e-3)).clip(1, WINDOW).astype(np.int64)
    tolerance = CELL * reach + 2 * NOISE * distance**2
    here = np.zeros(len(place), dtype=bool)
    for size, some in _by_size(np.where(inside, radius, 0)):
        window = np.lib.stride_tricks.sliding_window_view(np.pad(view.depth, size), (2 * size + 1, 2 * size + 1))
        depth = window[row[some], column[some]].reshape(len(some), -1)
        here[some] = ((depth > 0) & (np.abs(depth - distance[some, None]) < tolerance[some, None])).any(axis=1)
        nearest[some] = np.where(depth > 0, depth, np.inf).min(axis=1)
    return here, ~here & np.isfinite(nearest) & (nearest > distance)


def _by_size(radius: Int[np.ndarray, " c"]) -> Iterator[tuple[int, Int[np.ndarray, " m"]]]:
    """Every radius but 0, and the positions that have it, not too many at once."""
    for size in range(1, WINDOW + 1):
        some = np.flatnonzero(radius == size)
        for start in range(0, len(some), CHUNK):
            yield size, some[start : start + CHUNK]


def _pieces(
    cells: _Cells, cell_of_pixel: Int[np.ndarray, " n"], pixels: _Pixels, reach: float
) -> Iterator[tuple[TriangleMesh, int]]:
    """The surface around every connected piece of cells and its label's number; other pixels' cell is `VOID`."""
    _, piece = connected_components(_adjacency(cells.place, LINKED * reach), directed=False)
    piece_of_pixel = np.append(piece, VOID)[cell_of_pixel]
    tells = (pixels.shown != NO_SEGMENT) & (pixels.shown != pixels.behind)
    count = int(piece.max(initial=VOID)) + 1
    for of_cells, mine in zip(members(piece, count), members(piece_of_pixel, count), strict=True):
        label, votes = np.unique(pixels.shown[mine[tells[mine]]], return_counts=True)
        if len(votes) and votes.sum() >= SHOWN * len(mine):
            yield _surface_around(_rows(cells, of_cells), reach), int(label[votes.argmax()])


def _surface_around(cells: _Cells, reach: float) -> TriangleMesh:
    """The surface at `THICK` around the cells and the middles of neighbouring ones, in their colours."""
    spacing = SPACING * reach
    pairs = cKDTree(cells.place).query_pairs(LINKED * reach, output_type="ndarray").reshape(-1, 2)
    tree = cKDTree(np.concatenate([cells.place, cells.place[pairs].mean(axis=1)]))
    around = np.stack(np.meshgrid(*[np.arange(-MARGIN, MARGIN + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    node = np.unique((np.rint(tree.data / spacing).astype(np.int64)[:, None] + around).reshape(-1, 3), axis=0)
    distance = np.asarray(tree.query(node * spacing, workers=-1)[0])
    vertices, faces = _zero_level(node, distance / spacing - THICK / SPACING)
    vertices *= spacing
    _, nearest = cKDTree(cells.place).query(vertices)
    return TriangleMesh(vertices, faces, np.rint(cells.color[nearest]).astype(np.uint8))


def _zero_level(
    node: Int[np.ndarray, "n 3"], distance: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "F 3"]]:
    """The surface where the distance at nodes is 0, in their unit; others are far outside. Works tile by tile."""
    vertices, faces, count = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
    for tile in np.unique(node // TILE, axis=0):  # a tile has the first nodes of the next, too
        inside = ((node >= tile * TILE) & (node <= (tile + 1) * TILE)).all(axis=1)
        values = np.full((TILE + 1,) * 3, float(MARGIN))
        values[tuple((node[inside] - tile * TILE).T)] = distance[inside]
        part = zero_level(values, np.ones(values.shape, dtype=bool), 1.0)
        vertices.append(part.vertices + tile * TILE)
        faces.append(part.faces + count)
        count += len(part.vertices)
    places, index = np.unique(np.round(np.concatenate(vertices), 4), axis=0, return_inverse=True)
    corners = index.reshape(-1)[np.concatenate(faces)].astype(np.int32)
    return places, corners[(corners != np.roll(corners, 1, axis=1)).all(axis=1)]  # those at a node have no area


def _added(panoptic: PanopticMesh, pieces: list[tuple[TriangleMesh, int]]) -> PanopticMesh:
    mesh, labels = panoptic.mesh, panoptic.labels
    meshes = [mesh, *(piece for piece, _ in pieces)]
    starts = np.cumsum([0, *(len(piece.vertices) for piece in meshes[:-1])])
    count = [len(piece.vertices) for piece, _ in pieces]
    added = labels_of(np.repeat(np.array([label for _, label in pieces], np.int64), count))
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


def _joined(frames: Iterator[_Pixels]) -> _Pixels:
    columns = zip(*([getattr(frame, field.name) for field in fields(_Pixels)] for frame in frames), strict=True)
    return _Pixels(*(np.concatenate(parts) for parts in columns))


def _counted(results: Iterator[_Result], progress: Callable[[int], None], done: int) -> Iterator[_Result]:
    for number, result in enumerate(results, start=done + 1):
        yield result
        progress(number)
