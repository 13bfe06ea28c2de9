"""Dense features: `<frame>.npy` (float16, h x w x D), `features.json`, and `projection.npz` where projected."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from panrecon.errors import InputError
from panrecon.features.projection import Projection
from panrecon.io.files import aside, write_arrays, write_json
from panrecon.structures import FeatureMap, Scan


def read_features(folder: Path, frame: str) -> FeatureMap:
    """One frame's map.

    Raises:
        InputError: there is no such file, or it holds no finite h x w x D numbers.
    """
    path = folder / f"{frame}.npy"
    if not path.is_file():
        raise InputError(f"Frame {frame} has no features {path}; extract them, or set features.folder.")
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"The features {path} cannot be read: {error}.") from error
    if values.ndim != 3 or not values.size or values.dtype.kind not in "fiu":
        raise InputError(
            f"The features {path} have shape {values.shape}, {values.dtype}; "
            "numbers of height x width x dimensions are needed."
        )
    if not np.isfinite(values).all():
        raise InputError(f"The features {path} hold inf or nan; extract them again.")
    return FeatureMap(values.astype(np.float32))


def read_all_features(folder: Path, scan: Scan) -> Iterator[FeatureMap]:
    """The maps of all frames in order, one in memory at a time."""
    return (read_features(folder, frame.name) for frame in scan.frames)


def write_features(folder: Path, frame: str, features: FeatureMap) -> None:
    with aside(folder / f"{frame}.npy") as partial:
        np.save(partial, features.values.astype(np.float16))


def write_projection(folder: Path, projection: Projection, source: str) -> None:
    """What was done to the features that lie beside it."""
    write_arrays(folder / "projection.npz", mean=projection.mean, components=projection.components)
    dimensions, kept = projection.components.shape
    write_json(folder / "features.json", {"source": source, "source_dimensions": dimensions, "dimensions": kept})
