"""Small worlds of rectangles with z up, cameras in them, and the same in any other frame."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from panrecon.geometry.projective import look_at, transform
from panrecon.structures import TriangleMesh

SPACING = 0.05  # m, between vertices


def rectangle(corner: Sequence[float], along: Sequence[float], across: Sequence[float]) -> TriangleMesh:
    """A rectangle of vertices `SPACING` apart; its normal is `along` x `across`."""
    origin, first, second = (np.asarray(vector, dtype=np.float64) for vector in (corner, along, across))
    rows, columns = (max(1, round(float(np.linalg.norm(side)) / SPACING)) for side in (first, second))
    u, v = np.meshgrid(np.linspace(0, 1, rows + 1), np.linspace(0, 1, columns + 1), indexing="ij")
    vertices = origin + u.reshape(-1, 1) * first + v.reshape(-1, 1) * second
    index = np.arange((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    return mesh_of(vertices, np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]))


def box(low: Sequence[float], high: Sequence[float]) -> TriangleMesh:
    """A box without its underside, normals outwards."""
    x, y, z = np.subtract(high, low)
    return joined(
        rectangle((low[0], low[1], high[2]), (x, 0, 0), (0, y, 0)),
        rectangle(low, (x, 0, 0), (0, 0, z)),
        rectangle((low[0], high[1], low[2]), (0, 0, z), (x, 0, 0)),
        rectangle(low, (0, 0, z), (0, y, 0)),
        rectangle((high[0], low[1], low[2]), (0, y, 0), (0, 0, z)),
    )


def table_top(low: Sequence[float], high: Sequence[float]) -> TriangleMesh:
    """The upper and the lower side of a plate."""
    x, y, _ = np.subtract(high, low)
    return joined(rectangle((low[0], low[1], high[2]), (x, 0, 0), (0, y, 0)), rectangle(low, (0, y, 0), (x, 0, 0)))


def room(length: float = 4, width: float = 3, height: float = 2.5, ceiling: bool = False) -> TriangleMesh:
    """An empty room with its floor at z = 0, normals inwards."""
    parts = [
        rectangle((0, 0, 0), (length, 0, 0), (0, width, 0)),
        rectangle((0, 0, 0), (0, 0, height), (length, 0, 0)),
        rectangle((0, width, 0), (length, 0, 0), (0, 0, height)),
        rectangle((0, 0, 0), (0, width, 0), (0, 0, height)),
        rectangle((length, 0, 0), (0, 0, height), (0, width, 0)),
    ]
    if ceiling:
        parts.append(rectangle((0, 0, height), (0, width, 0), (length, 0, 0)))
    return joined(*parts)


def joined(*meshes: TriangleMesh) -> TriangleMesh:
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = [mesh.faces + offset for mesh, offset in zip(meshes, offsets[:-1], strict=True)]
    return mesh_of(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces))


def mesh_of(vertices: Float[np.ndarray, "V 3"], faces: np.ndarray) -> TriangleMesh:
    return TriangleMesh(vertices.astype(np.float32), faces.astype(np.int32), np.full((len(vertices), 3), 128, np.uint8))


def noisy(mesh: TriangleMesh, deviation: float, rng: np.random.Generator) -> TriangleMesh:
    """The mesh with its vertices displaced at random (m)."""
    return mesh_of(mesh.vertices + rng.normal(0, deviation, mesh.vertices.shape), mesh.faces)


def moved(mesh: TriangleMesh, motion: Float[np.ndarray, "4 4"]) -> TriangleMesh:
    return TriangleMesh(transform(motion, mesh.vertices), mesh.faces, mesh.colors)


def random_motion(rng: np.random.Generator) -> Float[np.ndarray, "4 4"]:
    motion = np.eye(4)
    motion[:3, :3] = Rotation.random(random_state=rng).as_matrix()
    motion[:3, 3] = rng.normal(0, 2, 3)
    return motion


def cameras(
    rng: np.random.Generator,
    low: Sequence[float] = (0.5, 0.5, 1.4),
    high: Sequence[float] = (3.5, 2.5, 1.6),
    pitch: float = 20.0,
    turn: float = 180.0,
    count: int = 40,
) -> Float[np.ndarray, "n 4 4"]:
    """Poses in a box, of cameras that look below the horizon by `pitch` +- 10 degrees, within `turn` degrees of x."""
    poses = []
    for eye in rng.uniform(low, high, (count, 3)):
        yaw = np.deg2rad(rng.uniform(-turn, turn))
        down = np.deg2rad(np.clip(pitch + rng.normal(0, 10), -89, 89))
        toward = np.array([np.cos(yaw) * np.cos(down), np.sin(yaw) * np.cos(down), -np.sin(down)])
        roll = np.eye(4)
        roll[:3, :3] = Rotation.from_euler("z", rng.normal(0, 5), degrees=True).as_matrix()
        poses.append(look_at(eye, eye + toward) @ roll)
    return np.stack(poses)
