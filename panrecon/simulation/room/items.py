"""The elements of a room: objects and light sources."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from panrecon.simulation.scene.shapes import Part, Point


@dataclass(frozen=True)
class Item:
    """One object or one region of stuff: the name of its class, and its parts in the world frame."""

    category: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Light:
    """A rectangular area light: centre and half sides (m, world frame), normal and power (linear RGB).

    With `facing` zero it emits in all directions.
    """

    centre: Point
    half_sides: tuple[Point, Point]
    facing: Point
    power: Point

    def samples(self, count: int) -> Float[np.ndarray, "n 3"]:
        """A regular grid of `count` x `count` points of the rectangle (m, world frame)."""
        step = (np.arange(count) + 0.5) / count * 2 - 1
        u, v = (grid.reshape(-1, 1) for grid in np.meshgrid(step, step))
        return np.asarray(self.centre) + u * np.asarray(self.half_sides[0]) + v * np.asarray(self.half_sides[1])
