"""Similarity of a rendered view and the image recorded at the same pose."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

WINDOW: Final = 7  # pixels, of the structural similarity


@dataclass(frozen=True)
class ViewQuality:
    """PSNR in decibels (infinite for equal images), SSIM in [-1, 1], mean absolute depth error in metres."""

    psnr: float
    ssim: float
    depth_l1: float


def view_quality(
    rendered_color: UInt8[np.ndarray, "h w 3"],
    color: UInt8[np.ndarray, "h w 3"],
    rendered_depth: Float[np.ndarray, "h w"],
    depth: Float[np.ndarray, "h w"],
) -> ViewQuality:
    """PSNR and SSIM (Wang et al., TIP 2004; 7 x 7 windows) over all pixels, depth error over those with both depths.

    Depth in metres, 0 where there is none; its error is nan where no pixel has both. SSIM is nan where no window fits.
    """
    with np.errstate(divide="ignore"):  # equal images
        psnr = peak_signal_noise_ratio(color, rendered_color, data_range=255)  # type: ignore[no-untyped-call]
    ssim = np.nan
    if min(color.shape[:2]) >= WINDOW:
        ssim = structural_similarity(color, rendered_color, win_size=WINDOW, data_range=255, channel_axis=-1)  # type: ignore[no-untyped-call]
    has_both = (rendered_depth > 0) & (depth > 0)
    error = np.abs(rendered_depth[has_both].astype(np.float64) - depth[has_both])
    return ViewQuality(float(psnr), float(ssim), float(error.mean()) if has_both.any() else float("nan"))


def mean_view_quality(views: Sequence[ViewQuality]) -> ViewQuality:
    """The mean over views of equal weight; depth error over the views that have one, nan where none has."""
    columns = np.array([(view.psnr, view.ssim, view.depth_l1) for view in views], dtype=np.float64).reshape(-1, 3)
    defined = [column[~np.isnan(column)] for column in columns.T]
    return ViewQuality(*(float(values.mean()) if len(values) else float("nan") for values in defined))
