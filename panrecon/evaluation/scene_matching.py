"""All segments of one scene, matched by every protocol that it is scored by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from panrecon.evaluation.metrics.panoptic_quality import Matching, PanopticStatistics, sum_statistics
from panrecon.evaluation.overlap import Overlap, merge_overlaps
from panrecon.evaluation.protocols import Protocol
from panrecon.structures import CategoryTable


@dataclass(frozen=True)
class MatchedScene:
    """The matchings of a scene by protocol: one of all its points stacked, or one per frame, as the protocol demands.

    `scans` are the overlaps of its frames (one for a mesh), `overlap` is that of all of them; `is_frames` is False for
    a mesh.
    """

    scans: tuple[Overlap, ...]
    overlap: Overlap
    matchings: Mapping[Protocol, tuple[Matching, ...]]
    is_frames: bool

    def statistics(self, protocol: Protocol) -> PanopticStatistics:
        """True and false positives, false negatives and sums of IoU of every class over the whole scene."""
        return sum_statistics([matching.statistics for matching in self.matchings[protocol]])


def match_scene(
    scans: Sequence[Overlap], table: CategoryTable, protocols: Sequence[Protocol], is_frames: bool = False
) -> MatchedScene:
    """The segments of a scene, matched by every protocol; `scans` as in `MatchedScene`."""
    stacked = merge_overlaps(scans)
    matchings = {
        protocol: tuple(protocol.match(scan, table) for scan in (scans if protocol.is_per_scan else [stacked]))
        for protocol in protocols
    }
    return MatchedScene(tuple(scans), stacked, matchings, is_frames)
