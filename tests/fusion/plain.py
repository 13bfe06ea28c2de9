"""The fusion once more, in plain numpy: what the kernels must come to, bit for bit."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from panrecon.config import MeshSettings
from panrecon.fusion.marching_cubes import EDGES, triangles_of_cases
from panrecon.fusion.point_to_plane import incidence_cosine
from panrecon.geometry.projective import invert
from panrecon.structures import View

BLOCK, UNIT = 8, 32_767
Place = tuple[int, int, int]  # of a block in the world
Sums = Int[np.ndarray, "512 5"]  # of a block's voxels, x fastest: distance, red, green, blue, observations
single = np.float32


def plain_volume(views: list[View], settings: MeshSettings) -> dict[Place, Sums]:
    """The sums of all blocks after all views."""
    blocks: dict[Place, Sums] = {}
    for view in views:
        for place in touched(view, settings):
            blocks.setdefault(place, np.zeros((BLOCK**3, 5), np.int64))
            blocks[place] += observed(view, place, settings)
    return blocks


def touched(view: View, settings: MeshSettings) -> set[Place]:
    """The blocks of points on the rays of every 4th pixel, from a truncation before the surface to one behind it."""
    camera, size, truncation = view.camera, BLOCK * settings.voxel_size, settings.truncation * settings.voxel_size
    steps = int(np.ceil(settings.truncation / 2))
    v, u = (axis.ravel() for axis in np.mgrid[2 : camera.height : 4, 2 : camera.width : 4])
    depth = view.depth[v, u].astype(np.float64)
    measured = (depth > 0) & (view.depth[v, u] <= single(settings.depth_max))
    right, down = ((u - camera.cx) / camera.fx)[measured], ((v - camera.cy) / camera.fy)[measured]
    z = depth[measured, None] + truncation * (2 * np.arange(steps + 1) - steps) / steps
    x, y, m = right[:, None] * z, down[:, None] * z, view.world_from_camera
    world = [m[axis, 0] * x + m[axis, 1] * y + m[axis, 2] * z + m[axis, 3] for axis in range(3)]
    blocks = np.stack([np.floor(values / size) for values in world], axis=-1)[z > 0].astype(int)
    return {(int(a), int(b), int(c)) for a, b, c in np.unique(blocks, axis=0)}


def observed(view: View, place: Place, settings: MeshSettings) -> Sums:
    """What one view adds to the sums of a block's voxels."""
    camera, voxel, truncation = view.camera, settings.voxel_size, settings.truncation * settings.voxel_size
    m = invert(view.world_from_camera)
    corner = [(number * BLOCK + 0.5) * voxel for number in place]
    z, y, x = (axis.ravel().astype(single) for axis in np.mgrid[:BLOCK, :BLOCK, :BLOCK])
    right, down, far = (
        single(m[axis, 0] * corner[0] + m[axis, 1] * corner[1] + m[axis, 2] * corner[2] + m[axis, 3])
        + z * single(m[axis, 2] * voxel)
        + y * single(m[axis, 1] * voxel)
        + x * single(m[axis, 0] * voxel)
        for axis in range(3)
    )
    seen = far > single(1e-6)
    inverse = 1 / np.where(seen, far, single(1))
    u = right * inverse * single(camera.fx) + single(camera.cx + 1.5)  # a pixel further, halves rounded up
    v = down * inverse * single(camera.fy) + single(camera.cy + 1.5)
    column, row = (
        np.clip(value, 0, single(size + 1)).astype(int) - 1 for value, size in ((u, camera.width), (v, camera.height))
    )
    seen &= (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    row, column = np.where(seen, row, 0), np.where(seen, column, 0)
    depth = view.depth[row, column]
    ahead = depth - far
    if settings.point_to_plane:
        ahead *= incidence_cosine(view.depth, camera)[row, column]
    seen &= (depth > 0) & (depth <= single(settings.depth_max)) & (ahead >= single(-truncation))
    distance = np.rint(np.minimum(ahead * single(UNIT / truncation), single(UNIT)))
    return np.where(seen[:, None], np.column_stack([distance, view.color[row, column], np.ones(len(x))]), 0).astype(int)


def plain_surface(
    blocks: Mapping[Place, Sums], settings: MeshSettings
) -> tuple[Float[np.ndarray, "F 3 3"], Int[np.ndarray, "F 3 3"]]:
    """Corners and colours of all triangles, cell by cell."""
    sums = {
        (BLOCK * a + i % 8, BLOCK * b + i // 8 % 8, BLOCK * c + i // 64): row
        for (a, b, c), rows in blocks.items()
        for i, row in enumerate(rows.tolist())
        if row[4] > settings.weight_threshold
    }
    corners, colors = [], []
    for x, y, z in sums:
        cell = [sums.get((x + (c & 1), y + (c >> 1 & 1), z + (c >> 2))) for c in range(8)]
        if None in cell:
            continue
        case = sum((row[0] < 0) << c for c, row in enumerate(cell) if row)
        for triangle in TABLE[case][TABLE[case][:, 0] >= 0]:
            ends = [crossing((x, y, z), EDGES[edge], sums, settings.voxel_size) for edge in triangle]
            corners.append([position for position, _ in ends])
            colors.append([color for _, color in ends])
    return np.array(corners), np.array(colors)


def crossing(
    cell: Place, edge: tuple[int, int], sums: Mapping[Place, list[int]], voxel_size: float
) -> tuple[list[np.float32], list[int]]:
    """Where the distance is zero between the ends of a cell's edge, and the colour there."""
    corner, axis = edge
    one = tuple(cell[i] + (corner >> i & 1) for i in range(3))
    other = tuple(one[i] + (i == axis) for i in range(3))
    a, b = sums[one[0], one[1], one[2]], sums[other[0], other[1], other[2]]
    near, far = a[0] / a[4], b[0] / b[4]
    along = min(max(near / (near - far), 0.001), 0.999)
    position = [single((one[i] + (along + 0.5 if i == axis else 0.5)) * voxel_size) for i in range(3)]
    return position, [int(np.rint((1 - along) * a[i] / a[4] + along * b[i] / b[4])) for i in (1, 2, 3)]


TABLE = triangles_of_cases()
