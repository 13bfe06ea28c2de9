"""Detect the table's classes in every frame."""

import shutil
from dataclasses import replace
from functools import partial

from panrecon.backends import find_segmenter
from panrecon.io.categories import read_categories
from panrecon.io.detections import frames_written, join_frames, read_detections, require_detections, write_frame
from panrecon.io.images import write_image
from panrecon.io.scan import read_image, read_scan
from panrecon.networks.inference import first_undone
from panrecon.pipeline import masks_stage
from panrecon.visualization import contact_sheet, detection_overlay, evenly_spaced
from panrecon.workflow.script import Facts, Stage, run_stage


def main(stage: Stage) -> Facts:
    scan, table = read_scan(stage.folder("scan")), read_categories(stage.folder("scan") / "classes.csv")
    read, names = partial(read_image, scan), [frame.name for frame in scan.frames]
    backend = find_segmenter(stage.settings, stage.scene.raw, scan, table, read, stage.say)
    metadata = stage.models(backend.models)
    parts = stage.output / "frames"
    first = first_undone(frames_written(parts, names), backend.batch_size)
    if 0 < first < len(names):
        stage.say(f"goes on at frame {first + 1} of {len(names)}")
    remaining = replace(scan, frames=scan.frames[first:])
    results = masks_stage(backend.segmenter, remaining, table, stage.progress)
    for frame, detections in zip(remaining.frames, results, strict=True):
        write_frame(parts, frame.name, detections, table)
    count = join_frames(stage.output / "detections.json", parts, names)
    require_detections(count, len(names))

    file = read_detections(stage.output / "detections.json", table)
    detected = [frame for frame in scan.frames if frame.name in file]
    shown = [detected[index] for index in evenly_spaced(len(detected), 8)]
    images = [detection_overlay(read(frame), file[frame.name], table) for frame in shown]
    write_image(stage.output / "masks.jpg", contact_sheet(images, columns=4))
    shutil.rmtree(parts)
    stage.say(f"{count} detections in {len(file)} frames")
    return metadata


if __name__ == "__main__":
    run_stage(main)
