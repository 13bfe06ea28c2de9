"""Laws of the single checks, on arrays."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from panrecon.diagnosis.findings import Finding, repairs
from panrecon.diagnosis.image_sizes import sizes
from panrecon.diagnosis.registration import Pictures, lying
from panrecon.diagnosis.reprojection import agreement, inverses
from panrecon.geometry.projective import invert, look_at, unproject
from panrecon.structures import Camera

CAMERA = Camera(80, 60, 66.0, 66.0, 39.5, 29.5)
STEREO = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)


def slope() -> np.ndarray:
    """A depth image of a tilted wall, m."""
    return (2 + 0.01 * np.arange(80, dtype=np.float32) + np.zeros((60, 1), np.float32)).astype(np.float32)


def test_a_frame_agrees_with_itself() -> None:
    points = unproject(CAMERA, slope()).reshape(1, -1, 3).astype(np.float32)
    found = agreement(points, slope()[None], np.eye(4)[None], CAMERA)
    assert_allclose([found.share, found.fit, found.seen], 1, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.1, 10.0))
def test_agreement_does_not_depend_on_the_unit_of_length(unit: float) -> None:
    """Which is why a scale can only be told from depth and motion together."""
    motion = invert(look_at(np.array([0.2, 0.1, 0.3]), np.array([0.3, 0.2, 3.0]), np.array([0.0, -1.0, 0.0])))[None]
    points = unproject(CAMERA, slope()).reshape(1, -1, 3).astype(np.float32)
    expected = agreement(points, slope()[None], motion, CAMERA)
    motion[:, :3, 3] *= unit
    scale = np.float32(unit)
    found = agreement(points * scale, slope()[None] * scale, motion, CAMERA)
    assert_allclose(found.fit, expected.fit, atol=2e-3)
    assert_allclose(found.seen, expected.seen, atol=2e-3)


def test_holes_and_frames_without_depth_count_nothing() -> None:
    points = unproject(CAMERA, slope()).reshape(1, -1, 3).astype(np.float32)
    holes = slope()[None].copy()
    holes[:, :, ::2] = 0
    found = agreement(points, holes, np.eye(4)[None], CAMERA)
    assert_allclose([found.share, found.fit, found.seen], 1, atol=1e-6)
    nothing = agreement(points * 0, slope()[None], np.eye(4)[None], CAMERA)
    assert_allclose([nothing.share, nothing.fit, nothing.seen], 0)


def test_inverses_are_inverses() -> None:
    poses = np.stack([look_at(np.array([1.0, 2, n]), np.array([0.0, 0.5, 1.0])) for n in (3.0, 4.0)])
    assert_allclose(inverses(poses) @ poses, np.broadcast_to(np.eye(4), (2, 4, 4)), atol=1e-12)


def boxes(right: int = 0, down: int = 0, zoom: float = 1.0) -> list[Pictures]:
    """Boxes before a wall, in colour moved and zoomed about the middle."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(6):
        depth, gray = np.full((240, 320), 3.0, np.float32), np.full((240, 320), 90, np.uint8)
        for _ in range(4):
            left, top, width, height = rng.integers([30, 30, 30, 30], [220, 150, 70, 60])
            depth[top : top + height, left : left + width] = 2.0
            across = [round((x - 159.5) * zoom + 159.5) + right for x in (left, left + width)]
            along = [round((y - 119.5) * zoom + 119.5) + down for y in (top, top + height)]
            gray[along[0] : along[1], across[0] : across[1]] = rng.integers(140, 250)
        found.append(Pictures(depth, gray))
    return found


def test_colour_is_found_where_it_was_put() -> None:
    whole = lying(boxes(), STEREO)
    moved = lying(boxes(5, -7), STEREO)
    assert whole is not None and moved is not None
    assert_allclose(whole.shift, (0, 0), atol=1)
    assert_allclose(np.subtract(moved.shift, whole.shift), (5, -7), atol=0.5)
    assert whole.zoom == moved.zoom == 1.0 and moved.ratio < 0.8 < whole.ratio
    larger = lying(boxes(zoom=1.12), STEREO)
    assert larger is not None
    assert abs(larger.zoom - 1.12) < 0.04


def test_depth_without_edges_tells_nothing() -> None:
    assert lying([Pictures(np.full((240, 320), 2, np.float32), np.zeros((240, 320), np.uint8))], STEREO) is None


def test_intrinsics_of_another_size_are_scaled_to_the_images() -> None:
    camera = Camera(640, 480, 1170.0, 1172.0, 647.5, 483.5)  # of 1296 x 968
    (finding,) = sizes("colour", camera, {"0": (640, 480), "1": (640, 480)}, (640, 480))
    assert finding.repair is not None
    expected = (1170 * 640 / 1296, 1172 * 480 / 968, 319.5, 239.5)
    assert_allclose(finding.repair["scan.color_intrinsics"], expected, atol=1e-3)
    (fine,) = sizes("depth", Camera(640, 480, 570.0, 570.0, 325.0, 236.0), {"0": (640, 480)}, (1296, 968))
    assert fine.severity == "fine"


def test_frames_left_out_add_up_in_the_order_of_their_numbers() -> None:
    found = [
        Finding("blur", "wrong", "", repair={"scan.skip_frames": ["10", "9"]}),
        Finding("exposure", "wrong", "", repair={"scan.skip_frames": ["9", "100"], "scan.axes": "opengl"}),
        Finding("coverage", "note", ""),
    ]
    assert repairs(found) == {"scan.skip_frames": ["9", "10", "100"], "scan.axes": "opengl"}
