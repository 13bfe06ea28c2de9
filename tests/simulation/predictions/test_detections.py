"""Laws of the simulated segmenter."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.geometry.projective import invert, nearest_pixel, project, transform
from panrecon.roles import Role
from panrecon.simulation.predictions.detections import CONFUSED, DetectionFaults, exact_detections, simulated_detections
from panrecon.simulation.predictions.mask_faults import cut_in_two, jittered
from panrecon.simulation.predictions.mask_quality import MaskQuality, mask_quality
from panrecon.simulation.predictions.stuff_cells import stuff_cells, world_positions
from panrecon.simulation.room.sensor import SimulatedView
from panrecon.structures import VOID, Category, CategoryTable, Detections, Labels
from tests.simulation.conftest import RoomRecording

NONE = DetectionFaults.at_level(0.0)


def quality(recording: RoomRecording, faults: DetectionFaults, seeds: int = 1) -> MaskQuality:
    table = recording.room.categories
    exact = [exact_detections(view.truth, table, 25) for view in recording.views]
    total = MaskQuality()
    for seed in range(seeds):
        detections = [
            simulated_detections(view.truth, table, faults, seed=seed, frame=i)
            for i, view in enumerate(recording.views)
        ]
        total += mask_quality(detections, exact)
    return total


def labels_of(detections: Detections, table: CategoryTable, shape: tuple[int, ...]) -> np.ndarray:
    category = np.full(shape, VOID)
    for category_of_mask, mask in zip(detections.category, detections.mask, strict=True):
        category[mask] = category_of_mask
    return category


def test_level_zero_is_exact(recording: RoomRecording) -> None:
    for frame, view in enumerate(recording.views):
        table = recording.room.categories
        detections = simulated_detections(view.truth, table, NONE, frame=frame, min_area=1)
        assert_array_equal(labels_of(detections, table, view.truth.category.shape), view.truth.category)
        assert (detections.mask.sum(axis=0) == (view.truth.category != VOID)).all()
        things = np.unique(view.truth.instance[view.truth.instance != VOID])
        stuff = np.unique(view.truth.category[view.truth.instance == VOID])
        assert len(detections) == len(things) + len(stuff)
        assert_allclose(detections.score, 1.0)


def test_level_one_is_as_good_as_measured_segmenters(recording: RoomRecording) -> None:
    measured = quality(recording, DetectionFaults.at_level(1.0), seeds=3)
    assert 0.65 < measured.recall < 0.85
    assert 0.60 < measured.precision < 0.92
    assert 0.77 < measured.segmentation_quality < 0.86


def test_level_two_is_much_worse(recording: RoomRecording) -> None:
    measured = quality(recording, DetectionFaults.at_level(2.0), seeds=2)
    assert 0.40 < measured.recall < 0.62
    assert 0.58 < measured.segmentation_quality < 0.73


def test_recall_falls_as_misses_rise(recording: RoomRecording) -> None:
    recalls = [quality(recording, replace(NONE, miss=miss)).recall for miss in (0.0, 0.15, 0.4, 10.0)]
    assert recalls == sorted(recalls, reverse=True)
    assert recalls[0] == 1.0 and recalls[-1] < 0.1


def test_shape_worsens_with_jitter_alone(recording: RoomRecording) -> None:
    jittered = quality(recording, replace(NONE, jitter=0.05))
    assert jittered.segmentation_quality < 0.93
    assert jittered.recall > 0.9


@pytest.mark.parametrize(
    "faults",
    [
        replace(NONE, split=1.0),
        replace(NONE, duplicate=1.0),
        replace(NONE, hallucinations=3.0),
        replace(NONE, wrong_class=0.5),
    ],
)
def test_faults_cost_precision(recording: RoomRecording, faults: DetectionFaults) -> None:
    assert quality(recording, faults).precision < 0.9


@pytest.mark.parametrize("faults", [replace(NONE, merge=1.0), replace(NONE, leak=1.0), replace(NONE, swallow=1.0)])
def test_faults_add_pixels_to_masks(recording: RoomRecording, faults: DetectionFaults) -> None:
    changed = 0
    for frame, view in enumerate(recording.views):
        detections = simulated_detections(view.truth, recording.room.categories, faults, frame=frame)
        exact = exact_detections(view.truth, recording.room.categories, 25)
        overlaps = [(mask & exact.mask).any(axis=(1, 2)).sum() for mask in detections.mask]
        changed += int((np.array(overlaps) > 1).sum())
    assert changed > 5


def test_merges_join_neighbours_of_one_class_only(recording: RoomRecording) -> None:
    for frame, view in enumerate(recording.views):
        detections = simulated_detections(view.truth, recording.room.categories, replace(NONE, merge=1.0), frame=frame)
        for category, mask in zip(detections.category, detections.mask, strict=True):
            assert_array_equal(np.unique(view.truth.category[mask]), [category])


def test_confusion_is_fixed_for_an_object(recording: RoomRecording) -> None:
    """With all objects confused in all views, the wrong class of an object is the same in every view."""
    faults = replace(NONE, confused_objects=1.0, confused_views=1.0)
    categories_of_instance: dict[int, set[int]] = {}
    for frame, view in enumerate(recording.views):
        detections = simulated_detections(view.truth, recording.room.categories, faults, frame=frame)
        for category, mask in zip(detections.category, detections.mask, strict=True):
            instance = int(view.truth.instance[mask][0])
            if instance != VOID:
                categories_of_instance.setdefault(instance, set()).add(int(category))
    assert all(len(categories) == 1 for categories in categories_of_instance.values())
    category = recording.room.category_of_instance
    table = recording.room.categories
    assert {i for i, categories in categories_of_instance.items() if categories != {category[i]}} == {
        i
        for i in categories_of_instance
        if any(table.index_of(w) not in (VOID, category[i]) for w in CONFUSED.get(table[category[i]].name, ()))
    }


def positions_in(view: SimulatedView) -> np.ndarray:
    return world_positions(view.camera, view.world_from_camera, view.depth)


def detected_labels(recording: RoomRecording, faults: DetectionFaults, frame: int, seed: int = 0) -> np.ndarray:
    view = recording.views[frame]
    table = recording.room.categories
    detections = simulated_detections(
        view.truth, table, faults, seed=seed, frame=frame, min_area=1, positions=positions_in(view)
    )
    return labels_of(detections, table, view.truth.category.shape)


def test_no_confused_stuff_leaves_every_byte(recording: RoomRecording) -> None:
    for frame, view in enumerate(recording.views):
        plain = simulated_detections(view.truth, recording.room.categories, frame=frame)
        placed = simulated_detections(view.truth, recording.room.categories, frame=frame, positions=positions_in(view))
        assert_array_equal(placed.mask, plain.mask)
        assert_array_equal(placed.score, plain.score)
        assert_array_equal(placed.category, plain.category)


def test_a_place_has_the_same_wrong_class_in_every_view(recording: RoomRecording) -> None:
    """Points of stuff that two views measure; where a cell ends, noise of depth moves a few to the next one."""
    faults = replace(NONE, confused_stuff=1.0, confused_views=1.0)
    called = [detected_labels(recording, faults, frame) for frame in range(len(recording.views))]
    agreeing = total = 0
    for first, second in ((0, 1), (4, 6), (9, 11), (14, 15), (3, 20)):
        view, other = recording.views[first], recording.views[second]
        points = positions_in(view).reshape(-1, 3)
        pixels, depth = project(other.camera, transform(invert(other.world_from_camera), points))
        column, row, inside = nearest_pixel(other.camera, pixels)
        same_surface = np.abs(other.depth[row, column] - depth) < 0.03
        is_stuff = (view.truth.instance.ravel() == VOID) & (other.truth.instance[row, column] == VOID)
        same_class = view.truth.category.ravel() == other.truth.category[row, column]
        shared = inside & same_surface & is_stuff & same_class
        agreeing += int((called[first].ravel() == called[second][row, column])[shared].sum())
        total += int(shared.sum())
    assert total > 5000
    assert agreeing / total > 0.96


@pytest.mark.parametrize(("rate", "views"), [(0.25, 1.0), (0.25, 0.6), (0.6, 1.0)])
def test_share_of_confused_stuff_is_its_rate_in_as_many_views(
    recording: RoomRecording, rate: float, views: float
) -> None:
    faults = replace(NONE, confused_stuff=rate, confused_views=views)
    shares = []
    for seed in range(8):
        for frame in range(0, len(recording.views), 6):
            truth = recording.views[frame].truth
            is_stuff = truth.instance == VOID
            wrong = detected_labels(recording, faults, frame, seed) != truth.category
            assert not wrong[~is_stuff].any()
            shares.append(wrong[is_stuff].mean())
    assert_allclose(np.mean(shares), rate * views, atol=0.06)


def test_stuff_is_called_by_classes_of_stuff_and_standing_things_that_are_prompted(recording: RoomRecording) -> None:
    table = recording.room.categories
    prompted = ("wall", "floor", "door", "cabinet", "cup")
    faults = replace(NONE, confused_stuff=1.0, confused_views=1.0, prompted=prompted)
    truth = recording.views[5].truth
    labels = detected_labels(recording, faults, 5)
    is_wrong = (truth.instance == VOID) & (labels != VOID)
    called = {table[int(category)] for category in np.unique(labels[is_wrong])}
    assert len(called) > 1
    assert {category.name for category in called} <= {"wall", "floor", "door", "cabinet"}
    assert all(not category.thing or category.role == Role.STANDING for category in called)
    assert (labels != truth.category)[is_wrong].all()


def test_places_of_confused_stuff_follow_the_seed(recording: RoomRecording) -> None:
    faults = replace(NONE, confused_stuff=0.5)
    first, again, other = (detected_labels(recording, faults, 2, seed) for seed in (1, 1, 2))
    assert_array_equal(first, again)
    assert (first != other).any()


def test_confused_stuff_needs_positions(recording: RoomRecording) -> None:
    with pytest.raises(ValueError, match=r"confused_stuff is 0\.25; pass the positions"):
        simulated_detections(recording.views[0].truth, recording.room.categories, DetectionFaults(confused_stuff=0.25))


def test_cells_make_up_a_mask_also_where_depth_is_missing() -> None:
    rng = np.random.default_rng(0)
    mask = rng.uniform(size=(40, 60)) < 0.8
    positions = np.stack(np.broadcast_arrays(np.linspace(-2, 2, 60), np.linspace(0, 2, 40)[:, None], 1.0), axis=2)
    positions[rng.uniform(size=mask.shape) < 0.3] = np.nan
    cells = stuff_cells(mask, positions)
    assert len(cells) > 10
    assert len({cell for cell, _ in cells}) == len(cells)
    assert_array_equal(np.sum([cell_mask for _, cell_mask in cells], axis=0), mask)
    assert stuff_cells(mask, np.full_like(positions, np.nan)) == []


def test_scores_follow_quality(recording: RoomRecording) -> None:
    """Of correct classes alone: wrong ones and hallucinations score low anyway."""
    faults = replace(DetectionFaults(), hallucinations=0.0, confused_objects=0.0, wrong_class=0.0)
    scores = []
    ious = []
    for frame, view in enumerate(recording.views):
        detections = simulated_detections(view.truth, recording.room.categories, faults, frame=frame)
        exact = exact_detections(view.truth, recording.room.categories)
        assert (np.diff(detections.score) <= 0).all()
        for score, mask in zip(detections.score, detections.mask, strict=True):
            common = (mask & exact.mask).sum(axis=(1, 2))
            ious.append((common / (mask | exact.mask).sum(axis=(1, 2))).max())
            scores.append(score)
    assert np.corrcoef(scores, ious)[0, 1] > 0.4


def test_only_prompted_words_are_detected(recording: RoomRecording) -> None:
    table = recording.room.categories
    faults = replace(DetectionFaults(), prompted=("couch", "chair"))
    allowed = {table.index_of("sofa"), table.index_of("chair")}
    views = [simulated_detections(view.truth, table, faults, frame=i) for i, view in enumerate(recording.views)]
    assert {int(category) for detections in views for category in detections.category} == allowed


def test_masks_take_in_small_things_that_nobody_asked_for(recording: RoomRecording) -> None:
    table = recording.room.categories
    faults = replace(NONE, swallow=1.0)
    small = [category.name for category in table if category.name in ("cup", "bowl", "vase", "book", "picture", "box")]
    named = replace(faults, prompted=tuple(category.name for category in table if category.name not in small))
    is_small = np.append(np.isin([category.name for category in table], small), False)
    taken_in = 0
    for index, view in enumerate(recording.views):
        detections = simulated_detections(view.truth, table, named, frame=index)
        assert not is_small[detections.category].any()
        taken_in += int(detections.mask[:, is_small[view.truth.category]].any(axis=0).sum())
    assert taken_in > 0


def test_detections_are_a_function_of_seed_and_frame(recording: RoomRecording) -> None:
    view = recording.views[4]
    first, again, other = (
        simulated_detections(view.truth, recording.room.categories, seed=2, frame=frame) for frame in (4, 4, 5)
    )
    assert_array_equal(first.mask, again.mask)
    assert first.mask.shape != other.mask.shape or (first.mask != other.mask).any()


def test_images_of_other_scenes_work() -> None:
    """Void pixels, an unlisted confuser and a thing without a number, which is no segment."""
    table = CategoryTable((Category(7, "toilet", True), Category(9, "wall", False)))
    category = np.full((40, 60), VOID, dtype=np.int32)
    category[:, 20:] = 1
    category[10:30, 30:50] = 0
    category[35:, 50:] = 0
    instance = np.full_like(category, VOID)
    instance[10:30, 30:50] = 300
    exact = exact_detections(Labels(category, instance), table)
    assert sorted(exact.category.tolist()) == [0, 1]
    for frame in range(20):
        detections = simulated_detections(Labels(category, instance), table, DetectionFaults.at_level(2.0), frame=frame)
        assert detections.mask.shape[1:] == (40, 60)
    empty = simulated_detections(Labels(np.full_like(category, VOID), instance), table, NONE)
    assert len(empty) == 0 and empty.mask.shape == (0, 40, 60)


def test_a_shaken_mask_without_jitter_is_the_mask() -> None:
    mask = np.zeros((50, 50), dtype=bool)
    mask[10:30, 0:40] = True
    assert_array_equal(jittered(mask, 0.0, np.random.default_rng(0)), mask)


def test_pieces_of_a_cut_mask_make_it_up() -> None:
    mask = np.zeros((50, 50), dtype=bool)
    mask[10:30, 5:40] = True
    pieces = cut_in_two(mask, np.random.default_rng(0))
    assert len(pieces) == 2
    assert_array_equal(pieces[0] ^ pieces[1], mask)


def test_quality_counts_a_detection_once() -> None:
    mask = np.zeros((1, 10, 10), dtype=bool)
    mask[0, :5] = True
    true = Detections(np.array([0]), np.array([1.0]), mask)
    twice = Detections(np.array([0, 0]), np.array([1.0, 0.9]), np.concatenate([mask, mask]))
    measured = mask_quality([twice], [true])
    assert (measured.recall, measured.precision, measured.segmentation_quality) == (1.0, 0.5, 1.0)
    wrong = mask_quality([replace(true, category=np.array([1]))], [true])
    assert wrong.recall == 0.0
