"""What the situation of a vertex says of its class: floors face up at the bottom of a room, walls stand.

A likelihood, not a rule: a rug lies on the floor as the floor does, and a class without a role may lie anywhere.
"""

from typing import Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.layout.scene import Layout
from panrecon.layout.situations import Situation
from panrecon.roles import Role
from panrecon.structures import VOID, CategoryTable, Labels

# Shares of the true surface of a role in every situation, in the order of `Situation`; counted on the simulated rooms
# of `benchmarks/label_parameters.py`, none of which is reported. A role that is absent there says nothing.
SHARES_OF_ROLE: Final[dict[Role, tuple[float, ...]]] = {
    Role.FLOOR: (0.977, 0.0, 0.0, 0.002, 0.004, 0.016, 0.0),
    Role.CEILING: (0.0, 0.99, 0.0, 0.0, 0.002, 0.008, 0.0),
    Role.WALL: (0.001, 0.002, 0.005, 0.006, 0.924, 0.062, 0.0),
    Role.ON_FLOOR: (0.991, 0.0, 0.0, 0.0, 0.001, 0.008, 0.0),
    Role.ON_WALL: (0.001, 0.0, 0.032, 0.019, 0.837, 0.111, 0.0),
    Role.STANDING: (0.002, 0.0, 0.244, 0.045, 0.508, 0.202, 0.0),
    Role.RESTING: (0.001, 0.0, 0.212, 0.034, 0.529, 0.225, 0.0),
}
SHARES_OF_ALL: Final = (0.149, 0.203, 0.044, 0.012, 0.519, 0.072, 0.0)
PSEUDO_SHARE: Final = 0.01  # added to all of them: no situation is impossible, poses and depth are never exact
CONTRADICTION: Final = -1.0  # log likelihood ratio below which a label contradicts the layout


def layout_log_ratios(table: CategoryTable, layout: Layout) -> Float[np.ndarray, "C S"]:
    """log p(situation | class) / p(situation), for every class and `Situation`; 0 where nothing is said.

    Without a floor, or where no class is a floor (outdoors), nothing is.
    """
    ratios = np.zeros((len(table), len(Situation)))
    if not layout.levels.floors or all(category.role != Role.FLOOR for category in table.categories):
        return ratios
    of_all = _smoothed_shares(SHARES_OF_ALL)
    for index, category in enumerate(table.categories):
        if category.role in SHARES_OF_ROLE:
            ratios[index] = np.log(_smoothed_shares(SHARES_OF_ROLE[category.role]) / of_all)
    return ratios


def contradiction(ratios: Float[np.ndarray, "C S"], situation: Int[np.ndarray, " V"], labels: Labels) -> float:
    """The share of the vertices labelled as stuff whose label the layout contradicts, in [0, 1]; 0 if there are none.

    How far the masks of a scan call surface by wrong words: errors that repeat from view to view, of which agreement
    among views says nothing.
    """
    is_stuff = (labels.category != VOID) & (labels.instance == VOID)
    ratio = ratios[labels.category[is_stuff], situation[is_stuff]]
    return float(np.mean(ratio < CONTRADICTION)) if len(ratio) else 0.0


def _smoothed_shares(shares: tuple[float, ...]) -> Float[np.ndarray, " S"]:
    smoothed = np.asarray(shares) + PSEUDO_SHARE
    return np.asarray(smoothed / smoothed.sum())
