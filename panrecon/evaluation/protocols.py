"""Every paper's rule by its name: the same labels score differently by each, so the name belongs to the number.

| name | rule |
|---|---|
| `strict` | Kirillov et al., CVPR 2019, as panopticapi does it; truth whose prediction is void is missed |
| `panopticrecon` | PanopticRecon (Yu et al., IROS 2024), released script: remapped ids, not one to one, threshold 0.1 |
| `pvlff` | PVLFF (Chen et al., RA-L 2024): the same at 0.5, over classes that occur |
| `panoptic_lifting` | Panoptic Lifting (Siddiqui et al., CVPR 2023), its function on stacked frames: ignores void |
| `panogs` | PanoGS (Zhai et al., CVPR 2025), its script with statistics per class: greedy, threshold 0.25 |
| `lidar` | SemanticKITTI (Behley et al., ICRA 2021) and nuScenes: per scan, small segments neither false nor missed |

`name@T` takes another threshold. Below 0.5 `strict` matches by the assignment of greatest total IoU.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from panrecon.errors import InputError
from panrecon.evaluation.matching import (
    SegmentIntersections,
    SegmentPairs,
    greedy_matching,
    intersect_segments,
    optimal_assignment,
    pairs_above,
    same_class_pairs,
)
from panrecon.evaluation.metrics.panoptic_quality import Matching
from panrecon.evaluation.overlap import Overlap
from panrecon.evaluation.segments import (
    labelled_segments,
    panoptic_segments,
    predicted_side,
    remapped_segments,
    true_side,
)
from panrecon.structures import VOID, CategoryTable

UNIQUE_IOU: Final = 0.5  # from this IoU on a segment cannot match two others
MAX_VOID_SHARE: Final = 0.5  # a segment without match of which more than this share lies on void is ignored
MIN_CLASS_SHARE: Final = 0.005  # Panoptic Lifting drops classes below this share of the points of either side
MIN_POINTS: Final = 50  # SemanticKITTI's; nuScenes takes 15


@dataclass(frozen=True)
class Protocol:
    """A paper's rule by name, with the IoU above which segments match; only `lidar` uses `min_points`."""

    name: str
    threshold: float
    min_points: int = MIN_POINTS

    def __str__(self) -> str:
        default = PROTOCOLS[self.name].default_threshold
        return self.name if self.threshold == default else f"{self.name}@{self.threshold}"

    @property
    def is_per_scan(self) -> bool:
        """Matches frame by frame (or scan by scan) and adds the statistics, instead of stacking all points."""
        return self.name == "lidar"

    @property
    def is_released_script(self) -> bool:
        """Whether its authors print coverage of remapped ids and class quality frame by frame beside it."""
        return self.name in ("panopticrecon", "pvlff")

    def match(self, overlap: Overlap, table: CategoryTable) -> Matching:
        """The segments of an overlap matched by this rule: true positives, false positives and false negatives."""
        return PROTOCOLS[self.name].match(overlap, table, self)


@dataclass(frozen=True)
class ProtocolDefinition:
    """The function that a protocol's name stands for, its threshold in the paper, and the lowest one it allows."""

    default_threshold: float
    match: Callable[[Overlap, CategoryTable, Protocol], Matching]
    min_threshold: float = 0.0


def parse_protocol(text: str, min_points: int = MIN_POINTS) -> Protocol:
    """The protocol of a name with or without threshold, such as `strict` or `strict@0.25`.

    Raises:
        InputError: there is no such protocol, or it does not allow the threshold.
    """
    name, at, threshold_text = text.partition("@")
    if name not in PROTOCOLS:
        raise InputError(f"There is no protocol {text!r}; there are {', '.join(PROTOCOLS)}, each with @threshold.")
    definition = PROTOCOLS[name]
    try:
        threshold = float(threshold_text) if at else definition.default_threshold
    except ValueError:
        threshold = np.nan
    if not definition.min_threshold <= threshold < 1:
        raise InputError(
            f"The threshold of the protocol {text!r} must be at least {definition.min_threshold:g} and less than 1."
        )
    return Protocol(name, threshold, min_points)


def _strict(overlap: Overlap, table: CategoryTable, protocol: Protocol) -> Matching:
    intersections = intersect_segments(
        overlap,
        panoptic_segments(predicted_side(overlap), table),
        panoptic_segments(true_side(overlap).restricted_to(table.is_evaluated), table),
    )
    pairs = same_class_pairs(intersections, intersections.predicted_on_void, _zeros(intersections.true_area))
    select = pairs_above if protocol.threshold >= UNIQUE_IOU else optimal_assignment
    return _matching(
        intersections,
        matched=select(pairs, protocol.threshold),
        ignored_predicted=_mostly_on_void(intersections),
        ignored_true=_none(intersections.true_area),
        table=table,
    )


def _remapped(overlap: Overlap, table: CategoryTable, protocol: Protocol) -> Matching:
    """Every pair of one class above the threshold is a match, so that a segment may be matched twice."""
    predicted = remapped_segments(predicted_side(overlap), table)
    true = remapped_segments(true_side(overlap), table)
    intersections = intersect_segments(overlap, predicted, true)
    pairs = same_class_pairs(intersections, intersections.predicted_on_void, _zeros(intersections.true_area))
    return _matching(
        intersections,
        matched=pairs_above(pairs, protocol.threshold),
        ignored_predicted=_mostly_on_void(intersections),
        ignored_true=_none(intersections.true_area),
        table=table,
    )


def _panopticrecon(overlap: Overlap, table: CategoryTable, protocol: Protocol) -> Matching:
    """As `_remapped`; evaluated classes that do not occur count as 0."""
    return replace(_remapped(overlap, table, protocol), is_counted=table.is_evaluated)


def _panoptic_lifting(overlap: Overlap, table: CategoryTable, protocol: Protocol) -> Matching:
    """Points without truth are taken out first; then void on either side is left out of every union."""
    labelled = overlap.restricted_to(overlap.true_category != VOID)
    is_robust = _robust_classes(labelled, table)
    sides = (side.restricted_to(is_robust) for side in (predicted_side(labelled), true_side(labelled)))
    intersections = intersect_segments(labelled, *(panoptic_segments(side, table) for side in sides))
    pairs = same_class_pairs(intersections, intersections.predicted_on_void, intersections.true_on_void)
    matching = _matching(
        intersections,
        matched=pairs_above(pairs, protocol.threshold),
        ignored_predicted=_mostly_on_void(intersections),
        ignored_true=intersections.true_on_void > MAX_VOID_SHARE * intersections.true_area,
        table=table,
    )
    return replace(matching, is_counted=is_robust)


def _panogs(overlap: Overlap, table: CategoryTable, protocol: Protocol) -> Matching:
    """Ids of stuff count, and predictions on void are neither left out of unions nor ignored."""
    true = true_side(overlap).restricted_to(table.is_evaluated)
    intersections = intersect_segments(overlap, labelled_segments(predicted_side(overlap)), labelled_segments(true))
    pairs = same_class_pairs(intersections, _zeros(intersections.predicted_area), _zeros(intersections.true_area))
    return _matching(
        intersections,
        matched=greedy_matching(pairs, protocol.threshold),
        ignored_predicted=_none(intersections.predicted_area),
        ignored_true=_none(intersections.true_area),
        table=table,
    )


def _lidar(overlap: Overlap, table: CategoryTable, protocol: Protocol) -> Matching:
    """Points whose truth is not evaluated are taken out first."""
    is_evaluated = np.append(table.is_evaluated, False)
    scored = overlap.restricted_to(is_evaluated[overlap.true_category])
    intersections = intersect_segments(
        scored,
        panoptic_segments(predicted_side(scored), table),
        panoptic_segments(true_side(scored).restricted_to(table.is_evaluated), table),
    )
    pairs = same_class_pairs(intersections, _zeros(intersections.predicted_area), _zeros(intersections.true_area))
    return _matching(
        intersections,
        matched=pairs_above(pairs, protocol.threshold),
        ignored_predicted=intersections.predicted_area < protocol.min_points,
        ignored_true=intersections.true_area < protocol.min_points,
        table=table,
    )


def _matching(
    intersections: SegmentIntersections,
    matched: SegmentPairs,
    ignored_predicted: Bool[np.ndarray, " P"],
    ignored_true: Bool[np.ndarray, " T"],
    table: CategoryTable,
) -> Matching:
    """What is not matched is false or missed unless ignored; classes with any of the three are counted."""
    is_false = table.is_evaluated[intersections.predicted.category] & ~ignored_predicted
    is_false[matched.predicted_index] = False
    is_missed = ~ignored_true
    is_missed[matched.true_index] = False
    is_counted = np.zeros(len(table), dtype=bool)
    is_counted[intersections.true.category[matched.true_index]] = True
    is_counted[intersections.true.category[is_missed]] = True
    is_counted[intersections.predicted.category[is_false]] = True
    return Matching(intersections, matched, is_false, is_missed, is_counted)


def _mostly_on_void(intersections: SegmentIntersections) -> Bool[np.ndarray, " P"]:
    return intersections.predicted_on_void > MAX_VOID_SHARE * intersections.predicted_area


def _robust_classes(overlap: Overlap, table: CategoryTable) -> Bool[np.ndarray, " C"]:
    """Evaluated classes that occur, and on no side with less than `MIN_CLASS_SHARE` of the labelled truth."""
    labelled_area = overlap.area[overlap.true_category != VOID].sum()
    shares = []
    for category in (overlap.predicted_category, overlap.true_category):
        area = np.bincount(category[category != VOID], overlap.area[category != VOID], minlength=len(table))
        shares.append(area / max(labelled_area, np.finfo(float).tiny))
    occurs = (shares[0] > 0) | (shares[1] > 0)
    is_sliver = [(share > 0) & (share < MIN_CLASS_SHARE) for share in shares]
    return table.is_evaluated & occurs & ~is_sliver[0] & ~is_sliver[1]


def _zeros(area: Float[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
    return np.zeros_like(area)


def _none(area: Float[np.ndarray, " S"]) -> Bool[np.ndarray, " S"]:
    return np.zeros(len(area), dtype=bool)


PROTOCOLS: Final = {
    "strict": ProtocolDefinition(0.5, _strict),
    "panopticrecon": ProtocolDefinition(0.1, _panopticrecon),
    "pvlff": ProtocolDefinition(0.5, _remapped),
    "panoptic_lifting": ProtocolDefinition(0.5, _panoptic_lifting, min_threshold=UNIQUE_IOU),
    "panogs": ProtocolDefinition(0.25, _panogs),
    "lidar": ProtocolDefinition(0.5, _lidar, min_threshold=UNIQUE_IOU),
}
