"""Laws of the importer of COLMAP's models with depth maps, on workspaces written as its documentation has them."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from panrecon.datasets.importers.base import Importer, Lens
from panrecon.datasets.importers.colmap import Colmap
from panrecon.datasets.importers.lenses import rectified
from panrecon.errors import InputError
from panrecon.geometry.projective import invert
from panrecon.io.files import write_text
from panrecon.io.images import write_depth, write_image
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

NAMES = ("video/9.jpg", "video/10.jpg", "video/0100 b.png")  # in this order, which is not the alphabet's
PINHOLE = (1, "PINHOLE", 20, 16, (CAMERA.fx, CAMERA.fy, CAMERA.cx + 0.5, CAMERA.cy + 0.5))
NUMBERS = {"SIMPLE_PINHOLE": 0, "PINHOLE": 1, "SIMPLE_RADIAL": 2, "OPENCV": 4}
CameraRow = tuple[int, str, int, int, tuple[float, ...]]
ImageRow = tuple[int, list[float], int, str]


def image_rows(count: int = 3) -> list[ImageRow]:
    """Ids against the order of the names, as COLMAP gives them."""
    rows = []
    for number, pose in enumerate(poses(count)):
        camera_from_world = invert(pose)
        x, y, z, w = Rotation.from_matrix(camera_from_world[:3, :3]).as_quat()
        values = np.array([w, x, y, z, *camera_from_world[:3, 3]]).tolist()
        rows.append((count - number, values, 1, NAMES[number]))
    return rows[::-1]


def write_text_model(folder: Path, cameras: Sequence[CameraRow], images: Sequence[ImageRow]) -> None:
    """One image has points, the next has none: an empty line."""
    lines = [f"{number} {model} {w} {h} {' '.join(map(repr, values))}" for number, model, w, h, values in cameras]
    write_text(folder / "cameras.txt", "\n".join(["# Camera list", *lines]) + "\n")
    lines = ["# Image list", "#   POINTS2D[] as (X, Y, POINT3D_ID)"]
    for number, values, camera, name in images:
        lines += [f"{number} {' '.join(map(repr, values))} {camera} {name}", "3.5 7.25 -1 8 9 4" if number % 2 else ""]
    write_text(folder / "images.txt", "\n".join(lines) + "\n")


def write_binary_model(folder: Path, cameras: Sequence[CameraRow], images: Sequence[ImageRow]) -> None:
    data = struct.pack("<Q", len(cameras))
    for number, model, width, height, parameters in cameras:
        data += struct.pack(f"<iiQQ{len(parameters)}d", number, NUMBERS[model], width, height, *parameters)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.bin").write_bytes(data)
    data = struct.pack("<Q", len(images))
    for number, values, camera, name in images:
        data += struct.pack("<i7di", number, *values, camera) + name.encode() + b"\0" + struct.pack("<Q", number)
        data += number * struct.pack("<ddq", 3.5, 7.25, -1)
    (folder / "images.bin").write_bytes(data)


def write_map(file: Path, depth: np.ndarray) -> None:
    """As COLMAP writes it: w x h, the first index running fastest."""
    file.parent.mkdir(parents=True, exist_ok=True)
    header = f"{depth.shape[1]}&{depth.shape[0]}&1&".encode()
    file.write_bytes(header + depth.T.astype("<f4").tobytes(order="F"))


def write_npy(file: Path, depth: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, depth)


DEPTHS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "stereo/depth_maps/{name}.geometric.bin": write_map,
    "depth/{stem}.png": write_depth,
    "depth/{name}.png": write_depth,
    "depth/{name}.npy": write_npy,
}


def write_depths(folder: Path, layout: str = "depth/{stem}.png", camera: Camera = CAMERA) -> None:
    for name, pose in zip(NAMES, poses(3), strict=True):
        file = layout.format(name=name, stem=name.rsplit(".", 1)[0])
        DEPTHS[layout](folder / file, plane_depth(camera, pose))


def write_workspace(parent: Path) -> Path:
    """Without depth."""
    folder = parent / "dense"
    for number, name in enumerate(NAMES):
        write_image(folder / "images" / name, picture(CAMERA, number))
    write_binary_model(folder / "sparse", [PINHOLE], image_rows())
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return write_workspace(tmp_path)


def test_it_is_an_importer_of_its_own_folders_only(workspace: Path, tmp_path: Path) -> None:
    assert isinstance(Colmap(), Importer)
    assert Colmap().recognise(workspace) == "it holds images/ and COLMAP's cameras.bin"
    others = [touch_layout(tmp_path / name, name) for name in LAYOUTS if name != "colmap"]
    for folder in [*others, tmp_path, tmp_path / "absent"]:
        assert Colmap().recognise(folder) is None


@pytest.mark.parametrize("layout", DEPTHS)
def test_depth_lies_on_the_plane_and_colours_come_back(workspace: Path, layout: str) -> None:
    write_depths(workspace, layout)
    source = Colmap().read(workspace)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2])
    assert_allclose([frame.world_from_camera for frame in source.frames], poses(3), atol=1e-9)
    assert [frame.name for frame in source.frames] == ["000000", "000001", "000002"]
    assert source.camera == source.color_camera == CAMERA
    (note,) = source.notes
    assert "scale is arbitrary" in note


@pytest.mark.parametrize("write", [write_text_model, write_binary_model])
@pytest.mark.parametrize("place", [".", "sparse", "sparse/0"])
def test_the_model_is_text_or_binary_in_three_places(
    workspace: Path, write: Callable[[Path, Sequence[CameraRow], Sequence[ImageRow]], None], place: str
) -> None:
    for file in (workspace / "sparse").iterdir():
        file.unlink()
    assert Colmap().recognise(workspace) is None
    write(workspace / place, [PINHOLE], image_rows())
    write_depths(workspace)
    source = Colmap().read(workspace)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2])


@pytest.mark.parametrize("write", [write_text_model, write_binary_model])
def test_a_simple_pinhole_has_one_focal_length(
    tmp_path: Path, workspace: Path, write: Callable[[Path, Sequence[CameraRow], Sequence[ImageRow]], None]
) -> None:
    write(workspace, [(1, "SIMPLE_PINHOLE", 20, 16, (18.0, 9.75, 8.0))], image_rows())
    camera = Camera(20, 16, 18.0, 18.0, 9.25, 7.5)
    write_depths(workspace, camera=camera)
    source = Colmap().read(workspace)
    assert source.camera == camera
    assert_on_plane(source)


def test_depth_maps_may_be_smaller_than_images(workspace: Path) -> None:
    write_depths(workspace, "stereo/depth_maps/{name}.geometric.bin", CAMERA.scaled(0.5))
    source = Colmap().read(workspace)
    assert (source.camera.width, source.color_camera) == (10, CAMERA)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2])
    write_depths(workspace, "stereo/depth_maps/{name}.geometric.bin", Camera(20, 12, 18.0, 17.0, 9.25, 7.5))
    with pytest.raises(InputError, match=r"are 20 x 12 pixels, images 20 x 16, of another shape"):
        Colmap().read(workspace)


def test_what_is_not_measured_is_zero(workspace: Path) -> None:
    depth = plane_depth(CAMERA, poses(1)[0])
    depth[0, :4] = np.nan, np.inf, -1.0, 0.0
    write_map(workspace / "stereo" / "depth_maps" / f"{NAMES[0]}.geometric.bin", depth)
    (frame,) = Colmap().read(workspace).frames
    assert (frame.depth() == 0).sum() == 4
    assert_on_plane(Colmap().read(workspace))


def test_images_without_file_or_depth_are_left_out_and_counted(workspace: Path) -> None:
    write_depths(workspace)
    (workspace / "images" / NAMES[0]).unlink()
    source = Colmap().read(workspace)
    assert_pictures(source, [1, 2])
    assert_on_plane(source)
    assert source.notes[1:] == ["1 images of the model have no file or no depth map and are left out"]
    (workspace / "depth" / "video" / "10.png").unlink()
    assert_pictures(Colmap().read(workspace), [2])


def test_the_same_camera_under_several_ids_is_one(workspace: Path) -> None:
    write_depths(workspace)
    rows = [(number, values, number, name) for number, values, _, name in image_rows()]
    write_binary_model(workspace / "sparse", [(number, *PINHOLE[1:]) for number in (1, 2, 3)], rows)
    source = Colmap().read(workspace)
    assert_on_plane(source)
    assert len(source.notes) == 1
    assert rectified(source).frames == source.frames
    write_binary_model(workspace / "sparse", [(2, *PINHOLE[1:])], image_rows())
    with pytest.raises(InputError, match=r"has camera 1, which .*cameras\.bin does not list"):
        Colmap().read(workspace)


@pytest.mark.parametrize("depth_scale", [1.0, 0.5])
def test_a_camera_an_image_becomes_one_camera(workspace: Path, depth_scale: float) -> None:
    """COLMAP's default."""
    cameras = [Camera(20, 16, fx, 17.0, 9.25, 7.5) for fx in (18.0, 18.5, 17.5)]
    rows = [(1 + n, "PINHOLE", 20, 16, (c.fx, c.fy, c.cx + 0.5, c.cy + 0.5)) for n, c in enumerate(cameras)]
    write_binary_model(
        workspace / "sparse", rows, [(*row[:2], 1 + n, row[3]) for n, row in enumerate(image_rows()[::-1])]
    )
    for name, pose, camera in zip(NAMES, poses(3), cameras, strict=True):
        write_map(
            workspace / "stereo" / "depth_maps" / f"{name}.geometric.bin", plane_depth(camera.scaled(depth_scale), pose)
        )
    source = Colmap().read(workspace)
    assert "resampled to one pinhole" in source.notes[-1] and "have 3 cameras" in source.notes[-1]
    assert source.color_camera == CAMERA
    assert_on_plane(rectified(source), tolerance=0.08, measured=0.85)  # of the nearest pixel: half of one at a slant
    assert_pictures(rectified(source), [0, 1, 2], tolerance=20)


@pytest.mark.parametrize("write", [write_text_model, write_binary_model])
def test_a_distorted_model_is_read(workspace: Path, write: Any) -> None:
    write_depths(workspace)
    write(workspace, [(1, "OPENCV", 20, 16, (18.0, 17.0, 9.75, 8.0, 0.1, 0.0, 0.01, 0.0))], image_rows())
    source = Colmap().read(workspace)
    assert {frame.lens for frame in source.frames} == {Lens(CAMERA, (0.1, 0.0, 0.01, 0.0, 0.0, 0.0, 0.0, 0.0))}
    assert "3 of 3 frames are distorted" in source.notes[-1]


def test_what_the_undistorter_calls_radial_is_a_pinhole(workspace: Path) -> None:
    camera = Camera(20, 16, 18.0, 18.0, 9.25, 7.5)
    write_binary_model(workspace / "sparse", [(1, "SIMPLE_RADIAL", 20, 16, (18.0, 9.75, 8.0, 0.0))], image_rows())
    write_depths(workspace, camera=camera)
    source = Colmap().read(workspace)
    assert source.color_camera == camera and len(source.notes) == 1
    assert_on_plane(source)


def test_a_lens_that_opencv_lacks_is_refused_with_the_way_out(workspace: Path) -> None:
    write_depths(workspace)
    write_text_model(workspace, [(1, "FOV", 20, 16, (18.0, 17.0, 9.75, 8.0, 0.9))], image_rows())
    with pytest.raises(InputError, match=r"of the model FOV, which OpenCV lacks; run `colmap image_undistorter`"):
        Colmap().read(workspace)


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin"])
@pytest.mark.parametrize("length", [0, 20, -1])
def test_a_cut_model_is_refused(workspace: Path, name: str, length: int) -> None:
    write_depths(workspace)
    file = workspace / "sparse" / name
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(
        InputError, match=rf"{name} is no list of COLMAP's {name.split('.')[0]}: .*export the model again"
    ):
        Colmap().read(workspace)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cameras.txt", "1 PINHOLE 20\n", r"cameras\.txt is no list of COLMAP's cameras"),
        ("cameras.txt", "1 PINHOLE 20 16 18 17 9.75\n", r"the parameters of a PINHOLE of 20 x 16 pixels are \[18\.0"),
        ("cameras.txt", "1 PINHOLE 20 16 18 -17 9.75 8\n", r"the parameters of a PINHOLE"),
        ("cameras.txt", "1 OPENCV 20 16 18 17 9 8 0 0 0\n", r"the parameters of a OPENCV of 20 x 16"),
        ("images.txt", "1 0 0 0\n\n", r"images\.txt is no list of COLMAP's images"),
        ("images.txt", "1 1 0 0 zero 0 0 0 1 video/9.jpg\n\n", r"images\.txt is no list of COLMAP's images: could not"),
        ("images.txt", "1 0 0 0 0 0 0 0 1 video/9.jpg\n\n", r"The pose of video/9\.jpg in .*must be a unit quaternion"),
        (
            "images.txt",
            "1 1 0 0 0 0 0 nan 1 video/9.jpg\n\n",
            r"The pose of video/9\.jpg in .*must be a unit quaternion",
        ),
        ("images.txt", "1 1 0 0 0 0 0 0 1 other.jpg\n\n", r"None of the 1 images of .* has a depth map"),
        ("images.txt", "# none\n", r"None of the 0 images of"),
    ],
)
def test_a_malformed_model_is_refused(workspace: Path, name: str, content: str, message: str) -> None:
    write_depths(workspace)
    write_text_model(workspace / "sparse", [PINHOLE], image_rows())
    for file in (workspace / "sparse").glob("*.bin"):
        file.unlink()
    write_text(workspace / "sparse" / name, content)
    with pytest.raises(InputError, match=message):
        Colmap().read(workspace)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("stereo/depth_maps/video/9.jpg.geometric.bin", b"20&16", r"begins with b'20&16', not with width&height&1&"),
        ("stereo/depth_maps/video/9.jpg.geometric.bin", b"20&16&1&12345678", r"geometric\.bin cannot be read"),
        ("stereo/depth_maps/video/9.jpg.geometric.bin", b"20&16&1&123", r"geometric\.bin cannot be read"),
        ("depth/video/9.npy", b"", r"9\.npy cannot be read"),
        ("depth/video/9.npy", b"no array", r"9\.npy cannot be read"),
        ("depth/video/9.png", b"no image", r"9\.png cannot be decoded"),
    ],
)
def test_a_damaged_depth_map_is_named(workspace: Path, file: str, content: bytes, message: str) -> None:
    (workspace / file).parent.mkdir(parents=True)
    (workspace / file).write_bytes(content)
    with pytest.raises(InputError, match=message):
        Colmap().read(workspace)


def test_what_is_missing_is_named(workspace: Path) -> None:
    with pytest.raises(InputError, match=r"has no depth/ and no stereo/depth_maps/"):
        Colmap().read(workspace)
    (workspace / "sparse" / "images.bin").unlink()
    with pytest.raises(InputError, match=r"has no cameras and images, \.bin or \.txt, in it, sparse/ or sparse/0/"):
        Colmap().read(workspace)


def test_a_name_that_no_file_has_is_one_sentence(workspace: Path) -> None:
    write_depths(workspace)
    image_id, pose, camera_id, _ = image_rows()[0]
    write_binary_model(workspace / "sparse", [PINHOLE], [(image_id, pose, camera_id, "9" * 5_000)])
    with pytest.raises(InputError, match="whose name has 5000 letters"):
        Colmap().read(workspace)
