"""Where the surface lies relative to gravity, floors and ceiling: one situation a vertex."""

from enum import IntEnum

import numpy as np
from jaxtyping import Int

from panrecon.layout.columns import Columns
from panrecon.layout.levels import Levels
from panrecon.layout.parameters import LayoutParameters


class Situation(IntEnum):
    """How a vertex lies; a column's width at the edge of a floor above another counts as facing up elsewhere."""

    ON_FLOOR = 0  # facing up at the height of a floor, with nothing below
    ON_CEILING = 1  # facing down at the height of the ceiling
    UP = 2  # facing up elsewhere
    DOWN = 3  # facing down elsewhere
    VERTICAL = 4
    SLANTED = 5  # also vertices without a face
    BELOW_FLOOR = 6  # deeper than the lowest floor, whichever way it faces


def situations(
    surface: Columns, levels: Levels, parameters: LayoutParameters = LayoutParameters()
) -> Int[np.ndarray, " V"]:
    """The `Situation` of every vertex."""
    tolerance = parameters.level_tolerance(surface.voxel_size)
    faces_up = surface.faces_up(parameters)
    faces_down = surface.upside_down.faces_up(parameters)
    situation = np.full(len(surface.height), Situation.SLANTED, dtype=np.int64)
    situation[(surface.area > 0) & (np.abs(surface.upward) < np.sin(parameters.vertical_angle))] = Situation.VERTICAL
    situation[faces_up] = Situation.UP
    situation[faces_down] = Situation.DOWN
    if levels.ceiling is not None:
        situation[faces_down & (np.abs(surface.height - levels.ceiling) <= tolerance)] = Situation.ON_CEILING
    for floor in levels.floors:
        level = np.flatnonzero(faces_up & (np.abs(surface.height - floor) <= tolerance))
        is_lowest = surface.is_clear_below(level, parameters) | (floor == levels.floors[0])
        situation[level[is_lowest]] = Situation.ON_FLOOR
    if levels.floors:
        situation[surface.height < levels.floors[0] - tolerance] = Situation.BELOW_FLOOR
    return situation
