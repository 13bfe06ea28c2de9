"""Training scans made anew: turned, mirrored, scaled and shaken, and two scans mixed by direction or by inclination.

Vision features and labels go with their points. Objects that a mix cuts stay what is left of them.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from panrecon.lidar.network import ScanInput
from panrecon.structures import VOID

SCALES: Final = (0.95, 1.05)
JITTER: Final = 0.01  # m
BANDS: Final = (3, 6)  # at least and at most, as LaserMix in mmdetection3d
STRAY: Final = 0.01  # the share of points at either end that the bands' limits leave out


@dataclass(frozen=True)
class LabelledScan:
    """A scan with labels of base classes alone; `VOID` where there is none."""

    scan: ScanInput
    category: Int[Tensor, " n"]
    instance: Int[Tensor, " n"]

    def at(self, chosen: Bool[Tensor, " n"]) -> "LabelledScan":
        scan = ScanInput(self.scan.points[chosen], self.scan.features[chosen], self.scan.valid[chosen])
        return LabelledScan(scan, self.category[chosen], self.instance[chosen])


def augmented(sample: LabelledScan, generator: Generator) -> LabelledScan:
    """The scan turned about the vertical, mirrored or not on either axis, scaled by up to 5 % and shaken by 1 cm."""
    angle, scale, *flips = torch.rand(4, generator=generator).tolist()
    size = SCALES[0] + scale * (SCALES[1] - SCALES[0])
    points = sample.scan.points.clone()
    points[:, :3] = size * points[:, :3] @ _turn(2 * math.pi * angle, [1 - 2 * (flip < 0.5) for flip in flips]).T
    points[:, :3] += JITTER * torch.randn(len(points), 3, generator=generator)
    return replace(sample, scan=replace(sample.scan, points=points))


def _turn(angle: float, signs: list[int]) -> Float[Tensor, "3 3"]:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c * signs[0], -s * signs[0], 0.0], [s * signs[1], c * signs[1], 0.0], [0.0, 0.0, 1.0]])


def pasted(first: LabelledScan, second: LabelledScan) -> LabelledScan:
    """The first scan with the objects of the second among its own (PolarMix's second half)."""
    return _joined(first, second.at(second.instance != VOID))


def polar_mix(first: LabelledScan, second: LabelledScan, generator: Generator) -> LabelledScan:
    """The first scan with half a turn of the second in place of its own (PolarMix, Xiao et al., 2022)."""
    start = 2 * math.pi * float(torch.rand(1, generator=generator))
    return _joined(first.at(~_ahead(first, start)), second.at(_ahead(second, start)))


def laser_mix(first: LabelledScan, second: LabelledScan, generator: Generator) -> LabelledScan:
    """The first scan with every second band of inclination of the second in place of its own (LaserMix, Kong, 2023).

    There are 3 to 6 bands of equal height between the lowest and the highest beam; outermost ones have no end.
    """
    bands = int(torch.randint(BANDS[0], BANDS[1] + 1, (1,), generator=generator))
    angles = [_inclination(sample) for sample in (first, second)]
    borders = _borders(torch.cat(angles), bands)
    of_first, of_second = (torch.bucketize(angle, borders) % 2 == 0 for angle in angles)
    return _joined(first.at(of_first), second.at(~of_second))


def _joined(kept: LabelledScan, taken: LabelledScan) -> LabelledScan:
    """Parts of two scans as one; the instances of the second get numbers of their own."""
    shift = int(kept.instance.max()) + 1 if len(kept.instance) else 0
    instance = torch.where(taken.instance == VOID, VOID, taken.instance + shift)
    parts = (("points", kept.scan.points), ("features", kept.scan.features), ("valid", kept.scan.valid))
    scan = ScanInput(**{name: torch.cat([part, getattr(taken.scan, name)]) for name, part in parts})
    return LabelledScan(scan, torch.cat([kept.category, taken.category]), torch.cat([kept.instance, instance]))


def _ahead(sample: LabelledScan, start: float) -> Bool[Tensor, " n"]:
    """The points within half a turn from an angle on."""
    angle = torch.atan2(sample.scan.points[:, 1], sample.scan.points[:, 0])
    return torch.remainder(angle - start, 2 * math.pi) < math.pi


def _inclination(sample: LabelledScan) -> Float[Tensor, " n"]:
    """Angle of every point above the sensor's horizon, radians."""
    x, y, z = sample.scan.points[:, :3].unbind(dim=1)
    return torch.atan2(z, torch.hypot(x, y))


def _borders(angle: Float[Tensor, " n"], bands: int) -> Float[Tensor, " b"]:
    """Where one band ends and the next begins; nowhere if there is no point."""
    if not len(angle):
        return angle
    low, high = torch.quantile(angle, angle.new_tensor([STRAY, 1 - STRAY])).tolist()
    return torch.linspace(low, high, bands + 1, dtype=angle.dtype)[1:-1]
