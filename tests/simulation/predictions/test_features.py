"""Laws of the simulated feature extractor."""

from dataclasses import replace

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.simulation.predictions.features import FeatureFaults, simulated_features
from panrecon.structures import VOID, Category, CategoryTable, Labels
from tests.simulation.conftest import RoomRecording

CLEAN = FeatureFaults(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def centre_labels(labels: np.ndarray, cell: int) -> np.ndarray:
    """The label of every cell that holds only one, else `VOID`."""
    height, width = (n // cell for n in labels.shape)
    blocks = labels[: height * cell, : width * cell].reshape(height, cell, width, cell).swapaxes(1, 2)
    first = blocks[:, :, :1, :1]
    return np.where((blocks == first).all(axis=(2, 3)), first[:, :, 0, 0], VOID)


def samples(recording: RoomRecording, frames: slice, faults: FeatureFaults) -> tuple[np.ndarray, np.ndarray]:
    values = []
    labels = []
    for frame in range(len(recording.views))[frames]:
        truth = recording.views[frame].truth
        features = simulated_features(truth, recording.room.categories, faults, frame=frame).values
        label = centre_labels(truth.category, 8)
        values.append(features[label != VOID])
        labels.append(label[label != VOID])
    return np.concatenate(values), np.concatenate(labels)


def accuracy(recording: RoomRecording, faults: FeatureFaults) -> float:
    """Mean share per class that the nearest class mean of other frames gets right."""
    values, labels = samples(recording, slice(0, None, 2), faults)
    known = np.unique(labels)
    means = np.stack([values[labels == label].mean(axis=0) for label in known])
    values, labels = samples(recording, slice(1, None, 2), faults)
    nearest = known[((values[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)]
    return float(np.mean([(nearest == labels)[labels == label].mean() for label in np.intersect1d(labels, known)]))


def test_features_tell_classes_apart(recording: RoomRecording) -> None:
    assert accuracy(recording, FeatureFaults()) > 0.85


def test_without_class_signal_they_do_not(recording: RoomRecording) -> None:
    weak = replace(FeatureFaults(), class_signal=0.0, instance_signal=0.0)
    assert accuracy(recording, weak) < 0.3


def test_grid_follows_the_cell_size(recording: RoomRecording) -> None:
    features = simulated_features(recording.views[0].truth, recording.room.categories, cell=10, dimensions=16)
    assert features.values.shape == (12, 16, 16)


def test_features_are_a_function_of_seed_and_frame(recording: RoomRecording) -> None:
    truth = recording.views[0].truth
    table = recording.room.categories
    first, again, other = (simulated_features(truth, table, seed=1, frame=frame).values for frame in (0, 0, 1))
    assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_class_signal_belongs_to_the_name_not_to_the_row() -> None:
    labels = Labels(np.zeros((16, 16), np.int32), np.full((16, 16), 3, np.int32))
    chair = Category(1, "chair", True)
    sofa = Category(2, "sofa", True)
    first = simulated_features(labels, CategoryTable((chair, sofa)), CLEAN).values
    second = simulated_features(
        replace(labels, category=labels.category + 1), CategoryTable((sofa, chair)), CLEAN
    ).values
    assert_allclose(first, second)


def test_void_has_noise_only() -> None:
    void = np.full((16, 16), VOID, np.int32)
    table = CategoryTable((Category(1, "chair", True),))
    assert_allclose(simulated_features(Labels(void, void), table, CLEAN).values, 0.0)
    noisy = simulated_features(Labels(void, void), table, replace(CLEAN, patch_noise=0.5)).values
    assert_allclose(noisy.std(), 0.5, rtol=0.15)


def test_boundaries_mix_their_sides() -> None:
    category = np.zeros((16, 16), np.int32)
    category[:, 4:] = 1
    table = CategoryTable((Category(1, "wall", False), Category(2, "floor", False)))
    none = np.full_like(category, VOID)
    mixed = simulated_features(Labels(category, none), table, CLEAN).values[0, 0]
    pure = [
        simulated_features(Labels(np.full_like(category, label), none), table, CLEAN).values[0, 0] for label in (0, 1)
    ]
    assert_allclose(mixed, (pure[0] + pure[1]) / 2, atol=1e-5)
