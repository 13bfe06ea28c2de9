"""Detect the table's classes in every frame."""

from panrecon.datasets.sources import detections_file
from panrecon.io.categories import read_categories
from panrecon.io.detections import DetectionFile, read_detections, require_frame_of, write_detections
from panrecon.io.images import write_image
from panrecon.io.scan import read_scan, read_view
from panrecon.masks.base import Segmenter
from panrecon.masks.precomputed import PrecomputedSegmenter
from panrecon.pictures import detection_overlay, sheet, spread
from panrecon.stage import Stage, run_stage
from panrecon.structures import CategoryTable, Scan


def main(stage: Stage) -> None:
    scan = read_scan(stage.folder("scan"))
    table = read_categories(stage.folder("scan") / "classes.csv")
    detections = list(stage.track(segmenter(stage, scan, table).segment(scan, table), "frames", len(scan.frames)))
    found = zip((frame.name for frame in scan.frames), detections, strict=True)
    write_detections(stage.output / "detections.json", found, table)
    shown = spread(len(scan.frames), 8)
    views = [read_view(scan, scan.frames[number]) for number in shown]
    overlays = [detection_overlay(view.color, detections[n], table) for n, view in zip(shown, views, strict=True)]
    write_image(stage.output / "masks.jpg", sheet(overlays, columns=4))
    stage.say(f"{sum(map(len, detections))} detections in {sum(map(bool, map(len, detections)))} frames")


def segmenter(stage: Stage, scan: Scan, table: CategoryTable) -> Segmenter:
    settings = stage.settings.masks
    match settings.backend:
        case "precomputed":
            path = detections_file(stage.raw, stage.settings)
            file = read_detections(path, table)
            if file.skipped:
                skipped = ", ".join(f"{word} x{count}" for word, count in sorted(file.skipped.items()))
                stage.say(f"skipped {sum(file.skipped.values())} detections whose word is in no class: {skipped}")
            check_frames(stage, file, scan)
            stage.say(f"takes the detections of {path}")
            return PrecomputedSegmenter(file, settings.min_area)


def check_frames(stage: Stage, file: DetectionFile, scan: Scan) -> None:
    """Says how many detections are of frames that the scan does not have, and refuses a file of no frame of it."""
    names = [frame.name for frame in scan.frames]
    require_frame_of(file, names)
    strangers = sum(len(records) for name, records in file.records.items() if name not in names)
    if strangers:
        stage.say(f"left out {strangers} detections of frames that the scan does not have")


if __name__ == "__main__":
    run_stage(main)
