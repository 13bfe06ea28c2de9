"""`panrecon lidar masks`: labelled scans of a drive become detections of its images (LiDAR-to-detections)."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from panrecon.terminal import console, exit_on_input_error, track

if TYPE_CHECKING:
    from panrecon.io.detections import DetectionFile
    from panrecon.structures import CategoryTable, Detections

DEFAULT_SCORE = 0.6  # set by hand: about that of a right mask by a camera's segmenter


def masks(
    drive: Annotated[Path, typer.Argument(help="drive of KITTI-360, as `make kitti360/<drive>` takes it")],
    prediction: Annotated[Path, typer.Option(help="folder of <frame>.label (SemanticKITTI's form, KITTI-360's ids)")],
    out: Annotated[Path, typer.Option(help="file to write, for masks.detections")],
    camera: Annotated[Path | None, typer.Option(help="detections of the images, to merge with them")] = None,
    score: Annotated[float, typer.Option(min=0.0, max=1.0, help="score of every mask from a scan")] = DEFAULT_SCORE,
) -> None:
    """Labelled LiDAR scans of a drive as detections, so that LiDAR and cameras vote in one graph.

    Reads calibration, poses and scans of the drive, and labels by any program; writes COCO results with RLE. Frames
    whose scan has no label file keep their detections of `--camera`. Exit code 2: the input is wrong, in one sentence.
    """
    from panrecon.config import Settings
    from panrecon.io.categories import read_categories
    from panrecon.io.detections import read_detections, write_detections
    from panrecon.workflow.sources import class_table

    with exit_on_input_error():
        table = read_categories(class_table("kitti360", drive, Settings()))
        camera_detections = read_detections(camera, table) if camera is not None else None
        write_detections(out, _detections_of_frames(drive, prediction, table, camera_detections, score), table)
        console.print(f"masks of scans -> {out}", highlight=False)


def _detections_of_frames(
    drive: Path, prediction: Path, table: "CategoryTable", camera_detections: "DetectionFile | None", score: float
) -> "Iterator[tuple[str, Detections]]":
    """Name and detections of every frame that has any: its scan's and its camera's."""
    import numpy as np

    from panrecon.config import ScanSettings
    from panrecon.datasets.kitti360.dataset import KITTI360, drive_of_scene
    from panrecon.datasets.kitti360.format import read_calibration, read_vehicle_poses
    from panrecon.datasets.points import read_points
    from panrecon.datasets.semantic_kitti.format import read_labels
    from panrecon.errors import InputError
    from panrecon.geometry.projective import invert, transform
    from panrecon.lidar.detections import detections_of_scan, merge_detections

    sequence = drive_of_scene(drive)
    scan = KITTI360().scan(drive, ScanSettings())
    vehicle_from_lidar = read_calibration(sequence.root / "calibration").vehicle_from_lidar
    poses = read_vehicle_poses(sequence.poses)
    label_file = {frame.name: prediction / f"{frame.depth.stem}.label" for frame in scan.frames}
    if not any(path.is_file() for path in label_file.values()):
        raise InputError(
            f"There is no <frame>.label of a frame of {drive} in {prediction}, such as {scan.frames[0].name}."
        )
    for frame in track(scan.frames, "masks of scans", len(scan.frames)):
        detections = []
        if camera_detections is not None and frame.name in camera_detections:
            detections.append(camera_detections[frame.name])
        if label_file[frame.name].is_file():
            points = read_points(frame.depth)[:, :3].astype(np.float64)
            camera_from_lidar = invert(frame.world_from_camera) @ poses[int(frame.depth.stem)] @ vehicle_from_lidar
            in_camera = transform(camera_from_lidar, points).astype(np.float32)
            labels = read_labels(label_file[frame.name], table, len(points))
            detections.append(detections_of_scan(scan.camera, in_camera, labels, table, score))
        if detections:
            yield frame.name, merge_detections(detections)
