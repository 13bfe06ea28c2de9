"""What is too thin for the fused surface comes back where many frames show it, and nothing else does."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from panrecon.geometry.mesh import mesh_edges
from panrecon.geometry.projective import look_at, pixel_directions
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.thin_structures import _Cells, _tube, add_thin_structures
from panrecon.structures import VOID, Camera, Labels, PanopticMesh, TriangleMesh, View, Views
from tests.refinement.recorded import recorded

PARAMETERS = RefinementParameters(0.02)
WALL, LAMP = 0, 1  # classes
CAMERA = Camera(160, 120, 140.0, 140.0, 79.5, 59.5)
CORD = np.array([0.0, 1.4])  # x and y (m) of its axis, which is upright; the wall is the plane y = 2
THICK = 0.006  # m: radius of the cord
THICKNESS = 0.01  # m: radius of the surface that is made
SIDES = np.linspace(-0.5, 0.5, 9)  # x (m) of the cameras, which stand at y = 0 and look along y


def wall(y: float = 2.0) -> PanopticMesh:
    """The fused surface: a wall, and in a corner of it what is fused of a lamp."""
    x, z = np.meshgrid(np.linspace(-3, 3, 121), np.linspace(-2, 2, 81), indexing="ij")
    vertices = np.stack([x, np.full_like(x, y), z], axis=-1).reshape(-1, 3)
    corner = (np.arange(120)[:, None] * 81 + np.arange(80)).ravel()
    faces = np.concatenate([[corner, corner + 81, corner + 1], [corner + 1, corner + 81, corner + 82]], axis=1).T
    category, instance = np.full(len(vertices), WALL, np.int32), np.full(len(vertices), VOID, np.int32)
    category[-1], instance[-1] = LAMP, 0
    colors = np.full((len(vertices), 3), 200, np.uint8)
    return PanopticMesh(TriangleMesh(vertices, faces.astype(np.int32), colors), Labels(category, instance))


def pose(x: float) -> np.ndarray:
    return look_at(np.array([x, 0.0, 0.0]), np.array([x, 1.0, 0.0]))


def view_of(
    number: int, x: float, cord: bool = True, y: float = CORD[1], thick: float = THICK, behind: float = 2.0
) -> View:
    """What a camera at (x, 0, 0) measures: the wall at y = `behind`, before it the cord."""
    direction = pixel_directions(CAMERA) @ pose(x)[:3, :3].T
    depth = behind / direction[..., 1]
    shown = np.zeros(depth.shape, dtype=bool)
    if cord:
        flat, start = direction[..., :2], np.array([x, 0.0]) - [CORD[0], y]
        a, b, c = (flat**2).sum(-1), (flat * start).sum(-1), start @ start - thick**2
        shown = (b**2 > a * c) & (np.abs(direction[..., 2]) < 0.25)
        depth = np.where(shown, (-b - np.sqrt(np.where(shown, b**2 - a * c, 0))) / a, depth)
    color = np.where(shown[..., None], [255, 0, 0], [200, 200, 200]).astype(np.uint8)
    return View(str(number), CAMERA, pose(x), color, depth.astype(np.float32))


def views(cord: bool = True, sides: np.ndarray = SIDES) -> list[View]:
    return [view_of(number, x, cord) for number, x in enumerate(sides)]


def enlarged(view: View, size: int) -> View:
    """The view, every pixel several wide and high."""
    color, depth = (image.repeat(size, axis=0).repeat(size, axis=1) for image in (view.color, view.depth))
    return View(view.name, view.camera.scaled(float(size)), view.world_from_camera, color, depth)


def masks(view: View) -> Labels:
    """The cord's is right, and the wall's covers the wall."""
    lamp = view.color[..., 1] == 0
    return Labels(np.where(lamp, LAMP, WALL).astype(np.int32), np.where(lamp, 0, VOID).astype(np.int32))


def added(found: PanopticMesh) -> tuple[np.ndarray, Labels]:
    """What was not there before: vertices and labels."""
    count = len(wall().mesh.vertices)
    assert_array_equal(found.mesh.vertices[:count], wall().mesh.vertices)
    assert_array_equal(found.labels.category[:count], wall().labels.category)
    return found.mesh.vertices[count:], found.labels.at(np.arange(count, len(found.mesh.vertices)))


def parts_of(faces: np.ndarray) -> int:
    """How many parts of a surface are not connected."""
    used, index = np.unique(faces, return_inverse=True)
    start, end = mesh_edges(index.reshape(faces.shape)).T
    together = coo_array((np.ones(len(start)), (start, end)), shape=(len(used),) * 2)
    return int(connected_components(together, directed=False)[0])


def test_a_cord_comes_back_whole_as_one_object_of_its_class() -> None:
    seen = views()
    completed = add_thin_structures(wall(), Views.of(seen), masks, PARAMETERS)
    vertices, labels = added(completed.panoptic)
    assert completed.piece_count == 1
    assert (labels.category == LAMP).all() and (labels.instance == 0).all()
    off = np.abs(np.linalg.norm(vertices[:, :2] - CORD, axis=1))
    assert off.max() < 0.02
    assert vertices[:, 2].min() < -0.3 and vertices[:, 2].max() > 0.3
    assert np.diff(np.sort(vertices[:, 2])).max() < 0.02
    new = completed.panoptic.mesh.faces[(completed.panoptic.mesh.faces >= len(wall().mesh.vertices)).all(axis=1)]
    assert len(new) == len(completed.panoptic.mesh.faces) - len(wall().mesh.faces)
    assert parts_of(new) == 1
    assert_array_equal(completed.panoptic.mesh.colors[new.ravel()], np.tile([255, 0, 0], (new.size, 1)))


def test_a_long_piece_is_one_closed_surface() -> None:
    """Aslant through a hall: no grid of all the space around it would fit in memory."""
    steps = np.linspace(0, 1, 1200)[:, None]
    cells = _Cells(steps * [20.0, 10.0, 5.0], np.zeros((len(steps), 3)))
    mesh = _tube(cells, PARAMETERS)
    assert parts_of(mesh.faces) == 1
    edges = np.sort(np.concatenate([mesh.faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    off = np.linalg.norm(np.cross(mesh.vertices, [20.0, 10.0, 5.0]), axis=1) / np.linalg.norm([20.0, 10.0, 5.0])
    assert off.min() > 0.3 * THICKNESS and off.max() < 1.3 * THICKNESS


@pytest.mark.parametrize(("apart", "parts"), [(0.029, 1), (0.034, 2)])
def test_a_gap_between_two_places_is_bridged_if_it_is_small(apart: float, parts: int) -> None:
    cells = _Cells(np.array([[0.0, 0.0, 0.0], [apart, 0.0, 0.0]]), np.full((2, 3), 9.0))
    mesh = _tube(cells, PARAMETERS)
    assert parts_of(mesh.faces) == parts
    assert set(mesh.colors.ravel()) == {9}


def test_its_surface_faces_outwards() -> None:
    completed = add_thin_structures(wall(), Views.of(views()), masks, PARAMETERS)
    faces = completed.panoptic.mesh.faces[len(wall().mesh.faces) :]
    a, b, c = (completed.panoptic.mesh.vertices[faces[:, k]] for k in range(3))
    outwards = ((a + b + c)[:, :2] / 3 - CORD) * np.cross(b - a, c - a)[:, :2]
    assert (outwards.sum(axis=1) > 0).mean() > 0.9


def test_where_nothing_lies_in_front_nothing_changes() -> None:
    completed = add_thin_structures(wall(), Views.of(views(cord=False)), masks, PARAMETERS)
    assert completed.piece_count == 0
    assert_array_equal(completed.panoptic.mesh.vertices, wall().mesh.vertices)
    assert_array_equal(completed.panoptic.mesh.faces, wall().mesh.faces)


@pytest.mark.parametrize(("frames", "there"), [(2, False), (3, True)])
def test_three_frames_must_see_it(frames: int, there: bool) -> None:
    completed = add_thin_structures(wall(), Views.of(views(sides=SIDES[:frames])), masks, PARAMETERS)
    assert (completed.piece_count > 0) == there


@pytest.mark.parametrize(("without", "there"), [(4, True), (40, False)])
def test_what_frames_see_through_was_never_there_for_long(without: int, there: bool) -> None:
    """Someone walked by while the first frames were taken."""
    later = [view_of(9 + number, x, cord=False) for number, x in enumerate(np.linspace(-0.5, 0.5, without))]
    completed = add_thin_structures(wall(), Views.of(views() + later), masks, PARAMETERS)
    assert (completed.piece_count > 0) == there


def test_frames_that_see_something_nearer_do_not_count_against_it() -> None:
    blind = [replace(view, depth=np.full_like(view.depth, 0.5)) for view in views()]
    completed = add_thin_structures(wall(), Views.of(views() + blind), masks, PARAMETERS)
    assert completed.piece_count == 1


def test_noise_that_moves_it_among_places_does_not_lose_it() -> None:
    noise = [-0.02, 0.0, 0.02]
    seen = [replace(view, depth=view.depth + d) for view, d in zip(views(sides=SIDES[:3]), noise, strict=True)]
    assert add_thin_structures(wall(), Views.of(seen), masks, PARAMETERS).piece_count > 0


def test_flying_pixels_come_together_nowhere() -> None:
    """A fifth of the pixels where the cord would be lie anywhere before the wall, which the others measure."""

    def with_flying_pixels(view: View) -> View:
        rng = np.random.default_rng(int(view.name))
        is_flying = (view.depth < 1.9) & (rng.random(view.depth.shape) < 0.2)
        depth = np.where(is_flying, rng.uniform(0.6, 1.9, view.depth.shape), 2.0)
        return replace(view, depth=depth.astype(np.float32))

    seen = [with_flying_pixels(view) for view in views()]
    assert add_thin_structures(wall(), Views.of(seen), masks, PARAMETERS).piece_count == 0


def test_masks_that_show_what_lies_behind_tell_of_a_surface_fused_twice() -> None:
    def of_wall(view: View) -> Labels:
        return Labels(np.full(view.depth.shape, WALL, np.int32), np.full(view.depth.shape, VOID, np.int32))

    def of_nothing(view: View) -> Labels:
        return Labels(*(np.full(view.depth.shape, VOID, np.int32) for _ in range(2)))

    assert add_thin_structures(wall(), Views.of(views()), of_wall, PARAMETERS).piece_count == 0
    assert add_thin_structures(wall(), Views.of(views()), of_nothing, PARAMETERS).piece_count == 0


def test_an_object_that_the_mesh_has_not_does_not_come_in_by_its_cord() -> None:
    lost = wall()
    lost = PanopticMesh(lost.mesh, Labels(lost.labels.category * 0 + WALL, lost.labels.instance * 0 + VOID))
    assert add_thin_structures(lost, Views.of(views()), masks, PARAMETERS).piece_count == 0


@pytest.mark.parametrize(("every", "there"), [(3, True), (100, False)])
def test_no_piece_is_of_stuff(every: int, there: bool) -> None:
    """Masks of the floor spill over the cord, which the wall lies behind, in most frames or all."""

    def floor(view: View) -> Labels:
        right = masks(view)
        on_cord = (right.instance != VOID) & (int(view.name) % every != 1)
        return Labels(np.where(on_cord, 2, right.category).astype(np.int32), np.where(on_cord, VOID, right.instance))

    mesh = wall()
    labels = Labels(mesh.labels.category.copy(), mesh.labels.instance)
    labels.category[:40] = 2
    seen = views() if there else [replace(view, name="0") for view in views()]
    completed = add_thin_structures(PanopticMesh(mesh.mesh, labels), Views.of(seen), floor, PARAMETERS)
    new = completed.panoptic.labels.at(np.arange(len(labels.category), len(completed.panoptic.labels.category)))
    assert (completed.piece_count > 0) == there and set(new.category) == ({LAMP} if there else set())


def test_the_label_that_most_masks_show_counts() -> None:
    """Some call it by another object's number."""
    mesh, chair = wall(), 400
    labels = Labels(mesh.labels.category.copy(), mesh.labels.instance.copy())
    labels.category[-2], labels.instance[-2] = LAMP, chair

    def disagreeing(view: View) -> Labels:
        right = masks(view)
        lamp = 0 if int(view.name) % 3 == 0 else chair
        return Labels(right.category, np.where(right.instance == VOID, VOID, lamp).astype(np.int32))

    completed = add_thin_structures(PanopticMesh(mesh.mesh, labels), Views.of(views()), disagreeing, PARAMETERS)
    new = completed.panoptic.labels.at(np.arange(len(mesh.mesh.vertices), len(completed.panoptic.mesh.vertices)))
    assert set(new.instance) == {chair} and set(new.category) == {LAMP}


@pytest.mark.parametrize("size", [2, 3])
def test_large_images_are_looked_at_at_training_size(size: int) -> None:
    seen = [enlarged(view, size) for view in views()]
    completed = add_thin_structures(wall(), Views.of(seen), masks, PARAMETERS)
    assert completed.piece_count == 1 and (added(completed.panoptic)[1].category == LAMP).all()


@pytest.mark.parametrize(("every", "there"), [(3, True), (9, False)])
def test_few_masks_name_it_but_not_too_few(every: int, there: bool) -> None:
    """Masks of the wall spill over the cord in most frames."""

    def sometimes(view: View) -> Labels:
        right = masks(view)
        return right if int(view.name) % every == 0 else Labels(right.category * 0 + WALL, right.instance * 0 + VOID)

    completed = add_thin_structures(wall(), Views.of(views()), sometimes, PARAMETERS)
    assert (completed.piece_count > 0) == there
    assert set(added(completed.panoptic)[1].category) == ({LAMP} if there else set())


def test_a_frame_whose_pose_is_wrong_adds_nothing() -> None:
    """The same images, taken from half a metre further back than their poses say: the wall stands before the wall."""
    nearer = [replace(view, depth=view.depth - 0.5) for view in views(cord=False)]

    def of_lamp(view: View) -> Labels:
        return Labels(np.full(view.depth.shape, LAMP, np.int32), np.zeros(view.depth.shape, np.int32))

    assert add_thin_structures(wall(), Views.of(nearer), of_lamp, PARAMETERS).piece_count == 0


@pytest.mark.parametrize(("y", "there"), [(1.88, True), (1.95, False)])
def test_what_lies_close_to_the_surface_is_the_surface(y: float, there: bool) -> None:
    close = [view_of(number, x, y=y, thick=0.012) for number, x in enumerate(SIDES)]
    assert (add_thin_structures(wall(), Views.of(close), masks, PARAMETERS).piece_count > 0) == there


@pytest.mark.parametrize(("behind", "there"), [(2.0, True), (4.0, False)])
def test_far_away_depth_is_not_sure_enough_of_what_lies_in_front(behind: float, there: bool) -> None:
    seen = [view_of(number, x, y=behind - 0.09, thick=0.02, behind=behind) for number, x in enumerate(SIDES)]
    assert (add_thin_structures(wall(behind), Views.of(seen), masks, PARAMETERS).piece_count > 0) == there


def test_what_the_mesh_has_is_not_added_again() -> None:
    """Vertices along the cord, of a surface too fine for any ray to meet."""
    mesh = wall().mesh
    z = np.linspace(-0.4, 0.4, 41)
    along = np.concatenate([mesh.vertices, np.stack([z * 0 + CORD[0], z * 0 + CORD[1], z], axis=1)])
    fused = TriangleMesh(along, mesh.faces, np.zeros((len(along), 3), np.uint8))
    labels = wall().labels.at(np.arange(len(along)).clip(max=len(mesh.vertices) - 1))
    completed = add_thin_structures(PanopticMesh(fused, labels), Views.of(views()), masks, PARAMETERS)
    assert completed.piece_count == 0 and len(completed.panoptic.mesh.vertices) == len(along)


def test_every_view_is_read_once() -> None:
    done: list[int] = []
    seen = Views.of(views())
    reading: list[int] = []

    def read(index: int) -> View:
        reading.append(index)
        return seen.read(index)

    add_thin_structures(wall(), replace(seen, read=read), masks, PARAMETERS, recorded(done))
    assert sorted(reading) == [*range(len(SIDES))]
    assert done == [*range(1, len(SIDES) + 1)]


def test_the_order_of_frames_does_not_matter() -> None:
    first, second = (
        add_thin_structures(wall(), Views.of(seen), masks, PARAMETERS).panoptic for seen in (views(), views()[::-1])
    )
    np.testing.assert_allclose(first.mesh.vertices, second.mesh.vertices, atol=1e-6)
    assert_array_equal(first.labels.instance, second.labels.instance)
