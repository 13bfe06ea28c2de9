"""A known small scene for tests of importers: cameras that look at one tilted plane, and what each of them sees.

Whatever the format, the depth of every frame must come back onto the plane, and the colours as they were.
"""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from panrecon.datasets.importers.base import Source, SourceFrame, SourceImage
from panrecon.geometry.projective import look_at, pixel_directions, transform, unproject
from panrecon.io.images import read_color
from panrecon.structures import Camera

CAMERA = Camera(20, 16, 18.0, 17.0, 9.25, 7.5)
NORMAL = np.array([0.36, -0.48, 0.8])  # of the plane, of unit length: along no axis
OFFSET = 0.3  # the plane is where NORMAL @ point = OFFSET
LAYOUTS = {  # the files by which a folder of a format is known; a format may add itself
    "tum": ("rgb.txt", "depth.txt", "groundtruth.txt", "rgb/1.000000.png", "depth/1.000000.png"),
    "replica": ("traj.txt", "cam_params.json", "results/frame000000.jpg", "results/depth000000.png"),
    "redwood": ("trajectory.log", "camera_intrinsic.json", "color/000001.jpg", "depth/000001.png"),
    "colmap": ("sparse/0/cameras.bin", "sparse/0/images.bin", "images/1.jpg", "depth/1.png"),
    "frames": ("seq-01/frame-000000.color.png", "seq-01/frame-000000.depth.png", "seq-01/frame-000000.pose.txt"),
    "3d_scanner_app": ("frame_00000.jpg", "frame_00000.json", "depth_00000.png", "conf_00000.png", "info.json"),
    "nerfstudio": ("transforms.json", "images/frame_00001.png", "depth/frame_00001.png"),
    "arkit_scenes": ("lowres_wide.traj", "lowres_wide/1_1.0.png", "lowres_depth/1_1.0.png"),
    "scannet": ("color/0.jpg", "depth/0.png", "pose/0.txt", "intrinsic/intrinsic_depth.txt"),
    "rtabmap": ("map_rgb/1.jpg", "map_depth/1.png", "map_calib/1.yaml", "map_camera_poses.txt"),
    "scannetpp": ("iphone/pose_intrinsic_imu.json", "iphone/rgb.mkv", "iphone/depth.bin"),
    "rosbag": ("metadata.yaml", "room_0.db3"),
    "stray": ("rgb.mp4", "odometry.csv", "camera_matrix.csv", "depth/000000.png", "confidence/000000.png"),
    "record3d": ("metadata", "rgbd/0.jpg", "rgbd/0.depth", "rgbd/0.conf"),
    "polycam": ("keyframes/images/1.jpg", "keyframes/cameras/1.json", "keyframes/depth/1.png"),
}


def poses(count: int) -> list[Float[np.ndarray, "4 4"]]:
    """World from camera: 1 to 2 m before the plane, none like the other, each turned about its own axis too."""
    across, along = np.array([0.8, 0.6, 0.0]), np.array([-0.48, 0.64, 0.6])  # in the plane
    foot = OFFSET * NORMAL
    result = []
    for number in range(count):
        target = foot + 0.2 * number * across
        eye = foot + (1.2 + 0.15 * number) * NORMAL + 0.3 * along - 0.1 * number * across
        turn = np.eye(4)
        turn[:2, :2] = [[np.cos(0.4 + number), -np.sin(0.4 + number)], [np.sin(0.4 + number), np.cos(0.4 + number)]]
        result.append(look_at(eye, target) @ turn)
    return result


def plane_depth(camera: Camera, world_from_camera: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "h w"]:
    """Metres along the optical axis to the plane, which fills the image."""
    directions = pixel_directions(camera) @ world_from_camera[:3, :3].T
    depth = (OFFSET - NORMAL @ world_from_camera[:3, 3]) / (directions @ NORMAL)
    assert (depth > 0).all(), "a pixel looks past the plane"
    return depth.astype(np.float32)


def picture(camera: Camera, number: int) -> UInt8[np.ndarray, "h w 3"]:
    """An image that no other number has: red grows to the right, green downwards, blue with the number."""
    columns, rows = np.meshgrid(np.linspace(30, 220, camera.width), np.linspace(40, 200, camera.height))
    return np.stack([columns, rows, np.full_like(rows, 20 + 50 * number)], axis=-1).astype(np.uint8)


def pixels(color: SourceImage) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of whatever an importer gave."""
    if isinstance(color, Path):
        return read_color(color)
    if isinstance(color, bytes):
        image = cv2.imdecode(np.frombuffer(color, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        return np.ascontiguousarray(image[..., ::-1])
    return color


def world_points(source: Source, frame: SourceFrame) -> Float[np.ndarray, "n 3"]:
    """What the frame measured, in the world."""
    depth = frame.depth()
    assert depth.dtype == np.float32
    assert depth.shape == (source.camera.height, source.camera.width)
    return transform(frame.world_from_camera, unproject(source.camera, depth.astype(np.float64))[depth > 0])


def assert_on_plane(source: Source, tolerance: float = 0.002, measured: float = 0.9) -> None:
    """Every frame's depth lies on the plane (tolerance in metres); at least this share of its pixels is measured."""
    assert source.frames
    for frame in source.frames:
        points = world_points(source, frame)
        assert len(points) >= measured * source.camera.width * source.camera.height
        assert np.abs(points @ NORMAL - OFFSET).max() < tolerance


def assert_pictures(source: Source, numbers: list[int], tolerance: float = 12.0) -> None:
    """The frames show `picture` of these numbers, in this order, but for the tolerance (JPEG's loss) on average."""
    assert len(source.frames) == len(numbers)
    for frame, number in zip(source.frames, numbers, strict=True):
        difference = pixels(frame.color()).astype(float) - picture(source.color_camera, number)
        assert np.abs(difference).mean() <= tolerance


def touch_layout(folder: Path, name: str) -> Path:
    """A folder with the (empty) files of one of `LAYOUTS`."""
    for file in LAYOUTS[name]:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder
