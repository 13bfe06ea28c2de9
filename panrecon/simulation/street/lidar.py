"""A simulated LiDAR like the Velodyne HDL-64E: beams, range noise, lost returns. A scan takes no time."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.geometry.projective import transform
from panrecon.geometry.raycasting import Raycaster
from panrecon.simulation.street.street import StreetSurface
from panrecon.structures import Labels

# HDL-64E: 32 beams every 1/3 degree from +2, then 32 every half degree; HDL-32E: every 4/3 degrees from +10.67.
HDL_64E: Final = (2.0, -8.333, -8.833, -24.333)
HDL_32E: Final = (10.667, -9.333, -10.667, -30.667)


@dataclass(frozen=True)
class LidarModel:
    """A rotating LiDAR: as many beams above its middle as below, evenly spaced in each half, and its errors.

    `columns` are the measurements of a beam in one turn. `halves_deg` are the elevations of the first and the last
    beam of each half. `range_noise` is the standard deviation of ranges (m), `dropout` the share of returns that are
    lost. Ranges outside `min_range` .. `max_range` (m) are not measured, nor are surfaces hit at an angle below
    `grazing_deg`.
    """

    beams: int = 64
    columns: int = 2048
    range_noise: float = 0.02
    dropout: float = 0.02
    min_range: float = 1.5
    max_range: float = 80.0
    grazing_deg: float = 1.0
    halves_deg: tuple[float, float, float, float] = HDL_64E

    @property
    def elevations(self) -> Float[np.ndarray, " beams"]:
        """Angles above the horizon (rad), highest first."""
        first_upper, last_upper, first_lower, last_lower = np.radians(self.halves_deg).tolist()
        upper_beams = (self.beams + 1) // 2
        upper = np.linspace(first_upper, last_upper, upper_beams)
        lower = np.linspace(first_lower, last_lower, self.beams - upper_beams)
        return np.concatenate([upper, lower])

    def directions(self) -> Float[np.ndarray, "rays 3"]:
        """Unit directions in the sensor's frame, beam by beam; the azimuth of each falls from pi to -pi."""
        azimuths = np.pi - 2 * np.pi * (np.arange(self.columns) + 0.5) / self.columns
        elevation, azimuth = (grid.ravel() for grid in np.meshgrid(self.elevations, azimuths, indexing="ij"))
        x = np.cos(elevation) * np.cos(azimuth)
        y = np.cos(elevation) * np.sin(azimuth)
        return np.stack([x, y, np.sin(elevation)], axis=1)


@dataclass(frozen=True)
class SimulatedScan:
    """One scan: x, y, z (m, LiDAR frame) and intensity in [0, 1] of every return, and its ground truth.

    `beam` counts from the highest. `exact` are the points hit, in the world frame and without noise.
    """

    world_from_lidar: Float[np.ndarray, "4 4"]
    points: Float[np.ndarray, "n 4"]
    beam: Int[np.ndarray, " n"]
    face: Int[np.ndarray, " n"]
    truth: Labels
    exact: Float[np.ndarray, "n 3"]


def simulated_scan(
    surface: StreetSurface,
    raycaster: Raycaster,
    model: LidarModel,
    world_from_lidar: Float[np.ndarray, "4 4"],
    *,
    seed: int = 0,
    frame: int = 0,
) -> SimulatedScan:
    """The scan of a surface, whose mesh `raycaster` holds; noise depends on `seed` and `frame` alone."""
    rng = np.random.default_rng([seed, frame, 82])
    lidar_directions = model.directions()
    directions = transform(world_from_lidar, lidar_directions) - world_from_lidar[:3, 3]
    origins = np.broadcast_to(world_from_lidar[:3, 3], directions.shape)
    distance, face = raycaster.first_hits(origins, directions)
    cosine = np.abs(np.einsum("ni,ni->n", surface.normals[face], directions.astype(np.float32)))
    range_noise = model.range_noise * rng.standard_normal(len(directions))
    survives = rng.uniform(size=len(directions)) >= model.dropout
    intensity_noise = rng.normal(0, 0.03, len(directions))
    in_range = (distance >= model.min_range) & (distance <= model.max_range)
    is_steep = cosine >= np.sin(np.radians(model.grazing_deg))
    ray = np.flatnonzero(in_range & survives & is_steep)
    face = face[ray]
    exact = transform(world_from_lidar, lidar_directions[ray] * distance[ray, None])
    ranges = distance[ray] + range_noise[ray]
    intensity = _reflectance(surface, exact, face) * np.sqrt(cosine[ray]) + intensity_noise[ray]
    points = np.column_stack([lidar_directions[ray] * ranges[:, None], np.clip(intensity, 0, 1)]).astype(np.float32)
    beam = (ray // model.columns).astype(np.int32)
    return SimulatedScan(world_from_lidar, points, beam, face, surface.labels.at(face), exact)


def _reflectance(
    surface: StreetSurface, points: Float[np.ndarray, "n 3"], face: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Reflectance in the near infrared, approximated by the mean of the colours."""
    return 0.8 * surface.texture(points, face).mean(axis=1)
