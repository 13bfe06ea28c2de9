"""Laws of the evaluation of a scene: its record, its images, and the tables that show it."""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Int
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.evaluation.images import Crop, resized
from panrecon.evaluation.protocols import PROTOCOLS, parse_protocol
from panrecon.evaluation.report.html import report_page
from panrecon.evaluation.report.markdown import percent, quality_tables
from panrecon.evaluation.report.record import BootstrapSettings, ObjectConfidence, nan_to_null
from panrecon.evaluation.scene import EvaluationSettings, SceneResult, evaluate_frames, evaluate_mesh, quality_record
from panrecon.structures import VOID, Labels, PanopticMesh, TriangleMesh
from panrecon.visualization import error_colors, label_colors
from tests.evaluation.plain import CHAIR, CLASSES, CLUTTER, FLOOR, TABLE, WALL, label_pairs, plain_strict

pytestmark = pytest.mark.usefixtures("coarse_evaluation")

HEIGHT, WIDTH = 12, 16
UP = np.array([0.0, 0.0, 1.0])
ALL = tuple(parse_protocol(name) for name in PROTOCOLS)
SETTINGS = EvaluationSettings(CLASSES, (parse_protocol("strict"),), bootstrap=BootstrapSettings(30))
RED, GREEN, GREY = (225, 70, 60), (120, 190, 120), (205, 205, 205)
HEADLINES = ("strict", "panopticrecon", "lidar")  # one of each kind: of pairs, of remapped ids, of single scans
SUMS = ("iou_sum", "true_positives", "false_positives", "false_negatives")


def settings_of(headline: str = "strict") -> EvaluationSettings:
    protocols = (parse_protocol(headline), *(other for other in ALL if other.name != headline))
    return EvaluationSettings(CLASSES, protocols, bootstrap=BootstrapSettings(30))


def true_labels() -> Labels:
    """A wall above a floor, two chairs, a table, clutter, and a corner of void."""
    category, instance = np.full((HEIGHT, WIDTH), FLOOR), np.full((HEIGHT, WIDTH), VOID)
    category[:3] = WALL
    for rows, columns, category_index, instance_index in (
        (slice(4, 7), slice(1, 6), CHAIR, 4),
        (slice(4, 7), slice(8, 13), CHAIR, 9),
        (slice(8, 11), slice(1, 6), TABLE, 2),
        (slice(8, 11), slice(8, 11), CLUTTER, 5),
    ):
        category[rows, columns], instance[rows, columns] = category_index, instance_index
    category[10:, 13:] = VOID
    return Labels(category, instance)


def predicted_labels() -> Labels:
    """Other ids; the second chair too small, the table cut in halves, and a chair where the truth says nothing."""
    truth = true_labels()
    category, instance = truth.category.copy(), np.where(truth.instance == VOID, VOID, 50 + truth.instance)
    category[4:7, 12], instance[4:7, 12] = FLOOR, VOID
    instance[8:11, 3:6] = 77
    category[8, 1:6], instance[8, 1:6] = VOID, VOID
    category[10:, 13:], instance[10:, 13:] = CHAIR, 80
    return Labels(category, instance)


def grid_mesh(height: int = HEIGHT, width: int = WIDTH) -> TriangleMesh:
    rows, columns = np.mgrid[:height, :width]
    vertices = (
        np.stack([0.03 * columns, 0.03 * rows, 0.02 * np.sin(columns)], axis=-1).reshape(-1, 3).astype(np.float32)
    )
    corner = np.arange(height * width).reshape(height, width)[:-1, :-1].ravel()
    right, below = corner + 1, corner + width
    faces = np.concatenate([np.stack([corner, right, below], 1), np.stack([right, below + 1, below], 1)])
    return TriangleMesh(vertices, faces.astype(np.int32), np.full((len(vertices), 3), 128, np.uint8))


def on_grid(labels: Labels) -> PanopticMesh:
    return PanopticMesh(grid_mesh(*labels.category.shape), Labels(labels.category.ravel(), labels.instance.ravel()))


def mesh_result(
    prediction: Labels,
    truth: Labels,
    by: EvaluationSettings = SETTINGS,
    confidences: dict[int, ObjectConfidence] | None = None,
) -> SceneResult:
    return evaluate_mesh(on_grid(prediction), on_grid(truth), by, confidences or {}, UP)


def frames_result(
    pairs: list[tuple[Labels, Labels]],
    by: EvaluationSettings = SETTINGS,
    confidences: dict[int, ObjectConfidence] | None = None,
) -> SceneResult:
    return evaluate_frames(pairs, len(pairs), by, confidences or {})


def stacked(pairs: list[tuple[Labels, Labels]]) -> tuple[Labels, Labels]:
    """All frames of either side as one array."""
    predictions, truths = zip(*pairs, strict=True)
    return tuple(  # type: ignore[return-value]
        Labels(
            np.concatenate([frame.category.ravel() for frame in side]),
            np.concatenate([frame.instance.ravel() for frame in side]),
        )
        for side in (predictions, truths)
    )


def renamed(labels: Labels, seed: int = 0) -> Labels:
    """The same objects with other instances, far apart."""
    old_instances = np.unique(labels.instance[labels.instance != VOID])
    new_instances = np.random.default_rng(seed).permutation(2**32 - 1 - np.arange(len(old_instances)) * 1000)
    instance = np.full(labels.instance.shape, VOID, dtype=np.int64)
    for old, new in zip(old_instances.tolist(), new_instances.tolist(), strict=True):
        instance[labels.instance == old] = new
    return Labels(labels.category, instance)


def without_ids(content: Any) -> Any:
    """A record without instances; rows of objects then have no order."""
    if isinstance(content, dict):
        return {key: without_ids(value) for key, value in content.items() if key not in ("instance", "truth")}
    if isinstance(content, list | tuple):
        parts = [without_ids(value) for value in content]
        return sorted(parts, key=str) if parts and isinstance(parts[0], dict) else parts
    return content


def assert_alike(one: Any, other: Any, at: str = "") -> None:
    """The same but for the last digits, for sums of other order."""
    if isinstance(one, dict):
        assert list(one) == list(other), at
        for key, value in one.items():
            assert_alike(value, other[key], f"{at}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), at
        for number, (here, there) in enumerate(zip(one, other, strict=True)):
            assert_alike(here, there, f"{at}/{number}")
    elif isinstance(one, float):
        assert_allclose(one, other, atol=1e-9, err_msg=at)
    else:
        assert one == other, at


def strict_classes(record: Any, name: str = "strict") -> dict[str, Any]:
    return dict(record["protocols"][name]["classes"])


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_what_the_released_scripts_print_beside_keeps_their_own_rules() -> None:
    """Coverage has one threshold whatever that of PQ; what has no id, and what no frame has, counts by one of both."""
    truth = true_labels()
    without_tables = Labels(np.where(truth.category == TABLE, FLOOR, truth.category), truth.instance)
    protocols = tuple(parse_protocol(name) for name in ("panopticrecon", "panopticrecon@0.9", "pvlff"))
    scored = EvaluationSettings(CLASSES, protocols, bootstrap=BootstrapSettings(30))
    predicted = predicted_labels()
    without_ids = Labels(predicted.category, np.full_like(predicted.instance, VOID))
    record = evaluate_frames([(without_ids, without_tables)], 1, scored, {}).record["protocols"]
    usual, strict, pvlff = (record[str(protocol)]["script"] for protocol in protocols)
    assert usual == strict
    assert usual["coverage"]["mean"] == 0 < pvlff["coverage"]["mean"]  # what has no id is a partner of truth
    assert_allclose(usual["frame_macc"], pvlff["frame_macc"] * 3 / 4)  # of four evaluated classes one is absent


@pytest.mark.parametrize("headline", PROTOCOLS)
def test_a_truth_scored_against_itself_is_all_ones(headline: str) -> None:
    """A truth of every evaluated class, for `panopticrecon` counts those that are absent as 0."""
    record = mesh_result(true_labels(), true_labels(), settings_of(headline)).record
    for name, scores in record["protocols"].items():
        assert_alike(scores["mean"], dict.fromkeys(scores["mean"], 1.0), name)
        assert set(scores["interval"]["pq"]) == {1.0}, name
        assert scores["matched_iou"] == 1
        assert scores["pq_dagger"] == (1 if name in ("strict", "lidar") else None)
    assert record["void"] == record["uncovered"] == 0
    assert record["semantic"]["miou"] == record["semantic"]["macc"] == 1
    assert {record["coverage"][key] for key in ("mean", "weighted", "recall")} == {1.0}
    assert record["boundary"]["pq"] == 1
    assert record["geometry"]["accuracy"] == record["geometry"]["completeness"] == 0
    assert_allclose(record["geometry"]["normal_consistency"], 1, atol=1e-6)
    assert {scores["f_score"] for scores in record["geometry"]["thresholds"].values()} == {1.0}
    assert {line["outcome"] for line in record["objects"]} <= {"matched", "excused"}


@pytest.mark.parametrize("headline", HEADLINES)
@pytest.mark.parametrize("swapped", [False, True])
def test_renamed_ids_change_no_number(headline: str, swapped: bool) -> None:
    """But those of `panogs` and of AP25, whose scripts let true objects choose in the order of their ids."""
    prediction, truth = (true_labels(), predicted_labels()) if swapped else (predicted_labels(), true_labels())
    protocols = tuple(p for p in settings_of(headline).protocols if p.name != "panogs" or not swapped)
    by = EvaluationSettings(CLASSES, protocols, bootstrap=BootstrapSettings(50))
    before = mesh_result(prediction, truth, by).record
    after = mesh_result(renamed(prediction), renamed(truth, seed=1), by).record
    assert_alike(without_ids(nan_to_null(after)), without_ids(nan_to_null(before)))


def test_confidences_follow_renamed_ids() -> None:
    truth, prediction = true_labels(), predicted_labels()
    confidences = {54: ObjectConfidence(0.9, 4), 59: ObjectConfidence(0.3, 1)}
    other = {7054: ObjectConfidence(0.9, 4), 7059: ObjectConfidence(0.3, 1)}
    shifted = Labels(prediction.category, np.where(prediction.instance == VOID, VOID, prediction.instance + 7000))
    before = mesh_result(prediction, truth, confidences=confidences).record
    after = mesh_result(shifted, truth, confidences=other).record
    assert before["calibration"] is not None
    assert_alike(without_ids(nan_to_null(after)), without_ids(nan_to_null(before)))


@settings(max_examples=40, deadline=None)
@given(st.lists(label_pairs(), min_size=1, max_size=4))
def test_frames_evaluated_in_turn_score_as_their_stack(pairs: list[tuple[Labels, Labels]]) -> None:
    images = [tuple(Labels(s.category[None], s.instance[None]) for s in pair) for pair in pairs]
    record = frames_result(images, SETTINGS).record  # type: ignore[arg-type]
    plain = plain_strict(*stacked(pairs), 0.5)
    for index, category in enumerate(CLASSES):
        expected = (plain.iou_sum[index], plain.tp[index], plain.fp[index], plain.fn[index])
        scores = strict_classes(record).get(category.name, dict.fromkeys(SUMS, 0))
        assert_allclose([scores[key] for key in SUMS], expected, atol=1e-12)


def test_frames_in_another_order_score_the_same() -> None:
    pairs = [
        (predicted_labels(), true_labels()),
        (true_labels(), true_labels()),
        (predicted_labels(), predicted_labels()),
    ]
    forth, back = frames_result(pairs, settings_of()).record, frames_result(pairs[::-1], settings_of()).record
    for name in PROTOCOLS:
        for category, scores in strict_classes(forth, name).items():
            other = strict_classes(back, name)[category]
            assert_allclose([scores[key] for key in SUMS], [other[key] for key in SUMS], atol=1e-12)


def test_an_object_must_keep_its_id_across_frames() -> None:
    truth = true_labels()
    pairs = [(truth, truth), (renamed(truth), truth)]
    scores = strict_classes(frames_result(pairs).record)
    assert scores["chair"]["true_positives"] == 0  # half of each under either id: IoU 0.5, not above
    assert scores["wall"]["true_positives"] == 1


def test_the_total_is_the_sum_of_scenes() -> None:
    results = {
        "a": mesh_result(predicted_labels(), true_labels(), settings_of()),
        "b": mesh_result(true_labels(), true_labels(), settings_of()),
        "c": mesh_result(true_labels(), predicted_labels(), settings_of()),
    }
    record = quality_record(results, settings_of(), is_mesh=True)
    for name, total in record["total"]["protocols"].items():
        for category, scores in total["classes"].items():
            parts = [
                strict_classes(scene, name).get(category, dict.fromkeys(SUMS, 0)) for scene in record["scenes"].values()
            ]
            assert_allclose(
                [scores[key] for key in SUMS], [sum(part[key] for part in parts) for key in SUMS], atol=1e-12
            )
    pq = record["total"]["protocols"]["strict"]["classes"]["chair"]
    below = pq["true_positives"] + 0.5 * pq["false_positives"] + 0.5 * pq["false_negatives"]
    assert_allclose(pq["pq"], pq["iou_sum"] / below)


def test_the_total_of_points_speaks_of_no_frames() -> None:
    results = {name: mesh_result(true_labels(), true_labels()) for name in "ab"}
    semantic = quality_record(results, SETTINGS, is_mesh=True)["total"]["semantic"]
    assert semantic["frame_miou"] is None
    assert semantic["frame_macc"] is None


def test_the_classes_of_the_record_keep_the_ids_of_their_table() -> None:
    record = quality_record({"a": mesh_result(true_labels(), true_labels())}, SETTINGS, is_mesh=True)
    assert [row["id"] for row in record["classes"]] == CLASSES.ids.tolist()


def test_labels_are_transferred_from_the_nearest_vertex() -> None:
    """Every true vertex between two predicted ones: counted with a loop over all of them."""
    rng = np.random.default_rng(4)
    truth, prediction = (rng.random((count, 3)).astype(np.float32) for count in (200, 150))
    categories = (rng.integers(VOID, len(CLASSES), count) for count in (200, 150))
    instances = (rng.integers(VOID, 4, count) for count in (200, 150))
    clouds = [
        PanopticMesh(
            TriangleMesh(points, np.empty((0, 3), np.int32), np.zeros((len(points), 3), np.uint8)), Labels(c, i)
        )
        for points, c, i in zip((truth, prediction), categories, instances, strict=True)
    ]
    record = evaluate_mesh(
        clouds[1], clouds[0], EvaluationSettings(CLASSES, radius=0.1, bootstrap=BootstrapSettings(5)), {}, UP
    ).record
    distance = np.linalg.norm(truth[:, None] - prediction[None], axis=-1)
    nearest, near = distance.argmin(axis=1), distance.min(axis=1) <= 0.1
    transferred = Labels(
        np.where(near, clouds[1].labels.category[nearest], VOID),
        np.where(near, clouds[1].labels.instance[nearest], VOID),
    )
    plain = plain_strict(transferred, clouds[0].labels, 0.5)
    evaluated = np.append(CLASSES.is_evaluated, False)[clouds[0].labels.category]
    assert_allclose(record["uncovered"], (~near & evaluated).sum() / evaluated.sum())
    assert_allclose(record["void"], ((transferred.category == VOID) & evaluated).sum() / evaluated.sum())
    actual = {name: tuple(scores[key] for key in SUMS[1:]) for name, scores in strict_classes(record).items()}
    assert actual == {
        CLASSES[row].name: (plain.tp[row], plain.fp[row], plain.fn[row]) for row in sorted(plain.occurring())
    }


# --- images ---------------------------------------------------------------------------------------------------------


def frame_images(prediction: Labels, truth: Labels, headline: str) -> tuple[Any, list[np.ndarray]]:
    result = frames_result([(prediction, truth)], settings_of(headline))
    return result.record, [result.images[f"frame 1 of 1: {name}"] for name in ("truth", "prediction", "errors")]


@pytest.mark.parametrize("headline", PROTOCOLS)
def test_every_protocol_may_be_the_headline_and_paints_its_errors(headline: str) -> None:
    """Where a matched object lies on its partner it is green; where the truth is not scored, grey; else never green."""
    prediction, truth = predicted_labels(), true_labels()
    record, (_, _, errors) = frame_images(prediction, truth, headline)
    evaluated = np.append(CLASSES.is_evaluated, False)[truth.category]
    assert_array_equal((errors == GREY).all(axis=-1), ~evaluated)
    matched = [line for line in record["objects"] if line["outcome"] == "matched"]
    assert matched
    for line in matched:
        both = (prediction.instance == line["instance"] - 1) & (truth.instance == line["truth"] - 1) & evaluated
        assert both.any()
        assert (errors[both] == GREEN).all(), line
    for line in record["objects"]:
        if line["outcome"] == "false":
            assert (errors[(prediction.instance == line["instance"] - 1) & evaluated] == RED).all()


@pytest.mark.parametrize("headline", PROTOCOLS)
def test_points_are_painted_by_every_headline(headline: str) -> None:
    result = mesh_result(predicted_labels(), true_labels(), settings_of(headline))
    assert list(result.images) == ["scan", "truth", "prediction", "errors"]


@pytest.mark.parametrize("headline", PROTOCOLS)
def test_matched_objects_have_the_colour_of_their_truth(headline: str) -> None:
    prediction, truth = predicted_labels(), true_labels()
    record, (true_image, image_of_prediction, _) = frame_images(prediction, truth, headline)
    matched = [line for line in record["objects"] if line["outcome"] == "matched"]
    for line in matched:
        predicted_pixels, true_pixels = prediction.instance == line["instance"] - 1, truth.instance == line["truth"] - 1
        assert_array_equal(
            np.unique(image_of_prediction[predicted_pixels], axis=0), np.unique(true_image[true_pixels], axis=0)
        )
    same_stuff = (prediction.category == truth.category) & ~np.append(CLASSES.is_thing, False)[truth.category]
    assert_array_equal(image_of_prediction[same_stuff], true_image[same_stuff])


def test_a_false_object_has_the_colour_of_no_true_one() -> None:
    prediction, truth = predicted_labels(), true_labels()
    _, (true_image, image_of_prediction, _) = frame_images(prediction, truth, "strict")
    true_colors = {tuple(color) for color in true_image[truth.instance != VOID].tolist()}
    assert not {tuple(color) for color in image_of_prediction[prediction.instance == 80].tolist()} & true_colors


def test_a_few_frames_of_many_are_kept_as_images() -> None:
    result = frames_result([(true_labels(), true_labels())] * 9)
    captions = [caption for caption in result.images if caption.endswith("truth")]
    assert captions == [f"frame {number} of 9: truth" for number in (1, 4, 6, 9)]
    for caption in captions:
        assert_array_equal(result.images[caption], label_colors(true_labels(), CLASSES))


def test_every_frame_by_itself_is_painted_by_its_own_matching() -> None:
    truth = true_labels()
    result = frames_result([(truth, truth), (predicted_labels(), truth)], settings_of("lidar"))
    evaluated = np.append(CLASSES.is_evaluated, False)[truth.category]
    expected = error_colors(np.ones(truth.category.shape, bool), evaluated, truth)
    assert_array_equal(result.images["frame 1 of 2: errors"], expected)


# --- tables and page --------------------------------------------------------------------------------------------------


def signed(result: SceneResult) -> SceneResult:
    """With what only the files can tell."""
    origin = {name: {"path": name, "sha256": "0" * 64} for name in ("prediction", "ground_truth")}
    truth = {"truth": dict.fromkeys(("total", "annotated", "evaluated", "void"), 1)}
    record = {**origin, **truth, **result.record, "views": None, "stages": []}
    return SceneResult(result.matched, result.table, record, result.images)


def whole(headline: str = "strict", scenes: Sequence[str] = ("a", "b")) -> dict[str, Any]:
    first = mesh_result(predicted_labels(), true_labels(), settings_of(headline))
    second = mesh_result(true_labels(), true_labels(), settings_of(headline))
    results = {name: signed(result) for name, result in zip(scenes, (first, second), strict=False)}
    return quality_record(results, settings_of(headline), is_mesh=True)


def rows(tables: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        for line in tables.splitlines()
        if line.startswith("|")
    ]


@pytest.mark.parametrize("headline", HEADLINES)
def test_the_tables_show_the_numbers_of_the_record(headline: str) -> None:
    record = whole(headline)
    table_rows = rows(quality_tables(record))
    for scene in record["scenes"].values():
        for name, scores in scene["protocols"].items():
            means = [percent(scores["mean"][f"{q}{g}"]) for g in ("", "_things", "_stuff") for q in ("pq", "sq", "rq")]
            assert [f"`{name}`", *means, percent(scores["matched_iou"]), percent(scores["pq_dagger"])] in table_rows
        for row in record["classes"]:
            scores = strict_classes(scene, headline).get(row["name"])
            if scores is None:
                continue
            quality = [percent(scores[key]) for key in ("pq", "sq", "rq")]
            counts = [str(scores[key]) for key in ("true_positives", "false_positives", "false_negatives")]
            iou = percent(scene["semantic"]["classes"].get(row["name"], {"iou": None})["iou"])
            assert [row["name"] + "*" * row["thing"], *quality, *counts, iou] in table_rows
    assert f"protocol `{headline}`" in quality_tables(record)


def test_held_out_views_stand_in_the_tables_undefined_ones_as_a_dash() -> None:
    record = whole(scenes=("a",))
    head = ["held-out frames", "PSNR, dB", "SSIM", "depth L1, cm"]
    assert head not in rows(quality_tables(record))
    record["scenes"]["a"]["views"] = {"psnr": 23.456, "ssim": 0.8766, "depth_l1": None, "frames": 4}
    table_rows = rows(quality_tables(record))
    assert ["4", "23.46", "0.877", "-"] in table_rows
    assert head in table_rows


def test_one_scene_has_no_total() -> None:
    assert whole(scenes=("a",))["total"] is None
    assert "All scenes" not in quality_tables(whole(scenes=("a",)))


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    for block in re.split(r"\n\n", quality_tables(whole())):
        assert len({len(row) for row in rows(block)}) <= 1


def test_a_name_cannot_break_the_table_or_the_page() -> None:
    name = "a | b\n<script>"
    record = whole(scenes=(name, "b"))
    for block in re.split(r"\n\n", quality_tables(record)):
        assert len({len(row) for row in rows(block)}) <= 1
    assert report_page("title", record, {}).count("<script>") == 1  # the page's own


def test_the_record_is_json_without_nan() -> None:
    nothing = Labels(np.full((HEIGHT, WIDTH), VOID), np.full((HEIGHT, WIDTH), VOID))
    results = {
        "a": mesh_result(nothing, true_labels(), settings_of()),
        "b": mesh_result(true_labels(), nothing, settings_of()),
    }
    text = json.dumps(quality_record(results, settings_of(), is_mesh=True), allow_nan=False)
    assert "NaN" not in text


# --- images -----------------------------------------------------------------------------------------------------------


def image(ids: Int[np.ndarray, "h w"]) -> Labels:
    return Labels(ids, ids * 10)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6))
def test_images_made_larger_and_smaller_again_are_the_same(height: int, width: int, factor: int) -> None:
    labels = image(np.arange(height * width).reshape(height, width))
    larger = resized(labels, height * factor, width * factor)
    assert_array_equal(larger.category, np.kron(labels.category, np.ones((factor, factor), int)))
    back = resized(larger, height, width)
    assert_array_equal(back.category, labels.category)
    assert_array_equal(back.instance, labels.instance)


@given(st.tuples(*[st.integers(1, 40)] * 4))
def test_a_resized_image_mirrors_and_holds_only_ids_of_the_image(sizes: tuple[int, int, int, int]) -> None:
    height, width, new_height, new_width = sizes
    labels = image(np.arange(height * width).reshape(height, width))
    small = resized(labels, new_height, new_width)
    assert small.category.shape == (new_height, new_width)
    assert_array_equal(small.instance, small.category * 10)
    across = resized(Labels(labels.category.T, labels.instance.T), new_width, new_height)
    assert_array_equal(across.category.T, small.category)


def test_a_crop_scales_and_then_cuts_rows_above() -> None:
    labels = image(np.arange(376 * 8).reshape(376, 8))
    actual = Crop(0.5, 126)(labels, Crop(0.5, 126).resized_shape(labels))
    assert actual.category.shape == (188 - 126, 4)
    assert_array_equal(actual.category, labels.category[1::2, 1::2][126:])
    assert_array_equal(actual.instance, actual.category * 10)


def test_no_crop_changes_nothing() -> None:
    labels = true_labels()
    assert_array_equal(Crop()(labels, Crop().resized_shape(labels)).category, labels.category)
    assert_array_equal(Crop()(labels, Crop().resized_shape(labels)).instance, labels.instance)
