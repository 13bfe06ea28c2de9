"""What the layout says of a class: likelihoods of situations by role, silent where nothing is known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.layout.gravity import Gravity
from panrecon.layout.levels import Levels
from panrecon.layout.scene import Layout
from panrecon.layout.situations import Situation
from panrecon.refinement.layout_likelihood import (
    SHARES_OF_ALL,
    SHARES_OF_ROLE,
    contradiction,
    layout_log_ratios,
)
from panrecon.roles import Role
from panrecon.structures import VOID, Category, CategoryTable, Labels

NAMES = ("floor", "wall", "rug", "ceiling", "lamp")
FLOOR, WALL, RUG, CEILING, LAMP = range(5)
INDOORS = CategoryTable(tuple(Category(i + 1, name, thing=False) for i, name in enumerate(NAMES)))


def layout(floors: tuple[float, ...] = (0.0,)) -> Layout:
    gravity = Gravity(np.array([0.0, 0.0, 1.0]), 0.01)
    return Layout(gravity, Levels(floors, None), np.zeros(0), np.zeros(0, np.int64))


def test_shares_are_distributions_over_all_situations() -> None:
    for shares in (SHARES_OF_ALL, *SHARES_OF_ROLE.values()):
        assert len(shares) == len(Situation)
        assert_allclose(sum(shares), 1, atol=0.005)  # rounded to a thousandth


def test_ratios_are_those_of_the_shares() -> None:
    """A likelihood ratio averages to 1 over all surface."""
    ratios = layout_log_ratios(INDOORS, layout())
    of_all = (np.array(SHARES_OF_ALL) + 0.01) / (sum(SHARES_OF_ALL) + 0.01 * len(Situation))
    assert_allclose(np.exp(ratios) @ of_all, 1, rtol=1e-9)


@pytest.mark.parametrize(
    ("category", "situation", "is_likely"),
    [
        (FLOOR, Situation.ON_FLOOR, True),
        (FLOOR, Situation.VERTICAL, False),
        (FLOOR, Situation.ON_CEILING, False),
        (WALL, Situation.VERTICAL, True),
        (WALL, Situation.ON_FLOOR, False),
        (RUG, Situation.ON_FLOOR, True),
        (CEILING, Situation.ON_CEILING, True),
        (CEILING, Situation.ON_FLOOR, False),
    ],
)
def test_surface_lies_as_its_role_says(category: int, situation: Situation, is_likely: bool) -> None:
    ratio = layout_log_ratios(INDOORS, layout())[category, situation]
    assert ratio > 0.4 if is_likely else ratio < -1


def test_a_class_of_any_role_may_lie_anywhere() -> None:
    assert INDOORS[LAMP].role == Role.ANY
    assert not layout_log_ratios(INDOORS, layout())[LAMP].any()


@pytest.mark.parametrize(
    ("table", "floors"),
    [(INDOORS, ()), (CategoryTable((Category(1, "road", thing=False), Category(2, "wall", thing=False))), (0.0,))],
    ids=["no floor was seen", "no class is a floor"],
)
def test_nothing_is_said_without_a_floor(table: CategoryTable, floors: tuple[float, ...]) -> None:
    assert not layout_log_ratios(table, layout(floors)).any()


def test_contradiction_is_the_share_of_stuff_that_lies_as_it_never_does() -> None:
    category = np.array([FLOOR, FLOOR, WALL, WALL, VOID, WALL], np.int32)
    instance = np.array([VOID, VOID, VOID, VOID, VOID, 0], np.int32)
    situation = np.array([Situation.ON_FLOOR, Situation.VERTICAL, Situation.ON_FLOOR, Situation.VERTICAL, 0, 0])
    ratios = layout_log_ratios(INDOORS, layout())
    assert contradiction(ratios, situation, Labels(category, instance)) == 0.5
    nothing = Labels(np.full(6, VOID, np.int32), np.full(6, VOID, np.int32))
    assert contradiction(ratios, situation, nothing) == 0


def test_every_class_has_its_row() -> None:
    assert_array_equal(layout_log_ratios(INDOORS, layout()).shape, (len(INDOORS), len(Situation)))
