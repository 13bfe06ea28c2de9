"""How long the parts of a stage take, read from the progress that it shows, and what they come to on a larger scan."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from panrecon.profiling import costs
from panrecon.progress import Advance

REST: Final = "rest"  # what a stage does outside of all its parts


@dataclass
class Part:
    """When a part of a stage was begun, each of its steps was done, and it was ended (s)."""

    begun: float
    advances: list[float] = field(default_factory=list)
    ended: float = 0.0

    @property
    def stepping(self) -> float:
        """Seconds until the last step was done."""
        return self.advances[-1] - self.begun if self.advances else 0.0

    @property
    def finishing(self) -> float:
        """Seconds after the last step."""
        return self.ended - (self.advances[-1] if self.advances else self.begun)


@dataclass
class Stopwatch:
    """A `Progress` that shows nothing and measures every part by its name."""

    parts: dict[str, Part] = field(default_factory=dict)

    @contextmanager
    def __call__(self, what: str, total: int) -> Iterator[Advance]:
        part = self.parts[what] = Part(costs.now())
        yield lambda done: part.advances.append(costs.now())
        part.ended = costs.now()


@dataclass(frozen=True)
class Ratios:
    """How many times as many frames, and as much surface, the whole scan has as what was measured."""

    frames: float
    surface: float

    def product(self, growth: tuple[str, ...]) -> float:
        """The factor of work that grows with these."""
        return (self.frames if "frames" in growth else 1.0) * (self.surface if "surface" in growth else 1.0)


Growth = tuple[str, ...]  # of "frames" and "surface": what the time of a part is proportional to
FIXED: Final[Growth] = ()
FRAMES: Final[Growth] = ("frames",)
SURFACE: Final[Growth] = ("surface",)
BOTH: Final[Growth] = ("frames", "surface")

# By stage and part: growth until the last step is done. What comes after grows with the surface.
GROWTH: Final[Mapping[str, Mapping[str, Growth]]] = {
    "mesh": {"frames": FRAMES, REST: FRAMES},
    "features": {"fit": FRAMES, "project": FRAMES, REST: FIXED},
    "graph": {"frames": BOTH, "superfaces": SURFACE, "objects": BOTH, REST: FIXED},
    "semantics": {
        "frames": BOTH,
        "relabelling": SURFACE,
        "classifier": FIXED,
        "propagation": SURFACE,
        REST: SURFACE,
    },
    "field": {"labels": FRAMES, "fit": FIXED, REST: SURFACE},
    "panoptic": {
        "query": SURFACE,
        "labels": SURFACE,
        "unknown objects": SURFACE,
        "thin structures": FRAMES,
        REST: SURFACE,
    },
}


def extrapolated(stage: str, seconds: float, watch: Stopwatch, ratios: Ratios, without: tuple[str, ...] = ()) -> float:
    """What a stage of so many `seconds` in all takes on the whole scan, the parts `without` left out (s)."""
    growth = GROWTH[stage]
    unwatched = seconds - sum(part.ended - part.begun for part in watch.parts.values())
    counted = {name: part for name, part in watch.parts.items() if name not in without}
    stepping = sum(part.stepping * ratios.product(growth[name]) for name, part in counted.items())
    finishing = sum(part.finishing for part in counted.values()) * ratios.product(SURFACE)
    return stepping + finishing + max(unwatched, 0.0) * ratios.product(growth[REST])
