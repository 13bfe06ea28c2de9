"""Where furniture stands: seeded placement of floor rectangles that keep clear of each other and of the door."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from panrecon.simulation.scene.shapes import Point

WALL_GAP = 0.03  # m between a wall and what stands against it
YAW_OF_WALL = {"north": 0.0, "west": np.pi / 2, "south": np.pi, "east": -np.pi / 2}


class NoSpaceError(Exception):
    """Nothing more fits; the caller draws another layout."""


@dataclass(frozen=True)
class Rectangle:
    """An upright rectangle of the floor (m)."""

    x: tuple[float, float]
    y: tuple[float, float]

    def gap(self, other: "Rectangle") -> float:
        """The larger of the distances along x and y; negative where both overlap."""
        x = max(self.x[0] - other.x[1], other.x[0] - self.x[1])
        y = max(self.y[0] - other.y[1], other.y[0] - self.y[1])
        return max(x, y)


@dataclass(frozen=True)
class Spot:
    """Where a piece stands: its middle on the floor and its turn about z; `rectangle` is what it covers."""

    x: float
    y: float
    yaw: float
    rectangle: Rectangle

    def at(self, z: float) -> Point:
        return self.x, self.y, z


@dataclass
class FloorPlan:
    """The floor of a room of `size` (x, y) metres while it is being filled."""

    size: tuple[float, float]
    rng: np.random.Generator
    taken: list[Rectangle] = field(default_factory=list)

    def keep_free(self, rectangle: Rectangle) -> None:
        self.taken.append(rectangle)

    def against_wall(self, width: float, depth: float, walls: Sequence[str], clearance: float = 0.3) -> Spot:
        """A free spot with the back at one of the walls; taken from now on.

        Raises:
            NoSpaceError: no free spot was found in 60 draws.
        """
        for _ in range(60):
            wall = walls[int(self.rng.integers(len(walls)))]
            spot = self._spot_at_wall(wall, width, depth, float(self.rng.uniform()))
            if self._is_free(spot.rectangle, clearance):
                self.taken.append(spot.rectangle)
                return spot
        raise NoSpaceError

    def in_corner(self, width: float, clearance: float = 0.12) -> Spot:
        """A free spot in a corner of the room, else beside a wall; taken from now on.

        Raises:
            NoSpaceError: no free spot was found.
        """
        corners = [(wall, end) for wall in ("north", "south") for end in (0.0, 1.0)]
        for index in self.rng.permutation(len(corners)):
            spot = self._spot_at_wall(corners[index][0], width, width, corners[index][1])
            if self._is_free(spot.rectangle, clearance):
                self.taken.append(spot.rectangle)
                return spot
        return self.against_wall(width, width, tuple(YAW_OF_WALL), clearance)

    def in_the_open(self, width: float, depth: float, clearance: float) -> Spot:
        """The free spot that keeps the most distance, of 200 drawn; taken from now on.

        Raises:
            NoSpaceError: none keeps the `clearance`.
        """
        x, y = self.size[0] / 2 - width / 2 - clearance, self.size[1] / 2 - depth / 2 - clearance
        offsets = self.rng.uniform(-1, 1, (200, 2)) * np.maximum([x, y], 0.0)
        spots = [self._spot(self.size[0] / 2 + a, self.size[1] / 2 + b, 0.0, width, depth) for a, b in offsets]
        best = max(spots, key=lambda spot: min(spot.rectangle.gap(other) for other in self.taken))
        if not self._is_free(best.rectangle, clearance):
            raise NoSpaceError
        self.taken.append(best.rectangle)
        return best

    def _is_free(self, rectangle: Rectangle, clearance: float) -> bool:
        inside = (
            rectangle.x[0] >= 0
            and rectangle.y[0] >= 0
            and rectangle.x[1] <= self.size[0]
            and rectangle.y[1] <= self.size[1]
        )
        return inside and all(rectangle.gap(other) >= clearance for other in self.taken)

    def _spot_at_wall(self, wall: str, width: float, depth: float, along: float) -> Spot:
        length = self.size[0] if wall in ("north", "south") else self.size[1]
        slide = WALL_GAP + width / 2 + along * (length - width - 2 * WALL_GAP)
        back = depth / 2 + WALL_GAP
        x, y = {
            "north": (slide, self.size[1] - back),
            "south": (slide, back),
            "west": (back, slide),
            "east": (self.size[0] - back, slide),
        }[wall]
        return self._spot(x, y, YAW_OF_WALL[wall], width, depth)

    @staticmethod
    def _spot(x: float, y: float, yaw: float, width: float, depth: float) -> Spot:
        turned = abs(np.sin(yaw)) > 0.5
        half_x, half_y = (depth / 2, width / 2) if turned else (width / 2, depth / 2)
        return Spot(x, y, yaw, Rectangle((x - half_x, x + half_x), (y - half_y, y + half_y)))


def free_places(
    rng: np.random.Generator, half: tuple[float, float], radii: Sequence[float], *, disc: bool = False
) -> list[Float[np.ndarray, "2"]]:
    """Points on a table top of half sizes `half` (m) for discs of these radii; those without room are left out."""
    places: list[tuple[Float[np.ndarray, 2], float]] = []
    found = []
    for radius in radii:
        for _ in range(40):
            point = rng.uniform(-1, 1, 2) * np.maximum(np.subtract(half, radius + 0.02), 0.0)
            on_top = not disc or np.hypot(*point) + radius < min(half)
            if on_top and all(np.hypot(*(point - other)) > radius + taken + 0.02 for other, taken in places):
                places.append((point, radius))
                found.append(point)
                break
    return found
