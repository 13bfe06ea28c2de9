"""Laws of `panrecon import`: what it writes is a scan that the pipeline reads."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from typer.testing import CliRunner

from panrecon.cli import app
from panrecon.commands.import_scan import choose_importer, name_of, unknown_format
from panrecon.config import ScanSettings
from panrecon.datasets.base import dataset
from panrecon.datasets.importers import all_importers
from panrecon.datasets.importers.base import Importer, Source, SourceFrame
from panrecon.datasets.importers.write import sharpest_frames, write_source
from panrecon.errors import InputError
from panrecon.geometry.projective import unproject
from panrecon.io.files import read_json
from panrecon.io.images import read_color, read_depth
from tests import CHECKOUT
from tests.datasets.importers.scenes import (
    CAMERA,
    LAYOUTS,
    NORMAL,
    OFFSET,
    picture,
    plane_depth,
    poses,
    touch_layout,
)
from tests.datasets.importers.test_plain import write_scan
from tests.datasets.importers.test_sens import COLOR, write_sens


def invoke(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["import", *words])
    return result.exit_code, " ".join(result.stderr.split())


def source_of(frames: list[SourceFrame], color_from_depth: np.ndarray | None = None) -> Source:
    beside = np.eye(4) if color_from_depth is None else color_from_depth
    return Source(CAMERA, CAMERA, frames, color_from_depth=beside)


def frame(number: int, pose: np.ndarray) -> SourceFrame:
    return SourceFrame(str(number), pose, lambda: picture(CAMERA, number), lambda: plane_depth(CAMERA, pose))


@pytest.mark.parametrize("kind", ["sens", "plain"])
def test_what_is_written_is_read_as_the_same_scan(tmp_path: Path, kind: str) -> None:
    (tmp_path / "raw").mkdir()
    path = write_sens(tmp_path / "raw" / "room.sens") if kind == "sens" else write_scan(tmp_path / "raw")
    code, said = invoke(str(path), "--out", str(tmp_path / "room"))
    assert code == 0 and f"is read as {kind}: " in said and "3 frames in" in said
    scan = dataset("own").scan(tmp_path / "room", ScanSettings())
    assert scan.camera.width == CAMERA.width and scan.camera.fx == pytest.approx(CAMERA.fx)
    color_camera = COLOR if kind == "sens" else CAMERA
    assert scan.source_camera.width == color_camera.width
    assert scan.source_camera.fx == pytest.approx(color_camera.fx)
    for found, pose in zip(scan.frames, poses(3), strict=True):
        assert_allclose(found.world_from_camera, pose, atol=1e-6)
        points = unproject(scan.camera, read_depth(found.depth, 1000.0).astype(float)) @ pose[:3, :3].T + pose[:3, 3]
        assert_allclose(points @ NORMAL, OFFSET, atol=2e-3)
    assert read_json(tmp_path / "room" / "import.json")["format"] == kind


def test_images_that_are_encoded_already_are_taken_as_they_are(tmp_path: Path) -> None:
    assert invoke(str(write_scan(tmp_path / "raw")), "--out", str(tmp_path / "room"))[0] == 0
    copy = tmp_path / "room" / "color" / "1.png"
    assert copy.read_bytes() == (tmp_path / "raw" / "rgb" / "frame-0001.png").read_bytes()


def test_frames_without_a_pose_are_left_out_and_counted(tmp_path: Path) -> None:
    file = write_sens(tmp_path / "a.sens", lost=(0, 2))
    code, said = invoke(str(file), "--out", str(tmp_path / "room"))
    assert code == 0 and "1 frames in" in said and "2 frames without a pose left out" in said
    assert read_json(tmp_path / "room" / "import.json")["without_pose"] == 2
    code, said = invoke(str(file), "--out", str(tmp_path / "sharp"), "--sharp", "--stride", "2")
    assert code == 0 and "1 frames in" in said and "2 frames without a pose left out" in said
    code, said = invoke(str(write_sens(tmp_path / "b.sens", lost=(0, 1, 2))), "--out", str(tmp_path / "none"))
    assert code == 2 and "None of the 3 frames has a pose" in said and not (tmp_path / "none").exists()


def test_every_nth_frame_or_the_sharpest_of_every_n(tmp_path: Path) -> None:
    assert invoke(str(write_scan(tmp_path / "raw", count=5)), "--out", str(tmp_path / "n"), "--stride", "2")[0] == 0
    assert sorted(path.stem for path in (tmp_path / "n" / "color").iterdir()) == ["0", "2", "4"]
    checks = np.kron(np.eye(8, dtype=np.uint8) * 255, np.ones((2, 2), np.uint8))
    images = [np.stack([cv2.GaussianBlur(checks, (0, 0), blur)] * 3, axis=-1) for blur in (3, 1, 2, 0.5)]
    far = np.ones((16, 16), np.float32)
    frames = [SourceFrame(str(n), np.eye(4), partial(np.asarray, images[n]), lambda: far) for n in range(4)]
    assert [one.name for one in sharpest_frames(frames, 2, iter)] == ["1", "3"]


def test_colour_from_beside_is_brought_onto_the_depth_camera(tmp_path: Path) -> None:
    """Every pixel then shows what a colour camera in the depth camera's place would have seen of the plane."""
    (pose,) = poses(1)
    beside = np.eye(4)
    beside[0, 3] = -0.1
    depth = plane_depth(CAMERA, pose)
    points = unproject(CAMERA, depth.astype(float)) + beside[:3, 3]
    u, v = (
        CAMERA.fx * points[..., 0] / points[..., 2] + CAMERA.cx,
        CAMERA.fy * points[..., 1] / points[..., 2] + CAMERA.cy,
    )
    only = [SourceFrame("0", pose, lambda: picture(CAMERA, 0), lambda: depth)]
    write_source(tmp_path / "room", source_of(only, beside), only, iter, {})
    seen = read_color(tmp_path / "room" / "color" / "0.jpg").astype(float)
    inside = (u > 0) & (u < CAMERA.width - 1) & (v > 0) & (v < CAMERA.height - 1)
    red = 30 + 190 * u / (CAMERA.width - 1)
    assert inside.mean() > 0.5 and np.abs(u - np.arange(CAMERA.width)).max() > 1
    assert np.abs(seen[..., 0] - red)[inside].mean() < 8
    assert seen[~inside].mean() < seen[inside].mean()


def test_registered_colour_has_the_depth_cameras_intrinsics(tmp_path: Path) -> None:
    beside = np.eye(4)
    beside[0, 3] = 0.02
    pose = poses(1)[0]
    only = [SourceFrame("0", pose, lambda: picture(COLOR, 0), lambda: plane_depth(CAMERA, pose))]
    write_source(tmp_path / "room", Source(CAMERA, COLOR, only, color_from_depth=beside), only, iter, {})
    intrinsic = tmp_path / "room" / "intrinsic"
    assert_array_equal(np.loadtxt(intrinsic / "intrinsic_color.txt"), np.loadtxt(intrinsic / "intrinsic_depth.txt"))
    assert read_color(tmp_path / "room" / "color" / "0.jpg").shape[:2] == (CAMERA.height, CAMERA.width)


def test_what_a_killed_import_left_is_no_part_of_the_next(tmp_path: Path) -> None:
    (tmp_path / ".room.partial" / "color").mkdir(parents=True)
    (tmp_path / ".room.partial" / "color" / "99.jpg").touch()
    only = [frame(0, poses(1)[0])]
    write_source(tmp_path / "room", source_of(only), only, iter, {})
    assert [path.name for path in (tmp_path / "room" / "color").iterdir()] == ["0.jpg"]
    assert [path.name for path in tmp_path.iterdir()] == ["room"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fails() -> np.ndarray:
        raise InputError("The image is damaged; replace it.")

    frames = [frame(0, poses(1)[0]), SourceFrame("1", np.eye(4), fails, lambda: plane_depth(CAMERA, poses(1)[0]))]
    with pytest.raises(InputError, match="damaged"):
        write_source(tmp_path / "room", source_of(frames), frames, iter, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("depth", "sentence"),
    [
        (np.full((16, 20), 70.0, np.float32), "100% of the depth is more than 65 m"),
        (np.ones((8, 20), np.float32), r"is 20 x 8 pixels, its camera is 20 x 16"),
    ],
)
def test_depth_that_cannot_be_right_is_one_sentence(tmp_path: Path, depth: np.ndarray, sentence: str) -> None:
    frames = [SourceFrame("0", np.eye(4), lambda: picture(CAMERA, 0), lambda: depth)]
    with pytest.raises(InputError, match=sentence):
        write_source(tmp_path / "room", source_of(frames), frames, iter, {})


def test_a_far_pixel_is_void_and_counted(tmp_path: Path) -> None:
    depth = plane_depth(CAMERA, poses(1)[0])
    depth[3, 4] = 80.0
    frames = [frame(0, poses(1)[0]), SourceFrame("1", poses(1)[0], lambda: picture(CAMERA, 1), lambda: depth)]
    (note,) = write_source(tmp_path / "room", source_of(frames), frames, iter, {"notes": ["before"]})
    assert note.startswith("1 pixels of depth in 1 frames are beyond 65 m")
    assert read_json(tmp_path / "room" / "import.json")["notes"] == ["before", note]
    assert np.argwhere(read_depth(tmp_path / "room" / "depth" / "1.png", 1000.0) == 0).tolist() == [[3, 4]]


def test_nothing_is_written_over_and_formats_are_told_apart(tmp_path: Path) -> None:
    raw = write_scan(tmp_path / "raw")
    (tmp_path / "room").mkdir()
    code, said = invoke(str(raw), "--out", str(tmp_path / "room"))
    assert code == 2 and "exists already; remove it, or name another folder with --out." in said
    code, said = invoke(str(tmp_path / "room"), "--out", str(tmp_path / "new"))
    assert code == 2 and f"holds no file of any of {len(all_importers())} known formats" in said
    write_sens(raw / "a.sens")
    code, said = invoke(str(raw), "--out", str(tmp_path / "new"))
    assert code == 2 and "plain (it holds scan.yaml), sens (a.sens is a .sens file" in said and "--format" in said
    assert invoke(str(raw), "--out", str(tmp_path / "new"), "--format", "sens")[0] == 0
    assert invoke(str(tmp_path / "gone"))[0] == 2
    assert "There is no format 'sense'" in invoke(str(raw), "--format", "sense", "--out", str(tmp_path / "other"))[1]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_known_by_its_own_importer_alone(tmp_path: Path, layout: str) -> None:
    for log in touch_layout(tmp_path, layout).glob("*.log"):
        log.write_text("0 0 1\n1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    known = [one.name for one in all_importers() if one.recognise(tmp_path) is not None]
    assert known == ([layout] if layout in [one.name for one in all_importers()] else [])


@pytest.mark.parametrize(
    ("files", "nearest"),
    [
        (["rgb.txt", "depth.txt", "poses.txt"], "tum"),
        (["images/1.jpg", "sparse/0/points3D.bin"], "colmap"),
        (["results/frame000000.jpg", "results/depth000000.png"], "replica"),
        (["frame_00000.jpg", "frame_00000.json"], "3d_scanner_app"),
        (["lowres_wide/1.png", "lowres_depth/1.png"], "arkit_scenes"),
        (["metadata.json"], "record3d"),
    ],
)
def test_a_folder_that_lacks_a_file_is_told_its_nearest_format(tmp_path: Path, files: list[str], nearest: str) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    with pytest.raises(InputError) as error:
        choose_importer(all_importers(), tmp_path, None)
    assert f"nearest is {nearest}: " in str(error.value)
    assert len(str(error.value)) <= 200


def test_no_refusal_of_a_format_is_long_or_without_the_folders_name(tmp_path: Path) -> None:
    """However deep the folder lies and whichever format is the nearest."""
    deep = tmp_path / ("a" * 120) / "scan"
    deep.mkdir(parents=True)
    (deep / "notes.md").touch()
    said = [unknown_format((importer,), deep) for importer in all_importers()]
    said += [unknown_format((replace_files(importer),), deep) for importer in all_importers()]
    assert all(len(sentence) <= 200 and "/scan " in sentence for sentence in said)
    assert sum("nearest is" in sentence for sentence in said) == len(all_importers())


def replace_files(importer: Importer) -> Importer:
    """The importer, by whose files every folder is near."""
    return cast(Importer, SimpleNamespace(name=importer.name, needs=importer.needs, files=("*",)))


def test_a_scan_is_called_as_its_folder_or_as_its_file(tmp_path: Path) -> None:
    (tmp_path / "room.v2").mkdir()
    assert name_of(tmp_path / "room.v2") == "room.v2"
    assert name_of(tmp_path / "scene0000_00.sens") == "scene0000_00"


def test_importers_have_names_of_their_own_and_a_recipe() -> None:
    names = [one.name for one in all_importers()]
    assert len(set(names)) == len(names)
    for one in all_importers():
        recipe = (CHECKOUT / "docs" / "import" / f"{one.name}.md").read_text()
        assert "panrecon import " in recipe and one.needs


def test_depth_keeps_its_millimetres(tmp_path: Path) -> None:
    pose = poses(1)[0]
    only = [frame(0, pose)]
    write_source(tmp_path / "room", source_of(only), only, iter, {})
    assert_allclose(read_depth(tmp_path / "room" / "depth" / "0.png", 1000.0), plane_depth(CAMERA, pose), atol=5.1e-4)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"camera": replace(CAMERA, fx=float("nan"))}, "depth camera has fx"),
        ({"color_camera": replace(CAMERA, fy=1.8e19)}, "colour camera has fx"),
        ({"color_camera": replace(CAMERA, fx=0.0)}, "colour camera has fx"),
        ({"color_from_depth": np.full((4, 4), np.nan)}, "extrinsics"),
        ({"pose": np.diag([1.0, 1, 1, 1]) + 2e9 * np.eye(4, k=3)}, "2e\\+09 m from the origin"),
    ],
)
def test_cameras_and_poses_that_cannot_be_are_refused_whatever_the_format(
    change: dict[str, Any], word: str, tmp_path: Path
) -> None:
    pose = change.pop("pose", np.eye(4))
    frame = SourceFrame(
        "0", pose, lambda: picture(CAMERA, 0), lambda: np.ones((CAMERA.height, CAMERA.width), np.float32)
    )
    source = replace(Source(CAMERA, CAMERA, [frame]), **change)
    with pytest.raises(InputError, match=word):
        write_source(tmp_path / "out", source, [frame], iter, {})
    assert not (tmp_path / "out").exists()
