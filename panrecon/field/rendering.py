"""Volume rendering of a signed distance field (NeuS, Wang et al. 2021)."""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

SMALLEST_OPACITY: Final = 1e-3  # rays less opaque than this show nothing


def render_weights(sdf: Float[Tensor, "n S"], sharpness: Float[Tensor, ""]) -> Float[Tensor, "n S"]:
    """The share of every sample in what a ray sees; sums to at most 1, the rest passes through.

    The opacity of the interval between two samples, alpha = max((Phi(s_i) - Phi(s_i+1)) / Phi(s_i), 0) with Phi the
    sigmoid of sharpness * s, is shared between its two ends in proportion to their closeness to the zero crossing
    of s. So a sharp surface is rendered at exactly its crossing, not at the sample in front of it.
    """
    opacity = interval_opacity(sdf, sharpness)
    passed = torch.cumprod(1 - opacity, dim=1)
    seen = opacity * torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1)
    share_of_end = crossing_fraction(sdf)
    none = torch.zeros_like(sdf[:, :1])
    return torch.cat([seen * (1 - share_of_end), none], dim=1) + torch.cat([none, seen * share_of_end], dim=1)


def interval_opacity(sdf: Float[Tensor, "n S"], sharpness: Float[Tensor, ""]) -> Float[Tensor, "n intervals"]:
    """Opacity in [0, 1) of the intervals between consecutive samples; only falling distance is opaque.

    Written as 1 - exp(log Phi(s_i+1) - log Phi(s_i)), which stays exact deep inside a solid where Phi underflows.
    """
    log_phi = torch.nn.functional.logsigmoid(sharpness * sdf)
    return (-torch.expm1(log_phi[:, 1:] - log_phi[:, :-1])).clamp(min=0)


def crossing_fraction(sdf: Float[Tensor, "n S"]) -> Float[Tensor, "n intervals"]:
    """Where between two samples, 0 to 1, the linearly interpolated distance comes nearest to zero."""
    fall = sdf[:, :-1] - sdf[:, 1:]
    safe = torch.where(fall > 1e-6, fall, 1.0)
    return torch.where(fall > 1e-6, sdf[:, :-1] / safe, 0.5).clamp(0, 1)


def render(weights: Float[Tensor, "n S"], values: Float[Tensor, "n S c"]) -> Float[Tensor, "n c"]:
    """Values as seen along the rays: the weighted sum over the samples."""
    return (weights[:, None] @ values).squeeze(1)


def render_probability(weights: Float[Tensor, "n S"], logits: Float[Tensor, "n S c"]) -> Float[Tensor, "n c"]:
    """Label probabilities seen along the rays; soft-maxed per sample, and blind to where the surface lies.

    The weights are detached: noise in labels must not bend geometry (PanopticRecon, Yu et al. 2024).
    """
    return render(weights.detach(), torch.softmax(logits, dim=2))


@dataclass(frozen=True)
class TopKSamples:
    """The samples of greatest rendering weight of each ray, and their shares of the weight of these, in [0, 1].

    `rows` are their indices among the samples of all rays, ray after ray.
    """

    index: Int[Tensor, "n k"]
    rows: Int[Tensor, " nk"]
    shares: Float[Tensor, "n k"]


def top_k_samples(weights: Float[Tensor, "n S"], count: int) -> TopKSamples:
    """At most `count` samples per ray by rendering weight, or all in their order; colour and labels need no others.

    The shares sum to 1 unless the ray meets nothing at all. So what the other samples and the part that passes
    through would have shown does not have to be made up for by brighter colours at the top samples.
    """
    if count < weights.shape[1]:
        index = weights.detach().topk(count, dim=1, sorted=False).indices
    else:
        index = torch.arange(weights.shape[1], device=weights.device).expand(weights.shape)
    top = weights.gather(1, index)
    rows = (index + weights.shape[1] * torch.arange(len(index), device=index.device)[:, None]).flatten()
    return TopKSamples(index, rows, top / top.sum(dim=1, keepdim=True).clamp(min=SMALLEST_OPACITY))
