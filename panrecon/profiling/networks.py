"""Foreign networks at work on a few frames, as the stages `masks` and `features` run them: in a process of its own.

So its memory is the stage's own, and what a network leaves in memory is in no other stage's.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Final, TypeVar

from panrecon.config import FeaturesSettings, MasksSettings
from panrecon.errors import OutOfMemoryError
from panrecon.io.features import write_features
from panrecon.io.scan import read_image
from panrecon.io.weights import find_weights, record_of
from panrecon.masks.grounded_sam import load_grounded_sam
from panrecon.memory import peak_memory
from panrecon.networks.inference import batch_on, torch_device
from panrecon.profiling.costs import timed
from panrecon.structures import CategoryTable, Detections, FeatureMap, Scan
from panrecon.workflow.sources import dinov2_weights, grounded_sam_weights

BATCHES: Final = 2  # that are timed
WARM_UP: Final = 1  # batches before on CUDA, where kernels are chosen and memory is taken; a CPU is slow, but at once

T = TypeVar("T")


@dataclass(frozen=True)
class NetworkCost:
    """`loading` (s) comes once, with what frames to warm up take longer than others; `each` (s) with every frame.

    `memory` is the greatest of the process, in bytes.
    """

    loading: float
    each: float
    memory: int

    def seconds(self, frames: int) -> float:
        """Of a stage over so many frames."""
        return self.loading + self.each * frames


def frames_needed(settings: MasksSettings | FeaturesSettings) -> int:
    """How many frames are enough for the device of the settings.

    Raises:
        InputError: there is no such device.
    """
    return frames_to_warm_up(settings) + BATCHES * batch_on(torch_device(settings.device), settings.batch_size)


def frames_to_warm_up(settings: MasksSettings | FeaturesSettings) -> int:
    """How many of these come before the clock counts."""
    where = torch_device(settings.device)
    return WARM_UP * batch_on(where, settings.batch_size) if where.type == "cuda" else 0


def find_masks(settings: MasksSettings, scan: Scan, table: CategoryTable) -> tuple[NetworkCost, list[Detections]]:
    """What Grounded-SAM costs, and what it finds in every frame of `scan`.

    Raises:
        InputError: the weights are damaged or of another model, or do not fit into memory.
    """
    return apart("masks", _find_masks, settings, scan, table)


def extract_features(settings: FeaturesSettings, scan: Scan, folder: Path) -> tuple[NetworkCost, list[FeatureMap]]:
    """What DINOv2 costs, writing its maps included, and its map of every frame of `scan`; `folder` is temporary.

    Raises:
        InputError: as for masks.
    """
    return apart("features", _extract_features, settings, scan, folder)


def apart(stage: str, work: Callable[..., T], *arguments: object) -> T:
    """What `work` gives in a new process.

    Raises:
        OutOfMemoryError: the process is killed.
    """
    try:
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
            return pool.submit(work, *arguments).result()
    except BrokenProcessPool as error:
        raise OutOfMemoryError(
            f"The networks of the stage {stage} were killed while they were profiled, as a system does that runs out "
            "of memory; free some or choose smaller ones."
        ) from error


def _find_masks(settings: MasksSettings, scan: Scan, table: CategoryTable) -> tuple[NetworkCost, list[Detections]]:
    names = grounded_sam_weights(settings)
    hashing, _ = timed(lambda: [record_of(name) for name in names])
    detector, masker = map(find_weights, names)
    loading, segmenter = timed(
        lambda: load_grounded_sam(settings, detector, masker, partial(read_image, scan), _unheard)
    )
    return _worked(hashing + loading, segmenter.segment(scan, table), len(scan.frames), frames_to_warm_up(settings))


def _extract_features(settings: FeaturesSettings, scan: Scan, folder: Path) -> tuple[NetworkCost, list[FeatureMap]]:
    from panrecon.features.dinov2 import load_extractor

    name = dinov2_weights(settings)
    hashing, _ = timed(lambda: record_of(name))
    loading, extractor = timed(
        lambda: load_extractor(settings, find_weights(name), partial(read_image, scan), _unheard)
    )

    def written() -> Iterator[FeatureMap]:
        for frame, features in zip(scan.frames, extractor.extract(scan), strict=True):
            write_features(folder, frame.name, features)
            yield features

    return _worked(hashing + loading, written(), len(scan.frames), frames_to_warm_up(settings))


def _worked(loading: float, results: Iterator[T], count: int, warm_up: int) -> tuple[NetworkCost, list[T]]:
    """Takes the results of `count` frames; what those after `warm_up` take is what every frame does."""
    skipped = warm_up if warm_up < count else 0
    warming, first_results = timed(lambda: list(islice(results, skipped)))
    working, other_results = timed(lambda: list(results))
    each = working / len(other_results)
    return NetworkCost(loading + max(warming - each * skipped, 0.0), each, peak_memory()), first_results + other_results


def _unheard(sentence: str) -> None:
    """For what a stage would say while it works."""
