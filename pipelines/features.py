"""Bring dense features of every frame to one common basis."""

from functools import partial

from panrecon.datasets.sources import features_backend, features_folder
from panrecon.features.base import FeatureExtractor
from panrecon.features.color import ColorExtractor
from panrecon.features.precomputed import PrecomputedExtractor
from panrecon.features.projection import fit_projection
from panrecon.io.features import read_features, write_features, write_projection
from panrecon.io.images import write_image
from panrecon.io.scan import read_scan, read_view
from panrecon.pictures import feature_picture, sheet, spread
from panrecon.stage import Stage, run_stage
from panrecon.structures import Scan


def main(stage: Stage) -> None:
    scan, settings = read_scan(stage.folder("scan")), stage.settings.features
    backend, count = features_backend(stage.raw, stage.settings), len(scan.frames)
    if backend == "color" and settings.backend == "auto":
        stage.say(f"no precomputed features in {stage.raw / 'features'}: takes colour statistics, which tell far less")
    features = extractor(stage, backend, scan)
    projection = fit_projection(stage.track(features.extract(scan), "fit", count), settings.dimensions)
    shown, pictures = spread(count, 8), []
    maps = stage.track(features.extract(scan), "project", count)
    for number, (frame, values) in enumerate(zip(scan.frames, maps, strict=True)):
        projected = projection(values)
        write_features(stage.output, frame.name, projected)
        if number in shown:
            pictures.append(feature_picture(projected.values, scan.camera.height, scan.camera.width))
    write_projection(stage.output, projection, backend)
    write_image(stage.output / "features.jpg", sheet(pictures, columns=4))
    stage.say("{} of {} dimensions kept".format(*projection.components.shape[::-1]))


def extractor(stage: Stage, backend: str, scan: Scan) -> FeatureExtractor:
    match backend:
        case "precomputed":
            return PrecomputedExtractor(partial(read_features, features_folder(stage.raw, stage.settings)))
        case _:
            return ColorExtractor(lambda frame: read_view(scan, frame).color)


if __name__ == "__main__":
    run_stage(main)
