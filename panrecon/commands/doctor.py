"""`panrecon doctor`: what is wrong with a scan, found in seconds, before anything long is computed from it."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panrecon.terminal import console, exit_on_input_error, track

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from panrecon.config import ScanSettings
    from panrecon.diagnosis.alignment import ColorDepthAlignment, ColorDepthPair
    from panrecon.diagnosis.finding import Finding
    from panrecon.diagnosis.parameters import (
        AlignmentParameters,
        DiagnosisParameters,
        ImageSizeParameters,
        SampleParameters,
    )
    from panrecon.diagnosis.sample import Sample, SmallFrame
    from panrecon.io.scan import DepthOfFrame
    from panrecon.structures import Camera, Frame, Scan

MARKS = {"fine": "[green]fine[/green]", "note": "[yellow]note[/yellow]", "wrong": "[bold red]wrong[/bold red]"}


def doctor(
    folder: Annotated[
        Path, typer.Argument(help="raw scene with color/, depth/, pose/ and intrinsic/, or a drive of KITTI-360")
    ],
    fix: Annotated[
        bool, typer.Option("--fix", help="write settings that repair it into <folder>/settings.yaml")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="exit with 2 if anything is wrong")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write all findings into this file")] = None,
    settings: Annotated[list[Path], typer.Option("--settings", help="YAML files of settings; later ones win")] = [],  # noqa: B006
    override: Annotated[list[str], typer.Option("--set", help="section.key=value; several are allowed")] = [],  # noqa: B006
) -> None:
    """What is wrong with a scan, what it would do to the result, and which setting repairs it.

    Reads the raw scene as `panrecon run` would, with its own settings.yaml; writes nothing unless --fix or --json is
    given. Exit code 2: the scan cannot be read, or something is wrong and --strict is given.
    """
    from dataclasses import asdict

    from panrecon.datasets.kitti360.dataset import is_scene_of_drive
    from panrecon.diagnosis.finding import repairs
    from panrecon.io.files import write_json
    from panrecon.workflow.scenes import OWN_SETTINGS, settings_of

    with exit_on_input_error():
        is_drive = not (folder / "color").is_dir() and is_scene_of_drive(folder)
        scan_settings = settings_of("kitti360" if is_drive else "scannet", settings, override, folder).scan
        findings = (diagnose_drive if is_drive else diagnose)(folder, scan_settings)
        show(findings)
        if json_file is not None:
            write_json(
                json_file, {"scan": folder.resolve().name, "findings": [asdict(finding) for finding in findings]}
            )
        wrong = [finding for finding in findings if finding.severity == "wrong"]
        repair = repairs(wrong)
        if fix and repair:
            write_repairs(folder / OWN_SETTINGS, repair, scan_settings)
    print_line(_verdict(folder, wrong, repair, fix))
    if strict and wrong:
        raise typer.Exit(2)


def diagnose(
    folder: Path, settings: "ScanSettings", parameters: "DiagnosisParameters | None" = None
) -> "list[Finding]":
    """All findings on a raw scene in ScanNet's layout that is read with these settings; default parameters if None.

    Raises:
        InputError: the scene cannot be read at all.
    """
    import numpy as np

    from panrecon.datasets.scannet.dataset import ScanNet
    from panrecon.diagnosis.alignment import turn_gain
    from panrecon.diagnosis.examine import examine
    from panrecon.diagnosis.findings.cameras import orientation_finding
    from panrecon.diagnosis.findings.poses import lost_poses_finding
    from panrecon.diagnosis.parameters import DiagnosisParameters
    from panrecon.diagnosis.pose_hypotheses import RawPoses

    parameters = parameters or DiagnosisParameters()
    reader = ScanNet()
    lenient = settings.model_copy(update={"skip_invalid_poses": True})
    scan = reader.scan(folder, lenient)
    pose_of_name = reader.raw_poses(folder)
    lost = [name for name, pose in pose_of_name.items() if not np.isfinite(pose).all()]
    findings = [lost_poses_finding(lost, len(pose_of_name), settings.skip_invalid_poses)]
    findings += image_size_findings_of(scan, parameters.image_size)
    scan = reader.scan(folder, repaired(lenient, findings))
    pairs = read_color_depth_pairs(scan, list(scan.frames), parameters.alignment)
    gain = turn_gain(pairs[:: parameters.alignment.turn_stride], parameters.alignment)
    orientation = orientation_finding(gain, settings.color_turned, parameters)
    findings += [orientation] if orientation else []
    scan = reader.scan(folder, repaired(lenient, findings))
    sample = read_sample(scan, parameters.sample)
    index_of_name = {name: index for index, name in enumerate(pose_of_name)}
    pose_of_frame = np.array([index_of_name[name] for name in sample.names])
    raw_poses = RawPoses(np.stack(list(pose_of_name.values())), pose_of_frame)
    cameras = (scan.camera, scan.source_camera)
    of_sample, sound = examine(sample, raw_poses, cameras, repaired(lenient, findings), parameters)
    findings += of_sample
    return [*findings, diagnose_alignment(folder, repaired(lenient, findings), set(sound.names), parameters)]


def diagnose_drive(
    folder: Path, settings: "ScanSettings", parameters: "DiagnosisParameters | None" = None
) -> "list[Finding]":
    """All findings on a scene of KITTI-360, of its first camera; default parameters if None.

    Depth is that of every frame's own LiDAR scan. Only frames left out are settings of a drive; whatever else is wrong
    has no repair.

    Raises:
        InputError: the scene cannot be read at all.
    """
    from dataclasses import replace

    import numpy as np

    from panrecon.datasets.kitti360.dataset import KITTI360
    from panrecon.diagnosis.alignment import color_depth_alignment
    from panrecon.diagnosis.examine import examine
    from panrecon.diagnosis.finding import SKIP
    from panrecon.diagnosis.findings.cameras import alignment_findings
    from panrecon.diagnosis.parameters import DiagnosisParameters
    from panrecon.diagnosis.pose_hypotheses import RawPoses

    parameters = parameters or DiagnosisParameters()
    of_one_camera = settings.model_copy(update={"cameras": settings.cameras[:1]})
    scan = KITTI360().scan(folder, of_one_camera)
    findings = image_size_findings_of(scan, parameters.image_size, has_depth_images=False)
    sample = read_drive_sample(folder, scan, of_one_camera, parameters.sample)
    raw_poses = RawPoses(scan.poses, np.arange(len(sample)))
    of_sample, _ = examine(sample, raw_poses, (scan.camera, scan.camera), of_one_camera, parameters)
    pairs = read_drive_pairs(folder, scan, of_one_camera, parameters.alignment)
    alignment = color_depth_alignment(pairs, scan.camera, parameters.alignment)
    findings += [*of_sample, alignment_findings(alignment, scan, of_one_camera, parameters)[0]]
    return [
        finding if set(finding.repair or {}) <= {SKIP, "scan.frame_stride"} else replace(finding, repair=None)
        for finding in findings
    ]


def read_drive_sample(folder: Path, scan: "Scan", settings: "ScanSettings", parameters: "SampleParameters") -> "Sample":
    """All frames of a drive at low resolution, with the depth of their own LiDAR scans."""
    from panrecon.diagnosis.sample import Sample, color_reduction, frame_of_small_depth, small_camera
    from panrecon.io.images import read_small_gray
    from panrecon.threads import parallel_map

    camera = small_camera(scan.camera, parameters)
    depth_of = lidar_depths(folder, camera, settings)

    def read(frame: "Frame") -> "SmallFrame":
        gray = read_small_gray(frame.color, color_reduction(scan.camera, parameters))
        return frame_of_small_depth(depth_of(frame), gray, parameters)

    frames = tuple(track(parallel_map(read, scan.frames), "doctor: frames", len(scan.frames)))
    names = tuple(frame.name for frame in scan.frames)
    return Sample(names, camera, scan.poses, frames, parameters.points_per_frame)


def read_drive_pairs(
    folder: Path, scan: "Scan", settings: "ScanSettings", parameters: "AlignmentParameters"
) -> "list[ColorDepthPair]":
    """Evenly spaced frames of a drive, with the depth of their own LiDAR scans."""
    from panrecon.diagnosis.alignment import correlated_camera, pair_of_small_depth
    from panrecon.io.images import read_color
    from panrecon.visualization import evenly_spaced

    depth_of = lidar_depths(folder, correlated_camera(scan.camera, parameters), settings)
    frames = [scan.frames[index] for index in evenly_spaced(len(scan.frames), parameters.frames)]
    return [pair_of_small_depth(depth_of(frame), read_color(frame.color)) for frame in frames]


def lidar_depths(folder: Path, camera: "Camera", settings: "ScanSettings") -> "DepthOfFrame":
    """The depth (m) that a frame's own LiDAR scan gives a camera like that of the drive at another resolution."""
    from panrecon.accumulation.depth import depth_image
    from panrecon.datasets.kitti360.dataset import camera_from_lidar
    from panrecon.datasets.points import read_points
    from panrecon.geometry.projective import transform

    camera_pose = camera_from_lidar(folder, settings.cameras[0])

    def depth_of(frame: "Frame") -> "Float[np.ndarray, 'h w']":
        points = transform(camera_pose, read_points(frame.depth)[:, :3].astype("float64")).astype("float32")
        return depth_image(camera, points, points[:0])

    return depth_of


def diagnose_alignment(
    folder: Path, settings: "ScanSettings", names: Collection[str], parameters: "DiagnosisParameters"
) -> "Finding":
    """Whether colour lies on depth in the frames of these names; of several repairs that which aligns edges best."""
    from dataclasses import replace

    from panrecon.datasets.scannet.dataset import ScanNet
    from panrecon.diagnosis.alignment import color_depth_alignment
    from panrecon.diagnosis.findings.cameras import POSITION, alignment_findings, color_position

    def alignment_at(settings: "ScanSettings") -> "tuple[Scan, ColorDepthAlignment | None]":
        scan = ScanNet().scan(folder, settings)
        frames = [frame for frame in scan.frames if frame.name in names]
        pairs = read_color_depth_pairs(scan, frames, parameters.alignment)
        return scan, color_depth_alignment(pairs, scan.camera, parameters.alignment)

    def tried(finding: "Finding") -> "tuple[float, Finding]":
        """How well edges correlate at best after a repair, and the finding, its position measured once more."""
        scan, alignment = alignment_at(repaired(settings, [finding]))
        if alignment is None or finding.repair is None:
            return 0.0, finding
        is_beside = POSITION in finding.repair
        again = {POSITION: color_position(alignment, scan)} if is_beside else {}
        return alignment.peak, replace(finding, repair={**finding.repair, **again})

    scan, alignment = alignment_at(settings)
    alternatives = alignment_findings(alignment, scan, settings, parameters)
    if len(alternatives) == 1 or alternatives[0].severity != "wrong":
        return alternatives[0]
    return max((tried(finding) for finding in alternatives), key=lambda outcome: outcome[0])[1]


def repaired(settings: "ScanSettings", findings: "list[Finding]") -> "ScanSettings":
    """The settings with the repairs of all findings that are wrong."""
    from panrecon.diagnosis.finding import SKIP, repairs

    changes = repairs(finding for finding in findings if finding.severity == "wrong")
    if SKIP in changes:
        changes[SKIP] = [*settings.skip_frames, *changes[SKIP]]
    values = {key.removeprefix("scan."): value for key, value in changes.items()}
    return type(settings).model_validate(settings.model_dump() | values)


def image_size_findings_of(
    scan: "Scan", parameters: "ImageSizeParameters", has_depth_images: bool = True
) -> "list[Finding]":
    """Findings on the sizes of all depth and colour images of a scan, which are read from the files' headers."""
    from panrecon.diagnosis.findings.cameras import image_size_findings
    from panrecon.diagnosis.image_sizes import image_sizes, most_common_size
    from panrecon.io.images import read_size

    color_sizes = {frame.name: read_size(frame.color) for frame in scan.frames}
    if not has_depth_images:
        color = image_sizes(scan.camera, color_sizes, most_common_size(color_sizes), parameters)
        return image_size_findings("colour", color, len(color_sizes))
    depth_sizes = {frame.name: read_size(frame.depth) for frame in scan.frames}
    depth = image_sizes(scan.camera, depth_sizes, most_common_size(color_sizes), parameters)
    color = image_sizes(scan.source_camera, color_sizes, most_common_size(depth_sizes), parameters)
    of_depth = image_size_findings("depth", depth, len(depth_sizes))
    return [*of_depth, *image_size_findings("colour", color, len(color_sizes))]


def read_sample(scan: "Scan", parameters: "SampleParameters") -> "Sample":
    """All frames of the scan at low resolution."""
    from panrecon.diagnosis.sample import Sample, small_camera
    from panrecon.threads import parallel_map

    def read(frame: "Frame") -> "SmallFrame":
        return read_small_frame(scan, frame, parameters)

    frames = tuple(track(parallel_map(read, scan.frames), "doctor: frames", len(scan.frames)))
    names = tuple(frame.name for frame in scan.frames)
    return Sample(names, small_camera(scan.camera, parameters), scan.poses, frames, parameters.points_per_frame)


def read_small_frame(scan: "Scan", frame: "Frame", parameters: "SampleParameters") -> "SmallFrame":
    """A frame at low resolution, its colour reduced while it is decoded."""
    from panrecon.diagnosis.sample import color_reduction, small_frame
    from panrecon.io.images import read_depth, read_small_gray
    from panrecon.io.scan import turned

    depth = read_depth(frame.depth, scan.depth_scale)
    gray = turned(read_small_gray(frame.color, color_reduction(scan.source_camera, parameters)), scan.source_turned)
    return small_frame(depth, gray, parameters)


def read_color_depth_pairs(
    scan: "Scan", frames: "list[Frame]", parameters: "AlignmentParameters"
) -> "list[ColorDepthPair]":
    """Evenly spaced frames with their colour as the depth camera should see it."""
    from panrecon.diagnosis.alignment import color_depth_pair
    from panrecon.io.scan import read_frame_depth, read_source_image, registered
    from panrecon.threads import parallel_map
    from panrecon.visualization import evenly_spaced

    def read(frame: "Frame") -> "ColorDepthPair":
        depth = read_frame_depth(scan, frame)
        return color_depth_pair(depth, registered(scan, read_source_image(scan, frame), depth), parameters)

    return list(parallel_map(read, [frames[index] for index in evenly_spaced(len(frames), parameters.frames)]))


def write_repairs(path: Path, repair: Mapping[str, Any], settings: "ScanSettings") -> None:
    """Adds settings to a YAML file, whose other keys stay; frames that `settings` leave out already stay left out."""
    import yaml

    from panrecon.config import read_settings_file
    from panrecon.diagnosis.finding import SKIP, frame_order
    from panrecon.io.files import write_text

    content = dict(read_settings_file(path)) if path.is_file() else {}
    for key, value in repair.items():
        section, _, name = key.partition(".")
        new = sorted({*settings.skip_frames, *value}, key=frame_order) if key == SKIP else value
        content[section] = {**(content.get(section) or {}), name: new}
    write_text(path, yaml.safe_dump(content, sort_keys=False, default_flow_style=None))


def show(findings: "list[Finding]") -> None:
    """Prints a table of all findings, with effect, and with the repair of those that are wrong."""
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


def _verdict(folder: Path, wrong: "list[Finding]", repair: Mapping[str, Any], fixed: bool) -> str:
    if not wrong:
        return f"{folder} is healthy."
    checks = ", ".join(dict.fromkeys(finding.check for finding in wrong))
    if fixed and repair:
        return f"wrong: {checks}; {len(repair)} settings are in {folder / 'settings.yaml'}, which runs read."
    if repair:
        return f"wrong: {checks}; `panrecon doctor {folder} --fix` writes the settings that repair it."
    return f"wrong: {checks}; no setting repairs it."


def print_line(text: str) -> None:
    """Prints a line without markup and line breaks."""
    console.print(text, highlight=False, soft_wrap=True, markup=False)
