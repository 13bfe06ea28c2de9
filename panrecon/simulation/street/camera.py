"""A simulated camera in the built-in street: colour under sun and sky, exact depth and labels. There are no shadows."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8

from panrecon.geometry.projective import pixel_directions
from panrecon.geometry.raycasting import Raycaster
from panrecon.simulation.street.street import Surface
from panrecon.structures import VOID, Camera, CategoryTable, Labels, SurfaceImage

SUN: Final = np.array([0.35, -0.55, 0.76], dtype=np.float32)  # towards it
SUNLIGHT, SKYLIGHT = np.array([0.8, 0.76, 0.68], np.float32), np.array([0.52, 0.56, 0.63], np.float32)
HAZE: Final = 260.0  # m after which about a third of a colour is left
HORIZON, ZENITH = np.array([0.86, 0.9, 0.94], np.float32), np.array([0.42, 0.6, 0.86], np.float32)
_NOISE: Final = 0.012


@dataclass(frozen=True)
class StreetView:
    """One image: colour in RGB, exact depth (m along the axis, 0 = sky), and what is there at every pixel."""

    camera: Camera
    world_from_camera: Float[np.ndarray, "4 4"]
    color: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    truth: Labels


def render(
    surface: Surface,
    raycaster: Raycaster,
    camera: Camera,
    world_from_camera: Float[np.ndarray, "4 4"],
    categories: CategoryTable,
    *,
    seed: int = 0,
    frame: int = 0,
) -> StreetView:
    """The surface that `raycaster` holds, seen from a pose; pixels that see nothing are sky."""
    seen = raycaster.cast(camera, world_from_camera)
    color = _light(surface, camera, world_from_camera, seen)
    rng = np.random.default_rng([seed, frame, 83])
    color += _NOISE * rng.standard_normal(color.shape, dtype=np.float32)
    labels = surface.labels.at(seen.face)
    category = np.where(seen.face == VOID, categories.index_of("sky"), labels.category).astype(np.int32)
    picture = np.rint(255 * np.clip(color, 0, 1)).astype(np.uint8)
    return StreetView(camera, world_from_camera, picture, seen.depth, Labels(category, labels.instance))


def _light(
    surface: Surface, camera: Camera, world_from_camera: Float[np.ndarray, "4 4"], seen: SurfaceImage
) -> Float[np.ndarray, "h w 3"]:
    """Colours in [0, 1]: lambertian surfaces under sun and sky, fading into haze; sky above."""
    directions = (pixel_directions(camera) @ world_from_camera[:3, :3].T).astype(np.float32)
    hit = seen.face != VOID
    face, depth = seen.face[hit], seen.depth[hit]
    points = world_from_camera[:3, 3].astype(np.float32) + directions[hit] * depth[:, None]
    normals = surface.normals[face]
    towards = np.where(np.einsum("ni,ni->n", normals, directions[hit]) > 0, -1, 1).astype(np.float32)
    sun = np.clip(towards * (normals @ (SUN / np.linalg.norm(SUN))), 0, None)
    sky = 0.75 + 0.25 * towards * normals[:, 2]
    light = sun[:, None] * SUNLIGHT + sky[:, None] * SKYLIGHT
    clear = np.exp(-depth / HAZE)[:, None]
    result = _sky(directions)
    result[hit] = clear * surface.texture(points, face) * light + (1 - clear) * HORIZON
    return result


def _sky(directions: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    up = directions[..., 2] / np.linalg.norm(directions, axis=-1)
    share = np.sqrt(np.clip(2 * up, 0, 1))[..., None]
    return (1 - share) * HORIZON + share * ZENITH
