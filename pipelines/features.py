"""Bring dense features of every frame to one common basis."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from panrecon.features.color import ColorExtractor
from panrecon.features.precomputed import PrecomputedExtractor
from panrecon.features.projection import fit_projection
from panrecon.io.features import read_all_features, read_features, write_features, write_projection
from panrecon.io.images import write_image
from panrecon.io.scan import read_image, read_scan
from panrecon.io.weights import find_weights, record_of
from panrecon.networks.inference import batch_on, first_undone, torch_device
from panrecon.structures import FeatureMap, Scan
from panrecon.visualization import contact_sheet, evenly_spaced, feature_image
from panrecon.workflow.script import Facts, Stage, run_stage
from panrecon.workflow.sources import dinov2_weights, features_backend, features_folder

RAW: Final = "raw"  # in the output while the stage is at work: what a network gave, not projected, float16


def main(stage: Stage) -> Facts:
    scan, settings = read_scan(stage.folder("scan")), stage.settings.features
    backend, count = features_backend(stage.raw, stage.settings), len(scan.frames)
    if backend == "color" and settings.backend == "auto":
        stage.say(f"no precomputed features in {stage.raw / 'features'}: takes colour statistics, which tell far less")
    facts = None
    if backend == "dinov2":
        find_weights(dinov2_weights(settings))
        facts = stage.models([record_of(dinov2_weights(settings))])
    features = feature_maps(stage, backend, scan)
    projection = fit_projection(stage.track(features(), "fit", count), settings.dimensions)
    shown, pictures = evenly_spaced(count, 8), []
    maps = stage.track(features(), "project", count)
    for number, (frame, values) in enumerate(zip(scan.frames, maps, strict=True)):
        projected = projection(values)
        write_features(stage.output, frame.name, projected)
        if number in shown:
            pictures.append(feature_image(projected.values, scan.camera.height, scan.camera.width))
    write_projection(stage.output, projection, backend)
    write_image(stage.output / "features.jpg", contact_sheet(pictures, columns=4))
    shutil.rmtree(stage.output / RAW, ignore_errors=True)
    stage.say("{} of {} dimensions kept".format(*projection.components.shape[::-1]))
    return facts


def feature_maps(stage: Stage, backend: str, scan: Scan) -> Callable[[], Iterator[FeatureMap]]:
    """Gives the maps of all frames, as often as it is called."""
    match backend:
        case "precomputed":
            folder = features_folder(stage.raw, stage.settings)
            return partial(PrecomputedExtractor(partial(read_features, folder)).extract, scan)
        case "dinov2":
            extract_once(stage, scan)
            return partial(read_all_features, stage.output / RAW, scan)
        case _:
            return partial(ColorExtractor(lambda frame: read_image(scan, frame)).extract, scan)


def extract_once(stage: Stage, scan: Scan) -> None:
    """Writes what DINOv2 gives for every frame that has no raw features yet."""
    settings, raw = stage.settings.features, stage.output / RAW
    batch = batch_on(torch_device(settings.device), settings.batch_size)
    frames = scan.frames[first_undone([(raw / f"{frame.name}.npy").is_file() for frame in scan.frames], batch) :]
    if not frames:
        return
    from panrecon.features.dinov2 import load_extractor

    extractor = load_extractor(settings, find_weights(dinov2_weights(settings)), partial(read_image, scan), stage.say)
    maps = stage.track(extractor.extract(replace(scan, frames=frames)), "extract", len(frames))
    for frame, features in zip(frames, maps, strict=True):
        write_features(raw, frame.name, features)


if __name__ == "__main__":
    run_stage(main)
