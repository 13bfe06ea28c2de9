"""One small scan of a built-in room, rendered once."""

from dataclasses import dataclass

import numpy as np
import pytest
from jaxtyping import Float

from panrecon.simulation.room.path import hand_held_path
from panrecon.simulation.room.room import Room, build_room
from panrecon.simulation.room.sensor import RoomCamera, SimulatedView
from panrecon.structures import Camera

CAMERA = Camera(160, 120, 145.0, 145.0, 79.5, 59.5)


@dataclass(frozen=True)
class RoomRecording:
    """A room, the camera that renders it and some views of it."""

    room: Room
    renderer: RoomCamera
    path: Float[np.ndarray, "n 4 4"]
    views: tuple[SimulatedView, ...]


@pytest.fixture(scope="session")
def recording() -> RoomRecording:
    room = build_room(3)
    renderer = RoomCamera(room, light_edge=0.5)
    path = hand_held_path(room, 24, seed=3)
    views = tuple(renderer.render(CAMERA, pose, seed=3, frame=i) for i, pose in enumerate(path))
    return RoomRecording(room, renderer, path, views)
