"""Laws of lenses: what is undistorted shows what a pinhole would have seen."""

from collections.abc import Callable

import numpy as np
import pytest
from jaxtyping import Float

from panrecon.datasets.importers.base import Source, SourceFrame
from panrecon.datasets.importers.lenses import colmap_lens, rectified, rim, shared_pinhole
from panrecon.errors import InputError
from panrecon.structures import Camera
from tests.datasets.importers.scenes import NORMAL, OFFSET, pixels, poses, world_points

SIZE = (120, 96)
Points = Float[np.ndarray, "h w 2"]


def opencv(points: Points, k1: float, k2: float, p1: float, p2: float) -> Points:
    """COLMAP's OPENCV: where a point of the plane z = 1 comes to lie."""
    x, y = points[..., 0], points[..., 1]
    square = x * x + y * y
    radial = 1 + k1 * square + k2 * square**2
    return np.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x),
            y * radial + 2 * p2 * x * y + p1 * (square + 2 * y * y),
        ],
        axis=-1,
    )


def fisheye(points: Points, k1: float, k2: float, k3: float, k4: float) -> Points:
    """COLMAP's OPENCV_FISHEYE."""
    radius = np.linalg.norm(points, axis=-1)
    angle = np.arctan(radius)
    image = angle * (1 + k1 * angle**2 + k2 * angle**4 + k3 * angle**6 + k4 * angle**8)
    return points * (image / np.maximum(radius, 1e-12))[..., None]


def undone(distort: Callable[[Points], Points], image: Points) -> Points:
    """The point that the lens brings to this one, by fixed-point iteration."""
    points = image.copy()
    for _ in range(200):
        points += image - distort(points)
    return points


LENSES = {
    "SIMPLE_RADIAL": ((90.0, 60.0, 47.0, -0.08), lambda p: opencv(p, -0.08, 0, 0, 0)),
    "RADIAL": ((90.0, 60.0, 47.0, 0.15, 0.05), lambda p: opencv(p, 0.15, 0.05, 0, 0)),
    "OPENCV": ((90.0, 88.0, 60.0, 47.0, -0.1, 0.02, 0.004, -0.003), lambda p: opencv(p, -0.1, 0.02, 0.004, -0.003)),
    "OPENCV_FISHEYE": ((90.0, 88.0, 60.0, 47.0, 0.05, -0.01, 0.0, 0.0), lambda p: fisheye(p, 0.05, -0.01, 0, 0)),
    "SIMPLE_RADIAL_FISHEYE": ((90.0, 60.0, 47.0, 0.05), lambda p: fisheye(p, 0.05, 0, 0, 0)),
}


def view(points: Points, world_from_camera: Float[np.ndarray, "4 4"]) -> tuple[np.ndarray, np.ndarray]:
    """Colour (red and green grow with x and y of z = 1) and depth of the plane, seen at these points of z = 1."""
    directions = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
    depth = (OFFSET - NORMAL @ world_from_camera[:3, 3]) / (directions @ world_from_camera[:3, :3].T @ NORMAL)
    color = np.concatenate([128 + 100 * points, np.full_like(points[..., :1], 50)], axis=-1)
    return color.clip(0, 255).astype(np.uint8), depth.astype(np.float32)


def plane_points(camera: Camera) -> Points:
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy], axis=-1).astype(float)


@pytest.mark.parametrize("model", LENSES)
def test_an_undistorted_view_is_that_of_the_pinhole(model: str) -> None:
    parameters, distort = LENSES[model]
    lens = colmap_lens(model, *SIZE, parameters)
    (pose,) = poses(1)
    color, depth = view(undone(distort, plane_points(lens.pinhole)), pose)
    frame = SourceFrame("0", pose, lambda: color, lambda: depth, lens)
    pinhole, (note,) = shared_pinhole([lens])
    source = rectified(Source(pinhole, pinhole, [frame]))
    assert "1 of 1 frames are distorted" in note
    (seen,) = source.frames
    points = world_points(source, seen)
    assert len(points) > 0.8 * SIZE[0] * SIZE[1]
    assert np.abs(points @ NORMAL - OFFSET).max() < 0.02  # half a pixel of 1/90 of 1.5 m, at a slant
    assert np.abs(points @ NORMAL - OFFSET).mean() < 0.005
    expected, _ = view(plane_points(pinhole), pose)
    inside = pixels(seen.color())[..., 2] == 50
    difference = pixels(seen.color()).astype(float) - expected
    assert inside.mean() > 0.8 and np.abs(difference[inside]).max() <= 3
    assert np.abs(color.astype(float) - expected)[inside].max() > 3, "the lens must matter"


def test_beyond_the_rim_nothing_is_seen_twice() -> None:
    """With k1 = -0.3 the radius r - 0.3 r^3 is largest at r = 1.054; farther out the picture would come back."""
    lens = colmap_lens("SIMPLE_RADIAL", 200, 200, (60.0, 100.0, 100.0, -0.3))
    assert rim(lens) == pytest.approx(1 / np.sqrt(0.9), abs=0.003)
    white = np.full((200, 200, 3), 255, np.uint8)
    frame = SourceFrame("0", np.eye(4), lambda: white, lambda: np.ones((200, 200), np.float32), lens)
    (seen,) = rectified(Source(lens.pinhole, lens.pinhole, [frame])).frames
    radius = np.linalg.norm(plane_points(lens.pinhole), axis=-1)
    assert (pixels(seen.color())[radius > 1.06] == 0).all() and (seen.depth()[radius > 1.06] == 0).all()
    assert (seen.depth()[radius < 1.04] == 1).all()


def test_images_of_another_size_than_their_lens_are_named() -> None:
    lens = colmap_lens("PINHOLE", 20, 16, (18.0, 18.0, 10.0, 8.0))
    target = colmap_lens("PINHOLE", 20, 16, (19.0, 18.0, 10.0, 8.0)).pinhole
    flat = np.ones((15, 20), np.float32)
    frame = SourceFrame("7", np.eye(4), lambda: np.zeros((15, 20, 3), np.uint8), lambda: flat, lens)
    (seen,) = rectified(Source(target, target, [frame])).frames
    with pytest.raises(InputError, match="image of frame 7 is 20 x 15 pixels, its camera is 20 x 16"):
        seen.color()
    with pytest.raises(InputError, match="depth of frame 7 is 20 x 15 pixels, of another shape"):
        seen.depth()
