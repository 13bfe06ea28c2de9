"""Laws of the importer of TUM RGB-D sequences, on sequences written as the benchmark describes them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from panrecon.datasets.importers.base import Importer
from panrecon.datasets.importers.tum import COLUMNS, INTRINSICS, Tum, mutual_nearest, nearest
from panrecon.errors import InputError
from panrecon.io.files import write_text
from panrecon.io.images import write_depth, write_image
from panrecon.structures import VOID, Camera
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

START = 1305031102.175304  # seconds since 1970, as real sequences have them
APART = 0.033


def time_of(number: float) -> float:
    return START + APART * number


def pose_line(time: float, pose: np.ndarray) -> str:
    numbers = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
    return f"{time:.6f} " + " ".join(f"{number:.8f}" for number in numbers)


def write_sequence(folder: Path, camera: Camera = CAMERA, count: int = 3, later: float = 0.004) -> Path:
    """Depth is taken a little later than colour, poses with depth."""
    colors, depths, lines = (["# a comment", "# of the benchmark"] for _ in range(3))
    for number, pose in enumerate(poses(count)):
        time = time_of(number)
        color, depth = f"rgb/{time:.6f}.png", f"depth/{time + later:.6f}.png"
        write_image(folder / color, picture(camera, number))
        write_depth(folder / depth, plane_depth(camera, pose), 5000.0)
        colors.append(f"{time:.6f} {color}")
        depths.append(f"{time + later:.6f} {depth}")
        lines.append(pose_line(time + later, pose))
    for name, content in {"rgb.txt": colors, "depth.txt": depths, "groundtruth.txt": lines}.items():
        write_text(folder / name, "\n".join(content) + "\n")
    if camera == CAMERA:
        write_text(folder / "calibration.txt", f"{camera.fx} {camera.fy} {camera.cx} {camera.cy}\n")
    return folder


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    return write_sequence(tmp_path / "rgbd_dataset_freiburg1_desk")


def change(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_it_is_an_importer_of_its_own_folders_only(sequence: Path, tmp_path: Path) -> None:
    assert isinstance(Tum(), Importer)
    assert Tum().recognise(sequence) == "it holds rgb.txt, depth.txt, groundtruth.txt"
    others = [touch_layout(tmp_path / name, name) for name in LAYOUTS if name != "tum"]
    assert [Tum().recognise(folder) for folder in [*others, tmp_path, tmp_path / "absent"]] == [None] * (
        len(others) + 2
    )


def test_depth_lies_on_the_plane_and_colours_come_back(sequence: Path) -> None:
    source = Tum().read(sequence)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2], tolerance=0)
    assert_allclose([frame.world_from_camera for frame in source.frames], poses(3), atol=1e-6)
    assert [frame.name for frame in source.frames] == ["000000", "000001", "000002"]
    assert source.camera == source.color_camera == CAMERA
    assert source.notes == ["intrinsics are those of calibration.txt"]


@pytest.mark.parametrize(
    ("name", "taken", "numbers"),
    [
        ("rgbd_dataset_freiburg1_xyz", "freiburg1", (517.3, 516.5, 318.6, 255.3)),
        ("freiburg2_desk", "freiburg2", (520.9, 521.0, 325.1, 249.7)),
        ("fr3_office", "freiburg3", (535.4, 539.2, 320.1, 247.6)),
        ("rgbd_bonn_balloon", "ROS default", (525.0, 525.0, 319.5, 239.5)),
    ],
)
def test_intrinsics_are_those_of_the_folders_name(
    tmp_path: Path, name: str, taken: str, numbers: tuple[float, float, float, float]
) -> None:
    camera = Camera(640, 480, *numbers)
    source = Tum().read(write_sequence(tmp_path / name, camera, count=1))
    assert source.camera == camera
    assert taken in source.notes[0]
    assert_on_plane(source)


def test_images_of_another_size_need_a_calibration(sequence: Path) -> None:
    (sequence / "calibration.txt").rename(sequence / "camera.txt")
    assert_on_plane(Tum().read(sequence))
    (sequence / "camera.txt").unlink()
    with pytest.raises(InputError, match=r"are 20 x 16 pixels.*write fx fy cx cy"):
        Tum().read(sequence)


def test_order_of_lines_does_not_matter_and_frames_are_in_order_of_time(sequence: Path) -> None:
    before = Tum().read(sequence)
    for name in ("rgb.txt", "depth.txt", "groundtruth.txt"):
        lines = (sequence / name).read_text().splitlines()
        write_text(sequence / name, "\n".join([lines[-1], "", lines[1], *lines[2:-1][::-1], lines[-1]]))
    after = Tum().read(sequence)
    assert_pictures(after, [0, 1, 2], tolerance=0)
    assert_allclose(
        [frame.world_from_camera for frame in after.frames], [frame.world_from_camera for frame in before.frames]
    )


def test_a_comment_in_the_list_names_the_camera(tmp_path: Path) -> None:
    camera = Camera(640, 480, *INTRINSICS["freiburg2"])
    sequence = write_sequence(tmp_path / "renamed", camera, count=1)
    change(sequence / "rgb.txt", "# of the benchmark", "# file: 'rgbd_dataset_freiburg2_desk.bag'")
    source = Tum().read(sequence)
    assert source.camera == camera and "freiburg2" in source.notes[0]
    assert_on_plane(source)


def test_a_first_line_of_column_names_is_no_image(sequence: Path) -> None:
    for name, columns in COLUMNS.items():
        change(sequence / name, "# a comment", " ".join(columns))
    assert_on_plane(Tum().read(sequence))
    assert len(Tum().read(sequence).frames) == 3


def test_frames_without_partner_or_pose_are_left_out_and_counted(tmp_path: Path) -> None:
    sequence = write_sequence(tmp_path / "scan", count=4)
    change(sequence / "depth.txt", f"{time_of(0) + 0.004:.6f} d", f"{time_of(0) - 0.021:.6f} d")
    gone = pose_line(time_of(2) + 0.004, poses(4)[2])
    change(sequence / "groundtruth.txt", gone, " ".join([gone.split()[0], *["NaN"] * 7]))
    source = Tum().read(sequence)
    assert_pictures(source, [1, 3], tolerance=0)
    assert_on_plane(source)
    assert source.notes[1:] == [
        "1 frames have no depth image within 20 ms and are left out",
        "1 frames have no pose within 20 ms and are left out",
    ]


def test_a_pose_is_interpolated_at_the_time_of_the_depth_image(sequence: Path) -> None:
    """A camera that turns and moves evenly is found where it was between two poses."""

    def at(time: float) -> np.ndarray:
        result = np.eye(4)
        result[:3, :3] = Rotation.from_rotvec(np.array([0.3, -1.2, 0.5]) * time).as_matrix()
        result[:3, 3] = np.array([1.0, -2.0, 0.5]) * time
        return result

    times = np.arange(-0.015, 0.1, 0.01)
    write_text(sequence / "groundtruth.txt", "\n".join(pose_line(START + time, at(time)) for time in times))
    found = [frame.world_from_camera for frame in Tum().read(sequence).frames]
    assert_allclose(found, [at(APART * number + 0.004) for number in range(3)], atol=1e-5)
    write_text(sequence / "groundtruth.txt", pose_line(START + APART, at(0.0)))  # a single pose is not interpolated
    (frame,) = Tum().read(sequence).frames
    assert_allclose(frame.world_from_camera, np.eye(4), atol=1e-6)


def test_partners_are_those_of_a_plain_search() -> None:
    rng = np.random.default_rng(0)
    times, others = np.sort(rng.uniform(0, 1, 60)), np.sort(rng.uniform(0, 1, 45))
    distance = np.abs(times[:, None] - others)
    assert np.array_equal(nearest(times, others), distance.argmin(axis=1))
    expected = [
        other if distance[mine, other] <= 0.02 and distance[:, other].argmin() == mine else VOID
        for mine, other in enumerate(distance.argmin(axis=1))
    ]
    found = mutual_nearest(times, others)
    assert np.array_equal(found, expected)
    assert len(set(found[found != VOID])) == (found != VOID).sum() > 10


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rgb.txt", "# nothing\n", r"rgb\.txt has no line of timestamp filename"),
        ("depth.txt", "1305031102.1\n", r"Line 1 of .*depth\.txt is '1305031102\.1'; it must be timestamp filename"),
        ("rgb.txt", "\nsoon rgb/1.png\n", r"Line 2 of .*rgb\.txt is 'soon rgb/1\.png'"),
        ("groundtruth.txt", "1 0 0 0 0 0 1\n", r"Line 1 of .*it must be timestamp tx ty tz qx qy qz qw"),
        ("groundtruth.txt", "1 0 0 0 0 0 0 0\n", r"Line 1 of .*groundtruth\.txt is '1 0 0 0 0 0 0 0'"),
        ("groundtruth.txt", "1 inf 0 0 0 0 0 1\n", r"Line 1 of .*groundtruth\.txt"),
        ("groundtruth.txt", "1 0 0 0 0 0 0 1\n", r"within 20 ms: colour begins at second 1305031102.*poses at 1\.0"),
        ("calibration.txt", "525 525 319.5\n", r"holds \[525\.0, 525\.0, 319\.5\]; it must be fx fy cx cy"),
        ("calibration.txt", "525 -525 319.5 239.5\n", r"it must be fx fy cx cy of images without distortion"),
        ("calibration.txt", "fx: 525\n", r"calibration\.txt cannot be read as numbers"),
    ],
)
def test_what_is_wrong_is_said_with_the_place(sequence: Path, name: str, content: str, message: str) -> None:
    write_text(sequence / name, content)
    with pytest.raises(InputError, match=message):
        Tum().read(sequence)


@pytest.mark.parametrize("name", ["rgb.txt", "depth.txt", "groundtruth.txt"])
def test_a_missing_file_is_named(sequence: Path, name: str) -> None:
    (sequence / name).unlink()
    assert Tum().recognise(sequence) is None
    with pytest.raises(InputError, match=rf"There is no file .*{name}"):
        Tum().read(sequence)


def test_images_are_read_when_asked_for(sequence: Path) -> None:
    for file in sorted((sequence / "depth").iterdir())[1:]:
        file.unlink()
    frames = Tum().read(sequence).frames
    with pytest.raises(InputError, match=r"does not exist"):
        frames[1].depth()
