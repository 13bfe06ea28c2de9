"""What masks say of places near a segment, in the frames that show the segment.

A frame whose masks miss an object gives its place to what is around it, and says nothing of where the object ends.
Counted with the others, such frames make every object smaller than it is, and lose the slim ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.geometry.projective import invert, nearest_pixel, project, transform
from panrecon.refinement.boundaries import members
from panrecon.refinement.segments import NO_SEGMENT, counted, numbers_of
from panrecon.structures import VOID, Labels, PanopticMesh, View, Views
from panrecon.threads import in_parallel

TOLERANCE: Final = 0.4  # of the field's reach, between a place and the depth at its pixel
SHOWN: Final = 0.3  # of a segment's visible vertices that a frame's masks must give to it, to show it
FEWEST: Final = 5  # visible vertices that tell so
WITNESSES: Final = 1000  # vertices of a segment, at most, that are looked for in every frame


@dataclass(frozen=True)
class Claims:
    """Pairs of a place (its position) and a segment (its number) that it may be of."""

    place: Int[np.ndarray, " n"]
    segment: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class Support:
    """Of every claim: the frames that show the segment and say what is at the place, and how many say the segment."""

    seen: Int[np.ndarray, " n"]
    given: Int[np.ndarray, " n"]

    @property
    def share(self) -> Float[np.ndarray, " n"]:
        """Of the frames, in [0, 1]; 0 where there is none."""
        return np.asarray(self.given / self.seen.clip(1))


def support(
    places: Float[np.ndarray, "p 3"],
    claims: Claims,
    panoptic: PanopticMesh,
    views: Views,
    masks: Callable[[View], Labels],
    reach: float,
    progress: Callable[[int], None] = lambda done: None,
) -> Support:
    """For every claim to a place (m, world), of a segment of the mesh: what frames say of it.

    `masks` gives a view's own labels at its size, and is asked from several threads; `reach` is `field.reach` (m);
    `progress` hears how many views are read.
    """
    result = Support(*(np.zeros(len(claims.place), np.int64) for _ in range(2)))
    if not len(claims.place):
        progress(len(views.poses))
        return result
    row_of_vertex, present = counted(panoptic.labels)
    claimant, row = np.unique(claims.segment, return_inverse=True)
    witnesses = _witnesses(row_of_vertex, np.searchsorted(present, claimant))
    witness = np.concatenate([np.zeros(0, np.int64), *witnesses])
    mine = np.repeat(np.arange(len(claimant)), [len(some) for some in witnesses])
    asked, of_claim = np.unique(claims.place, return_inverse=True)

    def read(number: int) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        view = views.read(number)
        said = numbers_of(masks(view))
        said = np.where(np.isin(said, present), said, NO_SEGMENT)  # what was left out of the mesh says nothing
        visible, told = _said(panoptic.mesh.vertices[witness], view, said, reach)
        seen, given = (np.bincount(mine, flags, len(claimant)) for flags in (visible, told == claimant[mine]))
        shows = (seen >= FEWEST) & (given >= SHOWN * seen)
        _, told = _said(places[asked], view, said, reach)
        counts = shows[row] & (told[of_claim] != NO_SEGMENT)
        return counts, counts & (told[of_claim] == claims.segment)

    for done, (counts, agrees) in enumerate(in_parallel(read, range(len(views.poses))), start=1):
        np.add(result.seen, counts, out=result.seen)
        np.add(result.given, agrees, out=result.given)
        progress(done)
    return result


def _witnesses(row_of_vertex: Int[np.ndarray, " V"], wanted: Int[np.ndarray, " s"]) -> list[Int[np.ndarray, " w"]]:
    """Vertices of each segment, evenly from all that it has."""
    found = members(row_of_vertex, int(row_of_vertex.max(initial=VOID)) + 1)
    return [found[row][:: -(-len(found[row]) // WITNESSES)] for row in wanted]


def _said(
    places: Float[np.ndarray, "p 3"], view: View, numbers: Int[np.ndarray, "H W"], reach: float
) -> tuple[Bool[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Whether the frame sees each place, and the number that it gives to it; void where it sees none."""
    pixel, distance = project(view.camera, transform(invert(view.world_from_camera), places.astype(np.float64)))
    column, row, inside = nearest_pixel(view.camera, pixel)
    depth = view.depth[row, column]
    visible = inside & (depth > 0) & (np.abs(depth - distance) < TOLERANCE * reach)
    return visible, np.where(visible, numbers[row, column], NO_SEGMENT)
