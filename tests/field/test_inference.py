"""Laws of what is read out of a field."""

import numpy as np
import pytest
import torch
from jaxtyping import Float
from numpy.testing import assert_allclose
from torch import Tensor, nn

from panrecon.config import FieldSettings
from panrecon.field import inference as extract
from panrecon.field.encoding import GeometryEncoding
from panrecon.field.field import Geometry, PanopticField, SceneBox, build_field
from panrecon.field.inference import query, render_view, signed_distance, surface
from panrecon.field.parameters import FieldParameters, RenderingParameters
from panrecon.geometry.mesh import face_normals
from panrecon.geometry.projective import look_at
from panrecon.structures import VOID, Camera

BOX = SceneBox(np.full(3, -1.0), np.full(3, 2.0))
RADIUS = 0.57


class BallHead(nn.Module):
    """The exact distance of a ball around the middle of the box, in place of the network."""

    def forward(self, positions: Float[Tensor, "n 3"], encoding: GeometryEncoding) -> Geometry:
        offset = 2 * positions - 1
        length = torch.linalg.vector_norm(offset, dim=1)
        hidden = torch.zeros(len(positions), 64)
        return Geometry(length - RADIUS, 2 * offset / length.clamp(min=1e-6)[:, None], hidden)


@pytest.fixture
def ball() -> PanopticField:
    torch.manual_seed(0)
    field = build_field(BOX, FieldSettings(levels=2, log2_table_size=8), 3, 2, 0)
    field.geometry_head = BallHead()  # type: ignore[assignment]
    nn.init.constant_(field.log_sharpness, 0.6)
    return field


def test_marching_cubes_finds_a_closed_ball_within_half_a_cell(ball: PanopticField) -> None:
    import trimesh

    mesh = surface(ball, BOX, 0.1)
    assert_allclose(np.linalg.norm(mesh.vertices, axis=1), RADIUS, atol=0.05)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.05)


@pytest.mark.parametrize("count", [0, 7, 10, 14])
def test_distances_come_in_the_points_order(ball: PanopticField, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(extract, "CHUNK", 7)
    points = np.random.default_rng(0).uniform(-1, 1, (count, 3))
    assert_allclose(signed_distance(ball, points), np.linalg.norm(points, axis=1) - RADIUS, atol=1e-5)


def test_triangles_face_the_free_space(ball: PanopticField) -> None:
    mesh = surface(ball, BOX, 0.1)
    middles = mesh.vertices[mesh.faces].mean(axis=1)
    assert (np.einsum("ij,ij->i", face_normals(mesh.vertices, mesh.faces), middles) > 0).all()


VIEW = look_at(np.array([0.9, -2.0, 0.3]), np.zeros(3))
CAMERA = Camera(40, 30, 40.0, 40.0, 19.5, 14.5)


def true_depth() -> Float[np.ndarray, "h w"]:
    """Depth of the ball from VIEW, 0 where it is missed."""
    u, v = np.meshgrid(np.arange(40), np.arange(30))
    local = np.stack([(u - 19.5) / 40, (v - 14.5) / 40, np.ones(u.shape)], axis=-1)
    direction, eye = local @ VIEW[:3, :3].T, VIEW[:3, 3]
    a, b, c = (direction**2).sum(-1), direction @ eye, eye @ eye - RADIUS**2
    root = b**2 - a * c
    return np.asarray(np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, 0.0))


def test_a_view_shows_the_ball_where_it_is_with_and_without_a_hint(ball: PanopticField) -> None:
    truth = true_depth()
    well_inside = (truth > 0) & (truth < 1.95)
    hinted = render_view(ball, BOX, CAMERA, VIEW, truth.astype(np.float32)).depth
    searched = render_view(ball, BOX, CAMERA, VIEW).depth
    assert_allclose(hinted[well_inside], truth[well_inside], atol=0.01)
    assert_allclose(searched[well_inside], truth[well_inside], atol=0.01)
    assert (searched[truth == 0] == 0).mean() > 0.98


def test_a_view_of_nothing_is_void(ball: PanopticField) -> None:
    view = render_view(ball, BOX, CAMERA, VIEW, np.zeros((30, 40), np.float32))
    assert (view.category == VOID).all()
    assert (view.instance == VOID).all()
    assert not view.color.any()


def test_rays_below_the_least_opacity_see_nothing(ball: PanopticField) -> None:
    hint = true_depth().astype(np.float32)
    assert (render_view(ball, BOX, CAMERA, VIEW, hint).depth > 0).any()
    view = render_view(ball, BOX, CAMERA, VIEW, hint, RenderingParameters(min_opacity=1.1))
    assert (view.category == VOID).all()
    assert not view.color.any()


def test_an_untrained_field_is_free_space_at_its_initial_distance() -> None:
    settings = FieldSettings(levels=2, log2_table_size=8)
    points = np.random.default_rng(0).uniform(-1, 1, (100, 3))
    distances = []
    for initial_distance in (1.0, 3.0):
        torch.manual_seed(0)
        field = build_field(BOX, settings, 3, 2, 0, parameters=FieldParameters(initial_distance=initial_distance))
        distances.append(signed_distance(field, points))
    assert_allclose(distances[1] - distances[0], 2 * settings.truncation, atol=1e-5)


def test_a_view_shows_the_labels_of_the_points_it_sees(ball: PanopticField) -> None:
    truth = true_depth()
    view = render_view(ball, BOX, CAMERA, VIEW, truth.astype(np.float32))
    assert ((view.category >= 0) == (view.depth > 0)).all()
    assert view.instance.max() < 2


def test_probabilities_sum_to_one_and_chunks_do_not_matter(
    ball: PanopticField, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (100, 3))
    whole = query(ball, points, points)
    assert_allclose(whole.category_probability.sum(axis=1), 1, atol=1e-5)
    assert_allclose(whole.instance_probability.sum(axis=1), 1, atol=1e-5)
    assert_allclose(whole.sdf, np.linalg.norm(points, axis=1) - RADIUS, atol=1e-5)
    monkeypatch.setattr("panrecon.field.inference.CHUNK", 7)
    assert_allclose(query(ball, points, points).instance_probability, whole.instance_probability, atol=1e-6)


def test_a_surface_without_points_has_no_labels(ball: PanopticField) -> None:
    assert query(ball, np.zeros((0, 3))).category_probability.shape == (0, 3)
