"""Solid primitives: boxes, prisms, bodies of revolution, superellipsoids, leaves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from panrecon.geometry.projective import transform
from panrecon.simulation.scene.textures import Material

Number = float | int  # the shape checker of the tests tells them apart
Point = tuple[Number, Number, Number]


@dataclass(frozen=True)
class Part:
    """A surface of one material; `vertices` are in the world frame (m).

    The texture is evaluated in the part's own frame, in which a box of size `extent` (m) about the origin bounds it.
    """

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    material: Material
    extent: Float[np.ndarray, "3"]
    world_from_part: Float[np.ndarray, "4 4"]

    def moved(self, to_from: Float[np.ndarray, "4 4"]) -> "Part":
        """The part in the frame `to`; its texture moves along."""
        return replace(self, vertices=transform(to_from, self.vertices), world_from_part=to_from @ self.world_from_part)


def pose(
    offset: Point = (0.0, 0.0, 0.0), yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0
) -> Float[np.ndarray, "4 4"]:
    """The transform that rolls about y, pitches about x, yaws about z (radians) and then shifts by `offset` (m)."""
    result = np.eye(4)
    result[:3, :3] = axis_rotation(2, yaw) @ axis_rotation(0, pitch) @ axis_rotation(1, roll)
    result[:3, 3] = offset
    return result


def axis_rotation(axis: int, angle: float) -> Float[np.ndarray, "3 3"]:
    """The rotation by `angle` (radians) about the axis 0 = x, 1 = y or 2 = z."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    result = np.eye(3)
    result[i, i] = result[j, j] = np.cos(angle)
    result[j, i] = np.sin(angle)
    result[i, j] = -np.sin(angle)
    return result


def moved(parts: Sequence[Part], to_from: Float[np.ndarray, "4 4"]) -> list[Part]:
    """All parts in the frame `to`."""
    return [part.moved(to_from) for part in parts]


def bounds(parts: Sequence[Part]) -> Float[np.ndarray, "2 3"]:
    """The lowest and the highest corner of the parts' axis-aligned box."""
    vertices = np.concatenate([part.vertices for part in parts])
    return np.stack([vertices.min(axis=0), vertices.max(axis=0)])


def box(size: Point, centre: Point, material: Material) -> Part:
    """A box about `centre`; its sides share no vertices, so that edges are shaded sharp."""
    half = np.asarray(size) / 2
    sides = [_side(half, axis, sign) for axis in range(3) for sign in (-1.0, 1.0)]
    vertices = np.concatenate(sides)
    quads = np.arange(24).reshape(6, 4)
    return _part(vertices, _triangles(quads), material, np.asarray(size, dtype=np.float64), centre)


def prism(outline: Sequence[tuple[Number, Number]], width: Number, centre: Point, material: Material) -> Part:
    """A convex outline of (x, z) relative to `centre`, in order from x to z, extruded to `width` along y.

    Its sides share no vertices.
    """
    ring = np.asarray(outline, dtype=np.float64)
    count = len(ring)
    front = np.column_stack([ring[:, 0], np.full(count, -width / 2), ring[:, 1]])
    back = np.column_stack([ring[:, 0], np.full(count, width / 2), ring[:, 1]])
    successor = np.roll(np.arange(count), -1)
    sides = np.stack([front, back, back[successor], front[successor]], axis=1).reshape(-1, 3)
    fan = np.stack([np.zeros(count - 2), np.arange(1, count - 1), np.arange(2, count)], axis=1).astype(np.int64)
    quads = np.arange(4 * count).reshape(count, 4)
    low = ring.min(axis=0)
    high = ring.max(axis=0)
    middle = np.array([(low[0] + high[0]) / 2, 0.0, (low[1] + high[1]) / 2])
    vertices = np.concatenate([sides, front, back]) - middle
    faces = np.concatenate([_triangles(quads), fan + 4 * count, fan[:, ::-1] + 5 * count])
    extent = np.array([high[0] - low[0], width, high[1] - low[1]])
    return _part(vertices, faces, material, extent, (0.0, 0.0, 0.0)).moved(
        pose((centre[0] + middle[0], centre[1], centre[2] + middle[2]))
    )


def panel(size: tuple[Number, Number], material: Material, to_from: Float[np.ndarray, "4 4"]) -> Part:
    """One rectangle in the x-y plane about the origin, facing +z, then moved; it has no back side."""
    x = size[0] / 2
    y = size[1] / 2
    vertices = np.array([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0]])
    extent = np.array([size[0], size[1], 0.01])
    return _part(vertices, _triangles(np.arange(4)[None]), material, extent, (0.0, 0.0, 0.0)).moved(to_from)


def lathe(
    profile: Sequence[tuple[Number, Number]],
    centre: Point,
    material: Material,
    *,
    smooth: bool = False,
    sides: int = 24,
) -> Part:
    """The body of revolution about z of a profile of (radius, height above `centre`), from its bottom to its top.

    Unless `smooth`, the segments of the profile share no vertices.
    """
    rings = np.asarray(profile, dtype=np.float64)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    segments = [rings] if smooth else [rings[i : i + 2] for i in range(len(rings) - 1)]
    vertices = [_revolved(segment, angle) for segment in segments]
    offsets = np.cumsum([0] + [len(segment_vertices) for segment_vertices in vertices])
    faces = [_ring_faces(len(s), sides) + offset for s, offset in zip(segments, offsets[:-1], strict=True)]
    extent = np.array([2 * rings[:, 0].max(), 2 * rings[:, 0].max(), np.ptp(rings[:, 1])])
    return _part(np.concatenate(vertices), _non_degenerate(vertices, faces), material, extent, centre)


def cylinder(
    radius: float, height: float, bottom: Point, material: Material, *, top_radius: float | None = None
) -> Part:
    """An upright cylinder on the point `bottom`; with another `top_radius` the frustum of a cone."""
    upper_radius = radius if top_radius is None else top_radius
    profile = [(0.0, 0.0), (radius, 0.0), (upper_radius, height), (0.0, height)]
    return lathe(profile, bottom, material)


def cushion(size: Point, centre: Point, material: Material, *, softness: float = 0.35) -> Part:
    """A superellipsoid (Barr, 1981) that fills a box of `size`; `softness` 0 is that box, 1 an ellipsoid."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, 13)
    longitude = np.linspace(0, 2 * np.pi, 28, endpoint=False) + np.pi / 28
    lat, lon = np.meshgrid(latitude, longitude, indexing="ij")
    unit = np.stack(
        [
            _power(np.cos(lat), softness) * _power(np.cos(lon), softness),
            _power(np.cos(lat), softness) * _power(np.sin(lon), softness),
            _power(np.sin(lat), softness),
        ],
        axis=-1,
    ).reshape(-1, 3)
    vertices = unit * np.asarray(size) / 2
    faces = _non_degenerate([vertices], [_ring_faces(len(latitude), len(longitude))])
    return _part(vertices, faces, material, np.asarray(size, dtype=np.float64), centre)


def leaf(length: float, width: float, droop: float, material: Material) -> Part:
    """A blade from the origin along +y that rises and then droops; 4 mm thick, so that it has two sides."""
    along = np.linspace(0, 1, 7)
    half_width = width / 2 * np.sin(np.pi * np.clip(along, 0.04, 0.97)) ** 0.8
    height = length * (0.75 * along - droop * along**2)
    midrib = np.stack([np.zeros(7), along * length, height], axis=1)
    sideways = half_width[:, None] * np.array([1.0, 0.0, 0.0])
    fold = np.array([0.0, 0.0, 0.1 * width])
    top = np.concatenate([midrib - sideways, midrib - fold, midrib + sideways])
    step = np.arange(6)
    strips = [np.stack([step + 7 * i, step + 7 * i + 7, step + 7 * i + 8, step + 7 * i + 1], axis=1) for i in (0, 1)]
    upper = _triangles(np.concatenate(strips))
    vertices = np.concatenate([top, top - np.array([0, 0, 0.004])])
    faces = np.concatenate([upper, upper[:, ::-1] + len(top)])
    return _part(vertices, faces, material, np.array([width, length, length]), (0.0, 0.0, 0.0))


def rod(start: Point, end: Point, radius: float, material: Material) -> Part:
    """A thin cylinder from `start` to `end`."""
    axis = np.subtract(end, start)
    length = float(np.linalg.norm(axis))
    pitch = float(np.arccos(np.clip(axis[2] / length, -1, 1)))
    yaw = float(np.arctan2(axis[0], -axis[1]))
    profile = [(0.0, 0.0), (radius, 0.0), (radius, length), (0.0, length)]
    return lathe(profile, (0.0, 0.0, 0.0), material, sides=10).moved(pose(start, yaw=yaw, pitch=pitch))


def _part(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    material: Material,
    extent: Float[np.ndarray, "3"],
    centre: Point,
) -> Part:
    return Part(vertices, faces, material, extent.astype(np.float64), np.eye(4)).moved(pose(centre))


def _side(half: Float[np.ndarray, "3"], axis: int, sign: float) -> Float[np.ndarray, "4 3"]:
    first = (axis + 1) % 3
    second = (axis + 2) % 3
    corners = np.zeros((4, 3))
    corners[:, axis] = sign * half[axis]
    corners[:, first] = half[first] * np.array([-1, 1, 1, -1])
    corners[:, second] = half[second] * np.array([-1, -1, 1, 1])
    return corners if sign > 0 else corners[::-1]


def _triangles(quads: Int[np.ndarray, "Q 4"]) -> Int[np.ndarray, "F 3"]:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _revolved(profile: Float[np.ndarray, "R 2"], angle: Float[np.ndarray, " S"]) -> Float[np.ndarray, "V 3"]:
    radius = profile[:, :1]
    height = np.broadcast_to(profile[:, 1:], (len(profile), len(angle)))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=-1).reshape(-1, 3)


def _ring_faces(rings: int, sides: int) -> Int[np.ndarray, "F 3"]:
    ring, side = np.meshgrid(np.arange(rings - 1), np.arange(sides), indexing="ij")
    corner = ring * sides + side
    next_corner = ring * sides + (side + 1) % sides
    return _triangles(np.stack([corner, next_corner, next_corner + sides, corner + sides], axis=-1).reshape(-1, 4))


def _non_degenerate(
    vertices: Sequence[Float[np.ndarray, "_ 3"]], faces: Sequence[Int[np.ndarray, "_ 3"]]
) -> Int[np.ndarray, "F 3"]:
    """The faces with an area above 0: rings of radius 0 make degenerate ones."""
    points = np.concatenate(vertices)
    triangles = np.concatenate(faces)
    a, b, c = (points[triangles[:, i]] for i in range(3))
    return triangles[np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-10]


def _power(value: Float[np.ndarray, "*n"], exponent: float) -> Float[np.ndarray, "*n"]:
    return np.sign(value) * np.abs(value) ** exponent
