"""Where the field is evaluated: pixels of a scan, rays through them, samples along the rays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float16, Float32, Int, UInt8
from torch import Tensor

from panrecon.field.field import SceneBox
from panrecon.structures import VOID, Camera


@dataclass(frozen=True)
class FieldData:
    """The training data of a field: n posed images and their labels.

    Depth in metres, 0 where not measured. Void category: the pixel has no label. Void instance on a labelled pixel:
    it belongs to none. `weight` is the confidence of a label in [0, 1]. `features` lie on a coarser grid: cell
    (gx, gy) at pixel u = (gx + 0.5) * width / gw - 0.5, v alike.
    """

    camera: Camera
    world_from_camera: Float[np.ndarray, "n 4 4"]
    color: UInt8[np.ndarray, "n h w 3"]
    depth: Float32[np.ndarray, "n h w"]
    category: Int[np.ndarray, "n h w"]
    instance: Int[np.ndarray, "n h w"]
    weight: Float32[np.ndarray, "n h w"]
    features: Float16[np.ndarray, "n gh gw D"] | None
    categories: int
    instances: int
    box: SceneBox

    @property
    def feature_width(self) -> int:
        return 0 if self.features is None else self.features.shape[-1]

    @cached_property
    def instance_target(self) -> Int[np.ndarray, "n h w"]:
        """Row of the instance head: the instance, the last row for none, `VOID` where nothing is known."""
        target = np.where(self.instance == VOID, self.instances, self.instance)
        return np.where((self.category == VOID) & (self.instance == VOID), VOID, target).astype(np.int32)


@dataclass(frozen=True)
class Rays:
    """World rays; `direction` reaches one metre of depth along the optical axis, so it is not of unit length."""

    origin: Float[Tensor, "n 3"]
    direction: Float[Tensor, "n 3"]

    def at(self, depth: Float[Tensor, "n S"]) -> Float[Tensor, "n S 3"]:
        """World points at these depths along the optical axis (m)."""
        return self.origin[:, None] + depth[..., None] * self.direction[:, None]

    def to(self, device: torch.device) -> "Rays":
        return Rays(self.origin.to(device), self.direction.to(device))


@dataclass(frozen=True)
class PixelBatch:
    """Rays through n pixels and what was measured there; labels may be void."""

    rays: Rays
    depth: Float[Tensor, " n"]
    color: Float[Tensor, "n 3"]
    category: Int[Tensor, " n"]
    instance: Int[Tensor, " n"]
    confidence: Float[Tensor, " n"]
    feature: Float[Tensor, "n D"]

    def to(self, device: torch.device) -> "PixelBatch":
        values = (self.depth, self.color, self.category, self.instance, self.confidence, self.feature)
        return PixelBatch(self.rays.to(device), *(value.to(device) for value in values))


def camera_rays(
    camera: Camera,
    world_from_camera: Float[Tensor, "n 4 4"],
    u: Float[Tensor, " n"],
    v: Float[Tensor, " n"],
) -> Rays:
    """The rays through pixels (u, v), each with its own camera pose."""
    local = torch.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, torch.ones_like(u)], dim=1)
    direction = (world_from_camera[:, :3, :3] @ local[:, :, None]).squeeze(2)
    return Rays(world_from_camera[:, :3, 3], direction)


def near_depths(
    surface: Float[Tensor, " n"], truncation: float, count: int, generator: torch.Generator | None = None
) -> Float[Tensor, "n count"]:
    """Depths within `truncation` (m) of a surface: one at random in each of `count` equal strata, or their middles."""
    return (surface[:, None] + truncation * (2 * _strata(surface, count, generator) - 1)).clamp(min=0)


def guided_depths(
    surface: Float[Tensor, " n"],
    truncation: float,
    near: int,
    free: int,
    min_depth: float,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "n S"]:
    """Rising sample depths: `free` ones from `min_depth` (m) on, then `near` ones within `truncation` (m) of a surface.

    `surface` is its measured depth, m. Without a generator samples lie in the middles of their strata.
    """
    end = (surface - truncation).clamp(min=0)[:, None]
    start = end.clamp(max=min_depth)
    before = start + (end - start) * _strata(surface, free, generator)
    return torch.cat([before, near_depths(surface, truncation, near, generator)], dim=1)


def box_depths(rays: Rays, box: SceneBox, count: int) -> Float[Tensor, "n count"]:
    """Evenly spaced depths where rays cross the box; all 0 on a ray that misses it."""
    origin = torch.as_tensor(box.origin, dtype=rays.origin.dtype, device=rays.origin.device)
    size = torch.as_tensor(box.size, dtype=rays.origin.dtype, device=rays.origin.device)
    direction = torch.where(rays.direction.abs() < 1e-9, 1e-9, rays.direction)
    first = (origin - rays.origin) / direction
    last = (origin + size - rays.origin) / direction
    enter = torch.minimum(first, last).amax(dim=1).clamp(min=0)
    leave = torch.maximum(first, last).amin(dim=1).clamp(min=0)
    leave, enter = torch.where(leave > enter, leave, 0.0), torch.where(leave > enter, enter, 0.0)
    return enter[:, None] + (leave - enter)[:, None] * _strata(enter, count, None)


def _strata(rays: Float[Tensor, " n"], count: int, generator: torch.Generator | None) -> Float[Tensor, "n count"]:
    """Rising numbers in [0, 1), one in each of `count` equal parts."""
    if generator is None:
        inside = torch.full((len(rays), count), 0.5)
    else:
        inside = torch.rand(len(rays), count, generator=generator)
    return ((torch.arange(count) + inside) / max(count, 1)).to(rays)


class PixelSampler:
    """Draws pixels with measured depth: some of a batch among the labelled ones, the others among all.

    Raises:
        ValueError: no pixel has a depth, so there is no surface to fit.
    """

    def __init__(self, data: FieldData) -> None:
        self._data = data
        measured = data.depth > 0
        self._measured = _indices(measured)
        self._labelled = _indices(measured & (data.instance_target != VOID))
        if len(self._measured) == 0:
            raise ValueError(f"None of the {len(data.depth)} depth images has a measured pixel.")
        self._pose = torch.as_tensor(data.world_from_camera, dtype=torch.float32)
        self._color = torch.from_numpy(data.color).view(-1, 3)
        self._depth = torch.from_numpy(data.depth).view(-1)
        self._category = torch.from_numpy(data.category).view(-1)
        self._instance = torch.from_numpy(data.instance_target).view(-1)
        self._weight = torch.from_numpy(data.weight).view(-1)
        none = np.zeros((len(data.depth), 1, 1, 0), np.float16)
        self._features = torch.from_numpy(none if data.features is None else data.features)

    def draw(self, count: int, generator: torch.Generator, labelled_share: float) -> PixelBatch:
        """`count` pixels at random, with replacement; that share of them among the labelled ones, if there are any."""
        labelled = int(labelled_share * count) if len(self._labelled) else 0
        parts = [_draw(self._labelled, labelled, generator), _draw(self._measured, count - labelled, generator)]
        return self.at(torch.cat(parts))

    def at(self, pixel: Int[Tensor, " n"]) -> PixelBatch:
        """The measurements at flat pixel numbers of the whole sequence."""
        camera = self._data.camera
        frame = pixel // (camera.width * camera.height)
        inside = pixel % (camera.width * camera.height)
        u, v = (inside % camera.width).float(), (inside // camera.width).float()
        return PixelBatch(
            camera_rays(camera, self._pose[frame], u, v),
            self._depth[pixel],
            self._color[pixel].float() / 255,
            self._category[pixel].long(),
            self._instance[pixel].long(),
            self._weight[pixel],
            bilinear_features(self._features, camera, frame, u, v),
        )

    def instance_weight(self) -> Float[Tensor, " I1"]:
        """`balanced_weight` of every instance row among the labelled pixels."""
        counts = torch.bincount(self._instance[self._labelled].long(), minlength=self._data.instances + 1)
        return balanced_weight(counts)


def balanced_weight(counts: Int[Tensor, " c"]) -> Float[Tensor, " c"]:
    """Roots of the inverse frequencies, relative to equally common labels; 1 for labels never seen.

    The full inverse lets the few wrong pixels of a rare label outvote the many right ones of a common label.
    """
    present = (counts > 0).sum().clamp(min=1)
    return torch.where(counts > 0, counts.sum() / (present * counts.clamp(min=1)), 1.0).sqrt()


def bilinear_features(
    features: Tensor, camera: Camera, frame: Int[Tensor, " n"], u: Float[Tensor, " n"], v: Float[Tensor, " n"]
) -> Float[Tensor, "n D"]:
    """Feature maps [frames gh gw D] read between cells at pixels (u, v); outside the outer cells their values."""
    rows, columns = features.shape[1:3]
    x = ((u + 0.5) * columns / camera.width - 0.5).clamp(0, columns - 1)
    y = ((v + 0.5) * rows / camera.height - 0.5).clamp(0, rows - 1)
    left, top = x.long().clamp(max=max(columns - 2, 0)), y.long().clamp(max=max(rows - 2, 0))
    right, bottom = (left + 1).clamp(max=columns - 1), (top + 1).clamp(max=rows - 1)
    a = (x - left)[:, None]
    b = (y - top)[:, None]
    upper = features[frame, top, left] * (1 - a) + features[frame, top, right] * a
    lower = features[frame, bottom, left] * (1 - a) + features[frame, bottom, right] * a
    return upper * (1 - b) + lower * b


def _indices(mask: np.ndarray) -> Int[Tensor, " n"]:
    """Flat positions of the true entries."""
    return torch.from_numpy(np.flatnonzero(mask).astype(np.int32))


def _draw(among: Int[Tensor, " m"], count: int, generator: torch.Generator) -> Int[Tensor, " count"]:
    return among[torch.randint(max(len(among), 1), (count,), generator=generator)].long()
