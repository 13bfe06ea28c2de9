"""LiDAR points as benchmarks keep them: raw little-endian float32, a fixed number of values a point."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from panrecon.errors import InputError
from panrecon.io.files import atomic_write


def read_points(path: Path, columns: int = 4) -> Float[np.ndarray, "n {columns}"]:
    """x, y, z (m, sensor frame), intensity and whatever else the format has of every point.

    Raises:
        InputError: there is no such file, it is cut, or a coordinate is not finite.
    """
    if not path.is_file():
        raise InputError(f"The LiDAR scan {path} does not exist; every frame needs one.")
    size = path.stat().st_size
    if size % (4 * columns):
        raise InputError(f"The LiDAR scan {path} has {size} bytes, no multiple of {4 * columns}; copy it again.")
    points = np.fromfile(path, dtype="<f4").reshape(-1, columns).astype(np.float32)
    lost = int((~np.isfinite(points[:, :3])).any(axis=1).sum())
    if lost:
        raise InputError(f"{lost} of {len(points)} points of {path} are nan or inf; remove them.")
    return points


def write_points(path: Path, points: Float[np.ndarray, "n columns"]) -> None:
    """Writes points as raw little-endian float32, row by row."""
    with atomic_write(path) as partial:
        partial.write_bytes(np.ascontiguousarray(points, dtype="<f4").tobytes())
