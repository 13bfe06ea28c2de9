"""Laws of scans far from the origin of their coordinates."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from typer.testing import CliRunner

from panrecon.cli import app
from panrecon.config import ScanSettings
from panrecon.datasets.base import dataset
from panrecon.datasets.importers.base import Source, SourceFrame
from panrecon.datasets.importers.origin import near_origin
from panrecon.errors import InputError
from panrecon.io.files import read_json
from tests.datasets.importers.scenes import CAMERA, picture, plane_depth, poses
from tests.datasets.importers.test_plain import write_scan

FAR_PLACES = {
    "utm": (449000.35, 5410003.94, 121.3),
    "ecef": (4198945.1, 174747.2, 4781887.9),
}


def scan_at(place: tuple[float, float, float], count: int = 3) -> Source:
    shift = np.eye(4)
    shift[:3, 3] = place
    frames = [
        SourceFrame(str(n), shift @ pose, lambda: picture(CAMERA, 0), lambda: plane_depth(CAMERA, poses(1)[0]))
        for n, pose in enumerate(poses(count))
    ]
    return Source(CAMERA, CAMERA, frames, ["before"])


@pytest.mark.parametrize("place", FAR_PLACES.values(), ids=FAR_PLACES)
def test_what_is_moved_comes_back_to_the_millimetre(place: tuple[float, float, float]) -> None:
    source = scan_at(place)
    moved, origin = near_origin(source)
    assert [round(value) for value in origin] == origin
    assert moved.notes[0] == "before" and "import.json" in moved.notes[1]
    for frame, stored in zip(moved.frames, source.frames, strict=True):
        position = frame.world_from_camera[:3, 3]
        assert np.abs(position).max() < 5
        assert_allclose(position.astype(np.float32) + np.array(origin), stored.world_from_camera[:3, 3], atol=1e-6)
        assert_allclose(frame.world_from_camera[:3, :3], stored.world_from_camera[:3, :3])


def test_what_is_near_or_lost_stays_where_it_is() -> None:
    near = scan_at((20.0, -300.0, 0.0))
    assert near_origin(near) == (near, [0.0, 0.0, 0.0])
    lost_pose = np.full((4, 4), np.nan)
    frame = SourceFrame("0", lost_pose, lambda: picture(CAMERA, 0), lambda: plane_depth(CAMERA, poses(1)[0]))
    lost = Source(CAMERA, CAMERA, [frame])
    assert near_origin(lost) == (lost, [0.0, 0.0, 0.0])


def test_cameras_too_far_apart_are_no_metres() -> None:
    near = scan_at((0.0, 0.0, 0.0))
    away = scan_at((3e7, 0.0, 0.0), count=1)
    with pytest.raises(InputError, match=r"up to 3e\+04 km apart; give the poses in metres"):
        near_origin(Source(CAMERA, CAMERA, [*near.frames, *away.frames]))


def test_an_import_keeps_the_metres_of_utm(tmp_path: Path) -> None:
    raw = write_scan(tmp_path / "raw")
    shift = np.eye(4)
    shift[:3, 3] = FAR_PLACES["utm"]
    for number, pose in enumerate(poses(3)):
        np.savetxt(raw / "pose" / f"{number}.txt", shift @ pose)
    result = CliRunner().invoke(app, ["import", str(raw), "--out", str(tmp_path / "room")])
    assert result.exit_code == 0 and "5429 km from the origin" in " ".join(result.stderr.split())
    record = read_json(tmp_path / "room" / "import.json")
    scan = dataset("own").scan(tmp_path / "room", ScanSettings())
    for frame, pose in zip(scan.frames, poses(3), strict=True):
        place = frame.world_from_camera[:3, 3] + np.array(record["origin"])
        assert_allclose(place, (shift @ pose)[:3, 3], atol=1e-5)
