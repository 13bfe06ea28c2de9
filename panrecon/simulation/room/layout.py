"""Placement of furniture: seeded floor rectangles that keep clear of each other and of the door."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from panrecon.simulation.scene.shapes import Point

WALL_GAP = 0.03  # m between a wall and furniture against it
YAW_OF_WALL = {"north": 0.0, "west": np.pi / 2, "south": np.pi, "east": -np.pi / 2}


class NoSpaceError(Exception):
    """A piece of furniture does not fit; the caller draws another layout."""


@dataclass(frozen=True)
class Rectangle:
    """An axis-aligned rectangle of the floor (m): its extent along x and y."""

    x: tuple[float, float]
    y: tuple[float, float]

    def gap(self, other: "Rectangle") -> float:
        """The larger of the distances along x and y (m); negative where the rectangles overlap."""
        x = max(self.x[0] - other.x[1], other.x[0] - self.x[1])
        y = max(self.y[0] - other.y[1], other.y[0] - self.y[1])
        return max(x, y)


@dataclass(frozen=True)
class Placement:
    """Where a piece of furniture stands: its centre (m), its yaw (radians) and the floor that it covers."""

    x: float
    y: float
    yaw: float
    rectangle: Rectangle

    def at(self, z: float) -> Point:
        """The centre at the height `z` (m)."""
        return self.x, self.y, z


@dataclass
class FloorPlan:
    """The floor of a room of `size` (x, y) metres, and what of it is occupied."""

    size: tuple[float, float]
    rng: np.random.Generator
    occupied: list[Rectangle] = field(default_factory=list)

    def keep_free(self, rectangle: Rectangle) -> None:
        """Reserve a rectangle, in which nothing will be placed."""
        self.occupied.append(rectangle)

    def against_wall(self, width: float, depth: float, walls: Sequence[str], clearance: float = 0.3) -> Placement:
        """A free placement with the back to one of the walls, `clearance` metres from others; occupied from now on.

        Raises:
            NoSpaceError: none was found in 60 draws.
        """
        for _ in range(60):
            wall = walls[int(self.rng.integers(len(walls)))]
            placement = self._at_wall(wall, width, depth, float(self.rng.uniform()))
            if self._is_free(placement.rectangle, clearance):
                self.occupied.append(placement.rectangle)
                return placement
        raise NoSpaceError

    def in_corner(self, width: float, clearance: float = 0.12) -> Placement:
        """A free square in a corner of the room, else beside a wall; occupied from now on.

        Raises:
            NoSpaceError: none was found.
        """
        corners = [(wall, end) for wall in ("north", "south") for end in (0.0, 1.0)]
        for index in self.rng.permutation(len(corners)):
            wall, end = corners[index]
            placement = self._at_wall(wall, width, width, end)
            if self._is_free(placement.rectangle, clearance):
                self.occupied.append(placement.rectangle)
                return placement
        return self.against_wall(width, width, tuple(YAW_OF_WALL), clearance)

    def in_the_open(self, width: float, depth: float, clearance: float) -> Placement:
        """The placement with the most distance from others, of 200 drawn; occupied from now on.

        Raises:
            NoSpaceError: none keeps the `clearance` (m).
        """
        x, y = self.size[0] / 2 - width / 2 - clearance, self.size[1] / 2 - depth / 2 - clearance
        offsets = self.rng.uniform(-1, 1, (200, 2)) * np.maximum([x, y], 0.0)
        candidates = [
            self._placement(self.size[0] / 2 + dx, self.size[1] / 2 + dy, 0.0, width, depth) for dx, dy in offsets
        ]
        best = max(candidates, key=lambda candidate: min(candidate.rectangle.gap(other) for other in self.occupied))
        if not self._is_free(best.rectangle, clearance):
            raise NoSpaceError
        self.occupied.append(best.rectangle)
        return best

    def _is_free(self, rectangle: Rectangle, clearance: float) -> bool:
        inside = (
            rectangle.x[0] >= 0
            and rectangle.y[0] >= 0
            and rectangle.x[1] <= self.size[0]
            and rectangle.y[1] <= self.size[1]
        )
        return inside and all(rectangle.gap(other) >= clearance for other in self.occupied)

    def _at_wall(self, wall: str, width: float, depth: float, share: float) -> Placement:
        """The placement with the back to a wall, at a `share` in [0, 1] of the way from its one end to the other."""
        length = self.size[0] if wall in ("north", "south") else self.size[1]
        along = WALL_GAP + width / 2 + share * (length - width - 2 * WALL_GAP)
        from_wall = depth / 2 + WALL_GAP
        x, y = {
            "north": (along, self.size[1] - from_wall),
            "south": (along, from_wall),
            "west": (from_wall, along),
            "east": (self.size[0] - from_wall, along),
        }[wall]
        return self._placement(x, y, YAW_OF_WALL[wall], width, depth)

    @staticmethod
    def _placement(x: float, y: float, yaw: float, width: float, depth: float) -> Placement:
        is_turned = abs(np.sin(yaw)) > 0.5
        half_x, half_y = (depth / 2, width / 2) if is_turned else (width / 2, depth / 2)
        return Placement(x, y, yaw, Rectangle((x - half_x, x + half_x), (y - half_y, y + half_y)))


def free_positions(
    rng: np.random.Generator, half: tuple[float, float], radii: Sequence[float], *, disc: bool = False
) -> list[Float[np.ndarray, "2"]]:
    """Centres (m) on a table top of half sizes `half` for discs of these radii (m); discs that do not fit are left out.

    With `disc` the top is round.
    """
    placed: list[tuple[Float[np.ndarray, 2], float]] = []
    for radius in radii:
        for _ in range(40):
            point = rng.uniform(-1, 1, 2) * np.maximum(np.subtract(half, radius + 0.02), 0.0)
            on_top = not disc or np.hypot(*point) + radius < min(half)
            is_clear = all(np.hypot(*(point - centre)) > radius + other + 0.02 for centre, other in placed)
            if on_top and is_clear:
                placed.append((point, radius))
                break
    return [point for point, _ in placed]
