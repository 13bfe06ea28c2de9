"""The files outside a run that its stages read: what makes an artifact stale when it changes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from panrecon.config import Settings
from panrecon.datasets.base import dataset
from panrecon.io.categories import find_table


def class_table(raw: Path, settings: Settings) -> Path:
    """The table of a setting, else the raw scene's own, else ScanNet's 20 classes."""
    own = raw / "classes.csv"
    return settings.scan.classes or (own if own.is_file() else find_table("scannet20"))


def detections_file(raw: Path, settings: Settings) -> Path:
    """The file of a setting, else the raw scene's `detections.json`, else the first file of its `detections/`."""
    own = raw / "detections.json"
    several = sorted((raw / "detections").glob("*.json"))
    return settings.masks.detections or (several[0] if several and not own.is_file() else own)


def features_folder(raw: Path, settings: Settings) -> Path:
    """The folder of a setting, else the raw scene's `features/`."""
    return settings.features.folder or raw / "features"


def features_backend(raw: Path, settings: Settings) -> Literal["precomputed", "color"]:
    """The backend of the setting; `auto` comes to what is there."""
    chosen = settings.features.backend
    if chosen != "auto":
        return chosen
    return "precomputed" if settings.features.folder or features_folder(raw, settings).is_dir() else "color"


def source_files(stage: str, dataset_name: str, raw: Path, settings: Settings) -> list[Path]:
    """The files that a stage reads beside the artifacts of earlier stages, sorted, whether they exist or not."""
    reader = dataset(dataset_name)
    match stage:
        case "scan":
            return [*reader.files(raw), class_table(raw, settings)]
        case "masks":
            return [detections_file(raw, settings)]
        case "features":
            return sorted(features_folder(raw, settings).glob("*.npy"))
        case "quality":
            own = settings.quality.ground_truth
            return [own] if own else reader.annotation_files(raw)
        case _:
            return []


def fingerprint(files: Sequence[Path]) -> str:
    """Changes with any file's name, size or date; hashing gigabytes of images at every start would take too long."""
    states = ((path, path.stat()) for path in files if path.is_file())
    lines = [f"{path} {state.st_size} {state.st_mtime_ns}" for path, state in states]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
