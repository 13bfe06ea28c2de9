"""Votes of vertices: views in which a vertex lies in no mask, counted one by one."""

import numpy as np
import pytest
from scipy.sparse import coo_array

from panrecon.graph.evidence import Evidence
from panrecon.graph.votes import unmasked_evidence


@pytest.mark.parametrize("seed", range(5))
def test_unmasked_views_are_those_that_see_a_vertex_and_have_it_in_no_mask(seed: int) -> None:
    """Masks overlap: what lies in several counts once."""
    random = np.random.default_rng(seed)
    vertices, frames, masks = 30, 6, 11
    frame_of_mask = np.sort(random.integers(0, frames, masks))
    weight = random.uniform(0.2, 1, frames)
    visible = random.uniform(size=(vertices, frames)) < 0.7
    covered = (random.uniform(size=(vertices, masks)) < 0.3) & visible[:, frame_of_mask]
    evidence = Evidence(
        frames=tuple(map(str, range(frames))),
        weight_of_frame=weight,
        frame_of_mask=frame_of_mask,
        detection_of_mask=np.zeros(masks, np.int64),
        category_of_mask=np.zeros(masks, np.int32),
        score_of_mask=np.ones(masks),
        thing_mask=random.uniform(size=masks) < 0.5,
        vertices_of_unit=np.ones(vertices),
        visible=coo_array(visible.astype(np.float32)),
        covered=coo_array(covered.astype(np.float32)),
    )
    unmasked, views = unmasked_evidence(evidence)
    for vertex in range(vertices):
        seen = [frame for frame in range(frames) if visible[vertex, frame]]
        bare = [frame for frame in seen if not covered[vertex, frame_of_mask == frame].any()]
        assert views[vertex] == pytest.approx(weight[seen].sum())
        assert unmasked[vertex] == pytest.approx(weight[bare].sum())
