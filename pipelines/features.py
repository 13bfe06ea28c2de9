"""Bring dense features of every frame to one common basis."""

import shutil
from functools import partial

from panrecon.backends import find_extractor
from panrecon.io.features import write_features, write_projection
from panrecon.io.images import write_image
from panrecon.io.scan import read_image, read_scan
from panrecon.pipeline import features_stage
from panrecon.visualization import contact_sheet, evenly_spaced, feature_image
from panrecon.workflow.script import Facts, Stage, run_stage
from panrecon.workflow.sources import features_backend

RAW = "raw"  # in the output while the stage is at work: what a network gave, not projected, float16


def main(stage: Stage) -> Facts:
    scan = read_scan(stage.folder("scan"))
    raw = stage.scene.raw
    settings = stage.settings
    read = partial(read_image, scan)
    backend = find_extractor(settings, raw, read, stage.say, stage.output / RAW, stage.progress)
    metadata = stage.models(backend.models)
    result = features_stage(
        partial(backend.extractor.extract, scan), len(scan.frames), settings.features, stage.progress
    )
    drawn = evenly_spaced(len(scan.frames), 8)
    images = []
    for index, (frame, features) in enumerate(zip(scan.frames, result.maps, strict=True)):
        write_features(stage.output, frame.name, features)
        if index in drawn:
            images.append(feature_image(features.values, scan.camera.height, scan.camera.width))
    write_projection(stage.output, result.projection, features_backend(raw, settings))
    write_image(stage.output / "features.jpg", contact_sheet(images, columns=4))
    shutil.rmtree(stage.output / RAW, ignore_errors=True)
    stage.say("{} of {} dimensions kept".format(*result.projection.components.shape[::-1]))
    return metadata


if __name__ == "__main__":
    run_stage(main)
