"""Objects that no class of the prompts names: surface that many views see well and no mask explains.

What masks made an object stays one. Any other vertex is explained by the stuff it was given, or by nothing: a logistic
model of the share of its views in which it lies in no mask, and of the share that the stuff has there; neighbours that
look alike agree, as in the energy of the labels. What is not explained falls into pieces: those that stand out of
floors, ceiling and walls, all surface within a few voxels of each other one, and those in a wall's plane. What stands
on a piece's horizontal top is a piece of its own. A piece is an object by a second logistic model: how large it is, how
far depth or appearance changes at its boundary (a wall that no mask saw goes on beyond it), and how far it stands on
something.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from panrecon.geometry.mesh import mesh_edges, neighborhood_means, vertex_areas
from panrecon.graph.association import connected
from panrecon.graph.evidence import sums_by
from panrecon.graph.votes import VertexVotes
from panrecon.layout.scene import Layout
from panrecon.layout.situations import Situation
from panrecon.layout.walls import find_walls
from panrecon.refinement.boundaries import appearance_descriptor
from panrecon.refinement.energy import Candidates, solve
from panrecon.refinement.parameters import RefinementParameters, UnknownParameters
from panrecon.refinement.segments import indices_by_group
from panrecon.structures import VOID, CategoryTable, Labels, SceneObject, TriangleMesh

MEAN_ROUNDS: Final = 3  # over neighbours on the mesh, at either side of a boundary: a fused mesh changes gradually
LEVELS: Final = (Situation.ON_FLOOR, Situation.ON_CEILING, Situation.BELOW_FLOOR)


@dataclass(frozen=True)
class Pieces:
    """The unexplained piece of every vertex (`VOID` = none), and what is measured of each of N pieces.

    `area` in m^2. `contrast` tells how unlike the two sides of the boundary with explained surface are, in [0, 1]; 1
    where there is none. `standing` is the share of the whole boundary with surface that faces up above a floor.
    `in_wall` is whether most of it lies in the plane of a wall.
    """

    of_vertex: Int[np.ndarray, " V"]
    area: Float[np.ndarray, " N"]
    contrast: Float[np.ndarray, " N"]
    standing: Float[np.ndarray, " N"]
    in_wall: Bool[np.ndarray, " N"]

    @property
    def evidence(self) -> Float[np.ndarray, "N 3"]:
        """What speaks for every piece: contrast, log area, standing."""
        return np.column_stack([self.contrast, np.log(self.area), self.standing])

    def is_wall(self, parameters: UnknownParameters) -> Bool[np.ndarray, " N"]:
        """Which pieces are too large to be more than a part of their wall, as doors and windows are."""
        return self.in_wall & (self.area > parameters.max_flat_area)

    def probability(self, parameters: UnknownParameters) -> Float[np.ndarray, " N"]:
        """That every piece is an object."""
        weights = np.array([parameters.contrast, parameters.log_area, parameters.standing])
        log_odds = parameters.object_bias + self.evidence @ weights
        return np.where(self.is_wall(parameters), 0.0, 1 / (1 + np.exp(-log_odds)))


@dataclass(frozen=True)
class UnknownObjects:
    """The object without a name of every vertex (`VOID` = none), and the probability of each that it is one."""

    of_vertex: Int[np.ndarray, " V"]
    confidence: Float[np.ndarray, " N"]

    def scene_objects(self, table: CategoryTable) -> tuple[SceneObject, ...]:
        """The objects as others are, of the table's class `unknown`; no mask speaks for or against them."""
        return tuple(SceneObject(table.unknown, float(value), 0.0, 0.0, (), ()) for value in self.confidence)


def with_unknown_objects(labels: Labels, unknown: UnknownObjects, first: int, table: CategoryTable) -> Labels:
    """The labels, in which objects without a name have the table's class `unknown` and instances from `first` on."""
    is_unknown = unknown.of_vertex != VOID
    category = np.where(is_unknown, table.unknown, labels.category)
    instance = np.where(is_unknown, first + unknown.of_vertex, labels.instance)
    return Labels(category.astype(np.int32), instance.astype(np.int32))


def unknown_objects(
    mesh: TriangleMesh, votes: VertexVotes, layout: Layout, labels: Labels, parameters: RefinementParameters
) -> UnknownObjects:
    """The objects that the labels leave out, those that are likelier than not."""
    pieces = unexplained_pieces(mesh, votes, layout, labels, parameters)
    probability = pieces.probability(parameters.unknown)
    is_object = probability > 0.5
    return UnknownObjects(_renumbered(pieces.of_vertex, is_object), probability[is_object])


def vertex_evidence(votes: VertexVotes, labels: Labels, parameters: UnknownParameters) -> Float[np.ndarray, "V 2"]:
    """What speaks for that no stuff explains a vertex: log shares of no mask, and of the stuff it was given."""
    is_stuff = (labels.instance == VOID) & (labels.category != VOID)
    row = np.flatnonzero(is_stuff)
    of_stuff = np.zeros(len(is_stuff))
    if len(row):  # scipy gives a matrix for none
        of_stuff[row] = np.asarray(votes.of_stuff[row, labels.category[row]]).ravel()
    return np.asarray(np.log(np.stack([votes.unmasked, of_stuff], axis=1) + parameters.share_floor))


def unexplained_log_odds(votes: VertexVotes, labels: Labels, parameters: UnknownParameters) -> Float[np.ndarray, " V"]:
    """The log odds that no stuff explains a vertex, by its own views."""
    weights = np.array([parameters.unmasked, parameters.share])
    return np.asarray(parameters.bias + vertex_evidence(votes, labels, parameters) @ weights)


def unexplained_pieces(
    mesh: TriangleMesh, votes: VertexVotes, layout: Layout, labels: Labels, parameters: RefinementParameters
) -> Pieces:
    """The pieces of the surface that no segment explains, without floors, ceilings and objects that masks made."""
    is_open = labels.instance == VOID
    log_odds = np.where(is_open, unexplained_log_odds(votes, labels, parameters.unknown), 0.0)  # objects say nothing
    is_likely = log_odds > 0
    segment = np.stack([is_likely, ~is_likely], axis=1).astype(np.int32)
    score = np.stack([np.zeros_like(log_odds), -np.abs(log_odds)], axis=1)
    solved = solve(mesh, Candidates(segment, score), 2, parameters.voxel_size, parameters.energy)
    return pieces_of(mesh, (solved.best == 1) & is_open, layout, parameters)


def pieces_of(
    mesh: TriangleMesh, is_unexplained: Bool[np.ndarray, " V"], layout: Layout, parameters: RefinementParameters
) -> Pieces:
    """The pieces of unexplained surface that are large enough."""
    edges = mesh_edges(mesh.faces)
    wall = find_walls(mesh, layout.gravity, parameters.voxel_size).of_vertex
    is_candidate = is_unexplained & ~np.isin(layout.situation, LEVELS)
    piece = _joined_to_relief(edges, _linked(mesh, edges, is_candidate, wall, parameters), wall)
    area = vertex_areas(mesh.vertices, mesh.faces)
    piece = _without_what_stands_on_it(edges, piece, area, layout, parameters)
    count = int(piece.max(initial=VOID)) + 1
    vertices = np.bincount(piece[piece != VOID], minlength=count)
    piece = _renumbered(piece, vertices >= parameters.unknown.min_vertices)
    return _measured(mesh, edges, piece, wall, area, layout, parameters)


def _linked(
    mesh: TriangleMesh,
    edges: Int[np.ndarray, "E 2"],
    is_candidate: Bool[np.ndarray, " V"],
    wall: Int[np.ndarray, " V"],
    parameters: RefinementParameters,
) -> Int[np.ndarray, " V"]:
    """The piece of every candidate: linked by mesh edges in the plane of a wall, by nearness where they stand out."""
    stands_out = np.flatnonzero(is_candidate & (wall == VOID))
    radius = parameters.metres(parameters.unknown.gap)
    near = cKDTree(mesh.vertices[stands_out]).query_pairs(radius, output_type="ndarray")
    links = np.concatenate([edges, stands_out[near]])
    start, end = links.T
    is_inside = is_candidate[start] & is_candidate[end] & (wall[start] == wall[end])
    return components(links[is_inside], is_candidate)


def _joined_to_relief(
    edges: Int[np.ndarray, "E 2"], piece: Int[np.ndarray, " V"], wall: Int[np.ndarray, " V"]
) -> Int[np.ndarray, " V"]:
    """The pieces, those in a wall's plane joined to the one that stands out of it and makes most of their boundary.

    The back of a shelf lies in the plane of the wall.
    """
    count = int(piece.max(initial=VOID)) + 1
    in_wall = np.zeros(count, dtype=bool)
    in_wall[piece[(piece != VOID) & (wall != VOID)]] = True
    inner, outer = _leaving(edges, piece)
    length = np.bincount(piece[inner], minlength=count)
    is_shared = in_wall[piece[inner]] & (piece[outer] != VOID) & ~np.append(in_wall, False)[piece[outer]]
    pairs, shared = np.unique(np.stack([piece[inner], piece[outer]])[:, is_shared], axis=1, return_counts=True)
    joins = shared > 0.5 * length[pairs[0]]
    target = np.append(np.arange(count), VOID)
    target[pairs[0, joins]] = pairs[1, joins]
    return target[piece]


def _without_what_stands_on_it(
    edges: Int[np.ndarray, "E 2"],
    piece: Int[np.ndarray, " V"],
    area: Float[np.ndarray, " V"],
    layout: Layout,
    parameters: RefinementParameters,
) -> Int[np.ndarray, " V"]:
    """The pieces, with a new one for all that stands on a piece's horizontal top and reaches nowhere below it.

    The back of a chair does not stand on its seat alone: it goes on beneath it.
    """
    piece = piece.copy()
    inside = edges[(piece[edges[:, 0]] == piece[edges[:, 1]]) & (piece[edges[:, 0]] != VOID)]
    faces_up = (piece != VOID) & (layout.situation == Situation.UP)
    top_of_vertex = components(inside[faces_up[inside].all(axis=1)], faces_up)
    tops = indices_by_group(top_of_vertex, int(top_of_vertex.max(initial=VOID)) + 1)
    large = [top for top in tops if area[top].sum() >= parameters.unknown.min_top_area]
    for top in sorted(large, key=lambda top: -float(area[top].sum())):
        level = float(np.median(layout.height[top]))
        is_top = np.zeros(len(piece), dtype=bool)
        is_top[top[np.abs(layout.height[top] - level) < parameters.voxel_size]] = True
        is_rest = (piece == piece[top[0]]) & ~is_top
        part = components(inside[is_rest[inside].all(axis=1)], is_rest)
        count = int(part.max(initial=VOID)) + 1
        vertices = np.bincount(part[is_rest], minlength=count)
        below = np.bincount(part[is_rest], layout.height[is_rest] < level - parameters.voxel_size, minlength=count)
        touching = np.concatenate([inside[:, side][is_top[inside[:, 1 - side]]] for side in (0, 1)])
        touches = np.bincount(part[touching[is_rest[touching]]], minlength=count) > 0
        is_small = vertices < 0.5 * (is_top.sum() + vertices.sum())
        is_apart = touches & is_small & (below <= 0.05 * vertices) & (vertices >= parameters.unknown.min_vertices)
        new = np.where(is_apart, piece.max() + np.cumsum(is_apart), VOID)
        piece = np.where(np.append(is_apart, False)[part], np.append(new, VOID)[part], piece)
    return piece


def _measured(
    mesh: TriangleMesh,
    edges: Int[np.ndarray, "E 2"],
    piece: Int[np.ndarray, " V"],
    wall: Int[np.ndarray, " V"],
    area: Float[np.ndarray, " V"],
    layout: Layout,
    parameters: RefinementParameters,
) -> Pieces:
    """The pieces with their measures."""
    count = int(piece.max(initial=VOID)) + 1
    descriptor = appearance_descriptor(mesh, parameters.voxel_size, parameters.energy)[:, 3:].astype(np.float64)
    is_inside = piece != VOID
    inside = _mean_of_neighbours(mesh, descriptor, is_inside)
    outside = _mean_of_neighbours(mesh, descriptor, ~is_inside)
    inner, outer = _leaving(edges, piece)
    faces_up = layout.situation[outer] == Situation.UP
    length = np.bincount(piece[inner], minlength=count)
    standing = np.bincount(piece[inner], faces_up, minlength=count) / length.clip(1)
    is_explained = ~is_inside[outer]
    inner = inner[is_explained]
    distance = ((inside[inner] - outside[outer[is_explained]]) ** 2).sum(axis=1)
    length = np.bincount(piece[inner], minlength=count)
    contrast = np.bincount(piece[inner], 1 - np.exp(-distance / 2), minlength=count) / length.clip(1)
    area_of_piece = sums_by(piece[is_inside], area[is_inside], count)
    area_in_wall = sums_by(piece[is_inside], (area * (wall != VOID))[is_inside], count)
    return Pieces(
        piece,
        area_of_piece,
        np.where(length > 0, contrast, 1.0),
        standing,
        area_in_wall > 0.5 * area_of_piece,
    )


def components(edges: Int[np.ndarray, "E 2"], is_member: Bool[np.ndarray, " V"]) -> Int[np.ndarray, " V"]:
    """The connected component of every member, from 0; `VOID` of the others. Edges join members alone."""
    component, _ = connected(edges[:, 0], edges[:, 1], len(is_member))
    result = np.full(len(is_member), VOID)
    result[is_member] = np.unique(component[is_member], return_inverse=True)[1].reshape(-1)
    return result


def _leaving(
    edges: Int[np.ndarray, "E 2"], piece: Int[np.ndarray, " V"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Both ends of the mesh edges that leave a piece, the one inside first."""
    inner, outer = np.concatenate([edges, edges[:, ::-1]]).T
    leaves = (piece[inner] != VOID) & (piece[outer] != piece[inner])
    return inner[leaves], outer[leaves]


def _mean_of_neighbours(
    mesh: TriangleMesh, values: Float[np.ndarray, "V c"], is_member: Bool[np.ndarray, " V"]
) -> Float[np.ndarray, "V c"]:
    """The mean of the values of members around every vertex."""
    weighted = np.column_stack([values * is_member[:, None], is_member.astype(np.float64)])
    means = neighborhood_means(weighted, mesh.faces, MEAN_ROUNDS)
    return means[:, :-1] / means[:, -1:].clip(1e-12)


def _renumbered(group: Int[np.ndarray, " V"], is_kept: Bool[np.ndarray, " N"]) -> Int[np.ndarray, " V"]:
    """The groups that are kept, numbered anew from 0."""
    return np.append(np.where(is_kept, np.cumsum(is_kept) - 1, VOID), VOID)[group]
