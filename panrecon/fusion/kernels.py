"""The loops of the TSDF, compiled for every core (numba).

Space is cut into blocks of BLOCK^3 voxels. A block's key packs its coordinates, counted from the scan's lowest block,
BLOCK_BITS an axis; the key of an edge packs those of its first voxel, VOXEL_BITS an axis, and its axis.

Voxel centres lie at half integers, so a floor at z = 0 lies between centres and noise does not decide their side. Every
voxel is written by one thread and holds sums of integers, so neither threads nor the order of frames affect the result.
Floating-point operations are neither contracted nor reordered, so a plain numpy twin gives the same bits.
"""

from typing import Any, Final, NamedTuple, no_type_check

import numba
import numpy as np

from panrecon.threads import prefer_openmp

BLOCK: Final = 8  # voxels along an edge of a block
SLICE: Final = BLOCK**2
VOXELS: Final = BLOCK**3
UNIT: Final = 32_767  # the truncation distance in a voxel's sum; a unit is 2.4 um of 8 cm
MAX_WEIGHT: Final = 65_535  # observations after which a voxel is not updated, so that its sums fit 32 bits
VOXEL_BITS: Final = 20
BLOCK_BITS: Final = VOXEL_BITS - 3
EMPTY: Final = -1  # no key, no block
MIN_DEPTH: Final = np.float32(1e-6)  # m; nearer points lie behind the camera
COMPILED: Final[dict[str, Any]] = {"cache": True, "error_model": "numpy"}
prefer_openmp()


class Intrinsics(NamedTuple):
    """Focal lengths and principal point, pixels."""

    fx: float
    fy: float
    cx: float
    cy: float


class PaddedImage(NamedTuple):
    """Depth (m, 0 = not measured) and colour (0xBBGGRR), padded by one empty pixel on every side.

    `incidence_cosine` scales the distance along a pixel's ray to that from its plane; it is empty where none is scaled.
    """

    depth: np.ndarray
    color: np.ndarray
    incidence_cosine: np.ndarray


class VoxelSums(NamedTuple):
    """Sums over observations (signed distance in truncations / UNIT, colour) and their number, by block and voxel.

    The x coordinate of a voxel varies fastest.
    """

    distance: np.ndarray
    color: np.ndarray
    weight: np.ndarray


class Cases(NamedTuple):
    """Marching cubes: the edges and the number of each case's triangles, and each edge's first corner and axis.

    An argument of the kernels, for compiled code caches globals.
    """

    triangles: np.ndarray
    of_case: np.ndarray
    corner: np.ndarray
    axis: np.ndarray


class BlockTable(NamedTuple):
    """Blocks by key, in a hash table whose length is a power of two."""

    keys: np.ndarray
    blocks: np.ndarray


@numba.njit(inline="always", **COMPILED)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def _slot(keys, key):
    """The slot of a key in a hash table, or the free slot where it belongs."""
    mask = np.uint64(len(keys) - 1)
    slot = (np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32) & mask
    while keys[slot] != key and keys[slot] != EMPTY:
        slot = (slot + np.uint64(1)) & mask
    return slot


@numba.njit(**COMPILED)
@no_type_check
def touched_blocks(
    depth, intrinsics, world_from_camera, stride, steps, truncation, block_size, lower, low, high, slots
):
    """The keys of the blocks in which the measured surface lies, give or take the truncation distance; sorted.

    Every `stride`-th pixel is sampled at `steps` + 1 points of its ray. Blocks outside `low` .. `high` (exclusive,
    counted from `lower`) are left out. `slots` is a hash table of EMPTY, before and after. Also returns the lowest and
    the highest block, including those left out.
    """
    m = world_from_camera
    keys = np.empty(len(slots), np.int64)
    used = np.empty(len(slots), np.int64)
    count = 0
    box_low = np.full(3, 1 << BLOCK_BITS)
    box_high = np.full(3, -1)
    last_x, last_y, last_z = np.int64(-1), np.int64(-1), np.int64(-1)
    for v in range(stride // 2, depth.shape[0], stride):
        for u in range(stride // 2, depth.shape[1], stride):
            measured = np.float64(depth[v, u])
            if not measured > 0:
                continue
            right = (u - intrinsics.cx) / intrinsics.fx
            down = (v - intrinsics.cy) / intrinsics.fy
            for step in range(steps + 1):
                z = measured + truncation * (2 * step - steps) / steps
                if z <= 0:
                    continue
                x, y = right * z, down * z
                bx = np.int64(np.floor((m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]) / block_size)) - lower[0]
                by = np.int64(np.floor((m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) / block_size)) - lower[1]
                bz = np.int64(np.floor((m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]) / block_size)) - lower[2]
                if bx == last_x and by == last_y and bz == last_z:
                    continue
                last_x = bx
                last_y = by
                last_z = bz
                box_low[0], box_low[1], box_low[2] = min(box_low[0], bx), min(box_low[1], by), min(box_low[2], bz)
                box_high[0], box_high[1], box_high[2] = max(box_high[0], bx), max(box_high[1], by), max(box_high[2], bz)
                if not (low[0] <= bx < high[0] and low[1] <= by < high[1] and low[2] <= bz < high[2]):
                    continue
                key = bx << 2 * BLOCK_BITS | by << BLOCK_BITS | bz
                slot = _slot(slots, key)
                if slots[slot] == EMPTY:
                    slots[slot] = key
                    keys[count] = key
                    used[count] = slot
                    count += 1
    for index in range(count):
        slots[used[index]] = EMPTY
    return np.sort(keys[:count]), box_low, box_high


@numba.njit(**COMPILED)
@no_type_check
def find_or_add(keys, table, count):
    """The block of every key; keys that are not in the table are added, with numbers from `count` on."""
    blocks = np.empty(len(keys), np.int64)
    for i in range(len(keys)):
        slot = _slot(table.keys, keys[i])
        if table.keys[slot] == EMPTY:
            table.keys[slot] = keys[i]
            table.blocks[slot] = count
            count += 1
        blocks[i] = table.blocks[slot]
    return blocks


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def padded(depth, color, incidence_cosine, depth_max):
    """A padded depth and colour image, without depths above `depth_max` (m); `incidence_cosine` may be empty."""
    height, width = depth.shape
    depths = np.zeros((height + 2, width + 2), np.float32)
    colors = np.zeros((height + 2, width + 2), np.uint32)
    cosines = np.ones((height + 2, width + 2) if incidence_cosine.size else (0, 0), np.float32)
    for v in numba.prange(height):
        for u in range(width):
            measured = depth[v, u]
            depths[v + 1, u + 1] = measured if measured <= depth_max else np.float32(0)
            red = np.uint32(color[v, u, 0])
            green = np.uint32(color[v, u, 1])
            blue = np.uint32(color[v, u, 2])
            colors[v + 1, u + 1] = red | green << np.uint32(8) | blue << np.uint32(16)
            if incidence_cosine.size:
                cosines[v + 1, u + 1] = incidence_cosine[v, u]
    return PaddedImage(depths, colors, cosines)


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def integrate(voxels, blocks, keys, lower, image, intrinsics, camera_from_world, voxel_size, truncation):
    """Adds an image to the blocks named by `keys`: to every voxel the measurement of its nearest pixel.

    A voxel farther than the truncation distance behind the measured surface is unchanged; one farther in front of it
    gets the truncation distance.
    """
    m = camera_from_world
    real = np.float32
    fx = real(intrinsics.fx)
    fy = real(intrinsics.fy)
    cx, cy = real(intrinsics.cx + 1.5), real(intrinsics.cy + 1.5)  # in the padded image
    rows, columns = image.depth.shape
    right = real(columns - 1)
    bottom = real(rows - 1)
    width = np.int32(columns)
    depths = image.depth.reshape(-1)
    colors = image.color.reshape(-1)
    cosines = image.incidence_cosine.reshape(-1)
    xx, xy, xz = real(m[0, 0] * voxel_size), real(m[1, 0] * voxel_size), real(m[2, 0] * voxel_size)
    yx, yy, yz = real(m[0, 1] * voxel_size), real(m[1, 1] * voxel_size), real(m[2, 1] * voxel_size)
    zx, zy, zz = real(m[0, 2] * voxel_size), real(m[1, 2] * voxel_size), real(m[2, 2] * voxel_size)
    behind = real(-truncation)
    unit = real(UNIT / truncation)
    last = (1 << BLOCK_BITS) - 1
    for i in numba.prange(len(blocks)):
        pixels = np.empty(SLICE, np.int32)
        fars = np.empty(SLICE, np.float32)
        block = blocks[i]
        wx = (((keys[i] >> 2 * BLOCK_BITS) + lower[0]) * BLOCK + 0.5) * voxel_size
        wy = (((keys[i] >> BLOCK_BITS & last) + lower[1]) * BLOCK + 0.5) * voxel_size
        wz = (((keys[i] & last) + lower[2]) * BLOCK + 0.5) * voxel_size
        ox = real(m[0, 0] * wx + m[0, 1] * wy + m[0, 2] * wz + m[0, 3])
        oy = real(m[1, 0] * wx + m[1, 1] * wy + m[1, 2] * wz + m[1, 3])
        oz = real(m[2, 0] * wx + m[2, 1] * wy + m[2, 2] * wz + m[2, 3])
        distance = voxels.distance[block]
        color = voxels.color[block]
        weight = voxels.weight[block]
        for z in range(BLOCK):
            for y in range(BLOCK):
                rx, ry, rz = (
                    ox + real(z) * zx + real(y) * yx,
                    oy + real(z) * zy + real(y) * yy,
                    oz + real(z) * zz + real(y) * yz,
                )
                for x in range(BLOCK):
                    far = rz + real(x) * xz
                    inverse = real(1) / (far if far > MIN_DEPTH else real(1))
                    u = (rx + real(x) * xx) * inverse * fx + cx
                    v = (ry + real(x) * xy) * inverse * fy + cy
                    u, v = min(max(u, real(0)), right), min(max(v, real(0)), bottom)
                    pixels[y * BLOCK + x] = np.int32(v) * width + np.int32(u)
                    fars[y * BLOCK + x] = far
            for j in range(SLICE):
                measured = depths[pixels[j]]
                ahead = measured - fars[j]
                if cosines.size:
                    ahead *= cosines[pixels[j]]
                voxel = z * SLICE + j
                if measured > 0 and ahead >= behind and fars[j] > MIN_DEPTH and weight[voxel] < MAX_WEIGHT:
                    distance[voxel] += np.int32(np.rint(min(ahead * unit, real(UNIT))))
                    rgb = colors[pixels[j]]
                    color[voxel, 0] += np.int32(rgb & np.uint32(255))
                    color[voxel, 1] += np.int32(rgb >> np.uint32(8) & np.uint32(255))
                    color[voxel, 2] += np.int32(rgb >> np.uint32(16))
                    weight[voxel] += np.uint16(1)


@numba.njit(inline="always", **COMPILED)
@no_type_check
def _block_of(table, x, y, z):
    """The block at these coordinates, EMPTY where there is none."""
    slot = _slot(table.keys, x << 2 * BLOCK_BITS | y << BLOCK_BITS | z)
    return table.blocks[slot] if table.keys[slot] != EMPTY else np.int64(EMPTY)


@numba.njit(**COMPILED)
@no_type_check
def _sides(voxels, table, key, threshold):
    """The side of a block's voxels and the next ones above: 0 where observed too rarely, 1 outside, 2 inside."""
    side = np.zeros((BLOCK + 1, BLOCK + 1, BLOCK + 1), np.uint8)
    last = (1 << BLOCK_BITS) - 1
    bx, by, bz = key >> 2 * BLOCK_BITS, key >> BLOCK_BITS & last, key & last
    for corner in range(8):
        i, j, k = corner & 1, corner >> 1 & 1, corner >> 2
        block = _block_of(table, bx + i, by + j, bz + k)
        if block == EMPTY:
            continue
        for z in range(1 if k else BLOCK):
            for y in range(1 if j else BLOCK):
                for x in range(1 if i else BLOCK):
                    voxel = (z * BLOCK + y) * BLOCK + x
                    if voxels.weight[block, voxel] > threshold:
                        side[z + k * BLOCK, y + j * BLOCK, x + i * BLOCK] = (
                            1 if voxels.distance[block, voxel] >= 0 else 2
                        )
    return side


@numba.njit(inline="always", **COMPILED)
@no_type_check
def _case(side, x, y, z):
    """The case of a cell: the corners inside; 0 where one was observed too rarely."""
    case = 0
    for corner in range(8):
        at = side[z + (corner >> 2), y + (corner >> 1 & 1), x + (corner & 1)]
        if at == 0:
            return 0
        case |= (at >> 1) << corner
    return case


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def count_faces(voxels, table, keys, threshold, cases):
    """The number of triangles in the cells of every block named by `keys`."""
    result = np.zeros(len(keys), np.int64)
    for i in numba.prange(len(keys)):
        side = _sides(voxels, table, keys[i], threshold)
        for z in range(BLOCK):
            for y in range(BLOCK):
                for x in range(BLOCK):
                    result[i] += cases.of_case[_case(side, x, y, z)]
    return result


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def faces_of_blocks(voxels, table, keys, threshold, cases, first, total):
    """The edges (keys) that the corners of `total` triangles lie on; a block's begin at its `first`."""
    result = np.empty((total, 3), np.int64)
    last = (1 << BLOCK_BITS) - 1
    for i in numba.prange(len(keys)):
        side = _sides(voxels, table, keys[i], threshold)
        face = first[i]
        bx, by, bz = keys[i] >> 2 * BLOCK_BITS, keys[i] >> BLOCK_BITS & last, keys[i] & last
        for z in range(BLOCK):
            for y in range(BLOCK):
                for x in range(BLOCK):
                    case = _case(side, x, y, z)
                    for triangle in range(cases.of_case[case]):
                        for corner_of_face in range(3):
                            edge = cases.triangles[case, triangle, corner_of_face]
                            corner = cases.corner[edge]
                            ex = bx * BLOCK + x + (corner & 1)
                            ey = by * BLOCK + y + (corner >> 1 & 1)
                            ez = bz * BLOCK + z + (corner >> 2)
                            voxel = (ex << VOXEL_BITS | ey) << VOXEL_BITS | ez
                            result[face, corner_of_face] = voxel << 2 | cases.axis[edge]
                        face += 1
    return result


@numba.njit(parallel=True, **COMPILED)
@no_type_check
def vertices_on_edges(voxels, table, edges, lower, voxel_size):
    """Position (m) and colour where the surface crosses every edge; never at its ends, so that no face is without area.

    Positions are summed in double precision from whole voxels.
    """
    positions = np.empty((len(edges), 3), np.float32)
    colors = np.empty((len(edges), 3), np.uint8)
    last = (1 << VOXEL_BITS) - 1
    within = BLOCK - 1
    for i in numba.prange(len(edges)):
        axis = edges[i] & 3
        voxel = edges[i] >> 2
        x, y, z = voxel >> 2 * VOXEL_BITS, voxel >> VOXEL_BITS & last, voxel & last
        p, q, r = x + (axis == 0), y + (axis == 1), z + (axis == 2)
        start_block = _block_of(table, x >> 3, y >> 3, z >> 3)
        end_block = _block_of(table, p >> 3, q >> 3, r >> 3)
        a = ((z & within) * BLOCK + (y & within)) * BLOCK + (x & within)
        b = ((r & within) * BLOCK + (q & within)) * BLOCK + (p & within)
        n = np.float64(voxels.weight[start_block, a])
        m = np.float64(voxels.weight[end_block, b])
        near = voxels.distance[start_block, a] / n
        far = voxels.distance[end_block, b] / m
        along = min(max(near / (near - far), 0.001), 0.999)
        positions[i, 0] = (x + lower[0] * BLOCK + (along + 0.5 if axis == 0 else 0.5)) * voxel_size
        positions[i, 1] = (y + lower[1] * BLOCK + (along + 0.5 if axis == 1 else 0.5)) * voxel_size
        positions[i, 2] = (z + lower[2] * BLOCK + (along + 0.5 if axis == 2 else 0.5)) * voxel_size
        for channel in range(3):
            start_part = (1 - along) * voxels.color[start_block, a, channel] / n
            end_part = along * voxels.color[end_block, b, channel] / m
            colors[i, channel] = np.uint8(np.rint(start_part + end_part))
    return positions, colors
