"""Which segmenter and which feature extractor the settings name, with the files and weights that they need."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, assert_never

import numpy as np
from jaxtyping import UInt8

from panrecon.config import FeaturesSettings, MasksSettings, Settings
from panrecon.features.base import FeatureExtractor
from panrecon.features.color import ColorExtractor
from panrecon.features.precomputed import PrecomputedExtractor
from panrecon.io.detections import DetectionFile, read_detections, require_frame_of
from panrecon.io.features import read_all_features, read_features, write_features
from panrecon.io.weights import find_weights, record_of
from panrecon.masks.base import Segmenter
from panrecon.masks.precomputed import PrecomputedSegmenter
from panrecon.masks.prompt import build_prompts, words_of
from panrecon.networks.inference import batch_on, first_undone, torch_device
from panrecon.progress import Progress, no_progress, track
from panrecon.structures import CategoryTable, FeatureMap, Frame, Scan
from panrecon.workflow.sources import (
    detections_file,
    dinov2_weights,
    features_backend,
    features_folder,
    grounded_sam_weights,
)

ReadImage = Callable[[Frame], UInt8[np.ndarray, "h w 3"]]
Log = Callable[[str], None]
ModelRecord = Mapping[str, Any]  # name, licence, source and SHA-256 of a foreign network's checkpoint


@dataclass(frozen=True)
class SegmenterBackend:
    """A segmenter, how many frames it takes at once, and the networks that it consists of."""

    segmenter: Segmenter
    batch_size: int
    models: tuple[ModelRecord, ...] = ()


@dataclass(frozen=True)
class ExtractorBackend:
    """A feature extractor, and the networks that it consists of."""

    extractor: FeatureExtractor
    models: tuple[ModelRecord, ...] = ()


def find_segmenter(
    settings: Settings, raw: Path, scan: Scan, table: CategoryTable, read: ReadImage, log: Log
) -> SegmenterBackend:
    """The segmenter of `masks.backend`; what is left out of a file of detections is logged.

    Raises:
        InputError: detections or weights are missing, broken or of another scan, or a class cannot be asked for.
    """
    match settings.masks.backend:
        case "precomputed":
            detections = _read_known_detections(detections_file(raw, settings), scan, table, log)
            return SegmenterBackend(PrecomputedSegmenter(detections, settings.masks.min_area), batch_size=1)
        case "grounded_sam":
            build_prompts(words_of(table))  # refuses a word before gigabytes are read
            return _load_grounded_sam(settings.masks, read, log)
        case _:
            assert_never(settings.masks.backend)


def find_extractor(
    settings: Settings,
    raw: Path,
    read: ReadImage,
    log: Log,
    cache: Path | None = None,
    progress: Progress = no_progress,
) -> ExtractorBackend:
    """The extractor of `features.backend`; what a network extracts is kept in the folder `cache`, if there is one.

    Raises:
        InputError: features or weights are missing or broken.
    """
    match features_backend(raw, settings):
        case "precomputed":
            return ExtractorBackend(PrecomputedExtractor(partial(read_features, features_folder(raw, settings))))
        case "color":
            if settings.features.backend == "auto":
                log(f"no precomputed features in {raw / 'features'}: takes colour statistics, which tell far less")
            return ExtractorBackend(ColorExtractor(read))
        case "dinov2":
            weights = dinov2_weights(settings.features)
            load = partial(_load_dinov2, settings.features, find_weights(weights), read, log)
            if cache is None:
                return ExtractorBackend(load(), (record_of(weights),))
            batch_size = batch_on(torch_device(settings.features.device), settings.features.batch_size)
            return ExtractorBackend(CachedExtractor(load, cache, batch_size, progress), (record_of(weights),))
        case backend:
            assert_never(backend)


@dataclass(frozen=True)
class CachedExtractor:
    """An extractor that is loaded if a frame's map is not in the folder yet, to which it then writes.

    An interrupted extraction goes on at the first frame of its batch.
    """

    load: Callable[[], FeatureExtractor]
    folder: Path
    batch_size: int
    progress: Progress = no_progress

    def extract(self, scan: Scan) -> Iterator[FeatureMap]:
        extracted = [(self.folder / f"{frame.name}.npy").is_file() for frame in scan.frames]
        remaining = replace(scan, frames=scan.frames[first_undone(extracted, self.batch_size) :])
        if remaining.frames:
            maps = track(self.load().extract(remaining), self.progress, "extract", len(remaining.frames))
            for frame, features in zip(remaining.frames, maps, strict=True):
                write_features(self.folder, frame.name, features)
        return read_all_features(self.folder, scan)


def _read_known_detections(path: Path, scan: Scan, table: CategoryTable, log: Log) -> DetectionFile:
    file = read_detections(path, table)
    if file.skipped:
        skipped = ", ".join(f"{word} x{count}" for word, count in sorted(file.skipped.items()))
        log(f"skipped {sum(file.skipped.values())} detections whose word is in no class: {skipped}")
    names = [frame.name for frame in scan.frames]
    require_frame_of(file, names)
    foreign = sum(len(records) for name, records in file.records.items() if name not in names)
    if foreign:
        log(f"left out {foreign} detections of frames that the scan does not have")
    log(f"takes the detections of {path}")
    return file


def _load_grounded_sam(settings: MasksSettings, read: ReadImage, log: Log) -> SegmenterBackend:
    from panrecon.masks.grounded_sam import load_grounded_sam

    weights = grounded_sam_weights(settings)
    detector, masker = map(find_weights, weights)
    models = tuple(record_of(name) for name in weights)
    segmenter = load_grounded_sam(settings, detector, masker, read, log)
    return SegmenterBackend(segmenter, segmenter.batch_size, models)


def _load_dinov2(settings: FeaturesSettings, weights: Path, read: ReadImage, log: Log) -> FeatureExtractor:
    from panrecon.features.dinov2 import load_extractor

    return load_extractor(settings, weights, read, log)
