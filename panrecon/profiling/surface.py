"""The field's own surface: its distance at every node of a grid over the scene, and what the fused mesh vouches for.

How long a field takes to answer does not depend on what it has learnt; where its surface lies does. So a part of the
grid is asked, and the fused mesh, which has about as many vertices, stands for what comes out.
"""

from typing import Final

import numpy as np

from panrecon.field.field import PanopticField, SceneBox
from panrecon.field.inference import grid_shape, signed_distance
from panrecon.geometry.isosurface import zero_level_set
from panrecon.geometry.mesh import nearest_vertex
from panrecon.profiling.costs import timed
from panrecon.structures import TriangleMesh
from panrecon.threads import one_thread

EDGE: Final = 64  # nodes each way, at most, of the part that is asked
BYTES_OF_A_NODE: Final = 52.0  # its numbers twice, or its place, then a distance and whether it is trusted


@one_thread()
def surface_seconds(field: PanopticField, box: SceneBox, mesh: TriangleMesh, cell: float) -> float:
    """How long the surface takes at `cell` metres, but for its colours."""
    part = middle_of(box, cell)
    everywhere = np.ones(grid_shape(part, cell), dtype=bool)
    asking, _ = timed(lambda: signed_distance(field, part.origin + np.argwhere(everywhere) * cell))
    floor = np.indices(everywhere.shape, dtype=np.float32)[2] - everywhere.shape[2] / 2 + 0.25
    meshing, _ = timed(lambda: zero_level_set(floor, everywhere, cell))
    matching, _ = timed(lambda: nearest_vertex(mesh.vertices + cell / 2, mesh.vertices, cell))
    return (asking + meshing) * node_count(box, cell) / everywhere.size + 2 * matching


def node_count(box: SceneBox, cell: float) -> int:
    """Of the grid over the whole box."""
    x, y, z = grid_shape(box, cell)
    return x * y * z


def middle_of(box: SceneBox, cell: float) -> SceneBox:
    """The part of the box about its centre, at most `EDGE` nodes of its own grid each way."""
    nodes = np.array(grid_shape(box, cell))
    middle = np.minimum(nodes, EDGE)
    return SceneBox(box.origin + (nodes - middle) // 2 * cell, (middle - 0.5) * cell)
