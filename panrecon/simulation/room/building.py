"""The building of a room: walls with an opening for the window, floor, ceiling, door, window."""

from dataclasses import dataclass, replace

import numpy as np

from panrecon.simulation.room.furniture import BRASS
from panrecon.simulation.room.items import Item, Light
from panrecon.simulation.room.layout import YAW_OF_WALL, Rectangle
from panrecon.simulation.scene.shapes import Part, box, moved, panel, pose, rod
from panrecon.simulation.scene.textures import Material

REVEAL = 0.14  # depth of the window's opening, m


@dataclass(frozen=True)
class Opening:
    """A window or door: its wall, and its extent along the wall (m, from the left seen from inside) and in height."""

    wall: str
    middle: float
    width: float
    bottom: float
    top: float

    @property
    def span(self) -> tuple[float, float]:
        """The left and the right end along the wall (m)."""
        return self.middle - self.width / 2, self.middle + self.width / 2


@dataclass(frozen=True)
class Shell:
    """The size of a room (x, y, z in m), its window and its door."""

    size: tuple[float, float, float]
    window: Opening
    door: Opening

    def world_from_wall(self, wall: str) -> np.ndarray:
        """The transform from a wall's frame: x to the right along it from its left corner, y into the wall, z up."""
        x, y, _ = self.size
        origin = {"north": (0.0, y), "east": (x, y), "south": (x, 0.0), "west": (0.0, 0.0)}[wall]
        return pose((*origin, 0.0), yaw=YAW_OF_WALL[wall])

    def wall_length(self, wall: str) -> float:
        """The length (m) of the wall "north", "east", "south" or "west"."""
        return self.size[0] if wall in ("north", "south") else self.size[1]

    def floor_before(self, opening: Opening, depth: float) -> Rectangle:
        """The floor within `depth` metres of an opening."""
        corners = np.array([[opening.span[0], 0, 0], [opening.span[1], -depth, 0]])
        world_from_wall = self.world_from_wall(opening.wall)
        low, high = np.sort(corners @ world_from_wall[:3, :3].T + world_from_wall[:3, 3], axis=0)
        return Rectangle((low[0], high[0]), (low[1], high[1]))


def shell_items(
    shell: Shell, paper: dict[str, Material], floor: Material, ceiling: Material, wood: Material
) -> list[Item]:
    """The building's surfaces, which are stuff; `paper` is the material of every wall, `wood` that of the door."""
    x, y, z = shell.size
    walls = [part for wall in YAW_OF_WALL for part in _wall(shell, wall, paper[wall])]
    skirting = [part for wall in YAW_OF_WALL for part in _skirting(shell, wall)]
    return [
        Item("floor", (panel((x, y), floor, pose((x / 2, y / 2, 0.0))),)),
        Item("ceiling", (panel((x, y), ceiling, pose((x / 2, y / 2, z), pitch=np.pi)),)),
        Item("wall", tuple(walls + skirting)),
        Item("window", tuple(moved(_window(shell.window), shell.world_from_wall(shell.window.wall)))),
        Item("door", tuple(moved(_door(shell.door, wood), shell.world_from_wall(shell.door.wall)))),
    ]


def daylight(shell: Shell, strength: float) -> Light:
    """The window as an area light; `strength` scales its power."""
    window = shell.window
    world_from_wall = shell.world_from_wall(window.wall)
    centre = world_from_wall @ [window.middle, REVEAL - 0.09, (window.bottom + window.top) / 2, 1]
    right = world_from_wall[:3, 0] * (window.width / 2 - 0.1)
    up = np.array([0, 0, (window.top - window.bottom) / 2 - 0.1])
    facing = -world_from_wall[:3, 1]
    power = (1.0 * strength, 1.04 * strength, 1.1 * strength)
    return Light(_point(centre), (_point(right), _point(up)), _point(facing), power)


def _point(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _upright(x: tuple[float, float], z: tuple[float, float], y: float, material: Material) -> Part:
    """A vertical rectangle at depth `y` of a wall's frame, facing into the room."""
    centre = ((x[0] + x[1]) / 2, y, (z[0] + z[1]) / 2)
    return panel((x[1] - x[0], z[1] - z[0]), material, pose(centre, pitch=np.pi / 2))


def _papered(x: tuple[float, float], z: tuple[float, float], paper: Material) -> Part:
    """A rectangle of the wall plane whose texture continues across neighbouring rectangles."""
    return replace(_upright(x, z, 0.0, paper), world_from_part=pose(pitch=np.pi / 2))


def _wall(shell: Shell, wall: str, paper: Material) -> list[Part]:
    length = shell.wall_length(wall)
    height = shell.size[2]
    if wall != shell.window.wall:
        parts = [_papered((0.0, length), (0.0, height), paper)]
    else:
        left, right = shell.window.span
        bottom = shell.window.bottom
        top = shell.window.top
        around: list[tuple[tuple[float, float], tuple[float, float]]] = [
            ((0.0, left), (0.0, height)),
            ((right, length), (0.0, height)),
            ((left, right), (0.0, bottom)),
            ((left, right), (top, height)),
        ]
        parts = [_papered(x, z, paper) for x, z in around] + _reveal(shell.window)
    return moved(parts, shell.world_from_wall(wall))


def _reveal(window: Opening) -> list[Part]:
    """The four inner sides of the window's opening."""
    white = Material("plaster", (0.9, 0.9, 0.88))
    left, right = window.span
    bottom = window.bottom
    top = window.top
    width = right - left
    height = top - bottom
    middle = (bottom + top) / 2
    half = REVEAL / 2
    return [
        panel((width, REVEAL), white, pose((window.middle, half, bottom))),
        panel((width, REVEAL), white, pose((window.middle, half, top), pitch=np.pi)),
        panel((height, REVEAL), white, pose((left, half, middle), roll=np.pi / 2)),
        panel((height, REVEAL), white, pose((right, half, middle), roll=-np.pi / 2)),
    ]


def _skirting(shell: Shell, wall: str) -> list[Part]:
    white = Material("plain", (0.9, 0.89, 0.86))
    length = shell.wall_length(wall)
    height = 0.08
    thickness = 0.014
    spans = [(0.0, length)]
    if wall == shell.door.wall:
        left, right = shell.door.span
        spans = [(0.0, left - 0.07), (right + 0.07, length)]
    boards = [
        box((b - a, thickness, height), ((a + b) / 2, -thickness / 2, height / 2), white) for a, b in spans if b > a
    ]
    return moved(boards, shell.world_from_wall(wall))


def _window(window: Opening) -> list[Part]:
    """A pane with the view outside, a frame with a cross bar, and a sill."""
    white = Material("plain", (0.93, 0.93, 0.92))
    view = Material("outdoors", (0.45, 0.68, 0.95), (0.24, 0.34, 0.17), seed=round(window.middle * 100), glow=1.0)
    left, right = window.span
    bottom = window.bottom
    top = window.top
    middle = (bottom + top) / 2
    y = REVEAL - 0.03
    edge = 0.06
    pane = _upright((left, right), (bottom, top), REVEAL, view)
    bars = [box((window.width, 0.05, edge), (window.middle, y, z), white) for z in (bottom + edge / 2, top - edge / 2)]
    posts = [
        box((edge, 0.05, top - bottom - 2 * edge), (x, y, middle), white)
        for x in (left + edge / 2, window.middle, right - edge / 2)
    ]
    cross = box((window.width - 2 * edge, 0.04, 0.035), (window.middle, y, bottom + 0.68 * (top - bottom)), white)
    sill = box((window.width + 0.12, 0.12, 0.025), (window.middle, -0.06, bottom - 0.0125), white)
    return [pane, *bars, *posts, cross, sill]


def _door(door: Opening, wood: Material) -> list[Part]:
    """A panelled door in its frame, just before the wall, with a handle."""
    left, right = door.span
    top = door.top
    frame = Material("plain", (0.92, 0.91, 0.89))
    leaf = box((door.width, 0.024, top), (door.middle, -0.012, top / 2), wood)
    posts = [
        box((0.07, 0.045, top + 0.07), (x, -0.0225, (top + 0.07) / 2), frame) for x in (left - 0.035, right + 0.035)
    ]
    lintel = box((door.width, 0.045, 0.07), (door.middle, -0.0225, top + 0.035), frame)
    fields = [
        box((0.36 * door.width, 0.012, h), (door.middle + s * 0.22 * door.width, -0.028, z), wood)
        for s in (-1, 1)
        for z, h in ((0.52, 0.7), (1.42, 0.9))
    ]
    handle = [
        rod((right - 0.07, -0.02, 1.03), (right - 0.07, -0.07, 1.03), 0.011, BRASS),
        rod((right - 0.065, -0.068, 1.03), (right - 0.19, -0.068, 1.03), 0.01, BRASS),
    ]
    return [leaf, *posts, lintel, *fields, *handle]
