"""The hash volumes by tiny-cuda-nn: its own on a GPU, a stand-in by its published formulas elsewhere."""

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

from panrecon.config import FieldSettings
from panrecon.errors import InputError
from panrecon.field.encoding import HASH_PRIMES, HashGrid, HashVolumes
from panrecon.field.fit import fit
from panrecon.field.sampling import FieldData

LEVELS = (3, 5, 9, 17)


class Encoding(nn.Module):
    """One level of tiny-cuda-nn's grid, as its `grid.h` computes it: nodes at half integers, x fastest, smoothstep."""

    def __init__(self, inputs: int, settings: dict[str, Any], dtype: torch.dtype) -> None:
        super().__init__()
        assert (inputs, settings["n_levels"], settings["interpolation"], dtype) == (3, 1, "Smoothstep", torch.float32)
        self.scale = settings["base_resolution"] * settings["per_level_scale"] ** 0 - 1.0
        self.side = int(-(-self.scale // 1)) + 1
        self.rows = min(-(-(self.side**3) // 8) * 8, 2 ** settings["log2_hashmap_size"])
        self.columns = settings["n_features_per_level"]
        self.params = nn.Parameter(torch.rand(self.rows * self.columns))

    def forward(self, places: Tensor) -> Tensor:
        scaled = places * self.scale + 0.5
        cell = scaled.detach().floor().long()
        offset = scaled - cell
        far = offset**2 * (3 - 2 * offset)
        result = torch.zeros(len(places), self.columns, dtype=places.dtype)
        for corner in range(8):
            side = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2])
            weight = torch.where(side.bool(), far, 1 - far).prod(dim=1, keepdim=True)
            result = result + weight * self.params.view(-1, self.columns)[self.row(cell + side)]
        return result

    def row(self, node: Tensor) -> Tensor:
        if self.side**3 > self.rows:
            x, y, z = (node * torch.tensor(HASH_PRIMES)).unbind(1)
            return (x ^ y ^ z) % self.rows
        return (node * torch.tensor([1, self.side, self.side**2])).sum(dim=1) % self.rows


def outcome(volumes: HashVolumes, points: Tensor) -> list[Tensor]:
    """Features, Jacobian, and the gradient of a loss on both, on the CPU."""
    encoded = volumes(points)
    parts = [encoded.geometry.features, encoded.geometry.jacobian, encoded.color, encoded.semantics, encoded.instances]
    torch.autograd.backward(torch.stack([part.square().sum() for part in parts]).sum())
    assert volumes.table.grad is not None
    return [part.detach().cpu() for part in [*parts, volumes.table.grad]]


def of_both(device: str) -> tuple[list[Tensor], list[Tensor]]:
    from panrecon.field.tcnn import TcnnVolumes

    torch.manual_seed(0)
    plain, other = (kind(HashGrid(LEVELS, 2, 8)).to(device) for kind in (HashVolumes, TcnnVolumes))
    nn.init.normal_(plain.table)
    other.load_state_dict(plain.state_dict())
    points = torch.rand(300, 3).to(device)
    return outcome(plain, points), outcome(other, points)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("tinycudann")
    module.Encoding = Encoding  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tinycudann", module)


@pytest.mark.usefixtures("stand_in")
def test_levels_of_their_own_have_our_cells_and_slopes() -> None:
    for expected, actual in zip(*of_both("cpu"), strict=True):
        assert_allclose(actual.numpy(), expected.numpy(), rtol=1e-3, atol=2e-3)


@pytest.mark.usefixtures("stand_in")
def test_without_gradients_the_slopes_are_still_there() -> None:
    from panrecon.field.tcnn import TcnnVolumes

    volumes = TcnnVolumes(HashGrid(LEVELS, 2, 8))
    with torch.no_grad():
        jacobian = volumes.geometry(torch.rand(5, 3)).jacobian
    assert jacobian.shape == (5, 8, 3) and not jacobian.requires_grad


@pytest.mark.usefixtures("stand_in")
def test_rows_it_has_no_kernel_for_are_refused() -> None:
    from panrecon.field.tcnn import TcnnVolumes

    with pytest.raises(InputError, match="take 1 or 2"):
        TcnnVolumes(HashGrid(LEVELS, 4, 8))


def test_without_it_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from panrecon.field.tcnn import TcnnVolumes

    monkeypatch.setitem(sys.modules, "tinycudann", None)
    with pytest.raises(InputError, match=r"pip install .*tiny-cuda-nn"):
        TcnnVolumes(HashGrid(LEVELS, 2, 8))


def test_it_is_not_for_a_cpu(room: FieldData) -> None:
    with pytest.raises(InputError, match="runs on a CUDA device"):
        fit(room, FieldSettings(encoding="tcnn", device="cpu"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_gives_the_plain_features() -> None:
    pytest.importorskip("tinycudann")
    for expected, actual in zip(*of_both("cuda"), strict=True):
        assert_allclose(actual.numpy(), expected.numpy(), rtol=1e-2, atol=1e-2)
