"""Features: dense ones, `<frame>.npy` (float16, h x w x D), `features.json`, and `projection.npz` where projected;
of LiDAR points, `<scan>.npz`: a row a point (`features` float16 n x D, `valid`), or mixtures of cells that points
share (`points`, `cells` float16 c x D, and for every reading `point`, `cell` and `share` of four); of words,
`text_embeddings.npz` (`names`, `embeddings`).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float

from panrecon.errors import InputError
from panrecon.features.points import PointInterpolation
from panrecon.features.projection import Projection
from panrecon.io.files import atomic_write, read_array, read_arrays, write_arrays, write_json
from panrecon.structures import FeatureMap, PointFeatures, Scan

MAX_FEATURE: Final = float(np.finfo(np.float16).max)
TEXT: Final = "text_embeddings.npz"


def read_features(folder: Path, frame: str) -> FeatureMap:
    """One frame's map.

    Raises:
        InputError: there is no such file, or it holds no finite h x w x D numbers.
    """
    path = folder / f"{frame}.npy"
    if not path.is_file():
        raise InputError(f"Frame {frame} has no features {path}; extract them, or set features.folder.")
    values = read_array(path)
    if values.ndim != 3 or not values.size or values.dtype.kind not in "fiu":
        raise InputError(
            f"The features {path} have shape {values.shape}, {values.dtype}; "
            "numbers of height x width x dimensions are needed."
        )
    _must_be_storable(path, values)
    return FeatureMap(values.astype(np.float32))


def read_all_features(folder: Path, scan: Scan) -> Iterator[FeatureMap]:
    """The maps of all frames in order, one in memory at a time."""
    return (read_features(folder, frame.name) for frame in scan.frames)


def write_features(folder: Path, frame: str, features: FeatureMap) -> None:
    """Writes one frame's map as float16."""
    with atomic_write(folder / f"{frame}.npy") as partial:
        np.save(partial, features.values.astype(np.float16))


def write_projection(folder: Path, projection: Projection, source: str) -> None:
    """Writes the projection that the features beside it went through, and from which source they come."""
    write_arrays(folder / "projection.npz", mean=projection.mean, components=projection.components)
    source_dimensions, dimensions = projection.components.shape
    record = {"source": source, "source_dimensions": source_dimensions, "dimensions": dimensions}
    write_json(folder / "features.json", record)


def read_point_features(folder: Path, scan: str) -> PointFeatures:
    """The features of one scan's points, in either form.

    Raises:
        InputError: there is no such file, or it holds no finite n x D numbers with a flag a row, nor readings of cells.
    """
    path = folder / f"{scan}.npz"
    arrays = _arrays(path)
    if "cells" in arrays:
        return _readings(path, arrays).features()
    _require(path, arrays, ("features", "valid"))
    values = arrays["features"]
    valid = arrays["valid"]
    if values.ndim != 2 or values.dtype.kind != "f" or valid.shape != values.shape[:1] or valid.dtype != np.bool_:
        raise InputError(
            f"{path} has features {values.shape} {values.dtype} and valid {valid.shape} {valid.dtype}; "
            "n x D numbers and n flags are needed."
        )
    _must_be_storable(path, values)
    return PointFeatures(values.astype(np.float32), valid)


def write_point_features(folder: Path, scan: str, features: PointFeatures) -> None:
    """Writes the features of one scan's points as float16, a row a point."""
    write_arrays(folder / f"{scan}.npz", features=features.values.astype(np.float16), valid=features.valid)


def write_point_readings(folder: Path, scan: str, readings: PointInterpolation) -> None:
    """Writes the smaller of both forms: maps of single pixels have more cells read than points that read them."""
    if _fewer_points_than_cells(readings):
        write_point_features(folder, scan, readings.features())
    else:
        write_arrays(folder / f"{scan}.npz", **_stored(readings))


def size_of(readings: PointInterpolation) -> int:
    """The size in bytes of the file, at most: compression saves little, but for rows of zeros."""
    if _fewer_points_than_cells(readings):
        return 2 * readings.seen * readings.cells.shape[1] + readings.points
    return sum(array.nbytes for array in _stored(readings).values())


def _fewer_points_than_cells(readings: PointInterpolation) -> bool:
    return readings.seen < len(readings.cells)


def _stored(readings: PointInterpolation) -> dict[str, np.ndarray]:
    return {
        "points": np.array(readings.points),
        "cells": readings.cells.astype(np.float16),
        "point": readings.point.astype(np.int32),
        "cell": readings.cell.astype(np.int32),
        "share": readings.share.astype(np.float16),
    }


def _readings(path: Path, arrays: Mapping[str, np.ndarray]) -> PointInterpolation:
    _require(path, arrays, ("points", "cells", "point", "cell", "share"))
    points, cells, point, cell, share = (arrays[name] for name in ("points", "cells", "point", "cell", "share"))
    shapes = points.shape == () and cells.ndim == 2 and point.ndim == 1 and cell.shape == share.shape == (len(point), 4)
    kinds = [array.dtype.kind for array in (points, cells, point, cell, share)]
    if (
        not shapes
        or kinds != ["i", "f", "i", "i", "f"]
        or not (_within(point, int(points)) and _within(cell, len(cells)))
    ):
        raise InputError(f"{path} holds no readings of cells, as it says it does; make the features anew.")
    _must_be_storable(path, cells)
    _must_be_storable(path, share)
    return PointInterpolation(int(points), cells.astype(np.float32), point, cell, share.astype(np.float32))


def _within(index: np.ndarray, count: int) -> bool:
    return bool(((index >= 0) & (index < count)).all())


def _must_be_storable(path: Path, values: np.ndarray) -> None:
    """Checks that features are numbers, and such that half precision, in which they are kept, holds."""
    if not np.isfinite(values).all():
        raise InputError(f"The features {path} hold inf or nan; extract them again.")
    largest = float(max(values.max(initial=0), -values.min(initial=0)))
    if largest > MAX_FEATURE:
        raise InputError(f"The features {path} reach {largest:.3g}, half precision {MAX_FEATURE:.0f}; scale them.")


def read_text_embeddings(folder: Path) -> dict[str, Float[np.ndarray, " D"]]:
    """The embedding of every word by a text encoder, unit vectors.

    Raises:
        InputError: there is no such file, or it holds no word a row of finite numbers.
    """
    path = folder / TEXT
    arrays = _arrays(path)
    _require(path, arrays, ("names", "embeddings"))
    names = arrays["names"]
    values = arrays["embeddings"]
    with np.errstate(over="ignore"):  # which is then inf
        is_sound = values.dtype.kind in "fiu" and np.isfinite(values.astype(np.float32)).all()
    if names.dtype.kind != "U" or values.ndim != 2 or names.shape != values.shape[:1] or not is_sound:
        raise InputError(
            f"{path} has names {names.shape} {names.dtype} and embeddings {values.shape}; "
            "n words and n x D finite numbers are needed."
        )
    return dict(zip(names.tolist(), values.astype(np.float32), strict=True))


def write_text_embeddings(folder: Path, words: Sequence[str], embeddings: Float[np.ndarray, "n D"]) -> None:
    """Writes an embedding for every word, as float32."""
    names = np.array(words, dtype=np.str_)
    values = embeddings.astype(np.float32)
    write_arrays(folder / TEXT, names=names, embeddings=values)


def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    if not path.is_file():
        raise InputError(
            f"The features {path} do not exist; make them (`panrecon lidar features`), or name another folder."
        )
    return read_arrays(path)


def _require(path: Path, arrays: Mapping[str, np.ndarray], names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(f"The features {path} have no array {', '.join(missing)}; they need {' and '.join(names)}.")
