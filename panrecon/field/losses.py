"""The terms of the field's loss, each a mean over pixels or samples (PanopticRecon, Yu et al. 2024).

Confidences weigh pixels, targets of `VOID` are ignored, and a term without any target is 0 with gradient 0.
"""

from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from panrecon.structures import VOID

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


def incidence_cosine(
    directions: Float[Tensor, "n 3"], gradient: Float[Tensor, "n S 3"], min_cosine: float
) -> Float[Tensor, "n S"]:
    """|cos| between ray and the field's own normal, at least `min_cosine`; detached.

    It turns distance along a ray into distance from a locally flat surface. The field's normal is used because it
    averages all views: normals of a single depth image at 3 m are mostly noise.
    """
    along = torch.nn.functional.normalize(directions, dim=1)[:, :, None]
    cosine = (torch.nn.functional.normalize(gradient.detach(), dim=2) @ along).squeeze(2)
    return cosine.abs().clamp(min=min_cosine)


def surface_loss(
    sdf: Float[Tensor, "n S"], along_ray: Float[Tensor, "n S"], cosine: Float[Tensor, "n S"], band: float
) -> Float[Tensor, ""]:
    """Mean |sdf - distance from the measured surface| of samples within `band` (m along the ray) of that surface, m."""
    distance = along_ray * cosine
    return _masked_mean((sdf - distance).abs(), along_ray.abs() <= band)


def free_space_loss(
    sdf: Float[Tensor, "n S"], along_ray: Float[Tensor, "n S"], band: float, decay: float
) -> Float[Tensor, ""]:
    """Mean max(exp(-k s) - 1, s - b, 0) of samples more than `band` (m along the ray) in front of the surface.

    k is `decay` (1/m). Nothing is known behind a surface.

    The distance b along the ray bounds the signed distance from above, whatever the angle of incidence.
    """
    inside = torch.expm1((-decay * sdf).clamp(max=5.0))
    violation = torch.maximum(inside, sdf - along_ray).clamp(min=0)
    return _masked_mean(violation, along_ray > band)


def eikonal_loss(sdf: Float[Tensor, "n S"], gradient: Float[Tensor, "n S 3"], floor: float) -> Float[Tensor, ""]:
    """Mean (|gradient| - 1)^2, weighted by |sdf| + `floor` (m) (IGR, Gropp et al. 2020)."""
    weight = sdf.detach().abs() + floor
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
    known_target = target.clamp(min=0)
    if class_weight is not None:
        weight = weight * class_weight[known_target]
    target_probability = probability.gather(1, known_target[:, None]).squeeze(1)
    return _weighted_mean(-torch.log(target_probability.clamp(max=1) + SMALLEST_PROBABILITY), weight)


def feature_loss(rendered: Float[Tensor, "n D"], feature: Float[Tensor, "n D"]) -> Float[Tensor, ""]:
    """Mean squared error of rendered features; 0 without features."""
    if feature.shape[1] == 0:
        return rendered.sum()
    return (rendered - feature).square().mean()


def _masked_mean(values: Float[Tensor, "n S"], mask: Tensor) -> Float[Tensor, ""]:
    return (values * mask).sum() / mask.sum().clamp(min=1)


def _weighted_mean(values: Float[Tensor, " n"], weight: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    return (values * weight).sum() / weight.sum().clamp(min=1e-8)
