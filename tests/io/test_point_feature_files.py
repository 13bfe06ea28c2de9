"""Laws of the files of point features and text embeddings."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.errors import InputError
from panrecon.features.points import PointInterpolation
from panrecon.io.features import (
    read_point_features,
    read_text_embeddings,
    size_of,
    write_point_features,
    write_point_readings,
    write_text_embeddings,
)
from panrecon.io.files import read_arrays, write_arrays
from panrecon.structures import PointFeatures

VALUES = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_point_features_come_back_in_half_precision(tmp_path: Path) -> None:
    valid = np.array([True, True, False, True, False])
    write_point_features(tmp_path, "000001", PointFeatures(VALUES, valid))
    found = read_point_features(tmp_path, "000001")
    assert_allclose(found.values, VALUES, rtol=1e-3)
    assert_array_equal(found.valid, valid)
    assert found.values.dtype == np.float32


def test_text_embeddings_come_back_by_their_word(tmp_path: Path) -> None:
    write_text_embeddings(tmp_path, ["car", "traffic sign"], VALUES[:2])
    found = read_text_embeddings(tmp_path)
    assert list(found) == ["car", "traffic sign"]
    assert_array_equal(found["traffic sign"], VALUES[1])


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"features": VALUES}, "have no array valid"),
        ({"features": VALUES, "valid": np.ones(4, bool)}, r"features \(5, 3\) float32 and valid \(4,\) bool"),
        ({"features": VALUES, "valid": np.ones(5)}, "n flags are needed"),
        ({"features": VALUES[0], "valid": np.ones(3, bool)}, "n x D numbers"),
        ({"features": np.full((2, 2), np.nan), "valid": np.ones(2, bool)}, "hold inf or nan"),
        ({"features": np.full((2, 2), -1e300), "valid": np.ones(2, bool)}, r"reach 1e\+300, half precision 65504"),
    ],
)
def test_damaged_features_are_an_error_that_says_what(
    tmp_path: Path, arrays: dict[str, np.ndarray], complaint: str
) -> None:
    write_arrays(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=complaint):
        read_point_features(tmp_path, "a")


def test_what_is_missing_or_no_npz_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a.npz do not exist"):
        read_point_features(tmp_path, "a")
    for content in (b"", b"PK\x03\x04 cut", b"words"):
        (tmp_path / "text_embeddings.npz").write_bytes(content)
        with pytest.raises(InputError, match="cannot be read"):
            read_text_embeddings(tmp_path)
    write_arrays(tmp_path / "text_embeddings.npz", names=np.array(["car"]), embeddings=VALUES)
    with pytest.raises(InputError, match="n words and n x D"):
        read_text_embeddings(tmp_path)


@pytest.mark.parametrize("wrong", [1e300, np.nan, 1 + 1j])
def test_embeddings_are_finite_as_they_are_kept(tmp_path: Path, wrong: complex) -> None:
    """In single precision, not only in the file's own."""
    embeddings = np.array([[wrong, 0], [1, 0]])
    write_arrays(tmp_path / "text_embeddings.npz", names=np.array(["car", "bus"]), embeddings=embeddings)
    with pytest.raises(InputError, match="n x D finite numbers"):
        read_text_embeddings(tmp_path)


def readings() -> PointInterpolation:
    rng = np.random.default_rng(1)
    cell, share = rng.integers(0, 4, (6, 4)), rng.uniform(0, 0.25, (6, 4)).astype(np.float32)
    return PointInterpolation(7, VALUES[:4], np.array([0, 2, 3, 6, 0, 3]), cell, share)


def test_readings_come_back_as_the_features_that_they_are(tmp_path: Path) -> None:
    """A share in half precision is off by a 2000th of itself."""
    write_point_readings(tmp_path, "a", readings())
    found, expected = read_point_features(tmp_path, "a"), readings().features()
    assert_allclose(found.values, expected.values, atol=3e-3)
    assert_array_equal(found.valid, [True, False, True, True, False, False, True])
    assert_array_equal(found.values[~found.valid], 0)
    stored = sum(array.nbytes for array in read_arrays(tmp_path / "a.npz").values())
    assert stored == size_of(readings())


def test_readings_of_more_cells_than_points_are_stored_as_rows(tmp_path: Path) -> None:
    values = np.random.default_rng(2).standard_normal((50, 64)).astype(np.float32)
    many = PointInterpolation(
        400, values, np.array([3, 9, 9]), np.arange(12).reshape(3, 4), np.full((3, 4), 0.25, np.float32)
    )
    write_point_readings(tmp_path, "a", many)
    assert set(read_arrays(tmp_path / "a.npz")) == {"features", "valid"}
    assert_allclose(read_point_features(tmp_path, "a").values, many.features().values, rtol=1e-3, atol=1e-3)
    assert many.seen == 2
    assert size_of(many) == 2 * 2 * 64 + 400


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"point": np.array([0, 2, 3, 7, 0, 3])}, "holds no readings of cells"),
        ({"cell": np.full((6, 4), 4)}, "holds no readings of cells"),
        ({"cell": np.full((6, 4), -1)}, "holds no readings of cells"),
        ({"share": np.ones((6, 3), np.float16)}, "holds no readings of cells"),
        ({"points": np.array(7.0)}, "holds no readings of cells"),
        ({"cells": np.full((4, 3), np.inf)}, "hold inf or nan"),
        ({"share": np.full((6, 4), np.nan)}, "hold inf or nan"),
        ({"cells": np.full((4, 3), 1e5)}, "half precision"),
    ],
)
def test_damaged_readings_are_an_error(tmp_path: Path, change: dict[str, np.ndarray], complaint: str) -> None:
    write_point_readings(tmp_path, "a", readings())
    whole = dict(read_arrays(tmp_path / "a.npz"))
    write_arrays(tmp_path / "a.npz", **(whole | change))
    with pytest.raises(InputError, match=complaint):
        read_point_features(tmp_path, "a")
    del whole["share"]
    write_arrays(tmp_path / "a.npz", **whole)
    with pytest.raises(InputError, match="have no array share"):
        read_point_features(tmp_path, "a")
