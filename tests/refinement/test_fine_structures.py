"""Elongated segments and small objects take what the frames that show them give to them, and no more."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial import cKDTree

from panrecon.geometry.mesh import face_normals, mesh_edges, vertex_areas
from panrecon.geometry.projective import look_at, transform, unproject
from panrecon.refinement.fine_structures import (
    _joined,
    _Joining,
    _subdivided,
    refine_elongated_segments,
    refine_small_objects,
)
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.segments import VOID_SEGMENT, labels_of_ids, segment_ids, unique_segments
from panrecon.refinement.visibility import Candidates, Support, support
from panrecon.structures import VOID, Camera, Labels, PanopticMesh, TriangleMesh, View, Views
from tests.refinement.recorded import recorded

PARAMETERS = RefinementParameters(0.02)
STEP = 0.02  # m between vertices
SIDE = 61
TABLE, CURTAIN, CUP, BED = range(4)  # classes; the first two are stuff
CAMERA = Camera(320, 240, 280.0, 280.0, 159.5, 119.5)
HIGH = 1.5  # m: of the cameras above the sheet z = 0
PLACES = np.array([[-0.1, 0.0], [0.0, 0.1], [0.1, 0.0], [0.0, -0.1]])  # x and y (m) of them
GREY, RED, PINK = (120, 120, 120), (200, 40, 40), (142, 120, 120)

Drawn = Callable[[np.ndarray], np.ndarray]  # which points (x, y) are of a thing


def sheet(
    *, labelled: Drawn, category: int, colored: Drawn | None = None, color: tuple[int, int, int] = RED
) -> PanopticMesh:
    """A flat square of vertices, part of which is labelled, and part coloured."""
    y, x = (np.mgrid[:SIDE, :SIDE] - SIDE // 2) * STEP
    points = np.stack([x, y, np.zeros_like(x)], axis=2).reshape(-1, 3)
    corner = (np.arange(SIDE - 1)[:, None] * SIDE + np.arange(SIDE - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + SIDE], axis=1)
    upper = np.stack([corner + 1, corner + SIDE + 1, corner + SIDE], axis=1)
    colors = np.where((colored or labelled)(points)[:, None], color, GREY).astype(np.uint8)
    mesh = TriangleMesh(points.astype(np.float32), np.concatenate([lower, upper]).astype(np.int32), colors)
    return PanopticMesh(mesh, labels(labelled(points), category))


def labels(mine: np.ndarray, category: int) -> Labels:
    is_thing = category in (CUP, BED)
    return Labels(np.where(mine, category, TABLE).astype(np.int32), np.where(mine & is_thing, 0, VOID).astype(np.int32))


def seen(
    drawn: Drawn, category: int, missing: tuple[int, ...] = (), lift: float = 0.0
) -> tuple[Views, Callable[[View], Labels]]:
    """Cameras above the sheet, and masks of what is drawn; frames `missing` have all for the table."""
    poses = [look_at(np.array([*place, HIGH]), np.array([*place, 0.0]), np.array([0.0, 1.0, 0.0])) for place in PLACES]
    depth = np.full((CAMERA.height, CAMERA.width), HIGH - lift, np.float32)
    views = [View(str(n), CAMERA, pose, np.zeros((*depth.shape, 3), np.uint8), depth) for n, pose in enumerate(poses)]

    def masks(view: View) -> Labels:
        points = transform(view.world_from_camera, unproject(CAMERA, np.full(depth.shape, HIGH)))
        return labels(drawn(points) & (int(view.name) not in missing), category)

    return Views.of(views), masks


def disc(points: np.ndarray, radius: float = 0.1) -> np.ndarray:
    return np.asarray(np.hypot(points[..., 0], points[..., 1]) < radius)


def rod(points: np.ndarray) -> np.ndarray:
    """4 cm wide, 80 cm long."""
    return np.asarray((np.abs(points[..., 1]) < 0.021) & (np.abs(points[..., 0]) < 0.4))


def most_of_the_rod(points: np.ndarray) -> np.ndarray:
    return rod(points) & (points[..., 0] < 0.37)


def cup(points: np.ndarray) -> np.ndarray:
    """A disc of 8 cm with a handle 1 cm wide."""
    x, y = points[..., 0], points[..., 1]
    return np.asarray((np.hypot(x, y) < 0.04) | ((np.abs(y - 0.011) < 0.005) & (x > 0) & (x < 0.065)))


def iou(panoptic: PanopticMesh, drawn: Drawn) -> float:
    """Of what points take from the vertex next to them."""
    y, x = np.mgrid[-0.1:0.1:201j, -0.1:0.1:201j]
    points = np.stack([x, y, np.zeros_like(x)], axis=2).reshape(-1, 3)
    _, nearest = cKDTree(panoptic.mesh.vertices).query(points)
    found, true = panoptic.labels.instance[nearest] == 0, drawn(points)
    return float((found & true).sum() / (found | true).sum())


def test_a_number_for_every_segment_and_back() -> None:
    made = Labels(np.array([VOID, 0, 3, 3], np.int32), np.array([VOID, VOID, 0, 7], np.int32))
    numbers = segment_ids(made)
    assert len(np.unique(numbers)) == 4
    assert numbers[0] == VOID_SEGMENT
    back = labels_of_ids(numbers)
    assert_array_equal(back.category, made.category)
    assert_array_equal(back.instance, made.instance)
    row, present = unique_segments(made)
    assert_array_equal(row, [VOID, 0, 1, 2])
    assert_array_equal(present, numbers[1:])


def test_frames_that_miss_a_segment_do_not_vote_on_it() -> None:
    panoptic = sheet(labelled=disc, category=CUP)
    views, masks = seen(disc, CUP, missing=(1, 3))
    inside, outside = np.array([0.0, 0.0, 0.0]), np.array([0.15, 0.0, 0.0])
    number = segment_ids(labels(np.array([True]), CUP))[0]
    votes = support(
        np.stack([inside, outside]),
        Candidates(np.array([0, 1]), np.array([number] * 2)),
        panoptic,
        views,
        masks,
        PARAMETERS,
    )
    assert_array_equal(votes.frame_count, [2, 2])
    assert_array_equal(votes.vote_count, [2, 0])
    assert_allclose(votes.share, [1, 0])


def test_a_frame_without_a_label_at_a_point_does_not_vote() -> None:
    panoptic = sheet(labelled=disc, category=CUP)
    views, masks = seen(disc, CUP)

    def half(view: View) -> Labels:
        found = masks(view)
        return Labels(np.where(found.category == TABLE, VOID, found.category), found.instance)

    number = segment_ids(labels(np.array([True]), CUP))[0]
    claims = Candidates(np.array([0, 1]), np.array([number] * 2))
    votes = support(np.array([[0.0, 0.0, 0.0], [0.15, 0.0, 0.0]]), claims, panoptic, views, half, PARAMETERS)
    assert_array_equal(votes.frame_count, [4, 0])


def test_a_few_vertices_do_not_tell_whether_a_frame_shows_a_segment() -> None:
    def dot(points: np.ndarray) -> np.ndarray:
        return disc(points, 0.015)

    panoptic, number = sheet(labelled=dot, category=CUP), segment_ids(labels(np.array([True]), CUP))
    votes = support(np.zeros((1, 3)), Candidates(np.array([0]), number), panoptic, *seen(dot, CUP), PARAMETERS)
    assert_array_equal(votes.frame_count, [0])


def test_a_frame_does_not_vote_on_what_is_hidden_from_it() -> None:
    panoptic = sheet(labelled=disc, category=CUP)
    views, masks = seen(disc, CUP, lift=0.2)
    number = segment_ids(labels(np.array([True]), CUP))
    votes = support(np.zeros((1, 3)), Candidates(np.array([0]), number), panoptic, views, masks, PARAMETERS)
    assert_array_equal(votes.frame_count, [0])
    assert_array_equal(votes.share, [0])


@pytest.mark.parametrize("category", [CURTAIN, BED])
def test_a_rod_takes_the_end_that_it_lacks(category: int) -> None:
    panoptic = sheet(labelled=most_of_the_rod, category=category, colored=rod)
    refined = refine_elongated_segments(panoptic, *seen(rod, category, missing=(0,)), PARAMETERS)
    assert_array_equal(refined.labels.category, labels(rod(panoptic.mesh.vertices), category).category)


def test_it_takes_nothing_that_looks_like_what_has_it() -> None:
    panoptic = sheet(labelled=most_of_the_rod, category=CURTAIN)
    refined = refine_elongated_segments(panoptic, *seen(rod, CURTAIN), PARAMETERS)
    assert_array_equal(refined.labels.category, panoptic.labels.category)


def test_it_takes_nothing_that_most_frames_which_show_it_give_to_others() -> None:
    panoptic = sheet(labelled=most_of_the_rod, category=CURTAIN, colored=rod)
    views, masks = seen(rod, CURTAIN)

    def shorter(view: View) -> Labels:
        return masks(view) if view.name == "0" else seen(most_of_the_rod, CURTAIN)[1](view)

    assert_array_equal(
        refine_elongated_segments(panoptic, views, shorter, PARAMETERS).labels.category, panoptic.labels.category
    )


@pytest.mark.parametrize(("color", "is_enough"), [(PINK, False), (RED, True)])
def test_a_single_frame_must_be_confirmed_by_the_appearance(color: tuple[int, int, int], is_enough: bool) -> None:
    panoptic = sheet(labelled=most_of_the_rod, category=CURTAIN, colored=rod, color=color)
    refined = refine_elongated_segments(panoptic, *seen(rod, CURTAIN, missing=(0, 1, 2)), PARAMETERS)
    assert (refined.labels.category != panoptic.labels.category).any() == is_enough


def test_two_frames_need_less_difference_of_appearance() -> None:
    panoptic = sheet(labelled=most_of_the_rod, category=CURTAIN, colored=rod, color=PINK)
    refined = refine_elongated_segments(panoptic, *seen(rod, CURTAIN, missing=(0, 1)), PARAMETERS)
    assert (refined.labels.category != panoptic.labels.category).any()
    assert not refined.is_frozen.any()


def test_what_differs_much_from_what_had_it_is_frozen() -> None:
    panoptic = sheet(labelled=most_of_the_rod, category=CURTAIN, colored=rod)
    refined = refine_elongated_segments(panoptic, *seen(rod, CURTAIN), PARAMETERS)
    assert_array_equal(refined.is_frozen, refined.labels.category != panoptic.labels.category)
    assert refined.is_frozen.any()


def test_what_has_a_large_interior_takes_nothing() -> None:
    panoptic = sheet(labelled=lambda points: disc(points, 0.27), category=BED, colored=lambda points: disc(points, 0.3))
    shown = seen(lambda points: disc(points, 0.3), BED)
    refined = refine_elongated_segments(panoptic, *shown, replace(PARAMETERS, boundary_distance=0.6))
    assert_array_equal(refined.labels.category, panoptic.labels.category)
    refined = refine_elongated_segments(panoptic, *shown, PARAMETERS)  # with so wide a boundary it is elongated
    assert (refined.labels.category != panoptic.labels.category).any()


def test_void_stays() -> None:
    elongated = sheet(labelled=most_of_the_rod, category=CURTAIN, colored=rod)
    lacking = rod(elongated.mesh.vertices) & ~most_of_the_rod(elongated.mesh.vertices)
    category = np.where(lacking, VOID, elongated.labels.category).astype(np.int32)
    void = PanopticMesh(elongated.mesh, Labels(category, elongated.labels.instance))
    assert_array_equal(refine_elongated_segments(void, *seen(rod, CURTAIN), PARAMETERS).labels.category, category)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_two_candidates_the_better_supported_wins(order: list[int]) -> None:
    present = segment_ids(Labels(np.array([TABLE, CUP, BED], np.int32), np.array([VOID, 0, 1], np.int32)))
    votes = Support(frame_count=np.array([2, 2]), vote_count=np.array([2, 1]))
    joining = _Joining(vertex=np.zeros(2, np.int64), segment=np.array([1, 2]))
    joined = _joined(np.zeros(1, np.int64), present, joining, votes, np.array(order))
    assert joined.category == CUP


def test_a_small_object_is_drawn_finer_than_the_mesh() -> None:
    panoptic = sheet(labelled=lambda points: disc(points, 0.03), category=CUP)
    done: list[int] = []
    found = refine_small_objects(panoptic, *seen(cup, CUP, missing=(2,)), PARAMETERS, recorded(done))
    assert iou(panoptic, cup) < 0.7
    assert iou(found, cup) > 0.9
    assert done == [1, 2, 3, 4]
    assert_array_equal(found.mesh.vertices[: SIDE**2], panoptic.mesh.vertices)


def test_it_keeps_what_it_has_and_one_frame_is_too_few() -> None:
    panoptic = sheet(labelled=lambda points: disc(points, 0.05), category=CUP)
    smaller = refine_small_objects(panoptic, *seen(lambda points: disc(points, 0.03), CUP), PARAMETERS)
    assert_array_equal(smaller.labels.instance[: SIDE**2], panoptic.labels.instance)
    few = refine_small_objects(panoptic, *seen(lambda points: disc(points, 0.07), CUP, missing=(0, 1, 2)), PARAMETERS)
    assert_array_equal(few.labels.instance[: SIDE**2], panoptic.labels.instance)


def test_an_object_that_is_not_small_and_stuff_leave_the_mesh_alone() -> None:
    radius = 1.1 * np.sqrt(PARAMETERS.small_area / np.pi) * PARAMETERS.voxel_size
    large = sheet(labelled=lambda points: disc(points, radius), category=BED)
    assert refine_small_objects(large, *seen(disc, BED), PARAMETERS) is large
    stuff = sheet(labelled=disc, category=CURTAIN)
    assert refine_small_objects(stuff, *seen(disc, CURTAIN), PARAMETERS) is stuff


@pytest.mark.parametrize("scattered", [False, True])
def test_a_finer_surface_is_the_same_without_gaps(scattered: bool) -> None:
    mesh = sheet(labelled=disc, category=CUP).mesh
    row = disc(mesh.vertices).astype(np.int64)
    chosen = np.random.default_rng(0).random(len(row)) < 0.05 if scattered else row == 1
    finer, segment = _subdivided(mesh, row, chosen, np.array([1.0, 2.0]))
    before, after = (np.linalg.norm(face_normals(m.vertices, m.faces), axis=1).sum() for m in (mesh, finer))
    assert_allclose(after, before, rtol=1e-5)
    assert (face_normals(finer.vertices, finer.faces)[:, 2] > 0).all()
    directed = np.concatenate([finer.faces[:, [a, (a + 1) % 3]] for a in range(3)])
    _, uses = np.unique(np.sort(directed, axis=1), axis=0, return_counts=True)
    outline = np.abs(finer.vertices[mesh_edges(finer.faces)[uses == 1]]).max(axis=2)
    assert_allclose(outline, (SIDE // 2) * STEP, rtol=1e-5)  # no gap within
    assert uses.max() == 2
    touched = chosen[mesh.faces].any(axis=1).sum()
    assert len(finer.faces) >= len(mesh.faces) + 3 * touched
    assert_array_equal(segment[: len(row)], row)
    middles = finer.vertices[len(row) :][segment[len(row) :] == 1]
    assert disc(middles).all()  # a middle of both is of the lower rank


def test_the_order_of_vertices_does_not_matter() -> None:
    panoptic = sheet(labelled=lambda points: disc(points, 0.03), category=CUP)
    order = np.argsort(~disc(panoptic.mesh.vertices, 0.03), kind="stable")  # the cup first
    mesh = panoptic.mesh
    faces = np.argsort(order)[mesh.faces].astype(np.int32)
    turned = PanopticMesh(TriangleMesh(mesh.vertices[order], faces, mesh.colors[order]), panoptic.labels.at(order))
    shown = seen(lambda points: disc(points, 0.025), CUP)
    areas = [
        vertex_areas(found.mesh.vertices, found.mesh.faces)[found.labels.instance == 0].sum()
        for found in (refine_small_objects(some, *shown, PARAMETERS) for some in (panoptic, turned))
    ]
    assert_allclose(areas[0], areas[1], rtol=1e-4)


def test_what_has_no_interior_is_left_if_two_frames_say_so() -> None:
    """A rod beside a strip of the same look, both too narrow for an inside."""

    def strip(points: np.ndarray) -> np.ndarray:
        return np.asarray((np.abs(points[..., 1] - 0.06) < 0.031) & (np.abs(points[..., 0]) < 0.45))

    panoptic = sheet(labelled=rod, category=CURTAIN, color=GREY)
    beside = strip(panoptic.mesh.vertices) & ~rod(panoptic.mesh.vertices)
    known = Labels(
        np.where(beside, BED, panoptic.labels.category).astype(np.int32),
        np.where(beside, 0, panoptic.labels.instance).astype(np.int32),
    )
    for missing, is_taken in (((0, 1, 2), False), ((0, 1), True)):
        shown = seen(lambda points: rod(points) | strip(points), CURTAIN, missing)
        refined = refine_elongated_segments(PanopticMesh(panoptic.mesh, known), *shown, PARAMETERS)
        assert (refined.labels.category[beside] == CURTAIN).any() == is_taken
        assert not refined.is_frozen.any()


def test_rejected_objects_do_not_vote() -> None:
    panoptic = sheet(labelled=most_of_the_rod, category=CURTAIN, colored=rod)
    views, masks = seen(rod, CURTAIN)

    def with_a_ghost(view: View) -> Labels:
        found = masks(view)
        if view.name == "0":
            return found
        ghost = (found.category == CURTAIN) & ~seen(most_of_the_rod, CURTAIN)[1](view).category.astype(bool)
        return Labels(np.where(ghost, CUP, found.category), np.where(ghost, 5, found.instance))

    refined = refine_elongated_segments(panoptic, views, with_a_ghost, PARAMETERS)
    assert (refined.labels.category != panoptic.labels.category).any()
