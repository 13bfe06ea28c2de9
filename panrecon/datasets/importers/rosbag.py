"""Recordings of ROS: .bag of ROS 1, and folders of ROS 2 (metadata.yaml with .db3 or .mcap), read without ROS.

Of one topic each: colour (Image or CompressedImage), depth (16UC1 in mm, 32FC1 in m, compressedDepth), a CameraInfo of
both, and poses: by /tf and /tf_static the depth camera's frame in its root, else by a topic of Odometry, PoseStamped or
PoseWithCovarianceStamped. Where there are several, topics.yaml beside the recording names them: `color: /a`, `depth:
/b`, `pose: /c`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from jaxtyping import Float

from panrecon.datasets.importers.base import Lens, Source, SourceFrame, SourceImage, pixels_of
from panrecon.datasets.importers.lenses import undistorted
from panrecon.datasets.importers.ros_frames import Edge, FrameTree
from panrecon.datasets.importers.ros_images import color_of, depth_of, is_color, is_depth, lens_in
from panrecon.datasets.importers.ros_recording import Recording, Stamps, Topic, seconds
from panrecon.datasets.importers.tum import interpolated, mutual_nearest, nearest
from panrecon.errors import InputError, reason, told
from panrecon.structures import VOID, Camera

TOPICS: Final = "topics.yaml"
IMAGES: Final = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
CAMERAS: Final = ("sensor_msgs/msg/CameraInfo",)
TRANSFORMS: Final = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
POSES: Final = (
    "nav_msgs/msg/Odometry",
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped",
)
MAX_POSE_DIFFERENCE: Final = 0.1  # s between depth and the nearest pose of a topic
FEWEST_POSES: Final = 2


class RosBag:
    """An Importer of a recording."""

    name = "rosbag"
    needs = "a .bag of ROS 1, or a folder of ROS 2 with metadata.yaml and .db3 or .mcap"
    files = ("*.bag", "metadata.yaml")

    def recognise(self, path: Path) -> str | None:
        """Names the recording, where there is just one; else None."""
        bag = find_bag(path)
        return f"it is the ROS recording {bag.name}" if bag is not None else None

    def read(self, path: Path) -> Source:
        """The pairs of colour and depth within 20 ms; poses are interpolated at the time of the depth image.

        Raises:
            InputError: the recording is damaged, lacks a topic or has several, or nothing has a pose.
        """
        bag = find_bag(path)
        if bag is None:
            raise InputError(f"{path} is not {self.needs}.")
        recording = Recording(bag)
        stated = stated_topics(bag)
        color, depth = choose_images(recording, stated)
        color_lens = lens_of_topic(recording, color)
        depth_lens = lens_of_topic(recording, depth)
        color_stamps = recording.stamps(color)
        depth_stamps = recording.stamps(depth)
        color_of_depth = mutual_nearest(depth_stamps.header, color_stamps.header)
        paired = np.flatnonzero(color_of_depth != VOID)
        if not len(paired):
            raise InputError(
                f"No image of {depth.name} has one of {color.name} within 20 ms; record both by one clock."
            )
        tree = read_frames(recording)
        poses, pose_note = camera_poses(recording, tree, stated, depth_stamps, depth_stamps.header[paired])
        color_from_depth, camera_note = rig(tree, depth, color_stamps, depth_stamps, color_lens, depth_lens)
        is_registered = np.allclose(color_from_depth, np.eye(4), atol=1e-6)
        frames = []
        for index, (depth_index, pose) in enumerate(zip(paired.tolist(), poses, strict=True)):
            color_index = int(color_of_depth[depth_index])
            color_times = float(color_stamps.header[color_index]), color_stamps.recorded[color_index]
            depth_times = float(depth_stamps.header[depth_index]), depth_stamps.recorded[depth_index]
            frames.append(
                SourceFrame(
                    f"{index:06d}",
                    pose,
                    partial(read_color, recording, color, color_times, None if is_registered else color_lens),
                    partial(read_depth, recording, depth, depth_times),
                    color_lens if is_registered and not color_lens.is_pinhole else None,
                )
            )
        unpaired = len(depth_stamps.header) - len(paired)
        notes = [f"colour is {color.name}, depth {depth.name}", pose_note, camera_note]
        notes += [f"{unpaired} depth images have no colour within 20 ms and are left out"] if unpaired else []
        height, width = frames[0].depth().shape
        camera = depth_lens.pinhole
        if (camera.width, camera.height) != (width, height):
            camera = camera.scaled(width / camera.width)
        return Source(camera, color_lens.pinhole, frames, [note for note in notes if note], color_from_depth)


def find_bag(path: Path) -> Path | None:
    """The .bag or the folder of ROS 2 that is `path` or, alone, in it; None where there is not just one."""
    if path.is_file():
        is_part = path.suffix in (".db3", ".mcap") and (path.parent / "metadata.yaml").is_file()
        return path if path.suffix == ".bag" else path.parent if is_part else None
    if (path / "metadata.yaml").is_file() and any([*path.glob("*.db3"), *path.glob("*.mcap")]):
        return path
    bags = [*path.glob("*.bag")] if path.is_dir() else []
    return bags[0] if len(bags) == 1 else None


def stated_topics(bag: Path) -> Mapping[str, str]:
    """What topics.yaml in the recording's folder, or beside its file, says; empty without it.

    Raises:
        InputError: it holds anything but names of topics.
    """
    file = (bag if bag.is_dir() else bag.parent) / TOPICS
    if not file.is_file():
        return {}
    try:
        content = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{file} is not YAML: {reason(error)}; mend it.") from error
    is_form = isinstance(content, dict) and set(content) <= {"color", "depth", "pose"}
    if not is_form or not all(isinstance(name, str) for name in content.values()):
        raise InputError(f"{file} is {told(content)}; it must name topics as color:, depth: and pose:.")
    return dict(content)


def choose_images(recording: Recording, stated: Mapping[str, str]) -> tuple[Topic, Topic]:
    """The topics of colour and of depth.

    Raises:
        InputError: there is none, or several and none is stated.
    """
    topics = recording.topics(IMAGES)
    firsts = {topic.name: recording.first(topic) for topic in topics}
    colors = [topic for topic in topics if is_color(firsts[topic.name])]
    depths = [topic for topic in topics if is_depth(firsts[topic.name])]
    color = choose(recording, "color", colors, stated, prefers=("color", "rgb"), avoids=("infra", "left", "right"))
    depth = choose(recording, "depth", depths, stated, prefers=("aligned", "registered"), avoids=())
    return color, depth


def choose(
    recording: Recording,
    what: str,
    topics: Sequence[Topic],
    stated: Mapping[str, str],
    prefers: Sequence[str],
    avoids: Sequence[str],
) -> Topic:
    """The topic that is stated, or else the only one; words in names, then raw before packed, tell several apart.

    Raises:
        InputError: there is none, or several.
    """
    if what in stated:
        topics = [topic for topic in topics if topic.name == stated[what]]
    for narrowed in (
        [topic for topic in topics if not any(word in topic.name for word in avoids)],
        [topic for topic in topics if any(word in topic.name for word in prefers)],
        [topic for topic in topics if topic.base == topic.name],
    ):
        kept = [topic for topic in topics if topic in narrowed]
        topics = kept or topics
    if len(topics) == 1:
        return topics[0]
    names = ", ".join(topic.name for topic in recording.topics((*IMAGES, *POSES))) or "none"
    problem = "no topic" if not topics else f"the topics {', '.join(topic.name for topic in topics)}"
    raise InputError(
        f"{recording.path} has {problem} of {what} (it has {names}); write {TOPICS} beside it with `{what}: <topic>`."
    )


def lens_of_topic(recording: Recording, topic: Topic) -> Lens:
    """The camera of a topic of images: that of `camera_info` beside it.

    Raises:
        InputError: there is none, or it is none of a camera.
    """
    name = f"{topic.base.rpartition('/')[0]}/camera_info"
    cameras = recording.topics(CAMERAS)
    camera = next((camera for camera in cameras if camera.name == name), cameras[0] if len(cameras) == 1 else None)
    if camera is None:
        names = ", ".join(camera.name for camera in cameras) or "none"
        raise InputError(f"{recording.path} has no {name} of {topic.name} (it has {names}); record it.")
    return lens_in(recording.first(camera), f"{camera.name} of {recording.path}")


def read_frames(recording: Recording) -> FrameTree:
    """All that /tf and /tf_static state; the last statement of a frame that does not move counts.

    Raises:
        InputError: a transform holds inf or nan, or no quaternion.
    """
    moving: dict[str, dict[float, list[float]]] = {}
    fixed: dict[str, list[float]] = {}
    parents: dict[str, str] = {}
    for topic in recording.topics(TRANSFORMS):
        for _, message in recording.messages(topic):
            for transform in message.transforms:
                frame = transform.child_frame_id.lstrip("/")
                parents[frame] = transform.header.frame_id.lstrip("/")
                numbers = pose_numbers(
                    transform.transform.translation, transform.transform.rotation, f"{frame} in {topic.name}"
                )
                if topic.name.endswith("tf_static"):
                    fixed[frame] = numbers
                else:
                    moving.setdefault(frame, {})[seconds(transform.header.stamp)] = numbers
    edges = {frame: Edge(parents[frame], np.zeros(1), np.array([pose]), True) for frame, pose in fixed.items()}
    for frame, pose_of_time in moving.items():
        times = sorted(pose_of_time)
        poses = np.array([pose_of_time[time] for time in times])
        edges[frame] = Edge(parents[frame], np.array(times), poses, False)
    return FrameTree(edges)


def camera_poses(
    recording: Recording,
    tree: FrameTree,
    stated: Mapping[str, str],
    depth: Stamps,
    times: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, "n 4 4"], str]:
    """`world_from_camera` of the depth camera at times (s), not finite where not known, and a note on where from.

    Raises:
        InputError: nothing tells where the camera moved.
    """
    frame = depth.frame.lstrip("/")
    topics = recording.topics(POSES)
    if "pose" not in stated and tree.moves(frame):
        return tree.root_from_frame(frame, times), f"poses are those of {frame} in {tree.path(frame)[-1]} by /tf"
    if "pose" in stated:
        topics = [topic for topic in topics if topic.name == stated["pose"]]
    if len(topics) != 1:
        names = ", ".join(topic.name for topic in recording.topics(POSES)) or "none"
        raise InputError(
            f"{recording.path} does not tell where {frame} moves: /tf does not join it to a frame that moves, and of "
            f"topics of poses it has {names}; write {TOPICS} beside it with `pose: <topic>`."
        )
    body, pose_times, poses = read_poses(recording, topics[0])
    world_from_body = interpolated(pose_times, poses, times)
    world_from_body[np.abs(pose_times[nearest(times, pose_times)] - times) > MAX_POSE_DIFFERENCE] = np.nan
    body_from_camera = tree.fixed(body, frame) if body else None
    if body_from_camera is None:
        return world_from_body, f"poses of {topics[0].name} are taken as those of {frame}"
    return world_from_body @ body_from_camera, f"poses are those of {topics[0].name}, moved from {body} to {frame}"


def read_poses(recording: Recording, topic: Topic) -> tuple[str, Float[np.ndarray, " n"], Float[np.ndarray, "n 7"]]:
    """The frame that moves (empty where it is not told), times (s) and poses of a topic.

    Raises:
        InputError: a pose holds inf or nan or no quaternion, or there are too few.
    """
    pose_of_time = {}
    body = ""
    for _, message in recording.messages(topic):
        pose = message.pose.pose if hasattr(message.pose, "pose") else message.pose
        body = getattr(message, "child_frame_id", "").lstrip("/")
        pose_of_time[seconds(message.header.stamp)] = pose_numbers(pose.position, pose.orientation, topic.name)
    if len(pose_of_time) < FEWEST_POSES:
        raise InputError(f"{topic.name} of {recording.path} has {len(pose_of_time)} poses; record it with the images.")
    times = sorted(pose_of_time)
    return body, np.array(times), np.array([pose_of_time[time] for time in times])


def pose_numbers(position: Any, orientation: Any, where: str) -> list[float]:
    """tx ty tz qx qy qz qw.

    Raises:
        InputError: they hold inf or nan, or no quaternion.
    """
    numbers = [*(getattr(position, axis) for axis in "xyz"), *(getattr(orientation, axis) for axis in "xyzw")]
    if not np.isfinite(numbers).all() or abs(np.linalg.norm(numbers[3:]) - 1) > 0.05:
        raise InputError(f"The pose of {where} is {numbers}, not finite or without a rotation; record it anew.")
    return numbers


def rig(
    tree: FrameTree, depth: Topic, color_stamps: Stamps, depth_stamps: Stamps, color: Lens, depth_lens: Lens
) -> tuple[Float[np.ndarray, "4 4"], str]:
    """The colour camera's frame from the depth camera's, and a note where it is assumed.

    Raises:
        InputError: depth is not registered, and nothing tells where its camera is.
    """
    names = (color_stamps.frame.lstrip("/"), depth_stamps.frame.lstrip("/"))
    if names[0] == names[1] or "aligned" in depth.name or "registered" in depth.name:
        return np.eye(4), ""
    color_from_depth = tree.fixed(*names)
    if color_from_depth is not None:
        return color_from_depth, f"depth is moved from {names[1]} to {names[0]} by /tf_static"
    if same_view(color.pinhole, depth_lens.pinhole):
        return np.eye(4), f"depth is taken as registered: {names[1]} has the intrinsics of {names[0]}"
    raise InputError(
        f"Nothing joins {names[1]} of {depth.name} to {names[0]}; record /tf_static, or depth that is registered."
    )


def same_view(color: Camera, depth: Camera) -> bool:
    """Whether two cameras differ by their images' size alone."""
    scaled = color.scaled(depth.width / color.width)
    numbers = np.array([(camera.fx, camera.fy, camera.cx, camera.cy) for camera in (scaled, depth)])
    is_one_shape = (scaled.width, scaled.height) == (depth.width, depth.height)
    return is_one_shape and bool(np.allclose(numbers[0], numbers[1], atol=0.5))


def read_color(recording: Recording, topic: Topic, times: tuple[float, int], lens: Lens | None) -> SourceImage:
    """A colour image, without the distortion of its lens where one is given.

    Raises:
        InputError: it is damaged.
    """
    image = color_of(recording.message_at(topic, *times), f"An image of {topic.name} of {recording.path}")
    return image if lens is None or lens.is_pinhole else undistorted(pixels_of(image), lens, lens.pinhole)


def read_depth(recording: Recording, topic: Topic, times: tuple[float, int]) -> Float[np.ndarray, "h w"]:
    """A depth image (m).

    Raises:
        InputError: it is damaged.
    """
    return depth_of(recording.message_at(topic, *times), f"An image of {topic.name} of {recording.path}")
