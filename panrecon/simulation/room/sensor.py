"""A simulated RGB-D camera in a built-in room: shaded colour, depth with a structured-light sensor's errors, labels."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from panrecon.geometry.mesh import face_normals
from panrecon.geometry.projective import pixel_directions
from panrecon.geometry.raycasting import Raycaster
from panrecon.simulation.room.lighting import light_room, linear
from panrecon.simulation.room.room import Room
from panrecon.structures import VOID, Camera, Labels, SurfaceImage

DISPARITY_STEP: Final = 1 / (8 * 43.5)  # 1/m: an eighth of a pixel at 580 px focal length and 7.5 cm baseline


@dataclass(frozen=True)
class SensorNoise:
    """Errors of the camera; `scale` multiplies the axial noise of Nguyen et al. (2012), 0 means exact depth.

    Depth outside `near` .. `far` (m) or at an angle below `grazing_deg` is not measured. Of the pixels at depth edges
    a share is missing and a share are flying pixels between the two surfaces. `color_sigma` is the standard deviation
    of colours in [0, 1], `vignetting` the loss of light in the corners, `exposure_drift` the largest relative error of
    a frame's exposure.
    """

    scale: float = 1.0
    near: float = 0.35
    far: float = 6.0
    grazing_deg: float = 8.0
    missing_at_edges: float = 0.45
    flying_at_edges: float = 0.2
    color_sigma: float = 0.012
    vignetting: float = 0.22
    exposure_drift: float = 0.06

    @classmethod
    def none(cls) -> "SensorNoise":
        """A camera that measures every surface exactly."""
        return cls(0.0, 0.0, np.inf, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class SimulatedView:
    """One frame: RGB, measured depth (m, 0 = none), and the true labels and depth (m, 0 = none) of every pixel."""

    camera: Camera
    world_from_camera: Float[np.ndarray, "4 4"]
    color: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    truth: Labels
    true_depth: Float[np.ndarray, "h w"]


class RoomCamera:
    """Renders views of one room; building it computes the light once (1 to 2 s)."""

    def __init__(self, room: Room, light_edge: float = 0.14) -> None:
        self._room = room
        self._lit = light_room(room, light_edge)
        self._raycaster = Raycaster(self._lit.mesh)
        normals = face_normals(self._lit.mesh.vertices, self._lit.mesh.faces)
        self._vertices = self._lit.mesh.vertices.astype(np.float32)
        self._normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)

    def render(
        self,
        camera: Camera,
        world_from_camera: Float[np.ndarray, "4 4"],
        *,
        seed: int = 0,
        frame: int = 0,
        noise: SensorNoise | None = None,
        supersampling: int = 1,
    ) -> SimulatedView:
        """The view from a pose; noise depends on `seed` and `frame` alone.

        With `supersampling` n, colour is the mean of n x n rays a pixel; depth and labels are those of its centre.
        """
        noise = SensorNoise() if noise is None else noise
        surface = self._raycaster.cast(camera, world_from_camera)
        fine_camera = camera.scaled(float(supersampling)) if supersampling > 1 else camera
        fine_surface = self._raycaster.cast(fine_camera, world_from_camera) if supersampling > 1 else surface
        radiance = self._radiance(fine_camera, world_from_camera, fine_surface)
        radiance = cv2.resize(radiance, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
        rng = np.random.default_rng([seed, frame, 31])
        room_face = np.where(surface.face == VOID, VOID, self._lit.room_face[surface.face])
        return SimulatedView(
            camera,
            world_from_camera,
            developed(radiance, noise, rng),
            measured_depth(surface.depth, self._cosine(camera, world_from_camera, surface), noise, rng),
            self._room.labels.at(room_face),
            surface.depth,
        )

    def _radiance(
        self, camera: Camera, world_from_camera: Float[np.ndarray, "4 4"], surface: SurfaceImage
    ) -> Float[np.ndarray, "h w 3"]:
        """The light that reaches the camera, linear RGB, about 1 for lit white."""
        result = np.zeros((*surface.depth.shape, 3), dtype=np.float32)
        hit = surface.face != VOID
        face = surface.face[hit]
        directions = (pixel_directions(camera)[hit] @ world_from_camera[:3, :3].T).astype(np.float32)
        points = world_from_camera[:3, 3].astype(np.float32) + directions * surface.depth[hit][:, None]
        room_face = self._lit.room_face[face]
        reflectance = linear(self._room.texture(points, room_face))
        light = self._light_at(points, face) + 1.3 * self._room.glow[room_face][:, None]
        result[hit] = reflectance * light
        return result

    def _light_at(self, points: Float[np.ndarray, "n 3"], face: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        """The irradiance, interpolated between the corners of the faces hit."""
        corner = self._lit.mesh.faces[face]
        weights = _barycentric(points, *(self._vertices[corner[:, i]] for i in range(3)))
        return np.einsum("nk,nkc->nc", weights, self._lit.irradiance[corner])

    def _cosine(
        self, camera: Camera, world_from_camera: Float[np.ndarray, "4 4"], surface: SurfaceImage
    ) -> Float[np.ndarray, "h w"]:
        """Cosine between the ray and the surface's normal; 0 where nothing is hit."""
        rays = pixel_directions(camera)
        rays /= np.linalg.norm(rays, axis=2, keepdims=True)
        normals = self._normals[surface.face] @ world_from_camera[:3, :3]
        return np.where(surface.face == VOID, 0.0, np.abs(np.einsum("hwi,hwi->hw", rays, normals)))


def developed(
    radiance: Float[np.ndarray, "h w 3"], noise: SensorNoise, rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """The RGB image of linear radiance: exposure, vignetting, tone mapping, gamma and noise."""
    height, width = radiance.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    falloff = 1 - noise.vignetting * (x**2 + y**2) / 2
    exposed = 1.35 * (1 + noise.exposure_drift * rng.uniform(-1, 1)) * radiance * falloff[..., None]
    display = np.sqrt(_tone_mapped(exposed))
    color_noise = noise.color_sigma * rng.standard_normal(radiance.shape, dtype=np.float32)
    return np.rint(255 * np.clip(display + color_noise, 0, 1)).astype(np.uint8)


def measured_depth(
    depth: Float[np.ndarray, "h w"], cosine: Float[np.ndarray, "h w"], noise: SensorNoise, rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """The depth (m, 0 = none) that a structured-light sensor reports of exact depth (m, 0 = none).

    `cosine` is that of the angle between the ray and the surface normal.
    """
    edges, nearest, farthest = _depth_edges(depth)
    draw = rng.uniform(size=depth.shape)
    flying = edges & (draw < noise.flying_at_edges)
    missing = edges & (draw > 1 - noise.missing_at_edges)
    mixed = np.where(flying, nearest + rng.uniform(size=depth.shape) * (farthest - nearest), depth)
    sigma = noise.scale * (0.0012 + 0.0019 * np.maximum(mixed - 0.4, 0) ** 2)
    noisy = np.maximum(mixed + sigma * _correlated(depth.shape, rng), 0.0)
    valid = (depth > 0) & (noisy >= noise.near) & (noisy <= noise.far) & ~missing
    valid &= cosine >= np.sin(np.radians(noise.grazing_deg))
    quantised = _quantised(noisy) if noise.scale > 0 else noisy
    return np.where(valid, quantised, 0.0).astype(np.float32)


def _tone_mapped(light: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Brightness in [0, 1]: about linear in the dark, saturating in the bright (Narkowicz's ACES fit, 2015)."""
    return np.clip(light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14), 0, 1)


def _depth_edges(
    depth: Float[np.ndarray, "h w"],
) -> tuple[Bool[np.ndarray, "h w"], Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Pixels at a depth discontinuity, and the nearest and the farthest depth in their 3 x 3 neighbourhood."""
    window = np.ones((3, 3), np.uint8)
    nearest = cv2.erode(depth, window)
    farthest = cv2.dilate(depth, window)
    return (farthest - nearest > 0.04 + 0.03 * nearest), nearest, farthest


def _correlated(shape: tuple[int, ...], rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Noise of standard deviation 1, correlated over about two pixels."""
    smooth = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), 0.8)
    return smooth / smooth.std()


def _quantised(depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Depth whose inverse is a multiple of the sensor's disparity step."""
    steps = np.rint(1 / (np.maximum(depth, 0.1) * DISPARITY_STEP))
    return 1 / (steps * DISPARITY_STEP)


def _barycentric(
    points: Float[np.ndarray, "n 3"],
    a: Float[np.ndarray, "n 3"],
    b: Float[np.ndarray, "n 3"],
    c: Float[np.ndarray, "n 3"],
) -> Float[np.ndarray, "n 3"]:
    """The barycentric weights of the corners a, b, c at points of their triangles."""
    ab = b - a
    ac = c - a
    ap = points - a
    d00 = np.einsum("ni,ni->n", ab, ab)
    d01 = np.einsum("ni,ni->n", ab, ac)
    d11 = np.einsum("ni,ni->n", ac, ac)
    d20 = np.einsum("ni,ni->n", ap, ab)
    d21 = np.einsum("ni,ni->n", ap, ac)
    determinant = np.maximum(d00 * d11 - d01 * d01, 1e-18)
    v = (d11 * d20 - d01 * d21) / determinant
    w = (d00 * d21 - d01 * d20) / determinant
    return np.clip(np.stack([1 - v - w, v, w], axis=1), 0, 1)
