"""Coordinate frames of ROS (Foote, TePRA 2013): where each is in its parent, over time or for ever."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from panrecon.datasets.importers.tum import interpolated, nearest
from panrecon.geometry.projective import invert

MAX_GAP = 0.2  # s between a frame and the nearest statement of where it moved


@dataclass(frozen=True)
class Edge:
    """Where a frame is in its parent: poses tx ty tz qx qy qz qw (m) at ascending times (s), or one for ever."""

    parent: str
    times: Float[np.ndarray, " n"]
    poses: Float[np.ndarray, "n 7"]
    is_static: bool

    def parent_from_frame(self, times: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m 4 4"]:
        """The pose at times (s), interpolated; not finite where nothing was stated within `MAX_GAP`."""
        if self.is_static:
            return np.repeat(interpolated(self.times[:1], self.poses[:1], self.times[:1]), len(times), axis=0)
        result = interpolated(self.times, self.poses, times)
        result[np.abs(self.times[nearest(times, self.times)] - times) > MAX_GAP] = np.nan
        return result


@dataclass(frozen=True)
class FrameTree:
    """The edges of all frames but the roots, by the frame's name."""

    edges: Mapping[str, Edge]

    def path(self, frame: str) -> list[str]:
        """The frame, its parent, and so on up to a root; cut where it would come back to itself."""
        path = [frame]
        while path[-1] in self.edges and self.edges[path[-1]].parent not in path:
            path.append(self.edges[path[-1]].parent)
        return path

    def moves(self, frame: str) -> bool:
        """Whether the frame moves in its root."""
        return any(not self.edges[name].is_static for name in self.path(frame)[:-1])

    def root_from_frame(self, frame: str, times: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m 4 4"]:
        """The pose of a frame in its root at times (s); not finite where an edge on the way is not known."""
        result = np.tile(np.eye(4), (len(times), 1, 1))
        for name in self.path(frame)[:-1]:
            result = self.edges[name].parent_from_frame(times) @ result
        return result

    def fixed(self, frame: str, other: str) -> Float[np.ndarray, "4 4"] | None:
        """The pose of `other` in `frame` where both are fixed to each other; None where they are not joined so."""
        frame_ends, frame_pose = self._climbed(frame)
        other_ends, other_pose = self._climbed(other)
        return invert(frame_pose) @ other_pose if frame_ends == other_ends else None

    def _climbed(self, frame: str) -> tuple[str, Float[np.ndarray, "4 4"]]:
        """The topmost frame to which this one is fixed, and the pose in it."""
        pose = np.eye(4)
        path = self.path(frame)
        for name, parent in itertools.pairwise(path):
            if not self.edges[name].is_static:
                return name, pose
            pose = self.edges[name].parent_from_frame(np.zeros(1))[0] @ pose
            frame = parent
        return frame, pose
