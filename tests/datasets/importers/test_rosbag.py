"""Laws of the importer of ROS's recordings, on recordings that rosbags writes."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from scipy.spatial.transform import Rotation

from panrecon.datasets.importers.base import Importer
from panrecon.datasets.importers.lenses import rectified
from panrecon.datasets.importers.rosbag import RosBag
from panrecon.errors import InputError
from panrecon.structures import Camera
from tests.datasets.importers.scenes import (
    CAMERA,
    LAYOUTS,
    assert_on_plane,
    assert_pictures,
    picture,
    plane_depth,
    poses,
    touch_layout,
)

START = 1_700_000_000_000_000_000  # ns
STEP = 100_000_000
COLOR_DELAY = 4_000_000  # ns by which colour comes after depth
OPTICAL = np.array([[0.0, 0.0, 1.0, 0.05], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.3], [0.0, 0.0, 0.0, 1.0]])
BESIDE = np.eye(4)
BESIDE[:3, 3] = 0.05, 0.0, 0.0
KINDS = ("bag", "db3", "mcap")
Message = tuple[str, str, int, Any]  # topic, type, time (ns), message


class Ros:
    """Messages of one version of ROS, and a file of them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.store = get_typestore(Stores.ROS1_NOETIC if kind == "bag" else Stores.ROS2_HUMBLE)
        if kind == "bag":  # rosbags knows the messages of common packages of ROS 1 alone
            text = "geometry_msgs/TransformStamped[] transforms"
            self.store.register(get_types_from_msg(text, "tf2_msgs/msg/TFMessage"))
        self.types = self.store.types

    def header(self, time: int, frame: str) -> Any:
        stamp = self.types["builtin_interfaces/msg/Time"](sec=time // 10**9, nanosec=time % 10**9)
        sequence = {"seq": 0} if self.kind == "bag" else {}
        return self.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame, **sequence)

    def image(self, time: int, pixels: np.ndarray, encoding: str, frame: str, padding: int = 0) -> Any:
        height, width = pixels.shape[:2]
        lines = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)
        lines = np.pad(lines, ((0, 0), (0, padding)))
        return self.types["sensor_msgs/msg/Image"](
            header=self.header(time, frame),
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=0,
            step=lines.shape[1],
            data=lines.ravel(),
        )

    def packed(self, time: int, content: bytes, form: str, frame: str) -> Any:
        data = np.frombuffer(content, np.uint8)
        return self.types["sensor_msgs/msg/CompressedImage"](header=self.header(time, frame), format=form, data=data)

    def camera(self, time: int, camera: Camera, frame: str, distortion: Sequence[float] = ()) -> Any:
        region = self.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        names = "DKRP" if self.kind == "bag" else "dkrp"
        projection = np.hstack([camera.matrix, np.zeros((3, 1))]).ravel()
        values = (np.array(distortion), camera.matrix.ravel(), np.eye(3).ravel(), projection)
        return self.types["sensor_msgs/msg/CameraInfo"](
            header=self.header(time, frame),
            height=camera.height,
            width=camera.width,
            distortion_model="plumb_bob",
            binning_x=0,
            binning_y=0,
            roi=region,
            **dict(zip(names, values, strict=True)),
        )

    def _pose_parts(self, pose: np.ndarray, position: str) -> tuple[Any, Any]:
        x, y, z = pose[:3, 3].tolist()
        qx, qy, qz, qw = Rotation.from_matrix(pose[:3, :3]).as_quat().tolist()
        quaternion = self.types["geometry_msgs/msg/Quaternion"](x=qx, y=qy, z=qz, w=qw)
        return self.types[f"geometry_msgs/msg/{position}"](x=x, y=y, z=z), quaternion

    def transforms(self, time: int, parent: str, child: str, pose: np.ndarray) -> Any:
        transform = self.types["geometry_msgs/msg/Transform"](*self._pose_parts(pose, "Vector3"))
        header = self.header(time, parent)
        stamped = self.types["geometry_msgs/msg/TransformStamped"](
            header=header, child_frame_id=child, transform=transform
        )
        return self.types["tf2_msgs/msg/TFMessage"](transforms=[stamped])

    def pose(self, time: int, pose: np.ndarray, frame: str) -> Any:
        inner = self.types["geometry_msgs/msg/Pose"](*self._pose_parts(pose, "Point"))
        return self.types["geometry_msgs/msg/PoseStamped"](header=self.header(time, frame), pose=inner)

    def odometry(self, time: int, pose: np.ndarray, frame: str, child: str) -> Any:
        inner = self.types["geometry_msgs/msg/Pose"](*self._pose_parts(pose, "Point"))
        zero = self.types["geometry_msgs/msg/Vector3"](x=0.0, y=0.0, z=0.0)
        twist = self.types["geometry_msgs/msg/Twist"](linear=zero, angular=zero)
        covariance = np.zeros(36)
        return self.types["nav_msgs/msg/Odometry"](
            header=self.header(time, frame),
            child_frame_id=child,
            pose=self.types["geometry_msgs/msg/PoseWithCovariance"](pose=inner, covariance=covariance),
            twist=self.types["geometry_msgs/msg/TwistWithCovariance"](twist=twist, covariance=covariance),
        )

    def write(self, folder: Path, messages: Sequence[Message]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        if self.kind == "bag":
            path = folder / "room.bag"
            writer: Any = Writer1(path)
        else:
            path = folder / "room"
            plugin = StoragePlugin.MCAP if self.kind == "mcap" else StoragePlugin.SQLITE3
            writer = Writer2(path, version=9, storage_plugin=plugin)
        with writer:
            connections: dict[str, Any] = {}
            for topic, kind, time, message in sorted(messages, key=lambda entry: entry[2]):
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=self.store)
                serialize = self.store.serialize_ros1 if self.kind == "bag" else self.store.serialize_cdr
                writer.write(connections[topic], time + 1_000_000, serialize(message, kind))
        return path


def times(count: int = 3) -> list[int]:
    return [START + number * STEP for number in range(count)]


def images(ros: Ros, depth_frame: str = "optical", color_frame: str = "optical") -> list[Message]:
    """Colour and depth as a RealSense's driver publishes them, with an infrared camera beside."""
    color, depth = "/camera/color/image_raw", "/camera/aligned_depth_to_color/image_raw"
    messages: list[Message] = []
    for number, (time, pose) in enumerate(zip(times(), poses(3), strict=True)):
        image = ros.image(time + COLOR_DELAY, picture(CAMERA, number), "rgb8", color_frame, padding=4)
        measured = np.rint(1000 * plane_depth(CAMERA, pose)).astype("<u2")
        grey = ros.image(time, picture(CAMERA, number)[..., 0], "mono8", "infra")
        messages += [
            (color, "sensor_msgs/msg/Image", time + COLOR_DELAY, image),
            (depth, "sensor_msgs/msg/Image", time, ros.image(time, measured, "16UC1", depth_frame)),
            ("/camera/infra1/image_raw", "sensor_msgs/msg/Image", time, grey),
        ]
    info = "sensor_msgs/msg/CameraInfo"
    return [
        *messages,
        ("/camera/color/camera_info", info, START, ros.camera(START, CAMERA, color_frame)),
        ("/camera/aligned_depth_to_color/camera_info", info, START, ros.camera(START, CAMERA, depth_frame)),
    ]


def robot(ros: Ros) -> list[Message]:
    """The robot in the map by way of odometry, that is known before and after; the camera on it."""
    kind = "tf2_msgs/msg/TFMessage"
    drift = np.eye(4)
    drift[:3, 3] = 0.2, -0.1, 0.0
    messages: list[Message] = []
    for time, pose in zip(times(), poses(3), strict=True):
        in_odometry = np.linalg.inv(drift) @ pose @ np.linalg.inv(OPTICAL)
        messages.append(("/tf", kind, time, ros.transforms(time, "map", "odom", drift)))
        messages.append(("/tf", kind, time, ros.transforms(time, "odom", "base", in_odometry)))
    return [*messages, ("/tf_static", kind, START, ros.transforms(START, "base", "optical", OPTICAL))]


def write_bag(folder: Path, kind: str = "bag") -> Path:
    ros = Ros(kind)
    return ros.write(folder, [*images(ros), *robot(ros)])


@pytest.mark.parametrize("kind", KINDS)
def test_depth_lies_on_the_plane_and_colours_come_back(tmp_path: Path, kind: str) -> None:
    path = write_bag(tmp_path, kind)
    assert isinstance(RosBag(), Importer)
    assert RosBag().recognise(path) == f"it is the ROS recording {path.name}"
    parts = [path / f"room.{kind}"] if path.is_dir() else [tmp_path]
    for named in (path, *parts):
        source = RosBag().read(named)
        assert_on_plane(source)
        assert_pictures(source, [0, 1, 2], tolerance=0)
        assert source.camera == source.color_camera == CAMERA
        assert_allclose([frame.world_from_camera for frame in source.frames], poses(3), atol=1e-6)
        assert source.notes[1] == "poses are those of optical in map by /tf"


def test_it_knows_no_other_layout(tmp_path: Path) -> None:
    others = [touch_layout(tmp_path / name, name) for name in LAYOUTS if name != "rosbag"]
    assert all(RosBag().recognise(folder) is None for folder in [*others, tmp_path, tmp_path / "absent"])
    for name in ("a.bag", "b.bag"):
        (tmp_path / name).touch()
    assert RosBag().recognise(tmp_path) is None


@pytest.mark.parametrize("kind", ["bag", "mcap"])
def test_packed_images_are_read_as_raw_ones(tmp_path: Path, kind: str) -> None:
    """JPEG of colour, PNG of millimetres, quantised inverse depth of metres."""
    ros = Ros(kind)
    scale, offset = 10_000.0, 100.0
    for form in ("16UC1", "32FC1"):
        messages = [message for message in images(ros) if message[1] == "sensor_msgs/msg/CameraInfo"]
        for number, (time, pose) in enumerate(zip(times(), poses(3), strict=True)):
            jpeg = cv2.imencode(".jpg", picture(CAMERA, number)[..., ::-1])[1].tobytes()
            metres = plane_depth(CAMERA, pose)
            units = np.rint(1000 * metres if form == "16UC1" else scale / metres + offset).astype(np.uint16)
            units[0, 0] = 0
            png = struct.pack("<iff", 0, scale, offset) + cv2.imencode(".png", units)[1].tobytes()
            packed = "sensor_msgs/msg/CompressedImage"
            messages += [
                ("/camera/color/image_raw/compressed", packed, time, ros.packed(time, jpeg, "rgb8; jpeg", "optical")),
                (
                    "/camera/aligned_depth_to_color/image_raw/compressedDepth",
                    packed,
                    time,
                    ros.packed(time, png, f"{form}; compressedDepth png", "optical"),
                ),
            ]
        source = RosBag().read(ros.write(tmp_path / form, [*messages, *robot(ros)]))
        assert_on_plane(source)
        assert_pictures(source, [0, 1, 2])
        assert source.frames[0].depth()[0, 0] == 0


def test_colour_of_every_order_and_depth_in_metres_are_the_same(tmp_path: Path) -> None:
    orders: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "bgr8": lambda rgb: rgb[..., ::-1],
        "rgba8": lambda rgb: np.dstack([rgb, np.full_like(rgb[..., :1], 255)]),
        "bgra8": lambda rgb: np.dstack([rgb[..., ::-1], np.full_like(rgb[..., :1], 255)]),
    }
    ros = Ros("mcap")
    for encoding, ordered in orders.items():
        messages = [message for message in images(ros) if message[1] == "sensor_msgs/msg/CameraInfo"]
        for number, (time, pose) in enumerate(zip(times(), poses(3), strict=True)):
            metres = plane_depth(CAMERA, pose).astype("<f4")
            metres[0, 0] = np.nan
            image = ros.image(time, np.ascontiguousarray(ordered(picture(CAMERA, number))), encoding, "optical")
            depth = ros.image(time, metres, "32FC1", "optical")
            messages += [
                ("/camera/color/image_raw", "sensor_msgs/msg/Image", time, image),
                ("/camera/aligned_depth_to_color/image_raw", "sensor_msgs/msg/Image", time, depth),
            ]
        source = RosBag().read(ros.write(tmp_path / encoding, [*messages, *robot(ros)]))
        assert_pictures(source, [0, 1, 2], tolerance=0)
        assert_on_plane(source, tolerance=1e-5)


@pytest.mark.parametrize("is_odometry", [True, False])
def test_poses_of_a_topic_are_moved_to_the_camera_where_that_is_known(tmp_path: Path, is_odometry: bool) -> None:
    ros = Ros("bag")
    messages = images(ros)
    static = [message for message in robot(ros) if message[0] == "/tf_static"]
    for time, pose in zip(times(), poses(3), strict=True):
        if is_odometry:
            of_body = pose @ np.linalg.inv(OPTICAL)
            messages.append(("/odom", "nav_msgs/msg/Odometry", time, ros.odometry(time, of_body, "odom", "base")))
        else:
            messages.append(("/slam", "geometry_msgs/msg/PoseStamped", time, ros.pose(time, pose, "map")))
    source = RosBag().read(ros.write(tmp_path, [*messages, *static]))
    assert_on_plane(source)
    where = "those of /odom, moved from base to optical" if is_odometry else "taken as those of optical"
    assert where in source.notes[1]


def test_depth_of_a_camera_beside_is_told_so(tmp_path: Path) -> None:
    ros = Ros("mcap")
    kind = "tf2_msgs/msg/TFMessage"
    renamed = {"/camera/aligned_depth_to_color/image_raw": "/camera/depth/image_rect_raw"}
    messages = [(renamed.get(topic, topic), *rest) for topic, *rest in images(ros, "optical", "color")]
    messages = [
        (topic.replace("aligned_depth_to_color/camera_info", "depth/camera_info"), *rest) for topic, *rest in messages
    ]
    beside = (("/tf_static"), kind, START, ros.transforms(START, "color", "optical", BESIDE))
    moving = [
        ("/tf", kind, time, ros.transforms(time, "map", "color", pose @ np.linalg.inv(BESIDE)))
        for time, pose in zip(times(), poses(3), strict=True)
    ]
    source = RosBag().read(ros.write(tmp_path, [*messages, beside, *moving]))
    assert_on_plane(source)
    assert_allclose(source.color_from_depth, BESIDE, atol=1e-7)
    assert "depth is moved from optical to color by /tf_static" in source.notes


def test_a_distorted_lens_is_resampled_to_its_pinhole(tmp_path: Path) -> None:
    ros = Ros("bag")
    messages = [message for message in images(ros) if message[1] != "sensor_msgs/msg/CameraInfo"]
    info = ros.camera(START, CAMERA, "optical", (0.05, -0.02, 0.001, 0.0, 0.0))
    messages.append(("/camera/color/camera_info", "sensor_msgs/msg/CameraInfo", START, info))
    source = RosBag().read(ros.write(tmp_path, [*messages, *robot(ros)]))
    assert all(frame.lens is not None and frame.lens.distortion[0] == 0.05 for frame in source.frames)
    assert rectified(source).frames[0].depth().shape == (CAMERA.height, CAMERA.width)


def test_where_nothing_is_known_of_the_camera_poses_are_not_finite(tmp_path: Path) -> None:
    ros = Ros("bag")
    late = [message for message in robot(ros) if message[0] == "/tf_static" or message[2] < START + STEP]
    messages = [message for message in images(ros) if message[2] != START + STEP]
    source = RosBag().read(ros.write(tmp_path, [*messages, *late]))
    finite = [bool(np.isfinite(frame.world_from_camera).all()) for frame in source.frames]
    assert finite[0] and not finite[-1]


def test_several_topics_are_told_and_a_file_names_the_right_ones(tmp_path: Path) -> None:
    ros = Ros("mcap")
    messages = [*images(ros), *robot(ros)]
    second = [("/other/color/image_raw", *rest) for topic, *rest in messages if topic == "/camera/color/image_raw"]
    path = ros.write(tmp_path, [*messages, *second])
    with pytest.raises(InputError, match=r"the topics /camera/color/image_raw, /other/color/image_raw of color"):
        RosBag().read(path)
    (path / "topics.yaml").write_text("color: /camera/color/image_raw\n")
    assert_on_plane(RosBag().read(path))
    for text, message in (("color: [", "is not YAML"), ("- a", "must name topics"), ("color: /nothing", "no topic")):
        (path / "topics.yaml").write_text(text)
        with pytest.raises(InputError, match=message):
            RosBag().read(path)


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ("/camera/color/image_raw", "/camera/infra1/image_raw"),  # grey is taken where there is no colour
        ("/camera/aligned_depth_to_color/image_raw", "no topic of depth"),
        ("/tf", "does not tell where optical moves: .* it has none; write topics.yaml"),
    ],
)
def test_a_topic_that_is_missing_is_named(tmp_path: Path, without: str, message: str) -> None:
    ros = Ros("bag")
    messages = [entry for entry in [*images(ros), *robot(ros)] if entry[0] != without]
    with pytest.raises(InputError, match=message):
        RosBag().read(ros.write(tmp_path, messages))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_cut_recording_is_one_sentence(tmp_path: Path, kind: str, share: float) -> None:
    path = write_bag(tmp_path, kind)
    file = path if path.is_file() else next(path.glob(f"*.{kind}"))
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(InputError, match=r"(copy it again|it has .*; write topics\.yaml|record it)"):
        for frame in RosBag().read(path).frames:
            frame.depth()


def test_without_the_package_it_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rosbags.highlevel", None)
    with pytest.raises(InputError, match=r'To read recordings of ROS, pip install "panrecon\[ros\]"'):
        RosBag().read(write_bag(tmp_path))
