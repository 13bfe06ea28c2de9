"""A trained field at points, in rendered images, and as a surface."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from panrecon.field.field import FieldSample, PanopticField, SceneBox
from panrecon.field.parameters import RenderingParameters
from panrecon.field.rendering import render, render_probability, render_weights, top_k_samples
from panrecon.field.sampling import Rays, box_depths, camera_rays, near_depths
from panrecon.fusion.cleaning import keep_faces
from panrecon.geometry.isosurface import zero_level_set
from panrecon.geometry.mesh import nearest_vertex
from panrecon.structures import VOID, Camera, TriangleMesh
from panrecon.threads import one_thread

CHUNK: Final = 2**15  # points or rays at a time


@dataclass(frozen=True)
class PointField:
    """The field at V points: probabilities (rows sum to 1; last instance: none), distance (m) and colour."""

    category_probability: Float[np.ndarray, "V C"]
    instance_probability: Float[np.ndarray, "V I1"]
    sdf: Float[np.ndarray, " V"]
    color: UInt8[np.ndarray, "V 3"]


@dataclass(frozen=True)
class RenderedView:
    """What the field shows a camera: depth in metres along the optical axis, 0 and `VOID` where it sees nothing."""

    color: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    category: Int[np.ndarray, "h w"]
    instance: Int[np.ndarray, "h w"]


@one_thread()
def query(
    field: PanopticField, points: Float[np.ndarray, "V 3"], normals: Float[np.ndarray, "V 3"] | None = None
) -> PointField:
    """The field at world points, seen straight on along `normals` or, without them, its own gradient."""
    chunks = ((points[rows], None if normals is None else normals[rows]) for rows in _chunks(len(points)))
    columns = zip(*(_query_chunk(field, *chunk) for chunk in chunks), strict=True)
    category, instance, sdf, color = (np.concatenate(parts) for parts in columns)
    return PointField(category, instance, sdf, color)


@torch.no_grad()
def _query_chunk(
    field: PanopticField, points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    directions = None if normals is None else nn.functional.normalize(-_tensor(field, normals), dim=1)
    sample = field(_tensor(field, points), directions)
    probabilities = (torch.softmax(logits, dim=1) for logits in (sample.category, sample.instance))
    category, instance = (probability.cpu().numpy() for probability in probabilities)
    return category, instance, sample.geometry.sdf.cpu().numpy(), _as_bytes(sample.color)


@one_thread()
def render_view(
    field: PanopticField,
    box: SceneBox,
    camera: Camera,
    world_from_camera: Float[np.ndarray, "4 4"],
    depth_hint: Float[np.ndarray, "h w"] | None = None,
    parameters: RenderingParameters = RenderingParameters(),
) -> RenderedView:
    """Colour, depth, class and instance from any pose.

    A depth hint (m, 0 = nothing there), for example cast from a mesh, is where samples lie; without it
    every ray is first searched through the box, which is ten times as slow. A class or instance is the most probable
    one; the row "none" of the instances gives void.
    """
    v, u = (torch.from_numpy(axis.ravel()) for axis in np.mgrid[: camera.height, : camera.width].astype(np.float32))
    pose = torch.as_tensor(world_from_camera, dtype=torch.float32).expand(len(u), 4, 4)
    rays = camera_rays(camera, pose, u, v).to(field.origin.device)
    if depth_hint is None:
        count = parameters.search_samples
        chunks = _chunks(len(u), count)
        hint = torch.cat([_first_surface(field, box, _part(rays, indices), count) for indices in chunks])
    else:
        hint = _tensor(field, depth_hint.ravel())
    hit = torch.nonzero(hint > 0).squeeze(1)
    color, depth, category, instance = _empty_image(camera)
    if len(hit):
        hits = (hit[indices] for indices in _chunks(len(hit), parameters.near_samples))
        parts = [_render_chunk(field, _part(rays, indices), hint[indices], parameters) for indices in hits]
        seen = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        for image, values in zip((color, depth, category, instance), seen, strict=True):
            image[hit.cpu().numpy()] = values
    shape = (camera.height, camera.width)
    return RenderedView(color.reshape(*shape, 3), *(image.reshape(shape) for image in (depth, category, instance)))


def _empty_image(camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    pixels = camera.width * camera.height
    void = np.full(pixels, VOID, np.int32)
    return np.zeros((pixels, 3), np.uint8), np.zeros(pixels, np.float32), void, void.copy()


@torch.no_grad()
def _first_surface(field: PanopticField, box: SceneBox, rays: Rays, sample_count: int) -> Float[Tensor, " n"]:
    """Depth at which each ray first meets the surface inside the box, 0 if it meets none."""
    depth = box_depths(rays, box, sample_count)
    sdf = field.geometry(rays.at(depth).flatten(0, 1)).sdf.view(depth.shape)
    enters = (sdf[:, :-1] > 0) & (sdf[:, 1:] <= 0)
    before = enters.int().argmax(dim=1, keepdim=True)
    s = sdf.gather(1, before)
    t = sdf.gather(1, before + 1)
    a = depth.gather(1, before)
    b = depth.gather(1, before + 1)
    crossing = (a + (b - a) * s / torch.where(enters.any(dim=1, keepdim=True), s - t, 1.0)).squeeze(1)
    return torch.where(enters.any(dim=1), crossing, 0.0)


@torch.no_grad()
def _render_chunk(
    field: PanopticField, rays: Rays, surface: Float[Tensor, " n"], parameters: RenderingParameters
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    depth = near_depths(surface, field.truncation, parameters.near_samples)
    points = rays.at(depth)
    geometry = field.geometry(points.flatten(0, 1))
    weights = render_weights(geometry.sdf.view(depth.shape), field.sharpness)
    top = top_k_samples(weights, parameters.top_samples)
    shape = top.shares.shape
    directions = nn.functional.normalize(rays.direction, dim=1).repeat_interleave(shape[1], dim=0)
    seen = points.flatten(0, 1).index_select(0, top.rows)
    sample = field.appearance_and_semantics(seen, geometry.at(top.rows), directions)
    solid = weights.sum(dim=1) > parameters.min_opacity
    return _as_images(sample, top.shares, depth.gather(1, top.index), solid)


def _as_images(
    sample: FieldSample, share: Float[Tensor, "n k"], depth: Float[Tensor, "n k"], solid: Bool[Tensor, " n"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    color = render(share, sample.color.view(*share.shape, 3)) * solid[:, None]
    category = _most_probable(render_probability(share, sample.category.view(*share.shape, -1)))
    instance = _most_probable(render_probability(share, sample.instance.view(*share.shape, -1)))
    none = sample.instance.shape[1] - 1
    return (
        _as_bytes(color),
        torch.where(solid, (share * depth).sum(dim=1), 0.0).cpu().numpy(),
        torch.where(solid, category, VOID).cpu().numpy(),
        torch.where(solid & (instance != none), instance, VOID).cpu().numpy(),
    )


def _most_probable(probability: Float[Tensor, "n c"]) -> Int[Tensor, " n"]:
    if probability.shape[1] == 0:
        return torch.full((len(probability),), VOID, device=probability.device)
    return probability.argmax(dim=1)


def grid_shape(box: SceneBox, cell: float) -> tuple[int, int, int]:
    """Nodes along x, y and z of a grid over the box with spacing `cell` (m); node (0, 0, 0) is the box's origin."""
    x, y, z = (int(count) for count in np.floor(box.size / cell) + 1)
    return x, y, z


@one_thread()
def surface(field: PanopticField, box: SceneBox, cell: float) -> TriangleMesh:
    """The zero level set of the signed distance by marching cubes with spacing `cell` (m), coloured by the field."""
    everywhere = np.ones(grid_shape(box, cell), dtype=bool)
    values = signed_distance(field, box.origin + np.argwhere(everywhere) * cell).reshape(everywhere.shape)
    mesh = zero_level_set(values, everywhere, cell)
    vertices = mesh.vertices + box.origin
    return TriangleMesh(vertices, mesh.faces, query(field, vertices).color)


@torch.no_grad()
def signed_distance(field: PanopticField, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """The distance (m, positive in free space) at world points."""
    distance = np.empty(len(points), np.float32)  # at once: small parts that stay would keep freed memory in pieces
    for rows in _chunks(len(points)):
        distance[rows] = field.geometry(_tensor(field, points[rows])).sdf.cpu().numpy()
    return distance


def _chunks(count: int, points_each: int = 1) -> Iterator[slice]:
    """Slices of a bounded number of points; one empty slice where there is nothing."""
    step = max(CHUNK // points_each, 1)
    return (slice(start, min(start + step, count)) for start in range(0, max(count, 1), step))


def _part(rays: Rays, rows: slice | Int[Tensor, " m"]) -> Rays:
    return Rays(rays.origin[rows], rays.direction[rows])


def _tensor(field: PanopticField, values: np.ndarray) -> Tensor:
    return torch.as_tensor(values, dtype=field.origin.dtype, device=field.origin.device)


def _as_bytes(color: Float[Tensor, "n 3"]) -> UInt8[np.ndarray, "n 3"]:
    return (color.clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu().numpy()


def field_surface(
    field: PanopticField, box: SceneBox, fused: TriangleMesh, cell: float, max_distance: float
) -> tuple[TriangleMesh, Int[np.ndarray, " V"]]:
    """The field's zero level within `max_distance` (m) of the fused mesh, from a grid with spacing `cell` (m).

    And for each of its vertices the nearest fused one.
    """
    zero_surface = surface(field, box, cell)
    nearest = nearest_vertex(zero_surface.vertices, fused.vertices, max_distance)
    confirmed = keep_faces(zero_surface, (nearest[zero_surface.faces] != VOID).all(axis=1))
    return confirmed, nearest_vertex(confirmed.vertices, fused.vertices, max_distance)
