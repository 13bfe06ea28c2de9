"""How much of the depth images is measured."""

from typing import Final

import numpy as np

from panrecon.diagnosis.findings import SKIP, Finding, some
from panrecon.diagnosis.sample import Sample

# Unbroken demo and rendered scans have 56 to 100 % in every frame, the real one 35 to 82 %.
LITTLE: Final = 0.3  # of the pixels of a scan, half of its frames having less
EMPTY: Final = 0.15  # of a frame's
EMPTY_BESIDE: Final = 0.4  # of what half of the frames have


def valid_depth(sample: Sample) -> Finding:
    """The share of pixels with depth: of the scan, and frames that have nearly none."""
    valid = np.array([frame.valid for frame in sample.frames])
    median = float(np.median(valid))
    if median < LITTLE:
        return Finding(
            "valid depth",
            "wrong",
            f"Half of the frames have depth at less than {median:.0%} of their pixels.",
            "the surface will have holes, and objects without depth are not reconstructed",
        )
    empty = np.flatnonzero(valid < min(EMPTY, EMPTY_BESIDE * median))
    if len(empty):
        names = [sample.names[row] for row in empty]
        return Finding(
            "valid depth",
            "wrong",
            f"{len(names)} of {len(sample)} frames have depth at less than {EMPTY:.0%} of their pixels, the others at "
            f"{median:.0%}: {some(names)}.",
            "what only they show is not reconstructed, and their masks vote on nothing",
            {SKIP: names},
        )
    return Finding(
        "valid depth", "fine", f"Depth at {median:.0%} of the pixels (median), {valid.min():.0%} in the poorest frame."
    )
