"""Detect the table's classes in every frame."""

import shutil
from dataclasses import replace
from functools import partial

from panrecon.errors import InputError
from panrecon.io.categories import read_categories
from panrecon.io.detections import (
    DetectionFile,
    frames_written,
    join_frames,
    read_detections,
    require_frame_of,
    write_frame,
)
from panrecon.io.images import write_image
from panrecon.io.scan import read_image, read_scan
from panrecon.io.weights import find_weights, record_of
from panrecon.masks.base import Segmenter
from panrecon.masks.grounded_sam import GroundedSam, load_grounded_sam
from panrecon.masks.precomputed import PrecomputedSegmenter
from panrecon.masks.prompt import build_prompts, words_of
from panrecon.networks.inference import first_undone
from panrecon.structures import CategoryTable, Scan
from panrecon.visualization import contact_sheet, detection_overlay, evenly_spaced
from panrecon.workflow.script import Facts, Stage, run_stage
from panrecon.workflow.sources import detections_file, grounded_sam_weights


def main(stage: Stage) -> Facts:
    scan, table = read_scan(stage.folder("scan")), read_categories(stage.folder("scan") / "classes.csv")
    finder, batch, facts = segmenter(stage, scan, table)
    names, parts = [frame.name for frame in scan.frames], stage.output / "frames"
    first = first_undone(frames_written(parts, names), batch)
    if first:
        stage.say(f"goes on at frame {first + 1} of {len(names)}")
    remaining = replace(scan, frames=scan.frames[first:])
    found = stage.track(finder.segment(remaining, table), "frames", len(remaining.frames))
    for name, detections in zip(names[first:], found, strict=True):
        write_frame(parts, name, detections, table)
    count = join_frames(stage.output / "detections.json", parts, names)
    if isinstance(finder, GroundedSam) and finder.dropped:
        dropped = ", ".join(f"{phrase} x{count}" for phrase, count in finder.dropped.most_common(8))
        stage.say(f"dropped {finder.dropped.total()} boxes whose phrase is no class, such as {dropped}")
    show(stage, scan, table, count)
    shutil.rmtree(parts)
    return facts


def segmenter(stage: Stage, scan: Scan, table: CategoryTable) -> tuple[Segmenter, int, Facts]:
    """What finds the masks, how many frames it takes at once, and what to tell of it."""
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
            return PrecomputedSegmenter(file, settings.min_area), 1, None
        case "grounded_sam":
            build_prompts(words_of(table))  # refuses a word before gigabytes are read
            weights = grounded_sam_weights(settings)
            detector, masker = (find_weights(name) for name in weights)
            facts = stage.models([record_of(name) for name in weights])
            finder = load_grounded_sam(settings, detector, masker, partial(read_image, scan), stage.say)
            return finder, finder.batch_size, facts


def check_frames(stage: Stage, file: DetectionFile, scan: Scan) -> None:
    """Says how many detections are of frames that the scan does not have, and refuses a file of no frame of it."""
    names = [frame.name for frame in scan.frames]
    require_frame_of(file, names)
    strangers = sum(len(records) for name, records in file.records.items() if name not in names)
    if strangers:
        stage.say(f"left out {strangers} detections of frames that the scan does not have")


def show(stage: Stage, scan: Scan, table: CategoryTable, count: int) -> None:
    """A sheet of frames under their masks, and how many detections there are.

    Raises:
        InputError: there is none, so that no later stage could go on.
    """
    if not count:
        raise InputError(
            f"No class of the table was found in any of {len(scan.frames)} frames; see what is asked for with "
            "`panrecon prompts`, or lower masks.box_threshold or masks.min_area."
        )
    found = read_detections(stage.output / "detections.json", table)
    frames = [scan.frames[number] for number in evenly_spaced(len(scan.frames), 8)]
    overlays = []
    for frame in frames:
        color = read_image(scan, frame)
        overlays.append(detection_overlay(color, found[frame.name], table) if frame.name in found else color)
    write_image(stage.output / "masks.jpg", contact_sheet(overlays, columns=4))
    stage.say(f"{count} detections in {len(found)} frames")


if __name__ == "__main__":
    run_stage(main)
