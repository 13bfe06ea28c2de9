"""Laws of the importer of ARKitScenes, on a scene written as the data set describes it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from panrecon.datasets.importers.arkit_scenes import ARKitScenes
from panrecon.datasets.importers.base import Importer
from panrecon.datasets.importers.write import posed_frames
from panrecon.errors import InputError
from panrecon.geometry.projective import invert
from panrecon.io.files import write_text
from panrecon.io.images import write_depth, write_ids, write_image
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

TIMES = (998.617, 998.717, 1000.017)  # by name the last would be the first


def trajectory_line(time: float, world_from_camera: np.ndarray) -> str:
    camera_from_world = invert(world_from_camera)
    rotation = Rotation.from_matrix(camera_from_world[:3, :3]).as_rotvec()
    return " ".join(map(repr, [time, *rotation.tolist(), *camera_from_world[:3, 3].tolist()]))


def write_scene(parent: Path) -> Path:
    folder = parent / "47333462"
    for number, (time, pose) in enumerate(zip(TIMES, poses(3), strict=True)):
        stem = f"47333462_{time:.3f}"
        write_image(folder / "lowres_wide" / f"{stem}.png", picture(CAMERA, number))
        write_depth(folder / "lowres_depth" / f"{stem}.png", plane_depth(CAMERA, pose))
        write_ids(folder / "confidence" / f"{stem}.png", np.full((CAMERA.height, CAMERA.width), 2))
        line = f"20 16 {CAMERA.fx} {CAMERA.fy} {CAMERA.cx} {CAMERA.cy}"
        write_text(folder / "lowres_wide_intrinsics" / f"47333462_{time + 0.001:.3f}.pincam", line)
    lines = [trajectory_line(time, pose) for time, pose in zip(TIMES, poses(3), strict=True)]
    write_text(folder / "lowres_wide.traj", "\n".join(lines))
    return folder


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path)


def test_depth_lies_on_the_plane_and_colours_come_back(scene: Path) -> None:
    assert isinstance(ARKitScenes(), Importer)
    assert ARKitScenes().recognise(scene) == "it holds lowres_wide.traj"
    source = ARKitScenes().read(scene)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2], tolerance=0)
    assert source.camera == source.color_camera == CAMERA
    assert_allclose([frame.world_from_camera for frame in source.frames], poses(3), atol=1e-9)


def test_the_detection_part_has_a_folder_of_its_own(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    scene.rename(tmp_path / "outer" / "47333462_frames")
    assert ARKitScenes().recognise(tmp_path / "outer") == "it holds 47333462_frames/lowres_wide.traj"
    assert_on_plane(ARKitScenes().read(tmp_path / "outer"))


def test_it_knows_no_other_layout(tmp_path: Path) -> None:
    others = [touch_layout(tmp_path / name, name) for name in LAYOUTS if name != "arkit_scenes"]
    assert [ARKitScenes().recognise(folder) for folder in others] == [None] * len(others)


def test_frames_without_depth_or_a_pose_are_left_out(scene: Path) -> None:
    next((scene / "lowres_depth").glob("*998.717*")).unlink()
    write_text(scene / "lowres_wide.traj", trajectory_line(TIMES[0] + 0.05, poses(1)[0]))
    source = ARKitScenes().read(scene)
    assert "1 frames lack an image, a depth or a pose and are left out: 998.717 first." in source.notes
    assert [frame.name for frame in posed_frames(source)] == ["000000"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("lowres_wide.traj", "1 2 3", r"lowres_wide\.traj must have 7 finite numbers a line"),
        ("lowres_wide.traj", "a", r"lowres_wide\.traj cannot be read as 7 numbers a line"),
        ("lowres_wide_intrinsics/47333462_998.618.pincam", "20 16 18", r"998\.618\.pincam must have 6 finite numbers"),
        ("lowres_wide_intrinsics/47333462_998.618.pincam", "20 16 28 17 9 7", r"differ by more than 2 %"),
    ],
)
def test_what_is_wrong_is_named(scene: Path, name: str, content: str, message: str) -> None:
    write_text(scene / name, content)
    with pytest.raises(InputError, match=message):
        ARKitScenes().read(scene)
