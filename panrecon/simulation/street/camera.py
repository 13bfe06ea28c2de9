"""A simulated camera in the built-in street: colour under sun and sky, exact depth and labels. There are no shadows."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8

from panrecon.geometry.projective import pixel_directions
from panrecon.geometry.raycasting import Raycaster
from panrecon.simulation.street.street import StreetSurface
from panrecon.structures import VOID, Camera, CategoryTable, Labels, SurfaceImage

SUN_DIRECTION: Final = np.array([0.35, -0.55, 0.76], dtype=np.float32)  # world frame, towards the sun
SUNLIGHT: Final = np.array([0.8, 0.76, 0.68], np.float32)  # linear RGB, as are the three below
SKYLIGHT: Final = np.array([0.52, 0.56, 0.63], np.float32)
HORIZON: Final = np.array([0.86, 0.9, 0.94], np.float32)
ZENITH: Final = np.array([0.42, 0.6, 0.86], np.float32)
HAZE_DISTANCE: Final = 260.0  # m after which 1/e of a colour is left
NOISE: Final = 0.012  # standard deviation of colours in [0, 1]


@dataclass(frozen=True)
class StreetView:
    """One image: RGB, exact depth (m along the optical axis, 0 = sky), and the true labels of every pixel."""

    camera: Camera
    world_from_camera: Float[np.ndarray, "4 4"]
    color: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    truth: Labels


def render(
    surface: StreetSurface,
    raycaster: Raycaster,
    camera: Camera,
    world_from_camera: Float[np.ndarray, "4 4"],
    categories: CategoryTable,
    *,
    seed: int = 0,
    frame: int = 0,
) -> StreetView:
    """The image of a surface, whose mesh `raycaster` holds; rays that hit nothing are sky.

    Noise depends on `seed` and `frame` alone.
    """
    surface_image = raycaster.cast(camera, world_from_camera)
    radiance = _radiance(surface, camera, world_from_camera, surface_image)
    rng = np.random.default_rng([seed, frame, 83])
    radiance += NOISE * rng.standard_normal(radiance.shape, dtype=np.float32)
    labels = surface.labels.at(surface_image.face)
    category = np.where(surface_image.face == VOID, categories.index_of("sky"), labels.category).astype(np.int32)
    color = np.rint(255 * np.clip(radiance, 0, 1)).astype(np.uint8)
    return StreetView(camera, world_from_camera, color, surface_image.depth, Labels(category, labels.instance))


def _radiance(
    surface: StreetSurface, camera: Camera, world_from_camera: Float[np.ndarray, "4 4"], surface_image: SurfaceImage
) -> Float[np.ndarray, "h w 3"]:
    """RGB, about 1 for sunlit white: Lambertian surfaces under sun and sky, fading into haze; sky above."""
    directions = (pixel_directions(camera) @ world_from_camera[:3, :3].T).astype(np.float32)
    hit = surface_image.face != VOID
    face = surface_image.face[hit]
    depth = surface_image.depth[hit]
    points = world_from_camera[:3, 3].astype(np.float32) + directions[hit] * depth[:, None]
    normals = surface.normals[face]
    is_back_face = np.einsum("ni,ni->n", normals, directions[hit]) > 0
    sign = np.where(is_back_face, -1, 1).astype(np.float32)
    sun = np.clip(sign * (normals @ (SUN_DIRECTION / np.linalg.norm(SUN_DIRECTION))), 0, None)
    sky = 0.75 + 0.25 * sign * normals[:, 2]
    light = sun[:, None] * SUNLIGHT + sky[:, None] * SKYLIGHT
    transmittance = np.exp(-depth / HAZE_DISTANCE)[:, None]
    result = _sky(directions)
    result[hit] = transmittance * surface.texture(points, face) * light + (1 - transmittance) * HORIZON
    return result


def _sky(directions: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    sine_of_elevation = directions[..., 2] / np.linalg.norm(directions, axis=-1)
    zenith_weight = np.sqrt(np.clip(2 * sine_of_elevation, 0, 1))[..., None]
    return (1 - zenith_weight) * HORIZON + zenith_weight * ZENITH
