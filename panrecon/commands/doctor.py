"""`panrecon doctor`: what is wrong with a scan, found in seconds, before anything long is made of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panrecon.terminal import console, exit_on_input_error, track

if TYPE_CHECKING:
    from panrecon.config import ScanSettings
    from panrecon.diagnosis.findings import Finding
    from panrecon.diagnosis.sample import Sample, SmallFrame
    from panrecon.structures import Frame, Scan

REGISTERED = 18  # frames whose edges are compared
MARKS = {"fine": "[green]fine[/green]", "note": "[yellow]note[/yellow]", "wrong": "[bold red]wrong[/bold red]"}


def doctor(
    folder: Annotated[Path, typer.Argument(help="raw scene with color/, depth/, pose/ and intrinsic/")],
    fix: Annotated[
        bool, typer.Option("--fix", help="write settings that repair it into <folder>/settings.yaml")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="exit with 2 if anything is wrong")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write all findings into this file")] = None,
    settings: Annotated[list[Path], typer.Option("--settings", help="YAML files of settings; later ones win")] = [],  # noqa: B006
    override: Annotated[list[str], typer.Option("--set", help="section.key=value; several are allowed")] = [],  # noqa: B006
) -> None:
    """What is wrong with a scan, what it would do to the result, and which setting repairs it.

    Reads the raw scene as `panrecon run` would, with its own settings.yaml; writes nothing unless told to. Exit code 2:
    the scan cannot be read, or something is wrong and --strict is given.
    """
    from dataclasses import asdict

    from panrecon.diagnosis.findings import repairs
    from panrecon.io.files import write_json
    from panrecon.workflow.scenes import OWN_SETTINGS, settings_of

    with exit_on_input_error():
        scan_settings = settings_of("scannet", settings, override, folder).scan
        findings = diagnose(folder, scan_settings)
        show(findings)
        if json_file is not None:
            write_json(
                json_file, {"scan": folder.resolve().name, "findings": [asdict(finding) for finding in findings]}
            )
        wrong = [finding for finding in findings if finding.severity == "wrong"]
        repairing = repairs(wrong)
        if fix and repairing:
            write_repairs(folder / OWN_SETTINGS, repairing, scan_settings)
    say(_verdict(folder, wrong, repairing, fix))
    if strict and wrong:
        raise typer.Exit(2)


def diagnose(folder: Path, settings: "ScanSettings") -> "list[Finding]":
    """All findings on a raw scene that is read with these settings.

    Raises:
        InputError: the scene cannot be read at all.
    """
    import numpy as np

    from panrecon.datasets.scannet.dataset import ScanNet
    from panrecon.diagnosis.examine import examine
    from panrecon.diagnosis.image_sizes import sizes
    from panrecon.diagnosis.pose_hypotheses import Stated
    from panrecon.diagnosis.registration import lying, registration
    from panrecon.errors import InputError
    from panrecon.io.images import read_size

    if (folder / "calibration").is_dir():
        raise InputError(f"{folder} is a drive of KITTI-360; the doctor looks at scans in ScanNet's layout only.")
    reader = ScanNet()
    lenient = settings.model_copy(update={"skip_invalid_poses": True})
    scan = reader.scan(folder, lenient)
    stated = reader.raw_poses(folder)
    findings = _invalid_poses(scan, stated, settings)
    found = {
        kind: {frame.name: read_size(path) for frame in scan.frames for path in (getattr(frame, kind),)}
        for kind in ("depth", "color")
    }
    usual = {kind: _commonest(of_frame) for kind, of_frame in found.items()}
    findings += sizes("depth", scan.camera, found["depth"], usual["color"])
    findings += sizes("colour", scan.source_camera, found["color"], usual["depth"])
    scan = reader.scan(folder, repaired(lenient, findings))
    sample = read_sample(scan)
    row_of_name = {name: row for row, name in enumerate(stated)}
    told = Stated(np.stack(list(stated.values())), np.array([row_of_name[name] for name in sample.names]))
    more, right = examine(sample, told, (scan.camera, scan.source_camera), repaired(lenient, findings))
    findings += more
    settings_now = repaired(lenient, findings)
    scan = reader.scan(folder, settings_now)
    frames = [frame for frame in scan.frames if frame.name in right.names]
    pictures = read_pictures(scan, frames)
    findings.append(
        registration(lying(pictures, scan.camera), scan.camera, scan.source_camera, settings_now.color_offset)
    )
    return findings


def _commonest(size_of_frame: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    sizes = list(size_of_frame.values())
    return max(dict.fromkeys(sizes), key=sizes.count)


def repaired(settings: "ScanSettings", findings: "list[Finding]") -> "ScanSettings":
    """The settings with what the findings so far would change."""
    from panrecon.diagnosis.findings import SKIP, repairs

    changes = repairs(finding for finding in findings if finding.severity == "wrong")
    if SKIP in changes:
        changes[SKIP] = [*settings.skip_frames, *changes[SKIP]]
    values = {key.removeprefix("scan."): value for key, value in changes.items()}
    return type(settings).model_validate(settings.model_dump() | values)


def _invalid_poses(scan: "Scan", stated: Mapping[str, Any], settings: "ScanSettings") -> "list[Finding]":
    """Frames without a pose, which are left out only if a setting says so."""
    import numpy as np

    from panrecon.diagnosis.findings import Finding, some

    lost = [name for name, pose in stated.items() if not np.isfinite(pose).all()]
    if not lost:
        return [Finding("lost poses", "fine", f"All {len(stated)} frames have a pose.")]
    sentence = f"{len(lost)} of {len(stated)} frames have no pose (inf or nan): {some(lost)}."
    if settings.skip_invalid_poses:
        return [Finding("lost poses", "note", f"{sentence[:-1]}; they are left out.")]
    return [Finding("lost poses", "wrong", sentence, "the pipeline stops", {"scan.skip_invalid_poses": True})]


def read_sample(scan: "Scan") -> "Sample":
    """The scan made small."""
    from panrecon.diagnosis.sample import Sample, small_camera
    from panrecon.threads import in_parallel

    def read(frame: "Frame") -> "SmallFrame":
        return read_small(scan, frame)

    frames = tuple(track(in_parallel(read, scan.frames), "doctor: frames", len(scan.frames)))
    return Sample(tuple(frame.name for frame in scan.frames), small_camera(scan.camera), scan.poses, frames)


def read_small(scan: "Scan", frame: "Frame") -> "SmallFrame":
    from panrecon.diagnosis.sample import shrink_of, small_frame
    from panrecon.io.images import read_depth, read_small_gray

    depth = read_depth(frame.depth, scan.depth_scale)
    return small_frame(depth, read_small_gray(frame.color, shrink_of(scan.source_camera)))


def read_pictures(scan: "Scan", frames: "list[Frame]") -> list[Any]:
    """Some frames with their colour as the depth camera sees it."""
    from panrecon.diagnosis.registration import small_pictures
    from panrecon.io.images import read_color, read_depth
    from panrecon.io.scan import registered
    from panrecon.threads import in_parallel
    from panrecon.visualization import evenly_spaced

    def read(frame: "Frame") -> Any:
        depth = read_depth(frame.depth, scan.depth_scale)
        return small_pictures(depth, registered(scan, read_color(frame.color), depth))

    return list(in_parallel(read, [frames[row] for row in evenly_spaced(len(frames), REGISTERED)]))


def write_repairs(path: Path, repairing: Mapping[str, Any], settings: "ScanSettings") -> None:
    """Adds the settings to a YAML file, whose other keys stay; frames that are left out already stay so."""
    import yaml

    from panrecon.config import read_settings_file
    from panrecon.diagnosis.findings import SKIP, frame_order
    from panrecon.io.files import write_text

    content = dict(read_settings_file(path)) if path.is_file() else {}
    for key, value in repairing.items():
        section, _, name = key.partition(".")
        new = sorted({*settings.skip_frames, *value}, key=frame_order) if key == SKIP else value
        content[section] = {**(content.get(section) or {}), name: new}
    write_text(path, yaml.safe_dump(content, sort_keys=False, default_flow_style=None))


def show(findings: "list[Finding]") -> None:
    """A table: the finding, and under what is wrong its effect and the repair."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "check", "finding")
    for finding in findings:
        lines = [escape(finding.sentence)]
        if finding.effect:
            lines.append(f"[dim]Effect: {escape(finding.effect)}.[/dim]")
        if finding.severity == "wrong":
            lines += [f"[bold]--set {escape(setting)}[/bold]" for setting in _as_overrides(finding.repair)]
        table.add_row(MARKS[finding.severity], finding.check, "\n".join(lines))
    Console().print(table)


def _as_overrides(repair: Mapping[str, Any] | None) -> list[str]:
    import yaml

    def text(value: Any) -> str:
        return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n").removesuffix("\n...")

    return [f"{key}={text(value)}" for key, value in (repair or {}).items()] or ["no setting repairs it"]


def _verdict(folder: Path, wrong: "list[Finding]", repairing: Mapping[str, Any], fixed: bool) -> str:
    if not wrong:
        return f"{folder} is healthy."
    checks = ", ".join(dict.fromkeys(finding.check for finding in wrong))
    if fixed and repairing:
        return f"wrong: {checks}; {len(repairing)} settings are in {folder / 'settings.yaml'}, which runs read."
    if repairing:
        return f"wrong: {checks}; `panrecon doctor {folder} --fix` writes the settings that repair it."
    return f"wrong: {checks}; no setting repairs it."


def say(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)
