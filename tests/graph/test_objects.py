"""Laws of an object's existence: what most frames call stuff is none; what they merely miss is."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.graph.association import Association
from panrecon.graph.evidence import Evidence
from panrecon.graph.objects import contradictions, object_features, probabilities, without_improbable
from panrecon.graph.parameters import GraphParameters
from panrecon.structures import VOID, CategoryTable

from .conftest import CHAIR, FLOOR, TABLE, Tiles, evidence_of, labels_of_vertices, solve
from .test_rivals import Masks, shots_of

PARAMETERS = GraphParameters()
FLOOR_TILES = tuple(range(16, 24))  # the last of three lines of eight
ON_FLOOR = (18, 19)
FOUND: Masks = [(FLOOR, FLOOR_TILES), (CHAIR, ON_FLOOR)]
CALLED_FLOOR: Masks = [(FLOOR, FLOOR_TILES)]
SILENT: Masks = [(FLOOR, (16, 17, 20, 21, 22, 23))]
IN_A_TABLE: Masks = [(TABLE, FLOOR_TILES)]


def objects_of(tiles: Tiles, table: CategoryTable, frames: list[Masks]) -> set[int]:
    """The classes of the objects that have vertices of the chair on the floor."""
    labels = labels_of_vertices(solve(shots_of(tiles, frames), table, tiles.superface_of_vertex))
    inside = np.isin(tiles.superface_of_vertex, ON_FLOOR) & (labels.instance != VOID)
    return set(labels.category[inside].tolist())


def test_what_most_frames_call_stuff_is_no_object(tiles: Tiles, table: CategoryTable) -> None:
    assert objects_of(tiles, table, [FOUND] * 4) == {CHAIR}
    assert not objects_of(tiles, table, [FOUND] * 4 + [CALLED_FLOOR] * 16)


def test_an_object_that_most_frames_merely_miss_remains(tiles: Tiles, table: CategoryTable) -> None:
    assert objects_of(tiles, table, [FOUND] * 4 + [SILENT] * 16) == {CHAIR}


def test_an_improbable_object_leaves_its_surface_to_stuff(tiles: Tiles, table: CategoryTable) -> None:
    frames = [FOUND] * 4 + [CALLED_FLOOR] * 16
    labels = labels_of_vertices(solve(shots_of(tiles, frames), table, tiles.superface_of_vertex))
    assert (labels.category[np.isin(tiles.superface_of_vertex, FLOOR_TILES)] == FLOOR).all()


def chair_among(frames: list[Masks], tiles: Tiles, table: CategoryTable) -> tuple[Evidence, Association]:
    """The evidence of these frames, and the chair on the floor as the only object."""
    evidence = evidence_of(shots_of(tiles, frames), table, tiles.superface_of_vertex)
    object_of_superface = np.where(np.isin(np.arange(24), ON_FLOOR), 0, VOID).astype(np.int32)
    object_of_mask = np.where(evidence.category_of_mask == CHAIR, 0, VOID).astype(np.int32)
    return evidence, Association(object_of_superface, object_of_mask, 1)


def test_frames_contradict_by_what_they_call_it(tiles: Tiles, table: CategoryTable) -> None:
    evidence, chair = chair_among([FOUND, CALLED_FLOOR, SILENT, IN_A_TABLE], tiles, table)
    contradicted = contradictions(evidence, chair, PARAMETERS)
    assert_array_equal(contradicted.by_stuff, [[False, True, False, False]])
    assert_array_equal(contradicted.by_things, [[False, False, False, True]])
    features = object_features(evidence, chair, PARAMETERS)
    assert_allclose(features, [[1, 1, np.log(2), 0, 0]], atol=1e-12)  # one frame finds it, one contradicts it each way


def test_stuff_speaks_more_against_an_object_than_a_larger_thing_does(tiles: Tiles, table: CategoryTable) -> None:
    """Masks of a table often hold the cup on it; those of a floor seldom hold what is no floor."""

    def existence(others: Masks) -> float:
        features = object_features(*chair_among([FOUND] * 4 + [others] * 8, tiles, table), PARAMETERS)
        return float(probabilities(features, PARAMETERS.existence)[0])

    assert 0 < existence(CALLED_FLOOR) < min(existence(SILENT), existence(IN_A_TABLE)) < 1


def test_without_objects_nothing_is_left_out(tiles: Tiles, table: CategoryTable) -> None:
    evidence = evidence_of(shots_of(tiles, [CALLED_FLOOR]), table, tiles.superface_of_vertex)
    none = Association(np.full(24, VOID, np.int32), np.full(evidence.mask_count, VOID, np.int32), 0)
    assert without_improbable(evidence, none, PARAMETERS) is none
