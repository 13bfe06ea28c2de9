"""Findings on how often the surface is seen, and on gaps in the trajectory."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from panrecon.diagnosis.coverage import Coverage, Gaps
from panrecon.diagnosis.finding import Finding, counted, listed
from panrecon.diagnosis.parameters import CoverageParameters, GapParameters


def coverage_finding(
    coverage: Coverage, frame_stride: int, parameters: CoverageParameters = CoverageParameters()
) -> Finding:
    """Whether enough frames see the surface; of every `frame_stride` frames one is taken."""
    sentence = (
        f"{coverage.covered:.0%} of the surface is seen by {parameters.min_frames} frames or more; "
        f"{coverage.revisited:.0%} is seen again much later."
    )
    if coverage.covered >= parameters.min_share_noted:
        return Finding("coverage", "fine", sentence)
    return Finding(
        "coverage",
        "wrong" if coverage.covered < parameters.min_share else "note",
        sentence,
        "surface seen once is noisy, and objects get too few masks to be confirmed",
        _denser(frame_stride),
    )


def gaps_finding(
    gaps: Gaps,
    names: Sequence[str],
    frame_stride: int,
    index_of_frame: Mapping[str, int],
    parameters: GapParameters = GapParameters(),
) -> Finding:
    """Places without overlap: a note where all frames between were left out, else wrong.

    `index_of_frame` are the indices of all frames of the scan, also of those that are left out.
    """
    if not len(gaps.overlap):
        return Finding("gaps", "note", "There is only one frame.")
    if gaps.without_overlap:
        steps = np.diff([index_of_frame[name] for name in names])
        places = [f"{names[index]}-{names[index + 1]}" for index in gaps.without_overlap]
        is_wrong = (steps[list(gaps.without_overlap)] <= frame_stride).any()
        return Finding(
            "gaps",
            "wrong" if is_wrong else "note",
            f"At {counted(len(places), 'place')} a frame and the next one overlap by less than "
            f"{parameters.min_overlap:.0%}: {listed(places)}.",
            "nothing connects what was seen before with what was seen after; objects between are cut or doubled",
            _denser(frame_stride),
        )
    if gaps.missing_numbers:
        places = [f"{names[index]}-{names[index + 1]}" for index in gaps.missing_numbers]
        return Finding("gaps", "note", f"Frame numbers are missing between {listed(places)}; the views still overlap.")
    return Finding(
        "gaps",
        "fine",
        f"A frame sees {np.median(gaps.overlap):.0%} of the one before (median), {gaps.overlap.min():.0%} at least.",
    )


def _denser(frame_stride: int) -> dict[str, Any] | None:
    return {"scan.frame_stride": 1} if frame_stride > 1 else None
