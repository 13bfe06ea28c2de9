"""Laws of settings."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from panrecon.config import RENAMED, RETIRED, MeshSettings, Settings, load_settings
from panrecon.errors import InputError
from panrecon.workflow.stages import STAGES


def test_every_stage_has_one_section_of_its_name() -> None:
    assert list(Settings.model_fields) == list(STAGES)


def test_every_setting_says_what_it_means_but_for_seeds() -> None:
    for section in Settings.model_fields.values():
        for name, setting in type(section.default).model_fields.items():
            assert setting.description or name == "seed"


def test_nothing_given_is_the_defaults() -> None:
    assert load_settings() == Settings()


def test_later_files_win_and_overrides_win_over_all(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.json"
    first.write_text("mesh:\n  voxel_size: 0.05\n  depth_max: 3\ngraph:\n  overlap: 0.7\n")
    second.write_text('{"mesh": {"voxel_size": 0.04, "truncation": 6.0}}')
    overrides = ["mesh.truncation=8", "scan.skip_invalid_poses=true", "mesh.truncation=5.5"]
    found = load_settings([first, second], overrides)
    assert found.mesh == MeshSettings(voxel_size=0.04, depth_max=3.0, truncation=5.5)
    assert found.graph.overlap == 0.7
    assert found.scan.skip_invalid_poses
    assert found.field == Settings().field


def test_settings_come_back_from_their_own_record(tmp_path: Path) -> None:
    changed = load_settings([], ["mesh.voxel_size=0.07", "masks.detections=/some/where.json"])
    (tmp_path / "s.json").write_text(changed.model_dump_json())
    assert load_settings([tmp_path / "s.json"]) == changed
    assert changed.masks.detections == Path("/some/where.json")


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load_settings([tmp_path / "empty.yaml"]) == Settings()


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("mesh.voxelsize=0.02", "'mesh.voxelsize'"),
        ("mehs.voxel_size=0.02", "'mehs'"),
        ("mesh.voxel_size=-1", "mesh.voxel_size = -1"),
        ("mesh.voxel_size=big", "mesh.voxel_size = 'big'"),
        ("mesh.voxel_size=", "mesh.voxel_size = None"),
        ("scan.frame_stride=1.5", "scan.frame_stride = 1.5"),
        ("graph.overlap=1.01", "graph.overlap = 1.01"),
        ("masks.backend=grounded", "masks.backend = 'grounded'"),
        ("mesh.voxel_size=.nan", "mesh.voxel_size"),
        ("mesh.voxel_size=.inf", "mesh.voxel_size"),
        ("mesh=3", "'mesh=3' is not section.key=value"),
        ("mesh.voxel_size", "is not section.key=value"),
        ("=", "is not section.key=value"),
        (".=1", "is not section.key=value"),
        ("mesh.voxel_size=[", "mesh.voxel_size"),
        ("mesh.voxel_size=a: b: c", "mesh.voxel_size"),
        ("quality.protocols=[strict, strikt]", "does not fit: there is no protocol 'strikt'"),
    ],
)
def test_a_setting_that_does_not_fit_names_itself(override: str, complaint: str) -> None:
    with pytest.raises(InputError) as error:
        load_settings([], [override])
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["- a\n- b\n", "just words", "mesh: [1,", "\x00", "mesh: 3\n"])
def test_a_file_of_no_settings_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.yaml").write_text(content)
    with pytest.raises(InputError) as error:
        load_settings([tmp_path / "s.yaml"])
    assert "s.yaml" in str(error.value) or "mesh" in str(error.value)


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml does not exist"):
        load_settings([tmp_path / "none.yaml"])
    with pytest.raises(InputError, match=f"{tmp_path} is a folder; name a YAML file in it"):
        load_settings([tmp_path])


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().mesh.voxel_size = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(("old", "new"), sorted(RENAMED.items()))
def test_a_setting_of_an_earlier_name_is_refused_with_the_one_of_today(old: str, new: str) -> None:
    section, name = new.split(".")
    assert name in type(getattr(Settings(), section)).model_fields
    with pytest.raises(InputError, match=rf"'{re.escape(old)}' is called '{re.escape(new)}' now"):
        load_settings(overrides=[f"{old}=1"])


@pytest.mark.parametrize("name", sorted(RETIRED))
def test_a_setting_that_is_gone_says_what_does_its_work(name: str) -> None:
    with pytest.raises(InputError, match=rf"no setting '{re.escape(name)}' any more: .*; leave it out"):
        load_settings(overrides=[f"{name}=true"])


def test_settings_that_are_no_text_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"settings.yaml is not YAML: .*; mend it\."):
        load_settings([tmp_path / "settings.yaml"])


def test_one_override_for_a_list_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"give a list, such as \['mesh.voxel_size=0.05'\]"):
        load_settings(overrides="mesh.voxel_size=0.05")


@pytest.mark.parametrize(
    "text",
    [
        "scan: {skip_frames: [2024-13-45]}",
        "scan: {frame_stride: " + "9" * 5000 + "}",
        "scan: " + "[" * 5000,
        'scan: {classes: "~nosuchuser/x.csv"}',
        "mesh: {voxel_size: [&a0 [0, 0], " + ", ".join(f"&a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)) + "]}",
    ],
)
def test_settings_that_cannot_be_read_are_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError) as raised:
        load_settings([tmp_path / "a.yaml"])
    assert len(str(raised.value)) < 1000
    (tmp_path / "b.yaml").write_bytes("# Übersicht\nscan: {}".encode("latin-1"))
    with pytest.raises(InputError, match=r"b\.yaml"):
        load_settings([tmp_path / "b.yaml"])
