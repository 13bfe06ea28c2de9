"""The numbers that decide which detections are kept."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MasksParameters:
    """Thresholds of Grounded-SAM; those without a default come from the user's settings (`config.MasksSettings`)."""

    box_threshold: float  # score, in [0, 1]: boxes of at most this are dropped
    text_threshold: float  # score, in [0, 1]: tokens of at most this are not part of a box's phrase
    duplicate_iou: float  # in (0, 1]: of two masks of one class that overlap more, the less certain is dropped
    min_area: int  # pixels, >= 0: smaller masks are dropped
    background_share: float = 0.7  # in [0, 1]: of width and height; PanopticRecon's released code, of SAM's input
