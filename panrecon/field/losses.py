"""The terms of the field's loss, each a mean over pixels or samples (PanopticRecon, Yu et al. 2024).

`truncation` is `field.truncation` (m). `confidence` weighs pixels, targets of `VOID` are ignored, and a term without
any target is 0 with gradient 0.
"""

from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from panrecon.structures import VOID

WEIGHTS: Final = {  # the authors' released settings
    "depth": 2.5,
    "surface": 30.0,
    "free_space": 10.0,
    "eikonal": 1.0,
    "color": 30.0,
    "category": 80.0,
    "instance": 80.0,
    "feature": 80.0,
}
SURFACE_BAND: Final = 1.5  # truncations along the ray: so near to a measured surface its distance is the target
FREE_SPACE_DECAY: Final = 0.5  # per truncation: how steeply negative distance in free space is punished
EIKONAL_FLOOR: Final = 0.1  # truncations: weight of a sample on the surface itself
SMALLEST_COSINE: Final = 0.2  # more grazing rays are treated as if they met the surface at 78 degrees
SMALLEST_PROBABILITY: Final = 1e-6


def depth_loss(rendered: Float[Tensor, " n"], measured: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Mean absolute error of rendered depth, m."""
    return (rendered - measured).abs().mean()


def distance_along_ray(
    measured: Float[Tensor, " n"], depth: Float[Tensor, "n S"], directions: Float[Tensor, "n 3"]
) -> Float[Tensor, "n S"]:
    """Metres along the ray from each sample to the measured surface, negative behind it.

    `directions` reach one metre of depth, so they are longer than 1 away from the optical axis.
    """
    return (measured[:, None] - depth) * torch.linalg.vector_norm(directions, dim=1, keepdim=True)


def incidence_cosine(directions: Float[Tensor, "n 3"], gradient: Float[Tensor, "n S 3"]) -> Float[Tensor, "n S"]:
    """|cos| between ray and the field's own normal, at least `SMALLEST_COSINE`; detached.

    It turns distance along a ray into distance from a locally flat surface. The field's normal is used because it
    averages all views: normals of a single depth image at 3 m are mostly noise.
    """
    along = torch.nn.functional.normalize(directions, dim=1)[:, :, None]
    cosine = (torch.nn.functional.normalize(gradient.detach(), dim=2) @ along).squeeze(2)
    return cosine.abs().clamp(min=SMALLEST_COSINE)


def surface_loss(
    sdf: Float[Tensor, "n S"], along_ray: Float[Tensor, "n S"], cosine: Float[Tensor, "n S"], truncation: float
) -> Float[Tensor, ""]:
    """Mean |sdf - distance from the measured surface| of samples within the surface band, m."""
    distance = along_ray * cosine
    return _masked_mean((sdf - distance).abs(), along_ray.abs() <= SURFACE_BAND * truncation)


def free_space_loss(sdf: Float[Tensor, "n S"], along_ray: Float[Tensor, "n S"], truncation: float) -> Float[Tensor, ""]:
    """Mean max(exp(-k s) - 1, s - b, 0) of samples in front of the surface band; nothing is claimed behind a surface.

    The distance b along the ray bounds the signed distance from above, whatever the angle of incidence.
    """
    inside = torch.expm1((-FREE_SPACE_DECAY / truncation * sdf).clamp(max=5.0))
    violation = torch.maximum(inside, sdf - along_ray).clamp(min=0)
    return _masked_mean(violation, along_ray > SURFACE_BAND * truncation)


def eikonal_loss(sdf: Float[Tensor, "n S"], gradient: Float[Tensor, "n S 3"], truncation: float) -> Float[Tensor, ""]:
    """Mean (|gradient| - 1)^2, weighted by |sdf| + a tenth of the truncation (IGR, Gropp et al. 2020)."""
    weight = sdf.detach().abs() + EIKONAL_FLOOR * truncation
    length = gradient.square().sum(dim=2).add(1e-12).sqrt()
    return (weight * (length - 1).square()).mean()


def color_loss(rendered: Float[Tensor, "n 3"], color: Float[Tensor, "n 3"]) -> Float[Tensor, ""]:
    """Mean squared error of colours in [0, 1]."""
    return (rendered - color).square().mean()


def label_loss(
    probability: Float[Tensor, "n c"],
    target: Int[Tensor, " n"],
    confidence: Float[Tensor, " n"],
    class_weight: Float[Tensor, " c"] | None = None,
) -> Float[Tensor, ""]:
    """Mean -log of the rendered probability of the target label; `class_weight` balances rare labels."""
    weight = confidence * (target != VOID)
    if probability.shape[1] == 0:
        return probability.sum()
    row = target.clamp(min=0)
    if class_weight is not None:
        weight = weight * class_weight[row]
    certainty = probability.gather(1, row[:, None]).squeeze(1)
    return _weighted_mean(-torch.log(certainty.clamp(max=1) + SMALLEST_PROBABILITY), weight)


def feature_loss(rendered: Float[Tensor, "n D"], feature: Float[Tensor, "n D"]) -> Float[Tensor, ""]:
    """Mean squared error of distilled features; 0 without features."""
    if feature.shape[1] == 0:
        return rendered.sum()
    return (rendered - feature).square().mean()


def _masked_mean(values: Float[Tensor, "n S"], mask: Tensor) -> Float[Tensor, ""]:
    return (values * mask).sum() / mask.sum().clamp(min=1)


def _weighted_mean(values: Float[Tensor, " n"], weight: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    return (values * weight).sum() / weight.sum().clamp(min=1e-8)
