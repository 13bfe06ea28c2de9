"""Laws of training, on a room known exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from jaxtyping import Float
from safetensors.torch import load, save

from panrecon.config import FieldSettings
from panrecon.field import losses
from panrecon.field.cpu.adam import TableAdam
from panrecon.field.cpu.hash_encoding import CpuHashVolumes
from panrecon.field.encoding import HashGrid, HashVolumes
from panrecon.field.field import FieldSample, Geometry, PanopticField
from panrecon.field.fit import FittedField, Training, fit, passes
from panrecon.field.inference import query
from panrecon.field.parameters import FieldParameters, LossWeights
from panrecon.field.sampling import FieldData
from panrecon.structures import VOID

SMALL = FieldSettings(
    levels=5,
    features_per_level=2,
    base_resolution=8,
    finest_cell=0.06,
    log2_table_size=14,
    rays=256,
    near_samples=6,
    geometry_iterations=120,
    frozen_iterations=120,
    joint_iterations=30,
    device="cpu",
)
TINY = SMALL.model_copy(
    update={"geometry_iterations": 6, "frozen_iterations": 6, "joint_iterations": 6, "rays": 32, "checkpoint_every": 4}
)


def corrupted(data: FieldData, share: float) -> FieldData:
    """The room with that share of its label pixels replaced by another label."""
    rng = np.random.default_rng(0)
    wrong = rng.random(data.category.shape) < share
    category = np.where(wrong, (data.category + rng.integers(1, 3, wrong.shape)) % 3, data.category).astype(np.int32)
    other = rng.integers(0, 2, wrong.shape)
    instance = np.where(wrong, np.where(category == 2, other, VOID), data.instance).astype(np.int32)
    return replace(data, category=category, instance=instance)


@pytest.fixture(scope="module")
def noisy(room: FieldData) -> FieldData:
    return corrupted(room, 0.2)


@pytest.fixture(scope="module")
def fitted(noisy: FieldData) -> FittedField:
    return fit(noisy, SMALL)


def test_the_distance_vanishes_on_the_true_surface(
    fitted: FittedField, surface_points: Float[np.ndarray, "n 3"]
) -> None:
    assert np.abs(query(fitted.field, surface_points).sdf).mean() < 0.015


def test_labels_come_out_far_better_than_they_went_in(
    fitted: FittedField, room: FieldData, noisy: FieldData, surface_points: Float[np.ndarray, "n 3"]
) -> None:
    points = query(fitted.field, surface_points)
    category = points.category_probability.argmax(axis=1)
    instance = points.instance_probability.argmax(axis=1)
    true_instance = np.where(room.instance == VOID, room.instances, room.instance).ravel()
    assert (noisy.category == room.category).mean() < 0.82
    assert (category == room.category.ravel()).mean() > 0.97
    assert (instance == true_instance).mean() > 0.97


def test_colour_is_learnt(fitted: FittedField, room: FieldData, surface_points: Float[np.ndarray, "n 3"]) -> None:
    error = query(fitted.field, surface_points).color.astype(float) - room.color.reshape(-1, 3)
    assert np.abs(error).mean() < 12


def surface_bytes(state: dict[str, torch.Tensor]) -> bytes:
    names = sorted(n for n in state if n.startswith("field.geometry_head") or n == "field.log_sharpness")
    columns = state["field.encoding.table"][:, : SMALL.features_per_level]
    return b"".join(value.numpy().tobytes() for value in [columns.contiguous(), *(state[name] for name in names)])


@pytest.mark.parametrize("labelled", [2, 9])
def test_the_second_pass_leaves_the_surface_as_it_is_to_the_last_bit(noisy: FieldData, labelled: int) -> None:
    seen: dict[int, bytes] = {}
    heads: dict[int, torch.Tensor] = {}

    def remember(step: int, state: dict[str, torch.Tensor]) -> None:
        seen[step] = surface_bytes(state)
        heads[step] = state["field.category_head.0.weight"]

    settings = TINY.model_copy(update={"checkpoint_every": 1, "label_samples": labelled})
    fit(noisy, settings, on_checkpoint=remember)
    assert seen[6] == seen[12]
    assert seen[5] != seen[6]
    assert seen[12] != seen[13]
    assert not torch.equal(heads[6], heads[12])


@pytest.mark.parametrize("stop", [4, 8, 12, 16])
def test_resuming_continues_bit_for_bit(noisy: FieldData, stop: int) -> None:
    checkpoints: dict[int, bytes] = {}
    whole = fit(noisy, TINY, on_checkpoint=lambda step, state: checkpoints.update({step: save(state)}))
    resumed = fit(noisy, TINY, resume=load(checkpoints[stop]))
    for name, value in whole.field.state_dict().items():
        assert torch.equal(value, resumed.field.state_dict()[name]), name
    for term, values in whole.losses.items():
        np.testing.assert_array_equal(values, resumed.losses[term])


def test_plain_volumes_are_trained_by_torch_alone_and_learn_the_same(noisy: FieldData) -> None:
    fast, plain = (Training(noisy, TINY) for _ in range(2))
    compiled = fast.field.encoding
    assert isinstance(compiled, CpuHashVolumes)
    resolutions = tuple(compiled.resolution.tolist())
    volumes = HashVolumes(HashGrid(resolutions, SMALL.features_per_level, SMALL.log2_table_size))
    volumes.load_state_dict(compiled.state_dict())
    plain.field.encoding = volumes
    for step in range(8):
        expected, actual = plain.step(step), fast.step(step)
        for name, value in expected.items():
            assert actual[name] == pytest.approx(value, rel=1e-3), (step, name)
    assert type(plain.optimizer) is torch.optim.Adam
    assert type(fast.optimizer) is TableAdam


def test_without_learning_rates_or_loss_weights_nothing_moves(noisy: FieldData) -> None:
    no_weights = LossWeights(**dict.fromkeys(LossWeights().by_term(), 0.0))
    for parameters in (FieldParameters(table_rate=0.0, head_rate=0.0), FieldParameters(loss_weights=no_weights)):
        training = Training(noisy, TINY, parameters)
        before = {name: value.clone() for name, value in training.field.state_dict().items()}
        for step in (0, 6, 12):
            training.step(step)
        for name, value in training.field.state_dict().items():
            assert torch.equal(value, before[name]), name


def test_another_seed_is_another_field(noisy: FieldData) -> None:
    first, second = fit(noisy, TINY), fit(noisy, TINY.model_copy(update={"seed": 1}))
    assert not torch.equal(first.field.log_sharpness, second.field.log_sharpness)


def test_training_leaves_the_global_generator_alone(noisy: FieldData) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fit(noisy, TINY)
    assert torch.equal(torch.rand(1), expected)


def test_void_labels_teach_nothing(room: FieldData) -> None:
    void = np.full_like(room.category, VOID)
    unlabelled = fit(replace(room, category=void, instance=void), TINY)
    fewer = fit(replace(room, category=void, instance=void, weight=np.zeros_like(room.weight)), TINY)
    for name, value in unlabelled.field.state_dict().items():
        assert torch.equal(value, fewer.field.state_dict()[name]), name
    assert np.nanmax(unlabelled.losses["category"]) == 0


@pytest.mark.parametrize("categories", [3, 0])
def test_scenes_without_things_or_labels_train(room: FieldData, categories: int) -> None:
    void = np.full_like(room.category, VOID)
    category = room.category if categories else void
    result = fit(replace(room, category=category, instance=void, categories=categories, instances=0), TINY)
    points = query(result.field, np.zeros((4, 3)))
    assert points.category_probability.shape == (4, categories)
    np.testing.assert_allclose(points.instance_probability, np.ones((4, 1)))


def test_features_are_distilled_where_there_are_some(room: FieldData) -> None:
    features = np.ones((8, 6, 8, 5), np.float16)
    result = fit(replace(room, features=features), SMALL.model_copy(update={"joint_iterations": 0}))
    distilled = result.losses["feature"]
    assert distilled[-1] < 0.1 * distilled[SMALL.geometry_iterations]


def test_a_loss_that_is_not_finite_is_named(room: FieldData) -> None:
    depth = room.depth.copy()
    depth[3] = np.inf
    with pytest.raises(FloatingPointError, match=r"'(depth|surface|free_space)' is (nan|inf) at step 0"):
        fit(replace(room, depth=depth), TINY)


def test_a_failure_names_the_checkpoint_that_is_whole(room: FieldData, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(losses, "color_loss", lambda rendered, color: rendered.sum() * torch.nan)  # of the second pass
    with pytest.raises(FloatingPointError, match="'color' is nan at step 6; the checkpoint of step 4 is whole"):
        fit(room, TINY, on_checkpoint=lambda step, _: taken.append(step))
    assert taken == [4]


def test_a_checkpoint_is_never_broken(room: FieldData, monkeypatch: pytest.MonkeyPatch) -> None:
    """A square root at 0 has a loss of 0 and a gradient that is not finite."""
    taken: list[int] = []
    monkeypatch.setattr(losses, "eikonal_loss", lambda sdf, gradient, floor: (0 * gradient).sum().sqrt())
    short = TINY.model_copy(update={"checkpoint_every": 1})
    with pytest.raises(
        FloatingPointError, match=r"'.*' is (not finite after|nan at) step [01]; there was no checkpoint"
    ):
        fit(room, short, on_checkpoint=lambda step, _: taken.append(step))
    assert not taken


def test_losses_are_reported_for_the_terms_of_each_pass(noisy: FieldData) -> None:
    heard: list[tuple[int, set[str]]] = []
    result = fit(noisy, TINY, on_step=lambda step, values: heard.append((step, set(values))))
    geometry, heads = {"depth", "surface", "free_space", "eikonal"}, {"color", "category", "instance", "feature"}
    assert [heard[step] for step in (0, 6, 12)] == [(0, geometry), (6, heads), (12, geometry | heads)]
    assert np.isnan(result.losses["depth"][6:12]).all()
    assert np.isfinite(result.losses["depth"][:6]).all()


@pytest.mark.parametrize("labelled", [2, 9])
def test_geometry_known_at_a_sample_teaches_what_geometry_found_anew_would(
    room: FieldData, monkeypatch: pytest.MonkeyPatch, labelled: int
) -> None:
    """Nine samples are all of a ray's; colour must bend the surface through the normals all the same."""
    settings = TINY.model_copy(update={"label_samples": labelled, "near_samples": 5, "free_samples": 4})

    def gradients() -> list[torch.Tensor]:
        training = Training(room, settings)
        torch.nn.init.normal_(next(iter(training.field.encoding.parameters())), std=0.1)
        terms = training.terms(training.batches.take(settings.free_samples), passes(settings)[2])
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
        return [p.grad for p in training.field.parameters() if p.grad is not None]

    def anew(
        field: PanopticField, points: torch.Tensor, geometry: Geometry, directions: torch.Tensor | None = None
    ) -> FieldSample:
        return field(points, directions)

    torch.manual_seed(3)
    known = gradients()
    monkeypatch.setattr(PanopticField, "appearance_and_semantics", anew)
    monkeypatch.setattr(Training, "_sample_everywhere", lambda *_: None)
    torch.manual_seed(3)
    found = gradients()
    assert len(known) == len(found) > 10
    for actual, expected in zip(known, found, strict=True):
        np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
