"""Every artifact comes back as it was written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from safetensors import safe_open

from panrecon.config import SemanticsSettings
from panrecon.errors import InputError
from panrecon.features.projection import fit_projection
from panrecon.graph.object_graph import object_graph
from panrecon.io import graph as graph_artifact
from panrecon.io.features import read_all_features, read_features, write_features, write_projection
from panrecon.io.files import read_arrays, read_json
from panrecon.io.images import read_ids, write_depth, write_image
from panrecon.io.scan import read_scan, read_view, read_views, write_scan
from panrecon.io.semantics import (
    read_point_semantics,
    read_superface_labels,
    write_classifier,
    write_point_semantics,
    write_superface_labels,
)
from panrecon.semantics.classifier import fit_classifier
from panrecon.semantics.lifting import LiftedFeatures
from panrecon.structures import (
    VOID,
    Camera,
    Category,
    CategoryTable,
    FeatureMap,
    Frame,
    Instances,
    Labels,
    PointSemantics,
    Scan,
    SceneObject,
    SuperfaceGraph,
    SupportingMask,
    TriangleMesh,
    View,
)

CAMERA = Camera(8, 6, 7.0, 7.5, 3.5, 2.5)
CHAIR, TABLE = 2, 3


def labels(category: list[int], instance: list[int]) -> Labels:
    return Labels(np.array(category, np.int32), np.array(instance, np.int32))


@pytest.fixture
def raw_scan(tmp_path: Path) -> Scan:
    """Two frames on disk."""
    rng, frames = np.random.default_rng(0), []
    for name in ("3", "17"):
        color, depth = tmp_path / "raw" / f"{name}.png", tmp_path / "raw" / f"d{name}.png"
        write_image(color, rng.integers(0, 256, (6, 8, 3)).astype(np.uint8))
        write_depth(depth, rng.uniform(0.5, 3, (6, 8)))
        pose = np.eye(4)
        pose[:3] = rng.normal(size=(3, 4))
        frames.append(Frame(name, color, depth, pose))
    return Scan("scene", CAMERA, CAMERA, 1000.0, tuple(frames))


@pytest.fixture
def graph() -> SuperfaceGraph:
    return SuperfaceGraph(np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([3.0, 0, 1]), np.array([0.0, 2, 1]))


@pytest.fixture
def instances() -> Instances:
    masks = (SupportingMask("3", 0, CHAIR, 0.5, 40), SupportingMask("17", 2, TABLE, 0.25, 7))
    objects = (SceneObject(CHAIR, 0.75, 3.0, 1.0, masks, ("4",)), SceneObject(TABLE, 0.5, 0.0, 0.0, masks[1:], ()))
    return Instances(labels([CHAIR, CHAIR, TABLE, 0, VOID], [0, 0, 1, VOID, VOID]), objects)


def test_a_scan_comes_back_with_its_images(tmp_path: Path, raw_scan: Scan) -> None:
    write_scan(tmp_path / "scan", raw_scan, raw_scan.frames)
    found = read_scan(tmp_path / "scan")
    assert (found.scene, found.camera, found.source_camera, found.depth_scale) == ("scene", CAMERA, CAMERA, 1000.0)
    assert_array_equal(found.poses, raw_scan.poses)
    for view, raw in zip(read_views(found), raw_scan.frames, strict=True):
        expected = read_view(raw_scan, raw)
        assert view.name == raw.name
        assert_array_equal(view.color, expected.color)
        assert_array_equal(view.depth, expected.depth)
    assert all(frame.color.is_relative_to(tmp_path / "scan") for frame in found.frames)


def test_a_scan_without_frames_or_with_images_of_another_size_is_an_error(tmp_path: Path, raw_scan: Scan) -> None:
    with pytest.raises(InputError, match="no frame"):
        write_scan(tmp_path / "scan", raw_scan, [])
    larger = Scan("scene", Camera(9, 6, 7.0, 7.5, 3.5, 2.5), CAMERA, 1000.0, raw_scan.frames)
    with pytest.raises(InputError, match=r"d3\.png is 8 x 6 pixels.*9 x 6"):
        write_scan(tmp_path / "scan", larger, larger.frames)


def test_raw_images_are_never_changed_by_a_second_scan(tmp_path: Path, raw_scan: Scan) -> None:
    before = {path: path.read_bytes() for path in (tmp_path / "raw").iterdir()}
    for _ in range(2):
        write_scan(tmp_path / "scan", raw_scan, raw_scan.frames)
    source = Camera(8, 6, 9.0, 9.0, 3.5, 2.5)  # colour is now registered anew, over files that were links
    write_scan(tmp_path / "scan", Scan("scene", CAMERA, source, 1000.0, raw_scan.frames), raw_scan.frames)
    assert before == {path: path.read_bytes() for path in (tmp_path / "raw").iterdir()}


def test_features_come_back_in_half_precision(tmp_path: Path, raw_scan: Scan) -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    for frame in raw_scan.frames:
        write_features(tmp_path, frame.name, FeatureMap(values))
    assert_allclose(read_features(tmp_path, "3").values, values, rtol=1e-3, atol=1e-6)
    assert [one.values.dtype for one in read_all_features(tmp_path, raw_scan)] == [np.float32] * 2


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (np.zeros((3, 4)), "shape"),
        (np.zeros((0, 4, 5)), "shape"),
        (np.full((3, 4, 5), np.nan), "inf or nan"),
        (np.full((3, 4, 5), np.inf), "inf or nan"),
        (None, "no features"),
        (b"damaged", "cannot be read"),
        (b"", "cannot be read"),
        (np.array([[[{}]]], dtype=object), "cannot be read"),
        (np.array([[["word"]]]), "numbers"),
    ],
)
def test_features_of_no_use_are_an_error(tmp_path: Path, values: np.ndarray | bytes | None, complaint: str) -> None:
    if isinstance(values, bytes):
        (tmp_path / "3.npy").write_bytes(values)
    elif values is not None:
        np.save(tmp_path / "3.npy", values)
    with pytest.raises(InputError, match=complaint):
        read_features(tmp_path, "3")


def test_a_projection_is_kept_beside_its_features(tmp_path: Path) -> None:
    maps = [FeatureMap(np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32))]
    projection = fit_projection(maps, 2)
    write_projection(tmp_path, projection, "precomputed")
    found = read_arrays(tmp_path / "projection.npz")
    assert_array_equal(found["mean"], projection.mean)
    assert_array_equal(found["components"], projection.components)
    stated = read_json(tmp_path / "features.json")
    assert stated == {"source": "precomputed", "source_dimensions": 5, "dimensions": 2}


def test_superfaces_and_votes_come_back(tmp_path: Path, graph: SuperfaceGraph) -> None:
    superface_of_vertex = np.array([0, 2, 1, 1], np.int32)
    graph_artifact.write_superfaces(tmp_path, superface_of_vertex)
    graph_artifact.write_graph(tmp_path, graph)
    assert_array_equal(graph_artifact.read_superfaces(tmp_path), superface_of_vertex)
    stored = read_arrays(tmp_path / "graph.npz")
    assert stored.keys() == vars(graph).keys()
    for name, array in vars(graph).items():
        assert_array_equal(stored[name], array)


def test_instances_come_back_with_their_evidence(tmp_path: Path, instances: Instances, table: CategoryTable) -> None:
    graph_artifact.write_instances_found(tmp_path, instances, table)
    found = graph_artifact.read_instances_found(tmp_path, table)
    assert found.objects == instances.objects
    assert_array_equal(found.of_superface.category, instances.of_superface.category)
    assert_array_equal(found.of_superface.instance, instances.of_superface.instance)


def test_objects_carry_the_ids_of_label_files(tmp_path: Path, instances: Instances, table: CategoryTable) -> None:
    graph_artifact.write_objects(tmp_path / "objects.json", dict(enumerate(instances.objects)), table)
    chair, _ = read_json(tmp_path / "objects.json")
    assert (chair["id"], chair["category"], chair["category_id"]) == (1, "chair", 5)
    assert (chair["frames"], chair["contradicting_frames"]) == (["3", "17"], ["4"])
    assert chair["masks"][1] == {"frame": "17", "detection": 2, "category": "table", "score": 0.25, "vertices": 7}


def test_objects_left_out_leave_the_ids_of_the_others(
    tmp_path: Path, instances: Instances, table: CategoryTable
) -> None:
    graph_artifact.write_objects(tmp_path / "objects.json", {1: instances.objects[1]}, table)
    assert [(found["id"], found["category"]) for found in read_json(tmp_path / "objects.json")] == [(2, "table")]


def test_the_object_graph_comes_back(
    tmp_path: Path, instances: Instances, graph: SuperfaceGraph, table: CategoryTable
) -> None:
    objects = object_graph(instances, graph, table)
    graph_artifact.write_object_graph(tmp_path, objects)
    read = graph_artifact.read_object_graph(tmp_path)
    assert list(read.nodes(data=True)) == list(objects.nodes(data=True))
    assert list(read.edges(data=True)) == list(objects.edges(data=True))


def test_frame_labels_come_back_and_are_zero_where_void(tmp_path: Path, table: CategoryTable) -> None:
    category, instance = np.array([[VOID, 0, CHAIR]], np.int32), np.array([[VOID, VOID, 4]], np.int32)
    graph_artifact.write_frame_labels(tmp_path, "3", Labels(category, instance), table)
    found = graph_artifact.read_frame_labels(tmp_path, "3", table)
    assert_array_equal(found.category, category)
    assert_array_equal(found.instance, instance)
    assert read_ids(tmp_path / "semantic" / "3.png").tolist() == [[0, 1, 5]]
    assert read_ids(tmp_path / "instance" / "3.png").tolist() == [[0, 0, 5]]
    assert graph_artifact.has_frame_labels(tmp_path, "3")
    assert not graph_artifact.has_frame_labels(tmp_path, "4")


def test_masks_of_surfaces_have_their_objects_classes_and_no_sky(tmp_path: Path) -> None:
    sky = CategoryTable((Category(1, "wall", False), Category(2, "sky", False), Category(3, "chair", True)))
    category, instance = np.array([[0, 1, 2, VOID]], np.int32), np.array([[VOID, VOID, 0, VOID]], np.int32)
    graph_artifact.write_frame_labels(tmp_path, "3", Labels(category, instance), sky)
    view = View("3", Camera(4, 1, 1.0, 1.0, 0.0, 0.0), np.eye(4), np.zeros((1, 4, 3), np.uint8), np.ones((1, 4)))
    renamed = [SceneObject(0, 0.5, 1.0, 0.0, (), ())]
    found = graph_artifact.read_labels_of_surfaces(tmp_path, view, renamed, sky)
    assert_array_equal(found.category, [[0, VOID, 0, VOID]])
    assert_array_equal(found.instance, instance)
    missing = graph_artifact.read_labels_of_surfaces(tmp_path, replace(view, name="4"), renamed, sky)
    assert_array_equal(missing.category, np.full((1, 4), VOID))


def test_semantics_come_back_in_half_precision(tmp_path: Path) -> None:
    probability = np.random.default_rng(0).dirichlet(np.ones(3), 4).astype(np.float32)
    probability[1] = 0
    mesh = TriangleMesh(np.zeros((4, 3), np.float32), np.empty((0, 3), np.int32), np.zeros((4, 3), np.uint8))
    write_point_semantics(tmp_path, mesh, PointSemantics(probability))
    found = read_point_semantics(tmp_path)
    assert_allclose(found.probability, probability, atol=1e-3)
    assert found.category[1] == VOID
    completed = labels([0, VOID], [VOID, VOID])
    write_superface_labels(tmp_path, completed)
    assert_array_equal(read_superface_labels(tmp_path).category, completed.category)


def test_a_classifier_comes_back_weight_by_weight(tmp_path: Path) -> None:
    points = LiftedFeatures(np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32), np.ones(50, np.float32))
    category, group = np.arange(50, dtype=np.int32) % 2, np.arange(50)
    classifier = fit_classifier(points, category, group, 2, SemanticsSettings(iterations=2))
    write_classifier(tmp_path, classifier)
    with safe_open(tmp_path / "classifier.safetensors", framework="pt") as file:
        for name, value in classifier.network.state_dict().items():
            assert torch.equal(file.get_tensor(name), value)
        assert json.loads(file.metadata()["panrecon"])["temperature"] == classifier.temperature
