"""How much of the surface is seen, how often, and where the walk breaks off."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.diagnosis.findings import Finding, some
from panrecon.diagnosis.reprojection import neighbours
from panrecon.diagnosis.sample import Sample
from panrecon.geometry.projective import transform

CELL: Final = 0.1  # m: of the grid that surface is counted in
OFTEN: Final = 3  # frames that a fused surface and a vote of masks need
LATER: Final = 0.25  # of the scan between two looks, to be another visit
# Share of cells seen often: unbroken scans have 51 to 77 %, every second frame of them 30 to 48 %.
SPARSE: Final = 0.45
THIN: Final = 0.25
MISSING: Final = 10  # times as far apart as usual
APART: Final = 0.1  # of a frame that the next one sees; in unbroken scans 34 % at least


def coverage(sample: Sample, frame_stride: int) -> Finding:
    """The share of the surface that several frames see, and that is seen again much later."""
    cell, frame = _sightings(sample)
    _, start, count = np.unique(cell, return_index=True, return_counts=True)
    often = float((count >= OFTEN).mean()) if len(count) else 0.0
    span = frame[start + count - 1] - frame[start]
    again = float((span > LATER * len(sample)).mean()) if len(count) else 0.0
    sentence = f"{often:.0%} of the surface is seen by {OFTEN} frames or more; {again:.0%} is seen again much later."
    if often < SPARSE:
        return Finding(
            "coverage",
            "wrong" if often < THIN else "note",
            sentence,
            "surface seen once is noisy, and objects get too few masks to be confirmed",
            _denser(frame_stride),
        )
    return Finding("coverage", "fine", sentence)


def gaps(sample: Sample, frame_stride: int, row_of_name: Mapping[str, int]) -> Finding:
    """Places where a frame and the next one show nothing in common; a note where frames between were left out.

    `row_of_name` are the places of all frames of the scan.
    """
    seen = neighbours(sample).seen
    apart = np.flatnonzero(seen < APART).tolist()
    if apart:
        rows = np.diff([row_of_name[name] for name in sample.names])
        places = [f"{sample.names[row]}-{sample.names[row + 1]}" for row in apart]
        return Finding(
            "gaps",
            "wrong" if (rows[apart] <= frame_stride).any() else "note",
            f"At {len(places)} places a frame and the next one have less than {APART:.0%} in common: {some(places)}.",
            "nothing ties what was seen before to what was seen after; objects between are cut or doubled",
            _denser(frame_stride),
        )
    missing = _missing(sample.names)
    if missing:
        return Finding(
            "gaps", "note", f"Numbers of frames are missing between {some(missing)}; the views still overlap."
        )
    if not len(seen):
        return Finding("gaps", "note", "There is one frame only.")
    return Finding(
        "gaps", "fine", f"A frame shows {np.median(seen):.0%} of the one before (median), {seen.min():.0%} at least."
    )


def _missing(names: Sequence[str]) -> list[str]:
    """Neighbours whose numbers are ten times as far apart as those of others."""
    if not all(name.isdigit() for name in names) or len(names) < 3:
        return []
    numbers = np.array([int(name) for name in names])
    steps = np.diff(numbers)
    return [f"{names[row]}-{names[row + 1]}" for row in np.flatnonzero(steps >= MISSING * np.median(steps)).tolist()]


def _denser(frame_stride: int) -> dict[str, Any] | None:
    return {"scan.frame_stride": 1} if frame_stride > 1 else None


def _sightings(sample: Sample) -> tuple[Int[np.ndarray, " s"], Int[np.ndarray, " s"]]:
    """Every cell that a frame sees, once a frame, sorted by cell and then by frame; and the frame."""
    cells: list[Float[np.ndarray, "c 3"]] = []
    frames: list[Int[np.ndarray, " c"]] = []
    for row, points in enumerate(sample.points):
        measured = points[points[:, 2] > 0].astype(np.float64)
        found = np.unique(np.floor(transform(sample.poses[row], measured) / CELL), axis=0)
        cells.append(found)
        frames.append(np.full(len(found), row))
    _, number = np.unique(np.concatenate(cells), axis=0, return_inverse=True)
    frame = np.concatenate(frames)
    order = np.lexsort((frame, number.ravel()))
    return number.ravel()[order], frame[order]
