"""Laws of the settings.yaml of a raw scene."""

from pathlib import Path

from benchmarks.breaks import copied
from panrecon.io.files import write_text
from panrecon.io.scan import read_scan
from panrecon.workflow.scenes import Scene, settings_of, settings_of_scenes
from panrecon.workflow.staleness import stale_stages
from tests.command_line import panrecon


def test_a_scenes_own_settings_come_before_the_users(room: Path, tmp_path: Path) -> None:
    write_text(room / "settings.yaml", "scan: {depth_scale: 5000, frame_stride: 4}\n")
    write_text(tmp_path / "user.yaml", "scan: {frame_stride: 3}\n")
    settings = settings_of("scannet", [tmp_path / "user.yaml"], ["mesh.voxel_size=0.05"], room)
    assert (settings.scan.depth_scale, settings.scan.frame_stride, settings.mesh.voxel_size) == (5000, 3, 0.05)
    assert settings_of("scannet", [], []).scan.depth_scale == 1000


def test_scenes_of_one_run_have_each_its_own_and_a_change_makes_stale(
    room: Path, raw_scenes: Path, tmp_path: Path
) -> None:
    other = copied(raw_scenes / "room", tmp_path / "other").rename(room.parent / "second room")
    write_text(other / "settings.yaml", "scan: {frame_stride: 10}\n")
    runs = tmp_path / "runs"
    arguments = ["run", "scannet/room", "scannet/second room", "--data", str(room.parent), "--runs", str(runs)]
    done = panrecon(*arguments, "--until", "scan", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "settings.yaml" in done.stderr
    scenes = [Scene("scannet", raw.name, raw, runs / "default" / "scannet" / raw.name) for raw in (room, other)]
    assert [len(read_scan(scene.run / "scan").frames) for scene in scenes] == [40, 4]
    assert [stale_stages(scene, settings_of_scenes(scenes, [], [])[scene.label], "scan") for scene in scenes] == [
        [],
        [],
    ]
    (other / "settings.yaml").unlink()
    assert stale_stages(scenes[1], settings_of("scannet", [], [], other), "scan") == ["scan"]
