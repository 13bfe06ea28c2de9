"""Is the compiled encoding worth having? Against plain torch, in one run, interleaved; medians and ratios.

One pass is the cost of a signed distance: features, their spatial derivative along a direction of the head, and the
gradients of both in the table. The baseline is nerfstudio's torch formulation of `HashEncoding` (Tancik et al. 2023),
reimplemented here: every level hashed, one table a volume, the derivative by a second differentiation. The other is our
plain torch implementation.
Then whole training steps, and how much of the machine's own random-access bandwidth the kernels reach.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Final, Literal, assert_never

import numba
import numpy as np
import torch
import typer
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.results import Report, Table, text_of, write_result
from panrecon.config import FieldSettings
from panrecon.field.cpu.hash_encoding import CpuHashVolumes
from panrecon.field.encoding import (
    HASH_PRIMES,
    VOLUMES,
    AppearanceAndSemantics,
    GeometryEncoding,
    HashGrid,
    HashVolumes,
    VolumeEncoding,
    level_resolutions,
)
from panrecon.field.field import GeometryHead, Network, SceneBox
from panrecon.field.fit import Training, passes
from panrecon.field.sampling import FieldData
from panrecon.geometry.projective import look_at
from panrecon.structures import Camera
from panrecon.threads import one_thread

NAME: Final = "encoding_speed"
LEVELS, FEATURES, LOG2_TABLE, FINEST = 16, 2, 19, 2048
POINTS, RAYS = 65_536, 1_024
REPEATS: Final = 5
PAPER: Final = {"near_samples": 10, "free_samples": 25, "label_samples": 35}  # every head reads every sample
GUIDED: Final = {"near_samples": 6, "free_samples": 4, "label_samples": 2}  # our default


@dataclass(frozen=True)
class Timing:
    """The median seconds of one variant, and the ratio of the first variant's of its group to them."""

    group: str
    variant: str
    seconds: float
    ratio: float


class NoEncoding(nn.Module):
    """Constant features at no cost: the rest of a step is independent of the encoding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, positions: Float[Tensor, "N 3"]) -> VolumeEncoding:
        """The same features for all volumes."""
        features = torch.full((len(positions), self.width), 0.01)
        return VolumeEncoding(features, features, features, self.geometry(positions))

    def geometry(self, positions: Float[Tensor, "N 3"]) -> GeometryEncoding:
        """The features of the geometry volume, and as many derivatives."""
        features = torch.full((len(positions), self.width), 0.01)
        return GeometryEncoding(features, features[..., None].expand(-1, -1, 3))

    def appearance_and_semantics(self, positions: Float[Tensor, "N 3"]) -> AppearanceAndSemantics:
        """The features of the appearance and semantics volumes."""
        return self(positions)

    def clear_gradient(self) -> None:
        """Forget the gradient."""
        self.unused.grad = None


class NerfstudioFormulation(nn.Module):
    """One volume: eight gathers from one table in which every level is hashed, then seven linear interpolations."""

    def __init__(self) -> None:
        super().__init__()
        self.scalings: Tensor
        scalings = torch.tensor(level_resolutions(LEVELS, 16, FINEST), dtype=torch.float32)
        self.register_buffer("scalings", scalings[:, None])
        self.register_buffer("offsets", torch.arange(LEVELS) * 2**LOG2_TABLE)
        self.table = nn.Parameter(1e-4 * (2 * torch.rand(LEVELS * 2**LOG2_TABLE, FEATURES) - 1))

    def forward(self, positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N E"]:
        """The features of all levels at positions in the unit cube."""
        scaled = positions[:, None] * self.scalings
        far = torch.ceil(scaled).int()
        near = torch.floor(scaled).int()
        offset = scaled - near
        x, y, z = (offset[..., axis : axis + 1] for axis in range(3))

        def corner(i: Tensor, j: Tensor, k: Tensor) -> Tensor:
            return self.table[self._hash(torch.stack([i[..., 0], j[..., 1], k[..., 2]], dim=-1))]

        f0, f1, f2, f3 = corner(far, far, far), corner(far, near, far), corner(near, near, far), corner(near, far, far)
        f4, f5, f6 = corner(far, far, near), corner(far, near, near), corner(near, near, near)
        f7 = corner(near, far, near)
        f03, f12 = f0 * x + f3 * (1 - x), f1 * x + f2 * (1 - x)
        f56, f47 = f5 * x + f6 * (1 - x), f4 * x + f7 * (1 - x)
        f0312, f4756 = f03 * y + f12 * (1 - y), f47 * y + f56 * (1 - y)
        return (f0312 * z + f4756 * (1 - z)).flatten(1)

    def _hash(self, corners: Tensor) -> Tensor:
        x, y, z = (corners.long() * torch.tensor(HASH_PRIMES)).unbind(-1)
        return (torch.bitwise_xor(torch.bitwise_xor(x, y), z) % 2**LOG2_TABLE) + self.offsets


def main(quick: Annotated[bool, typer.Option(help="a table of 2^14 rows and few points")] = False) -> None:
    """A table of all timings, and the share of the memory's bandwidth that the kernels reach."""
    points = 8_192 if quick else POINTS
    rows = [*encodings(points), *steps(14 if quick else LOG2_TABLE)]
    cells = [[row.group, row.variant, f"{1000 * row.seconds:.1f} ms", f"{row.ratio:.1f} x"] for row in rows]
    report: Report = [Table(["what", "variant", "median", "faster than the first"], cells), *roofline(rows, points)]
    write_result(NAME, report, {"rows": [asdict(row) for row in rows]})
    print(text_of(report))


def encodings(points: int) -> list[Timing]:
    """Timings of features, derivative and gradients of the table: one volume, then four."""
    torch.manual_seed(0)
    positions = ray_points(points)
    direction = torch.randn(LEVELS * FEATURES)
    resolutions = level_resolutions(LEVELS, 16, FINEST)
    plain, fast = (kind(HashGrid(resolutions, FEATURES, LOG2_TABLE)) for kind in (HashVolumes, CpuHashVolumes))
    peers = [NerfstudioFormulation() for _ in range(VOLUMES)]

    def nerfstudio_pass(volumes: int) -> None:
        variable = positions.clone().requires_grad_()
        features = [encoding(variable) for encoding in peers[:volumes]]
        (derivative,) = torch.autograd.grad((features[0] * direction).sum(), variable, create_graph=True)
        for encoding in peers[:volumes]:
            encoding.table.grad = None
        backward(derivative, features)

    def geometry_pass(encoding: HashVolumes) -> None:
        geometry = encoding.geometry(positions)
        encoding.clear_gradient()
        backward(along(direction, geometry.jacobian), [geometry.features])

    def full_pass(encoding: HashVolumes) -> None:
        volumes = encoding(positions)
        features = [volumes.geometry.features, volumes.color, volumes.semantics, volumes.instances]
        encoding.clear_gradient()
        backward(along(direction, volumes.geometry.jacobian), features)

    return [
        *compare(
            f"geometry volume, {points:,} points",
            {
                "nerfstudio's": lambda: nerfstudio_pass(1),
                "plain torch": lambda: geometry_pass(plain),
                "compiled": lambda: geometry_pass(fast),
            },
        ),
        *compare(
            f"four volumes, {points:,} points",
            {
                "nerfstudio's": lambda: nerfstudio_pass(4),
                "plain torch": lambda: full_pass(plain),
                "compiled": lambda: full_pass(fast),
            },
        ),
    ]


def along(direction: Float[Tensor, " E"], jacobian: Float[Tensor, "N E 3"]) -> Float[Tensor, "N 3"]:
    """The spatial derivative of a signed distance that is linear in the features, by the chain rule."""
    return (direction.expand(len(jacobian), 1, -1) @ jacobian).squeeze(1)


def backward(derivative: Tensor, features: list[Tensor]) -> None:
    """Computes the gradients of an eikonal term and of one linear in the features."""
    eikonal = (torch.linalg.vector_norm(derivative, dim=1) - 1).square().mean()
    linear = torch.stack([volume_features.sum() for volume_features in features]).sum()
    torch.autograd.backward(eikonal + linear)


def ray_points(count: int) -> Float[Tensor, "N 3"]:
    """Points along rays through the unit cube, ray by ray, in the order of training."""
    rays = RAYS
    origin = torch.rand(rays, 1, 3)
    direction = torch.nn.functional.normalize(torch.randn(rays, 1, 3), dim=2)
    depth = torch.linspace(0, 0.5, count // rays)[None, :, None]
    return (origin + depth * direction).clamp(0, 1).reshape(-1, 3)


def steps(log2_table: int) -> list[Timing]:
    """Timings of one training step of the last pass, in which all parameters are trained."""

    def training(kind: Literal["plain", "compiled", "none"], samples: Mapping[str, int]) -> Callable[[], None]:
        settings = FieldSettings(
            levels=LEVELS,
            features_per_level=FEATURES,
            log2_table_size=log2_table,
            finest_cell=2.7 / FINEST,
            rays=RAYS,
            geometry_iterations=0,
            frozen_iterations=0,
            joint_iterations=1000,
            device="cpu",
            **samples,
        )
        built = Training(box_scene(), settings)
        match kind:
            case "plain":
                plain = HashVolumes(HashGrid(level_resolutions(LEVELS, 16, FINEST), FEATURES, log2_table))
                plain.table = built.field.encoding.table  # type: ignore[attr-defined]
                built.field.encoding = plain
                for head in built.field.modules():
                    if isinstance(head, GeometryHead | Network):
                        head.forward = head.plain  # type: ignore[method-assign]
            case "none":
                built.field.encoding = NoEncoding(LEVELS * FEATURES)
            case "compiled":
                pass
            case _:
                assert_never(kind)
        assert passes(settings)[2].steps.start == 0

        def step() -> None:
            with one_thread():
                built.step(built.finished)

        return step

    return compare(
        f"training step, {RAYS:,} rays",
        {
            "plain torch, 35 samples": training("plain", PAPER),
            "compiled, 35 samples": training("compiled", PAPER),
            "networks alone, 35 samples": training("none", PAPER),
            "compiled, guided by depth": training("compiled", GUIDED),
        },
    )


def box_scene() -> FieldData:
    """Training data of eight views of flat walls 1.2 m away with random labels: only the time matters."""
    camera = Camera(160, 120, 120.0, 120.0, 79.5, 59.5)
    angles = np.arange(8) * np.pi / 4
    poses = np.stack([look_at(np.zeros(3), np.array([np.cos(a), np.sin(a), 0.0])) for a in angles])
    shape = (8, 120, 160)
    rng = np.random.default_rng(0)
    category = rng.integers(0, 20, shape).astype(np.int32)
    instance = rng.integers(0, 64, shape).astype(np.int32)
    color = rng.integers(0, 255, (*shape, 3)).astype(np.uint8)
    depth = np.full(shape, 1.2, np.float32)
    weight = np.ones(shape, np.float32)
    box = SceneBox(np.full(3, -1.35), np.full(3, 2.7))
    return FieldData(camera, poses, color, depth, category, instance, weight, None, 20, 64, box)


def compare(group: str, variants: Mapping[str, Callable[[], None]]) -> list[Timing]:
    """The median seconds of all variants, run in turn after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for repeat in range(REPEATS + 1):
        for name, run in variants.items():
            started = time.perf_counter()
            run()
            if repeat:
                times[name].append(time.perf_counter() - started)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    first = next(iter(medians.values()))
    return [Timing(group, name, seconds, first / seconds) for name, seconds in medians.items()]


def roofline(rows: list[Timing], points: int) -> list[str]:
    """A line for every compiled variant: its table accesses against the machine's rate of random 32-byte reads."""
    rate = random_rows_a_second()
    lines = []
    for row in rows:
        if row.variant == "compiled":
            touched = 2 * points * LEVELS * 8  # every corner read going forth, read and written coming back
            lines.append(
                f"{row.group}: {touched / 1e6:.1f} M rows of the table in {1000 * row.seconds:.0f} ms, "
                f"{touched / row.seconds / 1e6:.0f} M a second; random reads alone reach {rate / 1e6:.0f} M "
                f"({64 * rate / 1e9:.1f} GB/s of cache lines), so {100 * touched / row.seconds / rate:.0f} % of them."
            )
    return lines


def random_rows_a_second() -> float:
    """The rows of 32 bytes a second that all cores read at random from a table as large as that of the volumes."""
    rows = sum(min((r + 1) ** 3, 2**LOG2_TABLE) for r in level_resolutions(LEVELS, 16, FINEST))
    table = np.ones((rows, VOLUMES * FEATURES), np.float32)
    index = np.random.default_rng(0).integers(0, rows, 8 * POINTS * LEVELS).astype(np.uint64)
    out = np.zeros(64, np.float32)
    times = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        _read_rows(table, index, out)
        times.append(time.perf_counter() - started)
    return len(index) / float(np.median(times[1:]))


@numba.njit(parallel=True, fastmath=True)
def _read_rows(table: np.ndarray, index: np.ndarray, out: np.ndarray) -> None:
    part = len(index) // len(out)
    for core in numba.prange(len(out)):
        total = np.float32(0)
        for i in range(core * part, (core + 1) * part):
            total += table[index[i], 0]
        out[core] = total


if __name__ == "__main__":
    typer.run(main)
