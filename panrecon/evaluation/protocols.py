"""Every paper's rule by its name: the same labels score differently by each, so the name belongs to the number.

| name | rule |
|---|---|
| `strict` | Kirillov et al., CVPR 2019, as panopticapi does it; what is left void is missed |
| `panopticrecon` | PanopticRecon (Yu et al., IROS 2024), released script: remapped ids, not one to one, threshold 0.1 |
| `pvlff` | PVLFF (Chen et al., RA-L 2024): the same at 0.5, over classes that occur |
| `panoptic_lifting` | Panoptic Lifting (Siddiqui et al., CVPR 2023), its function on stacked frames: excuses void |
| `panogs` | PanoGS (Zhai et al., CVPR 2025), its script with statistics per class: greedy, threshold 0.25 |
| `lidar` | SemanticKITTI (Behley et al., ICRA 2021) and nuScenes: per scan, small segments neither false nor missed |

`name@T` takes another threshold. Below 0.5 `strict` matches by the assignment of greatest total IoU.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool

from panrecon.errors import InputError
from panrecon.evaluation.matching import Crossing, Pairs, above, best_assignment, cross, first_come, pairs_of_one_class
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

UNIQUE: Final = 0.5  # from this IoU on a segment cannot match two others
EXCUSED: Final = 0.5  # a segment of which more than this share lies on void is not counted
ROBUST_SHARE: Final = 0.005  # Panoptic Lifting drops classes below this share of the points of either side
MIN_POINTS: Final = 50  # SemanticKITTI's; nuScenes takes 15


@dataclass(frozen=True)
class Protocol:
    """A rule by its name and its numbers; `min_points` is heeded by `lidar` only."""

    name: str
    threshold: float
    min_points: int = MIN_POINTS

    def __str__(self) -> str:
        return self.name if self.threshold == PROTOCOLS[self.name].threshold else f"{self.name}@{self.threshold}"

    @property
    def is_per_scan(self) -> bool:
        """Matches frame by frame (or scan by scan) and adds the statistics, instead of stacking all points."""
        return self.name == "lidar"

    @property
    def is_released_script(self) -> bool:
        """Whether its authors print coverage of remapped ids and class quality frame by frame beside it."""
        return self.name in ("panopticrecon", "pvlff")

    def match(self, overlap: Overlap, table: CategoryTable) -> Matching:
        return PROTOCOLS[self.name].match(overlap, table, self)


@dataclass(frozen=True)
class Rule:
    threshold: float
    match: Callable[[Overlap, CategoryTable, Protocol], Matching]
    lowest: float = 0.0  # thresholds below are refused


def parse_protocol(text: str, min_points: int = MIN_POINTS) -> Protocol:
    """A protocol by its name, as `strict` or `strict@0.25`.

    Raises:
        InputError: there is no such protocol, or the threshold does not fit it.
    """
    name, at, number = text.partition("@")
    if name not in PROTOCOLS:
        raise InputError(f"There is no protocol {text!r}; there are {', '.join(PROTOCOLS)}, each with @threshold.")
    try:
        threshold = float(number) if at else PROTOCOLS[name].threshold
    except ValueError:
        threshold = np.nan
    if not PROTOCOLS[name].lowest <= threshold < 1:
        raise InputError(
            f"The threshold of the protocol {text!r} must be at least {PROTOCOLS[name].lowest:g} and less than 1."
        )
    return Protocol(name, threshold, min_points)


def _strict(overlap: Overlap, table: CategoryTable, protocol: Protocol) -> Matching:
    crossing = cross(
        overlap,
        panoptic_segments(predicted_side(overlap), table),
        panoptic_segments(true_side(overlap).keeping(table.is_evaluated), table),
    )
    pairs = pairs_of_one_class(crossing, crossing.predicted_on_void, _nothing(crossing.true_area))
    choose = above if protocol.threshold >= UNIQUE else best_assignment
    excused = crossing.predicted_on_void > EXCUSED * crossing.predicted_area
    return _verdict(crossing, choose(pairs, protocol.threshold), excused, _nothing(crossing.true_area) > 0, table)


def _remapped(overlap: Overlap, table: CategoryTable, protocol: Protocol) -> Matching:
    """Every pair of one class above the threshold is a match, so that a segment may be matched twice."""
    sides = (remapped_segments(side, table) for side in (predicted_side(overlap), true_side(overlap)))
    crossing = cross(overlap, *sides)
    pairs = pairs_of_one_class(crossing, crossing.predicted_on_void, _nothing(crossing.true_area))
    excused = crossing.predicted_on_void > EXCUSED * crossing.predicted_area
    return _verdict(crossing, above(pairs, protocol.threshold), excused, _nothing(crossing.true_area) > 0, table)


def _panopticrecon(overlap: Overlap, table: CategoryTable, protocol: Protocol) -> Matching:
    found = _remapped(overlap, table, protocol)
    return Matching(found.crossing, found.matched, found.is_false, found.is_missed, table.is_evaluated)


def _panoptic_lifting(overlap: Overlap, table: CategoryTable, protocol: Protocol) -> Matching:
    """Points without truth are taken out first; then void on either side is left out of every union."""
    labelled = overlap.only(overlap.true_category != VOID)
    kept = _robust_classes(labelled, table)
    sides = (side.keeping(kept) for side in (predicted_side(labelled), true_side(labelled)))
    crossing = cross(labelled, *(panoptic_segments(side, table) for side in sides))
    pairs = pairs_of_one_class(crossing, crossing.predicted_on_void, crossing.true_left_void)
    excused = crossing.predicted_on_void > EXCUSED * crossing.predicted_area
    forgiven = crossing.true_left_void > EXCUSED * crossing.true_area
    found = _verdict(crossing, above(pairs, protocol.threshold), excused, forgiven, table)
    return Matching(found.crossing, found.matched, found.is_false, found.is_missed, kept)


def _panogs(overlap: Overlap, table: CategoryTable, protocol: Protocol) -> Matching:
    """Ids of stuff count, and predictions on void are neither left out nor excused."""
    true = true_side(overlap).keeping(table.is_evaluated)
    crossing = cross(overlap, labelled_segments(predicted_side(overlap)), labelled_segments(true))
    pairs = pairs_of_one_class(crossing, _nothing(crossing.predicted_area), _nothing(crossing.true_area))
    matched = first_come(pairs, protocol.threshold)
    return _verdict(crossing, matched, _nothing(crossing.predicted_area) > 0, _nothing(crossing.true_area) > 0, table)


def _lidar(overlap: Overlap, table: CategoryTable, protocol: Protocol) -> Matching:
    """Points whose truth is not evaluated are taken out first."""
    evaluated = np.append(table.is_evaluated, False)
    scored = overlap.only(evaluated[overlap.true_category])
    crossing = cross(
        scored,
        panoptic_segments(predicted_side(scored), table),
        panoptic_segments(true_side(scored).keeping(table.is_evaluated), table),
    )
    pairs = pairs_of_one_class(crossing, _nothing(crossing.predicted_area), _nothing(crossing.true_area))
    small, small_true = (area < protocol.min_points for area in (crossing.predicted_area, crossing.true_area))
    return _verdict(crossing, above(pairs, protocol.threshold), small, small_true, table)


def _verdict(
    crossing: Crossing,
    matched: Pairs,
    excused: Bool[np.ndarray, " P"],
    forgiven: Bool[np.ndarray, " T"],
    table: CategoryTable,
) -> Matching:
    """What is not matched is false or missed unless excused; classes with any of the three are counted."""
    is_false = table.is_evaluated[crossing.predicted.category] & ~excused
    is_false[matched.prediction] = False
    is_missed = ~forgiven
    is_missed[matched.truth] = False
    counted = np.zeros(len(table), dtype=bool)
    counted[crossing.true.category[matched.truth]] = True
    counted[crossing.true.category[is_missed]] = True
    counted[crossing.predicted.category[is_false]] = True
    return Matching(crossing, matched, is_false, is_missed, counted)


def _robust_classes(overlap: Overlap, table: CategoryTable) -> Bool[np.ndarray, " C"]:
    """Evaluated classes that occur, and not as a mere sliver of either side, where there is a truth."""
    labelled = overlap.area[overlap.true_category != VOID].sum()
    shares = []
    for category in (overlap.predicted_category, overlap.true_category):
        area = np.bincount(category[category != VOID], overlap.area[category != VOID], minlength=len(table))
        shares.append(area / max(labelled, np.finfo(float).tiny))
    occurs = (shares[0] > 0) | (shares[1] > 0)
    sliver = [(share > 0) & (share < ROBUST_SHARE) for share in shares]
    return table.is_evaluated & occurs & ~sliver[0] & ~sliver[1]


def _nothing(area: np.ndarray) -> np.ndarray:
    return np.zeros_like(area)


PROTOCOLS: Final = {
    "strict": Rule(0.5, _strict),
    "panopticrecon": Rule(0.1, _panopticrecon),
    "pvlff": Rule(0.5, _remapped),
    "panoptic_lifting": Rule(0.5, _panoptic_lifting, lowest=UNIQUE),
    "panogs": Rule(0.25, _panogs),
    "lidar": Rule(0.5, _lidar, lowest=UNIQUE),
}
