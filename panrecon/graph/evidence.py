"""What every mask of every frame covers: the visible pixels that masks and superfaces share."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from panrecon.masks.overlap import winners
from panrecon.structures import VOID, CategoryTable, Detections

MIN_VISIBLE_PIXELS = 10  # a superface of fewer pixels in a frame takes no part in it


@dataclass(frozen=True)
class FrameOverlap:
    """One frame's pixel counts: of every visible superface, and of every (superface, mask) pair that meets."""

    frame: str
    category: Int[np.ndarray, " D"]
    score: Float[np.ndarray, " D"]
    visible: Int[np.ndarray, " S"]
    superface: Int[np.ndarray, " N"]
    detection: Int[np.ndarray, " N"]
    pixels: Int[np.ndarray, " N"]


@dataclass(frozen=True)
class Evidence:
    """All frames' overlaps; masks are numbered through, F frames, M masks, S superfaces."""

    frames: tuple[str, ...]
    visible: csr_array  # S x F, pixels of the superface in the frame
    covered: csr_array  # S x M, pixels of the superface in the mask
    frame_of_mask: Int[np.ndarray, " M"]
    detection_of_mask: Int[np.ndarray, " M"]
    category_of_mask: Int[np.ndarray, " M"]
    score_of_mask: Float[np.ndarray, " M"]
    thing_mask: Bool[np.ndarray, " M"]


def frame_overlap(
    frame: str,
    superface_image: Int[np.ndarray, "h w"],
    detections: Detections,
    table: CategoryTable,
    superface_count: int,
) -> FrameOverlap:
    """Pixel counts of one frame. Things and stuff are made disjoint apart, so that a floor never hides a chair."""
    visible = np.bincount(superface_image[superface_image != VOID], minlength=superface_count)
    visible[visible < MIN_VISIBLE_PIXELS] = 0
    is_thing = table.is_thing[detections.category]
    pairs = [_pair_counts(superface_image, winners(detections, chosen)) for chosen in (is_thing, ~is_thing)]
    superface, detection, pixels = (np.concatenate(column) for column in zip(*pairs, strict=True))
    seen = visible[superface] > 0
    return FrameOverlap(
        frame, detections.category, detections.score, visible, superface[seen], detection[seen], pixels[seen]
    )


def gather(overlaps: Iterable[FrameOverlap], table: CategoryTable, superface_count: int) -> Evidence:
    """The frames' counts as two sparse matrices."""
    frames = sorted(overlaps, key=lambda overlap: overlap.frame)
    counts = np.array([len(overlap.category) for overlap in frames], dtype=np.int64)
    offset = np.cumsum(counts) - counts
    visible = np.stack([overlap.visible for overlap in frames], axis=1)
    category = np.concatenate([overlap.category for overlap in frames]).astype(np.int32)
    rows = np.concatenate([overlap.superface for overlap in frames])
    columns = np.concatenate([overlap.detection + start for overlap, start in zip(frames, offset, strict=True)])
    pixels = np.concatenate([overlap.pixels for overlap in frames])
    return Evidence(
        frames=tuple(overlap.frame for overlap in frames),
        visible=csr_array(visible),
        covered=csr_array((pixels, (rows, columns)), shape=(superface_count, int(counts.sum()))),
        frame_of_mask=np.repeat(np.arange(len(frames)), counts),
        detection_of_mask=np.concatenate([np.arange(count) for count in counts]),
        category_of_mask=category,
        score_of_mask=np.concatenate([overlap.score for overlap in frames]),
        thing_mask=table.is_thing[category],
    )


def _pair_counts(
    superface_image: Int[np.ndarray, "h w"], winner: Int[np.ndarray, "h w"]
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    both = (superface_image != VOID) & (winner != VOID)
    span = int(winner.max(initial=0)) + 1
    keys, pixels = np.unique(superface_image[both].astype(np.int64) * span + winner[both], return_counts=True)
    return keys // span, keys % span, pixels
