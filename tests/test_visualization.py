"""Laws of pictures."""

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from panrecon.geometry.mesh import face_normals
from panrecon.geometry.projective import invert, look_at, project, transform
from panrecon.geometry.raycasting import Raycaster
from panrecon.structures import VOID, Camera, CategoryTable, Detections, Labels, TriangleMesh
from panrecon.visualization import (
    BACKGROUND,
    VOID_COLOR,
    contact_sheet,
    depth_image,
    detection_overlay,
    error_colors,
    evenly_spaced,
    feature_image,
    isometric_view,
    label_colors,
    mesh_view,
    orbit_views,
    overlay,
    palette,
    with_legend,
)

WALL, FLOOR, CHAIR, TABLE = range(4)


@pytest.mark.parametrize("count", [0, 1, 2, 20, 60])
def test_colours_are_distinct_and_the_last_is_void(count: int) -> None:
    colors = palette(count)
    assert len(np.unique(colors, axis=0)) == count + 1
    assert tuple(colors[VOID]) == VOID_COLOR


def test_a_longer_palette_begins_like_a_shorter_one() -> None:
    assert_array_equal(palette(30)[:10], palette(10)[:10])


def test_labels_are_coloured_by_object_else_by_class_else_as_void(table: CategoryTable) -> None:
    category = np.array([WALL, WALL, FLOOR, CHAIR, CHAIR, TABLE, VOID], np.int32)
    instance = np.array([VOID, VOID, VOID, 0, 1, 1, VOID], np.int32)
    colors = label_colors(Labels(category, instance), table)
    assert_array_equal(colors[0], colors[1])
    assert_array_equal(colors[4], colors[5])
    assert len(np.unique(colors[[0, 2, 3, 4, 6]], axis=0)) == 5
    assert tuple(colors[6]) == VOID_COLOR


def test_right_wrong_silent_and_unscored_differ() -> None:
    prediction = Labels(np.array([WALL, WALL, VOID, WALL, VOID], np.int32), np.full(5, VOID, np.int32))
    right = np.array([True, False, False, True, True])
    scored = np.array([True, True, True, False, False])
    colors = error_colors(right, scored, prediction)
    assert len(np.unique(colors[:4], axis=0)) == 4
    assert_array_equal(colors[3], colors[4])
    green, red, blue = (colors[number].argmax() for number in range(3))
    assert (green, red, blue) == (1, 0, 2)


@given(count=st.integers(1, 9), columns=st.integers(1, 4))
def test_a_sheet_holds_every_picture_at_its_place(count: int, columns: int) -> None:
    pictures = [np.full((3, 5, 3), number, np.uint8) for number in range(count)]
    result = contact_sheet(pictures, columns)
    rows = -(-count // columns)
    assert result.shape == (3 * rows, 5 * columns, 3)
    tiles = result.reshape(rows, 3, columns, 5, 3).swapaxes(1, 2).reshape(-1, 3, 5, 3)
    assert_array_equal(tiles[:count], pictures)
    assert (tiles[count:] == BACKGROUND).all()


@given(count=st.integers(0, 50), wanted=st.integers(1, 12))
def test_numbers_are_spread_from_the_first_to_the_last(count: int, wanted: int) -> None:
    found = evenly_spaced(count, wanted)
    assert found == sorted(set(found))
    assert len(found) == min(count, wanted)
    if count:
        assert found[0] == 0
        assert wanted == 1 or found[-1] == count - 1


def test_an_overlay_shows_the_image_where_nothing_is_labelled(table: CategoryTable) -> None:
    color = np.random.default_rng(0).integers(0, 256, (10, 12, 3)).astype(np.uint8)
    category = np.full((10, 12), VOID, np.int32)
    category[:, 6:] = WALL
    painted = overlay(color, Labels(category, np.full((10, 12), VOID, np.int32)), table)
    assert_array_equal(painted[:, :6], color[:, :6])
    assert (painted[:, 6] == 25).all()
    assert (painted[:, 7:] != color[:, 7:]).any()


def test_an_overlay_of_detections_touches_nothing_without_any(table: CategoryTable) -> None:
    color = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    none = Detections(np.empty(0, np.int32), np.empty(0, np.float32), np.empty((0, 40, 60), bool))
    assert_array_equal(detection_overlay(color, none, table), color)
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 10:30, 10:40] = True
    one = Detections(np.array([CHAIR], np.int32), np.array([0.5], np.float32), mask)
    painted = detection_overlay(color, one, table)
    assert (painted[mask[0]] != color[mask[0]]).any(axis=1).mean() > 0.9
    assert_array_equal(painted[:5], color[:5])


def test_nearer_is_brighter_and_nothing_is_black() -> None:
    picture = depth_image(np.array([[0.0, 0.5, 2.0, 5.0]], np.float32)).astype(int).sum(axis=2)[0]
    assert picture[0] == 0
    assert picture[1] > picture[2] > picture[3] > 0


@pytest.mark.parametrize("dimensions", [1, 2, 3, 7])
def test_features_of_any_width_make_a_picture_of_the_wanted_size(dimensions: int) -> None:
    values = np.random.default_rng(0).normal(size=(4, 5, dimensions)).astype(np.float32)
    picture = feature_image(values, 24, 30)
    assert picture.shape == (24, 30, 3)
    assert not picture[..., dimensions:].any()
    assert_array_equal(feature_image(10 * values + 3, 24, 30)[..., 0], picture[..., 0])


def test_an_overview_sees_into_a_room_from_above() -> None:
    room = trimesh.creation.box((4, 3, 2.5))
    room.invert()
    colors = np.full((len(room.vertices), 3), (250, 10, 10), np.uint8)
    mesh = TriangleMesh(room.vertices.astype(np.float32), room.faces.astype(np.int32), colors)
    view = isometric_view(mesh, np.array([0.0, 0.0, 1.0]), height=90, width=120)
    picture = view.paint(mesh.colors)
    assert picture.shape == (90, 120, 3)
    shown = set(np.unique(view.face)) - {VOID}
    normals = face_normals(mesh.vertices, mesh.faces)[sorted(shown)]
    assert normals[:, 2].max() > 0  # the floor is seen, the ceiling is cut away
    assert normals[:, 2].min() >= 0
    assert (picture[0, 0] == BACKGROUND).all()
    inner = picture[45, 60].astype(int)
    assert inner[0] > inner[1] + 50


def test_a_view_is_that_of_a_mesh_without_its_back_faces() -> None:
    """Nested inverted boxes: rays pass the lids of all of them. The plain twin removes back faces before it casts."""
    box = trimesh.creation.box((4, 3, 2.5))
    box.invert()
    vertices = np.concatenate([box.vertices * scale for scale in (1.0, 0.9, 0.8, 0.7)]).astype(np.float32)
    faces = np.concatenate([box.faces + k * len(box.vertices) for k in range(4)]).astype(np.int32)
    colors = np.random.default_rng(0).integers(0, 256, (len(vertices), 3)).astype(np.uint8)
    mesh = TriangleMesh(vertices, faces, colors)
    camera = Camera(96, 72, 90.0, 90.0, 47.5, 35.5)
    pose = look_at(np.array([3.0, -4.0, 5.0]), np.zeros(3), np.array([0.0, 0.0, 1.0]))
    toward = pose[:3, 3] - mesh.vertices[mesh.faces[:, 0]]
    front = np.flatnonzero((face_normals(mesh.vertices, mesh.faces) * toward).sum(axis=1) > 0)
    expected = Raycaster(TriangleMesh(mesh.vertices, mesh.faces[front], colors)).cast(camera, pose).face
    actual = mesh_view(mesh, camera, pose).face
    assert (actual != VOID).mean() > 0.2
    assert (actual == np.append(front, VOID)[expected]).mean() > 0.995  # but at edges


def test_a_point_cloud_hides_what_lies_behind() -> None:
    square = np.stack(np.meshgrid(np.linspace(0, 1, 80), np.linspace(0, 1, 80)), axis=-1).reshape(-1, 2)
    low, high = (np.column_stack([square, np.full(len(square), height)]) for height in (0.0, 0.5))
    colors = np.repeat(np.array([(250, 10, 10), (10, 10, 250)], np.uint8), len(square), axis=0)
    cloud = TriangleMesh(np.concatenate([low, high]).astype(np.float32), np.empty((0, 3), np.int32), colors)
    picture = isometric_view(cloud, np.array([0.0, 0.0, 1.0]), height=90, width=120).paint(colors)
    assert (picture == BACKGROUND).all(axis=2).any()
    assert picture[45, 60, 2] > picture[45, 60, 0] + 200  # the upper square lies before the lower one
    assert (picture[..., 0].astype(int) > picture[..., 2].astype(int) + 100).any()  # which shows beside it


def test_ids_of_any_size_are_coloured_and_ids_of_stuff_are_not(table: CategoryTable) -> None:
    category = np.array([CHAIR, CHAIR, WALL, WALL], np.int32)
    colors = label_colors(Labels(category, np.array([2**31, 2**31 - 1, 5, VOID], np.int64)), table)
    assert len(np.unique(colors, axis=0)) == 3
    assert_array_equal(colors[2], colors[3])


def test_a_legend_leaves_the_picture_as_it_is(table: CategoryTable) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (50, 320, 3)).astype(np.uint8)
    labels = Labels(np.array([WALL, CHAIR, CHAIR], np.int32), np.array([VOID, 0, 1], np.int32))
    result = with_legend(picture, labels, table)
    assert_array_equal(result[:50], picture)
    assert result.shape[0] > 60 and result.shape[1] == 320
    nothing = Labels(np.array([VOID], np.int32), np.array([VOID], np.int32))
    assert (with_legend(picture, nothing, table)[50:] == 255).all()


def test_an_orbit_shows_all_of_a_mesh_from_all_around() -> None:
    room = trimesh.creation.box((4, 3, 2.5))
    grey = np.full((len(room.vertices), 3), 128, np.uint8)
    mesh = TriangleMesh(np.asarray(room.vertices, np.float32), np.asarray(room.faces, np.int32), grey)
    camera, poses = orbit_views(mesh, np.array([0.0, 0, 1]), 8, 60, 80)
    eyes = np.stack([pose[:3, 3] for pose in poses])
    assert np.ptp(np.linalg.norm(eyes, axis=1)) < 1e-9  # the box lies around the origin
    assert np.ptp(eyes[:, 2]) < 1e-9
    assert np.abs(eyes.mean(axis=0)[:2]).max() < 1e-9
    for pose in poses:
        pixels, depth = project(camera, transform(invert(pose), mesh.vertices))
        assert (depth > 0).all()
        assert ((pixels > 0) & (pixels < (camera.width, camera.height))).all()
