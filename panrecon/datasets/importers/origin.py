"""Scans far from the origin of their coordinates (UTM, ECEF): moved near it, so that 32 bits hold their millimetres."""

from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Float

from panrecon.datasets.importers.base import Source
from panrecon.errors import InputError

FAR: Final = 1000.0  # m from the origin: from here on float32 rounds by more than 0.06 mm
MAX_EXTENT: Final = 1e6  # m between cameras and their median: beyond, poses are no metres


def near_origin(source: Source) -> tuple[Source, list[float]]:
    """The scan, moved if its cameras are far from the origin, and the origin (m) of its world in that of its files.

    The origin is of whole metres, at the median of the cameras; zeros where nothing is moved.

    Raises:
        InputError: cameras are so far apart that their poses cannot be metres.
    """
    positions = np.array([frame.world_from_camera[:3, 3] for frame in source.frames]).reshape(-1, 3)
    positions = positions[np.isfinite(positions).all(axis=1)]
    if not len(positions):
        return source, [0.0] * 3
    middle = np.median(positions, axis=0)
    extent = float(np.abs(positions - middle).max())
    if extent > MAX_EXTENT:
        raise InputError(f"Cameras are up to {extent / 1000:.3g} km apart; give the poses in metres.")
    if np.linalg.norm(middle) < FAR:
        return source, [0.0] * 3
    origin = np.rint(middle)
    frames = [replace(frame, world_from_camera=shifted(frame.world_from_camera, origin)) for frame in source.frames]
    x, y, z = origin.tolist()
    note = (
        f"Cameras are {np.linalg.norm(middle) / 1000:.0f} km from the origin: the scan's own is put at x y z = "
        f"{x:.0f} {y:.0f} {z:.0f} (origin in import.json; add it to go back)."
    )
    return replace(source, frames=frames, notes=[*source.notes, note]), [x, y, z]


def shifted(pose: Float[np.ndarray, "4 4"], origin: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """The pose in a world whose origin is at `origin` (m)."""
    result = pose.astype(np.float64)
    result[:3, 3] -= origin
    return result
