"""The upward direction of a scan, from its cameras and the horizontal and vertical surface of its mesh.

The posterior of a direction: cameras are held upright on the mean (a von Mises-Fisher prior around the mean of their up
vectors), and surface is horizontal, vertical or clutter (the Manhattan-like mixture of Straub et al. 2014, here with
walls at any angle to each other). Its mode is sought on a grid of directions and then climbed to.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from panrecon.geometry.mesh import face_normals
from panrecon.layout.parameters import LayoutParameters
from panrecon.structures import TriangleMesh

LATTICE = 16  # cells per unit: normals are averaged in cells of 3.6 degrees, below the deviation of one plane's
GRID_SIZE = 1500  # directions on a half sphere, 3.7 degrees apart
MAX_FACES = 400_000  # of larger meshes evenly spaced ones stand for all
UNKNOWN = np.pi / 2  # rad: the uncertainty of a direction of which nothing is known


@dataclass(frozen=True)
class Gravity:
    """The upward direction in the world, a unit vector, and its standard deviation about the worse axis (rad)."""

    up: Float[np.ndarray, "3"]
    uncertainty: float


def estimate_gravity(
    mesh: TriangleMesh, poses: Float[np.ndarray, "n 4 4"], parameters: LayoutParameters = LayoutParameters()
) -> Gravity:
    """The upward direction of a scan with these poses (world from camera) and this mesh, at any rotation of the world.

    Where the mesh has no planes it is that of the cameras, where these contradict each other that of the planes; where
    neither tells anything it is world z, with an uncertainty of a right angle. A scan that was made upside down
    throughout is taken for upright.
    """
    posterior = _posterior(mesh, poses, parameters)
    start = posterior.best_of(_half_sphere(posterior.cameras), np.cos(parameters.max_tilt))
    tangents = _tangents(start)

    def objective(offset: Float[np.ndarray, "2"]) -> tuple[float, Float[np.ndarray, "2"]]:
        direction = start + tangents.T @ offset
        length = np.linalg.norm(direction)
        up = direction / length
        gradient = posterior.gradient(up)
        return -float(posterior.log_density(up[None])[0]), -tangents @ (gradient - (gradient @ up) * up) / length

    direction = start + tangents.T @ minimize(objective, np.zeros(2), jac=True, method="BFGS").x
    up = direction / np.linalg.norm(direction)
    return Gravity(up, posterior.deviation(up))


@dataclass(frozen=True)
class _Posterior:
    """The log density of the upward direction, up to a constant; a normal and its opposite say the same of it."""

    cameras: Float[np.ndarray, "3"]  # mean up of the cameras; short where they contradict each other
    camera_precision: float  # 1/rad^2
    normal: Float[np.ndarray, "N 3"]
    count: Float[np.ndarray, " N"]  # independent patches with this normal
    precision: float  # 1/rad^2, of the normals of one plane
    clutter: float

    def log_density(self, up: Float[np.ndarray, "U 3"]) -> Float[np.ndarray, " U"]:
        prior = self.camera_precision * np.einsum("uk,k->u", up, self.cameras)
        horizontal, vertical = self._kernels(np.einsum("nk,uk->nu", self.normal, up))
        return np.asarray(prior + np.einsum("n,nu->u", self.count, np.log(self.clutter + horizontal + vertical)))

    def best_of(self, directions: Float[np.ndarray, "U 3"], min_cosine: float) -> Float[np.ndarray, "3"]:
        """The likeliest of the directions that the cameras do not rule out: the shorter their mean, the fewer."""
        agreement = np.einsum("uk,k->u", directions, self.cameras)
        possible = directions[agreement >= agreement.max() - (1 - min_cosine)]
        return np.asarray(possible[self.log_density(possible).argmax()])

    def gradient(self, up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
        slope, _ = self._derivatives(up)
        return np.asarray(self.camera_precision * self.cameras + np.einsum("n,nk->k", slope, self.normal))

    def deviation(self, up: Float[np.ndarray, "3"]) -> float:
        """The standard deviation about the worse of the axes across (rad), by the curvature at a mode (Laplace)."""
        _, bend = self._derivatives(up)
        tangents = _tangents(up)
        across = np.einsum("tk,nk->tn", tangents, self.normal)
        curvature = (self.gradient(up) @ up) * np.eye(2) - np.einsum("n,tn,sn->ts", bend, across, across)
        smallest = float(np.linalg.eigvalsh(curvature)[0])
        return min(smallest**-0.5, UNKNOWN) if smallest > 0 else UNKNOWN

    def _kernels(
        self, cosine: Float[np.ndarray, "*shape"]
    ) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
        """Likelihoods of horizontal and of vertical surface, 1 at the peak, by the cosine of normal and upward."""
        horizontal = np.exp(-self.precision * (1 - np.abs(cosine)))
        vertical = np.exp(-self.precision * cosine**2 / 2)
        return horizontal, vertical

    def _derivatives(self, up: Float[np.ndarray, "3"]) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
        """The first and second derivative of every normal's log likelihood by its cosine with upward."""
        cosine = np.einsum("nk,k->n", self.normal, up)
        horizontal, vertical = self._kernels(cosine)
        likelihood = self.clutter + horizontal + vertical
        precision = self.precision
        slope = precision * (horizontal * np.sign(cosine) - vertical * cosine) / likelihood
        bend = precision * (precision * horizontal + vertical * (precision * cosine**2 - 1)) / likelihood - slope**2
        return self.count * slope, self.count * bend


def _posterior(mesh: TriangleMesh, poses: Float[np.ndarray, "n 4 4"], parameters: LayoutParameters) -> _Posterior:
    pitch = parameters.camera_pitch
    ups = -np.cos(pitch) * poses[:, :3, 1] - np.sin(pitch) * poses[:, :3, 2]
    normal, area = _directions(mesh)
    return _Posterior(
        cameras=ups.sum(axis=0) / max(len(ups), 1),
        camera_precision=parameters.camera_deviation**-2,
        normal=normal,
        count=area / parameters.patch_area,
        precision=parameters.normal_deviation**-2,
        clutter=parameters.clutter,
    )


def _directions(mesh: TriangleMesh) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, " N"]]:
    """Unit normals of the mesh, averaged in the cells of a lattice, and the area (m^2) of each."""
    faces = mesh.faces[:: -(-len(mesh.faces) // MAX_FACES) or 1]
    doubled = face_normals(mesh.vertices, faces) * (len(mesh.faces) / max(len(faces), 1))
    doubled_area = np.sqrt(np.einsum("fk,fk->f", doubled, doubled))
    has_area = doubled_area > 0
    doubled = doubled[has_area]
    doubled_area = doubled_area[has_area]
    cell = np.rint(doubled * (LATTICE / doubled_area)[:, None]).astype(np.int64) + LATTICE
    key = np.ravel_multi_index(tuple(cell.T), (2 * LATTICE + 1,) * 3)
    sums = np.stack([np.bincount(key, column) for column in doubled.T], axis=1)
    area = np.bincount(key, doubled_area) / 2
    occupied = area > 0
    return sums[occupied] / np.linalg.norm(sums[occupied], axis=1, keepdims=True), area[occupied]


def _half_sphere(centre: Float[np.ndarray, "3"]) -> Float[np.ndarray, "U 3"]:
    """The centre as a unit vector, if it is none of zero, world z, and an even grid of the half sphere around them."""
    index = np.arange(2 * GRID_SIZE)
    z = 1 - (2 * index + 1) / len(index)  # a Fibonacci lattice (Gonzalez 2010)
    angle = index * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - z**2)
    sphere = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)
    length = np.linalg.norm(centre)
    centres = [centre / length] if length > 0 else []
    directions = np.stack([*centres, np.array([0.0, 0.0, 1.0]), *sphere])
    return directions[np.einsum("uk,k->u", directions, centre if length > 0 else directions[0]) >= 0]


def _tangents(direction: Float[np.ndarray, "3"]) -> Float[np.ndarray, "2 3"]:
    """Two unit vectors at right angles to a unit vector and to each other."""
    first = np.cross(direction, np.eye(3)[np.abs(direction).argmin()])
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(direction, first)])
