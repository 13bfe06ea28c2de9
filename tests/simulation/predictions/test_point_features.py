"""Laws of simulated vision features of points and of simulated text embeddings."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.io.categories import find_table, read_categories
from panrecon.simulation.predictions.point_features import (
    MIN_DIMENSIONS,
    PointFeatureFaults,
    simulated_point_features,
    simulated_text_embeddings,
)
from panrecon.simulation.street.lidar import LidarModel
from panrecon.simulation.street.sequence import SequenceFrame, simulated_sequence
from panrecon.simulation.street.street import build_street
from panrecon.simulation.street.vehicle import kitti360_rig, stereo_sensors
from panrecon.structures import VOID

TABLES = [read_categories(find_table(name)) for name in ("kitti360", "nuscenes", "semantic_kitti")]
WORDS = sorted({category.name for table in TABLES for category in table})
PERFECT = PointFeatureFaults(confused=0.0, object_noise=0.0, patch_noise=0.0, blur=0.0)
EMBEDDINGS = simulated_text_embeddings([category.name for category in build_street(0).categories])


@pytest.fixture(scope="module")
def frame() -> SequenceFrame:
    sensors = stereo_sensors(kitti360_rig(704))
    return next(simulated_sequence(build_street(4), sensors, LidarModel(beams=32, columns=512), 1))


def test_all_cosines_are_positive_and_those_of_like_things_are_great() -> None:
    embeddings = simulated_text_embeddings(WORDS)
    cosine = embeddings @ embeddings.T
    assert_allclose(np.diag(cosine), 1, atol=1e-6)
    assert cosine.min() > 0.2
    assert cosine[~np.eye(len(WORDS), dtype=bool)].max() < 0.75

    def between(a: str, b: str) -> float:
        return float(cosine[WORDS.index(a), WORDS.index(b)])

    for a, b in (("car", "truck"), ("car", "bus"), ("truck", "bus"), ("bicycle", "motorcycle"), ("road", "sidewalk")):
        assert 0.6 <= between(a, b) <= 0.7
    for a, b in (("car", "person"), ("road", "building"), ("sky", "bus")):
        assert between(a, b) < 0.35


def test_every_class_of_the_benchmarks_is_in_the_vocabulary() -> None:
    """A word outside it has no family, and so no cosine that is exactly as stated."""
    cosine = simulated_text_embeddings(WORDS) @ simulated_text_embeddings(["sky"])[0]
    others = [word for word in WORDS if word != "sky"]
    assert all(0.25 <= cosine[WORDS.index(word)] <= 0.3 for word in others)


def test_every_synonym_is_nearest_to_a_class_that_it_stands_for() -> None:
    embeddings = simulated_text_embeddings(WORDS)
    for table in TABLES:
        for category in table:
            for word in category.synonyms:
                cosine = embeddings @ simulated_text_embeddings([word])[0]
                assert cosine.min() > 0.1
                if word not in WORDS and table.index_of(word) != VOID:
                    nearest = WORDS[int(cosine.argmax())]
                    assert table.index_of(nearest) in (VOID, table.index_of(word)), (word, nearest)


def test_an_embedding_depends_on_the_word_alone() -> None:
    alone = simulated_text_embeddings(["bus"])[0]
    among = simulated_text_embeddings(["car", "Bus", "tree house"])
    assert_array_equal(alone, among[1])
    assert_allclose(np.linalg.norm(among[2]), 1, atol=1e-6)
    with pytest.raises(ValueError, match=f"{MIN_DIMENSIONS} are needed"):
        simulated_text_embeddings(["bus"], 8)


def test_perfect_features_are_the_embedding_of_the_points_class_but_for_edges(frame: SequenceFrame) -> None:
    features = simulated_point_features(frame.scan.exact, frame.views[:1], EMBEDDINGS, PERFECT)
    exact = (np.abs(features.values - EMBEDDINGS[frame.scan.truth.category]).max(axis=1) < 1e-4)[features.valid]
    assert 0.3 < exact.mean() < 1
    near = (features.values @ EMBEDDINGS.T).argmax(axis=1) == frame.scan.truth.category
    assert near[features.valid].mean() > 0.9


def test_points_outside_all_images_are_zero_and_not_valid(frame: SequenceFrame) -> None:
    features = simulated_point_features(frame.scan.exact, frame.views, EMBEDDINGS)
    behind = frame.scan.points[:, 0] < 0
    assert not features.valid[behind].any() and features.valid[~behind].any()
    assert (features.values[~features.valid] == 0).all()
    assert (np.abs(features.values[features.valid]).max(axis=1) > 0).all()


def test_two_cameras_give_the_mean(frame: SequenceFrame) -> None:
    both = simulated_point_features(frame.scan.exact, frame.views, EMBEDDINGS, PERFECT)
    first, second = (simulated_point_features(frame.scan.exact, [view], EMBEDDINGS, PERFECT) for view in frame.views)
    assert_array_equal(both.valid, first.valid | second.valid)
    shared = first.valid & second.valid
    assert shared.any()
    assert_allclose(both.values[shared], (first.values + second.values)[shared] / 2, atol=1e-6)
    assert_allclose(both.values[first.valid & ~second.valid], first.values[first.valid & ~second.valid], atol=1e-6)


def test_faults_make_classes_harder_to_tell(frame: SequenceFrame) -> None:
    def accuracy(faults: PointFeatureFaults) -> float:
        features = simulated_point_features(frame.scan.exact, frame.views, EMBEDDINGS, faults, seed=4)
        named = (features.values @ EMBEDDINGS.T).argmax(axis=1)
        return float((named == frame.scan.truth.category)[features.valid].mean())

    perfect, usual, blurred, confused = (
        accuracy(faults)
        for faults in (
            PERFECT,
            PointFeatureFaults(),
            PointFeatureFaults(0.0, 0.0, 0.0, 3.0),
            PointFeatureFaults(1.0, 0.0, 0.0, 0.0),
        )
    )
    assert 0.5 < usual < perfect
    assert blurred < perfect - 0.02
    assert confused < perfect - 0.1


def test_features_depend_on_seed_and_frame_alone(frame: SequenceFrame) -> None:
    def values(seed: int, frame_index: int) -> bytes:
        features = simulated_point_features(frame.scan.exact, frame.views, EMBEDDINGS, seed=seed, frame=frame_index)
        return features.values.tobytes()

    assert values(1, 2) == values(1, 2)
    assert len({values(1, 2), values(2, 2), values(1, 3)}) == 3
