"""Laws of the built-in room and of its subdivision."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.geometry.mesh import face_normals, mesh_edges
from panrecon.geometry.subdivision import subdivide
from panrecon.simulation.room.path import free_floor
from panrecon.simulation.room.room import Room, build_room
from panrecon.simulation.room.shop import SMALL_THINGS
from panrecon.simulation.scene.shapes import Part, bounds, box, cushion, lathe, leaf, rod
from panrecon.simulation.scene.textures import Material
from panrecon.structures import VOID, TriangleMesh

SEEDS = range(6)
HOMES = [(seed, 0) for seed in SEEDS]
SHOPS = [(0, 70), (1, 120)]  # seed, small things
WHITE = Material("plain", (1.0, 1.0, 1.0))


@pytest.fixture(scope="module", params=HOMES + SHOPS)
def room(request: pytest.FixtureRequest) -> Room:
    return build_room(*request.param)


def names(room: Room) -> list[str]:
    return [room.categories[int(category)].name for category in room.category_of_instance]


@pytest.mark.parametrize(("seed", "small_things"), HOMES + SHOPS)
def test_same_seed_gives_the_same_bytes(seed: int, small_things: int) -> None:
    room = build_room(seed, small_things)
    again = build_room(seed, small_things)
    assert again.mesh.vertices.tobytes() == room.mesh.vertices.tobytes()
    assert again.labels.instance.tobytes() == room.labels.instance.tobytes()
    assert again.parts[-1].material == room.parts[-1].material


def test_different_seeds_differ_in_size_and_arrangement() -> None:
    rooms = [build_room(seed) for seed in SEEDS]
    assert len({room.size for room in rooms}) == len(rooms)
    assert len({names(room).count("chair") for room in rooms}) > 1
    assert len({"bed" in names(room) for room in rooms}) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_room_is_furnished(seed: int) -> None:
    room = build_room(seed)
    assert names(room).count("chair") >= 3
    assert {"table", "sofa", "shelf", "lamp", "plant", "picture", "book"} <= set(names(room))
    assert set(names(room)) & {"bed", "cabinet"}


def test_every_face_is_labelled_and_instances_have_one_category(room: Room) -> None:
    category = room.labels.category
    instance = room.labels.instance
    assert (category != VOID).all()
    assert_array_equal(room.categories.is_thing[category], instance != VOID)
    for instance_index in range(room.instance_count):
        assert len(np.unique(category[instance == instance_index])) == 1


def test_objects_share_no_vertices(room: Room) -> None:
    owner = room.labels.category.astype(np.int64) * 1000 + room.labels.instance
    pairs = np.unique(np.stack([room.mesh.faces.ravel(), np.repeat(owner, 3)], axis=1), axis=0)
    assert len(np.unique(pairs[:, 0])) == len(pairs)


def test_furniture_does_not_overlap(room: Room) -> None:
    on_others = {"cup", "bowl", "book", "laptop", "vase", "box"}
    boxes = [box for box, name in zip(room.boxes, names(room), strict=True) if name not in on_others]
    for i, first in enumerate(boxes):
        for second in boxes[i + 1 :]:
            assert ((first[0] >= second[1]) | (second[0] >= first[1])).any()


def test_small_things_do_not_overlap_each_other(room: Room) -> None:
    small = {"cup", "bowl", "vase", "box"}
    boxes = [box for box, name in zip(room.boxes, names(room), strict=True) if name in small]
    for i, first in enumerate(boxes):
        for second in boxes[i + 1 :]:
            assert ((first[0] >= second[1]) | (second[0] >= first[1])).any()


@pytest.mark.parametrize(("seed", "small_things"), SHOPS)
def test_shop_holds_as_many_small_things_as_asked_for(seed: int, small_things: int) -> None:
    shop = build_room(seed, small_things)
    is_small = np.isin(names(shop), SMALL_THINGS)
    assert is_small.sum() >= small_things
    assert set(SMALL_THINGS) == set(np.array(names(shop))[is_small])
    boxes = shop.boxes[is_small]
    assert (boxes[:, 1] - boxes[:, 0]).max() < 0.4
    is_apart = (boxes[:, None, 0] >= boxes[None, :, 1]) | (boxes[None, :, 0] >= boxes[:, None, 1])
    assert (is_apart.any(axis=2) | np.eye(len(boxes), dtype=bool)).all()
    assert free_floor(shop).free.sum() * 0.05**2 > 2.0


def test_nothing_floats(room: Room) -> None:
    """Everything that does not hang stands on the floor, on the rug or on something's upper side."""
    corners = room.mesh.vertices[room.mesh.faces]
    for instance_index, name in enumerate(names(room)):
        low, high = room.boxes[instance_index]
        if name == "picture" or high[2] > room.size[2] - 0.01:
            continue
        middle = (low + high)[:2] / 2
        others = corners[room.labels.instance != instance_index]
        near = (others[..., :2].min(axis=1) <= middle).all(axis=1) & (others[..., :2].max(axis=1) >= middle).all(axis=1)
        gap = low[2] - others[near][..., 2].max(axis=1)
        assert (np.abs(gap) < 0.015).any(), name


def test_things_lie_inside_the_room(room: Room) -> None:
    assert (room.boxes[:, 0] > -1e-9).all()
    assert (room.boxes[:, 1] < np.array(room.size) + 1e-9).all()


def test_texture_is_bounded_and_varies_on_the_floor(room: Room) -> None:
    face = np.flatnonzero(room.labels.category == room.categories.index_of("floor"))
    points = np.random.default_rng(0).uniform(0, 3, (500, 3)) * [1, 1, 0]
    color = room.texture(points, np.full(500, face[0]))
    assert color.min() >= 0 and color.max() <= 1
    assert color.std(axis=0).min() > 0.01


def test_texture_moves_with_its_part() -> None:
    """A part's pattern depends on the place within the part only."""
    room = build_room(1)
    chairs = np.flatnonzero(room.category_of_instance == room.categories.index_of("chair"))[:2]
    faces = [np.flatnonzero(room.labels.instance == chair) for chair in chairs]
    colors = [room.texture(room.mesh.vertices[room.mesh.faces[face]].mean(axis=1), face) for face in faces]
    assert_allclose(np.median(np.abs(colors[0] - colors[1])), 0, atol=0.02)


@pytest.mark.parametrize(
    "part",
    [
        box((1, 2, 3), (0.5, 0, 0), WHITE),
        lathe([(0, 0), (0.5, 0), (0.3, 1), (0, 1)], (0, 0, 0), WHITE),
        cushion((1, 1, 0.5), (0, 0, 0), WHITE),
        rod((0, 0, 0), (1, 1, 1), 0.05, WHITE),
    ],
)
def test_every_face_of_a_convex_solid_faces_outwards(part: Part) -> None:
    normals = face_normals(part.vertices, part.faces)
    outwards = part.vertices[part.faces].mean(axis=1) - bounds([part]).mean(axis=0)
    assert ((normals * outwards).sum(axis=1) > 0).all()


def test_leaf_has_two_sides() -> None:
    """Its volume is positive, and as much area looks up as down."""
    part = leaf(0.5, 0.1, 0.5, WHITE)
    normals = face_normals(part.vertices, part.faces)
    assert (normals * part.vertices[part.faces].mean(axis=1)).sum() > 0
    assert_allclose(normals.sum(axis=0), 0, atol=1e-12)


def test_rod_joins_its_ends() -> None:
    start = np.array([0.2, -0.1, 0.4])
    end = np.array([1.0, 0.7, 0.1])
    part = rod((0.2, -0.1, 0.4), (1.0, 0.7, 0.1), 0.01, WHITE)
    assert_allclose(bounds([part]), [np.minimum(start, end), np.maximum(start, end)], atol=0.011)


def test_subdivision_keeps_the_surface_and_bounds_its_edges() -> None:
    part = box((1.0, 0.7, 0.03), (0, 0, 0), WHITE)
    mesh = TriangleMesh(part.vertices, part.faces.astype(np.int32), np.zeros((24, 3), np.uint8))
    fine, parent = subdivide(mesh, 0.05)
    ends = fine.vertices[mesh_edges(fine.faces)]
    assert np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).max() <= 0.05
    coarse_normals = face_normals(mesh.vertices, mesh.faces)
    fine_normals = face_normals(fine.vertices, fine.faces)
    sums = [np.bincount(parent, fine_normals[:, i], minlength=len(mesh.faces)) for i in range(3)]
    assert_allclose(np.stack(sums, axis=1), coarse_normals, atol=1e-12)


def test_subdivision_makes_no_cracks() -> None:
    """Every edge inside a closed surface still has two faces."""
    part = box((1.0, 0.7, 0.3), (0, 0, 0), WHITE)
    vertices, welded = np.unique(part.vertices, axis=0, return_inverse=True)
    faces = welded.reshape(-1)[part.faces].astype(np.int32)
    mesh = TriangleMesh(vertices, faces, np.zeros((len(vertices), 3), np.uint8))
    fine, _ = subdivide(mesh, 0.04)

    def border(faces: np.ndarray) -> int:
        sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        return int((np.unique(sides, axis=0, return_counts=True)[1] == 1).sum())

    assert border(mesh.faces) == border(fine.faces) == 0
    assert len(fine.faces) > 1000
