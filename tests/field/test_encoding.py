"""Laws of the hash volumes."""

import numba
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from panrecon.field.cpu.hash_encoding import CpuHashVolumes
from panrecon.field.encoding import Encoding, HashGrid, HashVolumes, level_resolutions

LEVELS = (3, 5, 9, 17)


KINDS = (HashVolumes, CpuHashVolumes)


def volumes(
    kind: type[HashVolumes] = HashVolumes, dtype: torch.dtype = torch.float64, features_per_level: int = 2
) -> HashVolumes:
    """Two dense and two hashed levels."""
    torch.manual_seed(0)
    encoding = kind(HashGrid(LEVELS, features_per_level, log2_table_size=8)).to(dtype)
    torch.nn.init.normal_(encoding.table)
    return encoding


def positions(count: int = 40) -> Tensor:
    return torch.rand(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def slow_feature(encoding: HashVolumes, position: np.ndarray, level: int, volume: int) -> np.ndarray:
    """The definition, corner by corner."""
    resolution = LEVELS[level]
    first = int(encoding.first_row[level])
    cell = np.minimum(np.floor(position * resolution), resolution - 1).astype(int)
    offset = position * resolution - cell
    smooth = 3 * offset**2 - 2 * offset**3
    result = np.zeros(2)
    for corner in np.ndindex(2, 2, 2):
        x, y, z = (int(value) for value in cell + corner)
        if (resolution + 1) ** 3 <= 256:
            row = (z * (resolution + 1) + y) * (resolution + 1) + x
        else:
            row = (x ^ (y * 2654435761) ^ (z * 805459861)) % 256
        weight = np.prod(np.where(corner, smooth, 1 - smooth))
        result += weight * encoding.table[first + row, 2 * volume : 2 * volume + 2].detach().numpy()
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_each_volume_is_what_a_separate_one_would_give(kind: type[HashVolumes]) -> None:
    encoding, points = volumes(kind), positions()
    encoded = encoding(points)
    by_volume = (encoded.geometry.features, encoded.color, encoded.semantics, encoded.instances)
    for volume, features in enumerate(by_volume):
        expected = [[slow_feature(encoding, p, level, volume) for level in range(4)] for p in points.numpy()]
        assert_allclose(features.detach().numpy(), np.reshape(expected, (len(points), 8)), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_table_gradients_of_features_and_jacobian_are_exact(kind: type[HashVolumes]) -> None:
    encoding, points = volumes(kind), positions(5)
    table = encoding.table

    def outputs(values: Tensor) -> tuple[Tensor, ...]:
        encoding.table = torch.nn.Parameter(torch.empty(0))
        del encoding.table
        encoding.table = values  # type: ignore[assignment]
        encoded, geometry = encoding(points), encoding.geometry(points)
        return encoded.geometry.features, encoded.geometry.jacobian, encoded.instances, geometry.jacobian

    assert torch.autograd.gradcheck(outputs, (table.detach().clone().requires_grad_(),), fast_mode=True)


@pytest.mark.parametrize("kind", KINDS)
def test_jacobian_is_the_slope_of_the_features(kind: type[HashVolumes]) -> None:
    encoding, points = volumes(kind), positions()
    step = 1e-6
    jacobian = encoding(points).geometry.jacobian
    for axis in range(3):
        move = step * torch.eye(3, dtype=torch.float64)[axis]
        ahead, behind = encoding(points + move).geometry.features, encoding(points - move).geometry.features
        assert_allclose(
            jacobian[..., axis].detach().numpy(), ((ahead - behind) / (2 * step)).detach().numpy(), atol=1e-6
        )


@pytest.mark.parametrize("kind", KINDS)
def test_volumes_are_the_same_alone(kind: type[HashVolumes]) -> None:
    encoding, points = volumes(kind), positions()
    everything, appearance_and_semantics = encoding(points), encoding.appearance_and_semantics(points)
    for name in ("color", "semantics", "instances"):
        assert_allclose(
            getattr(appearance_and_semantics, name).detach().numpy(),
            getattr(everything, name).detach().numpy(),
            atol=1e-12,
        )
    whole, alone = encoding(points).geometry, encoding.geometry(points)
    assert_allclose(alone.features.detach().numpy(), whole.features.detach().numpy(), atol=1e-12)
    assert_allclose(alone.jacobian.detach().numpy(), whole.jacobian.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_features_and_slopes_are_continuous_across_cells(kind: type[HashVolumes]) -> None:
    encoding = volumes(kind)
    wall = torch.tensor([[1 / 3, 0.4, 0.7]], dtype=torch.float64)
    shift = torch.tensor([[1e-9, 0, 0]], dtype=torch.float64)
    left, right = encoding(wall - shift).geometry, encoding(wall + shift).geometry
    assert_allclose(left.features.detach().numpy(), right.features.detach().numpy(), atol=1e-6)
    assert_allclose(left.jacobian.detach().numpy(), right.jacobian.detach().numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_positions_on_and_beyond_the_box_are_read_at_its_border(kind: type[HashVolumes]) -> None:
    encoding = volumes(kind)
    corner = torch.ones(1, 3, dtype=torch.float64)
    assert_allclose(encoding(corner + 3).color.detach().numpy(), encoding(corner).color.detach().numpy(), atol=1e-12)
    assert int(encoding.corner_rows(corner).max()) < len(encoding.table)


def test_resolutions_grow_in_equal_ratios_from_base_to_finest() -> None:
    assert level_resolutions(16, 16, 2048)[0] == 16
    assert level_resolutions(16, 16, 2048)[-1] == 2048
    assert level_resolutions(3, 16, 64) == (16, 32, 64)
    assert level_resolutions(1, 16, 64) == (16,)


@pytest.mark.parametrize("kind", KINDS)
def test_hash_volumes_are_an_encoding(kind: type[HashVolumes]) -> None:
    assert isinstance(volumes(kind), Encoding)


def outcome(encoding: HashVolumes, points: Tensor, cleared: bool = False) -> list[Tensor]:
    """Everything an encoding gives, and the gradient of a sum of it all."""
    encoded, geometry, appearance_and_semantics = (
        encoding(points),
        encoding.geometry(points),
        encoding.appearance_and_semantics(points),
    )
    parts = [encoded.geometry.features, encoded.geometry.jacobian, encoded.color, encoded.semantics]
    parts += [encoded.instances, geometry.features, geometry.jacobian]
    parts += [appearance_and_semantics.color, appearance_and_semantics.semantics, appearance_and_semantics.instances]
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(part.shape, generator=generator, dtype=part.dtype) for part in parts]
    terms = [(weight * part).sum() for weight, part in zip(weights, parts, strict=True)]
    if cleared:
        encoding.clear_gradient()
    torch.autograd.backward(torch.stack(terms).sum())
    assert encoding.table.grad is not None
    return [*(part.detach() for part in parts), encoding.table.grad]


@pytest.mark.parametrize("count", [0, 1, 63, 1300])
@pytest.mark.parametrize("features_per_level", [2, 4])
def test_kernels_equal_plain_torch(count: int, features_per_level: int) -> None:
    points = positions(count) * 1.2 - 0.1  # some beyond the box
    plain, fast = (outcome(volumes(kind, features_per_level=features_per_level), points) for kind in KINDS)
    for expected, actual in zip(plain, fast, strict=True):
        assert_allclose(actual.numpy(), expected.numpy(), atol=1e-11)


def test_kernels_give_the_same_bits_on_any_number_of_cores() -> None:
    points = positions(5000).float()
    cores = numba.get_num_threads()
    results = []
    for count in (1, cores):
        numba.set_num_threads(count)
        results.append(outcome(volumes(CpuHashVolumes, torch.float32), points))
    for one, many in zip(*results, strict=True):
        assert torch.equal(one, many)


def test_a_second_derivative_of_the_kernels_is_refused() -> None:
    encoding = volumes(CpuHashVolumes)
    features = encoding(positions(3)).color
    (gradient,) = torch.autograd.grad(features.square().sum(), encoding.table, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        torch.autograd.backward(gradient.sum())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_features_of_the_cpu() -> None:
    encoding, points = volumes(dtype=torch.float32), positions().float()
    expected = encoding(points)
    actual = encoding.cuda()(points.cuda())
    assert_allclose(actual.instances.detach().cpu().numpy(), expected.instances.detach().numpy(), atol=1e-5)
    assert_allclose(
        actual.geometry.jacobian.detach().cpu().numpy(), expected.geometry.jacobian.detach().numpy(), atol=1e-3
    )


@pytest.mark.parametrize("kind", KINDS)
def test_after_it_is_cleared_the_gradient_is_that_of_one_step(kind: type[HashVolumes]) -> None:
    encoding, points = volumes(kind), positions(100)
    expected = outcome(volumes(), points)[-1]
    for _ in range(2):
        assert_allclose(outcome(encoding, points, cleared=True)[-1].numpy(), expected.numpy(), atol=1e-11)
