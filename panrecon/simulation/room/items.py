"""What a room is put together from."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from panrecon.simulation.scene.shapes import Part, Point


@dataclass(frozen=True)
class Item:
    """One object or one stretch of stuff: its class by name and its parts in the world frame."""

    category: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Light:
    """A rectangle that shines: centre, half sides (m), where it faces (zero = everywhere) and its power per colour."""

    centre: Point
    half_sides: tuple[Point, Point]
    facing: Point
    power: Point

    def samples(self, count: int) -> Float[np.ndarray, "n 3"]:
        """A grid of `count` x `count` points of the rectangle."""
        step = (np.arange(count) + 0.5) / count * 2 - 1
        a, b = (grid.reshape(-1, 1) for grid in np.meshgrid(step, step))
        return np.asarray(self.centre) + a * np.asarray(self.half_sides[0]) + b * np.asarray(self.half_sides[1])
