"""Flat squares of vertices, coloured as a test wants."""

import numpy as np
from jaxtyping import Bool, UInt8

from panrecon.structures import TriangleMesh

VOXEL_SIZE = 0.02  # m between vertices
SIDE = 41  # vertices
RED, GREEN = (200, 40, 40), (40, 200, 40)


def sheet(colors: UInt8[np.ndarray, "S S 3"]) -> TriangleMesh:
    """A flat square of SIDE x SIDE vertices around the origin; colours by [row, column]."""
    y, x = np.mgrid[:SIDE, :SIDE]
    vertices = np.stack([(x - SIDE // 2) * VOXEL_SIZE, (y - SIDE // 2) * VOXEL_SIZE, np.zeros_like(x)], axis=2)
    corner = (y[:-1, :-1] * SIDE + x[:-1, :-1]).ravel()
    lower = np.stack([corner, corner + 1, corner + SIDE], axis=1)
    upper = np.stack([corner + 1, corner + SIDE + 1, corner + SIDE], axis=1)
    faces = np.concatenate([lower, upper]).astype(np.int32)
    return TriangleMesh(vertices.reshape(-1, 3).astype(np.float32), faces, colors.reshape(-1, 3).astype(np.uint8))


def halves(boundary: float) -> Bool[np.ndarray, "S S"]:
    """Which vertices lie right of x = `boundary` (m), by [row, column]."""
    x = (np.arange(SIDE) - SIDE // 2) * VOXEL_SIZE
    return np.broadcast_to(x > boundary, (SIDE, SIDE))


def painted(right: Bool[np.ndarray, "S S"]) -> UInt8[np.ndarray, "S S 3"]:
    """Red right, green left."""
    return np.where(right[..., None], RED, GREEN).astype(np.uint8)
