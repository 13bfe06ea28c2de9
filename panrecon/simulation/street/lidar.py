"""A simulated LiDAR like the Velodyne HDL-64E: beams, range noise, lost returns. A scan takes no time."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.geometry.projective import transform
from panrecon.geometry.raycasting import Raycaster
from panrecon.simulation.street.street import Surface
from panrecon.structures import Labels

# HDL-64E: 32 beams every 1/3 degree from +2, then 32 every half degree; HDL-32E: every 4/3 degrees from +10.67.
HDL_64E: Final = (2.0, -8.333, -8.833, -24.333)
HDL_32E: Final = (10.667, -9.333, -10.667, -30.667)


@dataclass(frozen=True)
class LidarModel:
    """What a LiDAR measures: as many beams above its middle as below, evenly spaced in each half.

    `halves_deg` are the elevations of the first and the last beam of each half. `noise` is the deviation of ranges
    (m), `lost` the share of returns that fail. Nothing is measured nearer than `near` or beyond `far` (m), nor
    surfaces seen at less than `grazing_deg`.
    """

    beams: int = 64
    columns: int = 2048
    noise: float = 0.02
    lost: float = 0.02
    near: float = 1.5
    far: float = 80.0
    grazing_deg: float = 1.0
    halves_deg: tuple[float, float, float, float] = HDL_64E

    @property
    def elevations(self) -> Float[np.ndarray, " beams"]:
        """Angles above the horizon (rad), highest first."""
        top, upper, lower, bottom = np.radians(self.halves_deg).tolist()
        above = (self.beams + 1) // 2
        return np.concatenate([np.linspace(top, upper, above), np.linspace(lower, bottom, self.beams - above)])

    def directions(self) -> Float[np.ndarray, "rays 3"]:
        """Unit directions in the sensor's frame, beam by beam, each turning from behind to the left."""
        turn = np.pi - 2 * np.pi * (np.arange(self.columns) + 0.5) / self.columns
        up, around = (grid.ravel() for grid in np.meshgrid(self.elevations, turn, indexing="ij"))
        return np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], axis=1)


@dataclass(frozen=True)
class SimulatedScan:
    """One scan in the sensor's frame: x, y, z (m) and intensity in [0, 1], what was hit, and the exact points.

    `beam` counts from the highest. `exact` lies on the surface in the world frame.
    """

    world_from_lidar: Float[np.ndarray, "4 4"]
    points: Float[np.ndarray, "n 4"]
    beam: Int[np.ndarray, " n"]
    face: Int[np.ndarray, " n"]
    truth: Labels
    exact: Float[np.ndarray, "n 3"]


def scan(
    surface: Surface,
    raycaster: Raycaster,
    model: LidarModel,
    world_from_lidar: Float[np.ndarray, "4 4"],
    *,
    seed: int = 0,
    frame: int = 0,
) -> SimulatedScan:
    """What the LiDAR measures of the surface that `raycaster` holds; noise depends on `seed` and `frame` alone."""
    rng = np.random.default_rng([seed, frame, 82])
    local = model.directions()
    directions = transform(world_from_lidar, local) - world_from_lidar[:3, 3]
    origins = np.broadcast_to(world_from_lidar[:3, 3], directions.shape)
    distance, face = raycaster.first_hits(origins, directions)
    cosine = np.abs(np.einsum("ni,ni->n", surface.normals[face], directions.astype(np.float32)))
    noise, fate = rng.standard_normal(len(local)), rng.uniform(size=len(local))
    glitter = rng.normal(0, 0.03, len(local))
    measured = (distance >= model.near) & (distance <= model.far) & (fate >= model.lost)
    hit = np.flatnonzero(measured & (cosine >= np.sin(np.radians(model.grazing_deg))))
    exact = transform(world_from_lidar, local[hit] * distance[hit, None])
    ranges = distance[hit] + model.noise * noise[hit]
    intensity = _reflectance(surface, exact, face[hit]) * np.sqrt(cosine[hit]) + glitter[hit]
    points = np.column_stack([local[hit] * ranges[:, None], np.clip(intensity, 0, 1)]).astype(np.float32)
    beam = (hit // model.columns).astype(np.int32)
    return SimulatedScan(world_from_lidar, points, beam, face[hit], surface.labels.at(face[hit]), exact)


def _reflectance(
    surface: Surface, points: Float[np.ndarray, "n 3"], face: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Near infrared, taken for the mean of the colours."""
    return 0.8 * surface.texture(points, face).mean(axis=1)
