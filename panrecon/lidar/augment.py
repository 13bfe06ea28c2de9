"""Augmentation of training scans: rotation, flips, scale, jitter, LaserMix, PolarMix and copy-paste of objects.

Vision features and labels stay with their points. An object that a mix cuts keeps the label on the part that is left.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from panrecon.lidar.network import ScanInput
from panrecon.lidar.settings import DEFAULT_AUGMENTATION, AugmentationSettings
from panrecon.structures import VOID


@dataclass(frozen=True)
class LabelledScan:
    """A scan with labels of base classes alone, numbered among base classes; `VOID` where there is none."""

    scan: ScanInput
    category: Int[Tensor, " n"]
    instance: Int[Tensor, " n"]

    def select(self, mask: Bool[Tensor, " n"]) -> "LabelledScan":
        """The points inside a mask."""
        scan = ScanInput(self.scan.points[mask], self.scan.features[mask], self.scan.valid[mask])
        return LabelledScan(scan, self.category[mask], self.instance[mask])


def augment(
    labelled: LabelledScan, generator: Generator, settings: AugmentationSettings = DEFAULT_AUGMENTATION
) -> LabelledScan:
    """The scan rotated about the vertical, flipped along x and y at random, scaled, and its points jittered."""
    angle, scale, *flips = torch.rand(4, generator=generator).tolist()
    factor = settings.min_scale + scale * (settings.max_scale - settings.min_scale)
    rotation = _rotation(2 * math.pi * angle, [1 - 2 * (flip < 0.5) for flip in flips])
    points = labelled.scan.points.clone()
    points[:, :3] = factor * points[:, :3] @ rotation.T
    points[:, :3] += settings.jitter * torch.randn(len(points), 3, generator=generator)
    return replace(labelled, scan=replace(labelled.scan, points=points))


def _rotation(angle: float, signs: list[int]) -> Float[Tensor, "3 3"]:
    """Rotation about z, then x and y multiplied by the signs."""
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c * signs[0], -s * signs[0], 0.0], [s * signs[1], c * signs[1], 0.0], [0.0, 0.0, 1.0]])


def copy_paste(target: LabelledScan, source: LabelledScan) -> LabelledScan:
    """All of `target` with the labelled objects of `source` added (second half of PolarMix, Xiao et al., 2022)."""
    return _concatenate(target, source.select(source.instance != VOID))


def polar_mix(first: LabelledScan, second: LabelledScan, generator: Generator) -> LabelledScan:
    """The first scan with a random half-plane of azimuth replaced by the second's (PolarMix, Xiao et al., 2022)."""
    start = 2 * math.pi * float(torch.rand(1, generator=generator))
    return _concatenate(first.select(~_in_half_turn(first, start)), second.select(_in_half_turn(second, start)))


def laser_mix(
    first: LabelledScan,
    second: LabelledScan,
    generator: Generator,
    settings: AugmentationSettings = DEFAULT_AUGMENTATION,
) -> LabelledScan:
    """The first scan with every other band of inclination replaced by the second's (LaserMix, Kong et al., CVPR 2023).

    Bands are of equal height between the lowest and the highest beam; the outermost ones are unbounded.
    """
    bands = int(torch.randint(settings.min_bands, settings.max_bands + 1, (1,), generator=generator))
    inclination_of_first = _inclination(first)
    inclination_of_second = _inclination(second)
    inclination = torch.cat([inclination_of_first, inclination_of_second])
    boundaries = _band_boundaries(inclination, bands, settings.band_quantile)
    in_first = torch.bucketize(inclination_of_first, boundaries) % 2 == 0
    in_second = torch.bucketize(inclination_of_second, boundaries) % 2 == 1
    return _concatenate(first.select(in_first), second.select(in_second))


def _concatenate(first: LabelledScan, second: LabelledScan) -> LabelledScan:
    """The points of both; instances of the second are numbered on from those of the first."""
    shift = int(first.instance.max()) + 1 if len(first.instance) else 0
    instance = torch.where(second.instance == VOID, VOID, second.instance + shift)
    scan = ScanInput(
        torch.cat([first.scan.points, second.scan.points]),
        torch.cat([first.scan.features, second.scan.features]),
        torch.cat([first.scan.valid, second.scan.valid]),
    )
    return LabelledScan(scan, torch.cat([first.category, second.category]), torch.cat([first.instance, instance]))


def _in_half_turn(labelled: LabelledScan, start: float) -> Bool[Tensor, " n"]:
    """Points whose azimuth is within pi after `start` (rad)."""
    azimuth = torch.atan2(labelled.scan.points[:, 1], labelled.scan.points[:, 0])
    return torch.remainder(azimuth - start, 2 * math.pi) < math.pi


def _inclination(labelled: LabelledScan) -> Float[Tensor, " n"]:
    """Angle of every point above the sensor's horizon, rad."""
    x, y, z = labelled.scan.points[:, :3].unbind(dim=1)
    return torch.atan2(z, torch.hypot(x, y))


def _band_boundaries(inclination: Float[Tensor, " n"], bands: int, quantile: float) -> Float[Tensor, " b"]:
    """Inner boundaries of the bands; none if there is no point."""
    if not len(inclination):
        return inclination
    low, high = torch.quantile(inclination, inclination.new_tensor([quantile, 1 - quantile])).tolist()
    return torch.linspace(low, high, bands + 1, dtype=inclination.dtype)[1:-1]
