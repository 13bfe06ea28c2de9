"""Laws of observations and the evidence aggregated from them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.geometry.projective import look_at
from panrecon.graph.observation import aggregate_observations, frame_weights, observe
from panrecon.graph.parameters import GraphParameters
from panrecon.structures import VOID, Camera, Category, CategoryTable, View

from .conftest import CHAIR, FLOOR, Shot, Tiles, detections, evidence_of, observations


def test_evidence_names_every_mask_by_frame_and_detection(walk: list[Shot], table: CategoryTable, tiles: Tiles) -> None:
    evidence = evidence_of(walk[::-1], table, tiles.superface_of_vertex)
    assert evidence.frames == tuple(sorted(shot.name for shot in walk))
    by_name = {shot.name: shot.detections for shot in walk}
    for mask, (frame, detection) in enumerate(zip(evidence.frame_of_mask, evidence.detection_of_mask, strict=True)):
        found = by_name[evidence.frames[frame]]
        assert evidence.category_of_mask[mask] == found.category[detection]
        assert evidence.score_of_mask[mask] == found.score[detection]
        assert evidence.thing_mask[mask] == table.is_thing[found.category[detection]]
        assert evidence.size_of_mask[mask] == found.mask[detection].sum()


def test_groups_add_what_their_units_have_and_void_is_left_out(
    walk: list[Shot], table: CategoryTable, tiles: Tiles
) -> None:
    on_vertices = aggregate_observations(observations(walk, table), table, tiles.superface_of_vertex.size)
    group = np.where(tiles.superface_of_vertex % 3 == 0, VOID, tiles.superface_of_vertex % 3 - 1)
    grouped = on_vertices.grouped(group, 2)
    for whole, parts in ((on_vertices.visible, grouped.visible), (on_vertices.covered, grouped.covered)):
        expected = [whole.toarray()[group == number].sum(axis=0) for number in range(2)]
        assert_array_equal(parts.toarray(), expected)
    assert_array_equal(grouped.vertices_of_unit, [(group == 0).sum(), (group == 1).sum()])


def test_things_and_stuff_are_resolved_separately_or_made_exclusive(table: CategoryTable) -> None:
    vertex = np.arange(4, dtype=np.int32).reshape(1, 4)
    chair, better_chair, floor = (np.isin(vertex, held) for held in ([0, 1, 2], [0], [1, 3]))
    shot = Shot("0", vertex, detections([CHAIR, CHAIR, FLOOR], [chair, better_chair, floor], [0.5, 0.8, 0.6]))
    (apart,) = observations([shot], table)
    assert_array_equal(apart.thing, [1, 0, 0, VOID])
    assert_array_equal(apart.stuff, [VOID, 2, VOID, 2])
    assert_array_equal(apart.exclusive.thing, [1, VOID, 0, VOID])
    assert_array_equal(apart.exclusive.stuff, [VOID, 2, VOID, 2])


def test_a_frame_sees_what_lies_at_its_measured_depth(table: CategoryTable) -> None:
    """Points 2 m ahead, one 20 cm behind the measured depth, one beside the image, one where nothing was measured."""
    camera = Camera(8, 6, 8.0, 8.0, 3.5, 2.5)
    pose = look_at(np.array([0.0, 0, 1]), np.array([2.0, 0, 1]), np.array([0.0, 0, 1]))
    depth = np.full((6, 8), 2.0, np.float32)
    depth[:, 6:] = 0
    pixel_size = 2 / 8
    vertices = np.array([[2, 0, 1], [2.2, 0, 1], [2, 5, 1], [2, -3 * pixel_size, 1], [2.04, 2 * pixel_size, 1]])
    view = View("0", camera, pose, np.zeros((6, 8, 3), np.uint8), depth)
    mask = np.zeros((6, 8), bool)
    mask[:, :3] = True
    seen = observe(view, vertices.astype(np.float32), detections([CHAIR], [mask]), table, 0.05)
    assert_array_equal(seen.visible, [0, 4])
    assert_array_equal(seen.thing, [VOID, 0])
    assert_array_equal(seen.stuff, [VOID, VOID])


def test_masks_of_the_sky_hide_no_surface(table: CategoryTable) -> None:
    """They leak onto what rises into it, and are surer than the masks of that."""
    sky = replace(table, categories=(*table.categories, Category(99, "Sky", thing=False)))
    view = View("0", Camera(4, 4, 4.0, 4.0, 1.5, 1.5), np.eye(4), np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 2.0))
    vertices, everywhere = np.array([[0, 0, 2]], np.float32), np.ones((4, 4), bool)
    found = detections([FLOOR, len(table)], [everywhere, everywhere], [0.3, 0.9])
    assert_array_equal(observe(view, vertices, found, sky, 0.05).stuff, [0])
    air = replace(table, categories=(*table.categories, Category(99, "air", thing=False)))
    assert_array_equal(observe(view, vertices, found, air, 0.05).stuff, [1])


@pytest.mark.parametrize(("turn", "move", "expected"), [(0.0, 0.0, 0.5), (0.1, 0.0, 1.0), (0.0, 0.1, 1.0)])
def test_frames_share_their_weight_with_those_from_the_same_pose(turn: float, move: float, expected: float) -> None:
    poses = np.stack([np.eye(4), np.eye(4), np.eye(4)])
    poses[1, :3, 3] = move, 0, 0
    poses[1, :3, 2] = np.sin(turn), 0, np.cos(turn)
    poses[2, :3, 3] = 5, 0, 0
    assert_allclose(frame_weights(poses, GraphParameters()), [expected, expected, 1.0])
    assert_allclose(frame_weights(poses, GraphParameters(same_position=0.2)), [1.0 if turn else 0.5] * 2 + [1.0])
