"""The graph of stages: every stage with the version of its output and the stages it reads."""

from typing import Final

# Every stage with the version of its output (raise it when the output changes) and the stages it reads.
VERSIONS: Final = {
    "scan": 1,
    "mesh": 3,
    "masks": 1,
    "features": 1,
    "graph": 4,
    "semantics": 3,
    "field": 6,
    "panoptic": 11,
    "quality": 3,
}


READS: Final[dict[str, tuple[str, ...]]] = {
    "scan": (),
    "mesh": ("scan",),
    "masks": ("scan",),
    "features": ("scan",),
    "graph": ("scan", "mesh", "masks"),
    "semantics": ("scan", "mesh", "features", "graph"),
    "field": ("scan", "mesh", "features", "graph", "semantics"),
    "panoptic": ("scan", "mesh", "graph", "semantics", "field"),
    "quality": ("scan", "mesh", "graph", "semantics", "panoptic"),
}


def needed(until: str) -> list[str]:
    """The stage and all that it reads, at first or second hand, in order."""
    wanted = {until}
    for stage in reversed(VERSIONS):
        if stage in wanted:
            wanted.update(READS[stage])
    return [stage for stage in VERSIONS if stage in wanted]
