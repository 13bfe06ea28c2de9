"""The files outside a run that its stages read: what makes an artifact stale when it changes."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from panrecon.config import FeaturesSettings, MasksSettings, Settings
from panrecon.datasets.base import dataset
from panrecon.io.categories import find_table
from panrecon.io.weights import weights_files


def class_table(dataset_name: str, raw: Path, settings: Settings) -> Path:
    """The table of a setting, else the raw scene's own, else the data set's: ScanNet's 20 classes, or KITTI-360's.

    Raises:
        InputError: the setting is neither a file nor the name of a table.
    """
    if settings.scan.classes is not None:
        return find_table(settings.scan.classes)
    own = raw / "classes.csv"
    usual = find_table("kitti360" if dataset_name == "kitti360" else "scannet20")
    return own if own.is_file() else usual


def detections_file(raw: Path, settings: Settings) -> Path:
    """The file of a setting, else the raw scene's `detections.json`, else the first file of its `detections/`."""
    own = raw / "detections.json"
    several = sorted((raw / "detections").glob("*.json"))
    return settings.masks.detections or (several[0] if several and not own.is_file() else own)


def features_folder(raw: Path, settings: Settings) -> Path:
    """The folder of a setting, else the raw scene's `features/`."""
    return settings.features.folder or raw / "features"


def features_backend(raw: Path, settings: Settings) -> Literal["precomputed", "color", "dinov2"]:
    """The backend of the setting; `auto` comes to what is there."""
    backend = settings.features.backend
    if backend != "auto":
        return backend
    return "precomputed" if settings.features.folder or features_folder(raw, settings).is_dir() else "color"


def grounded_sam_weights(settings: MasksSettings) -> tuple[str | Path, str | Path]:
    """GroundingDINO's and SAM's checkpoints: the settings' own paths, else names of public ones."""
    if settings.implementation == "original":
        detectors = {"swin_t": "groundingdino_swint_ogc.pth", "swin_b": "groundingdino_swinb_cogcoor.pth"}
        segmenters = {"vit_h": "sam_vit_h_4b8939.pth", "vit_l": "sam_vit_l_0b3195.pth", "vit_b": "sam_vit_b_01ec64.pth"}
    else:
        detectors = {"swin_t": "grounding-dino-tiny", "swin_b": "grounding-dino-base"}
        segmenters = {"vit_h": "sam-vit-huge", "vit_l": "sam-vit-large", "vit_b": "sam-vit-base"}
    return (
        settings.detector_weights or detectors[settings.detector],
        settings.segmenter_weights or segmenters[settings.segmenter],
    )


def dinov2_weights(settings: FeaturesSettings) -> str | Path:
    """DINOv2's checkpoint: the setting's own, else Hugging Face's folder, unless only the original file is there."""
    if settings.weights is not None:
        return settings.weights
    size = {"vits14": "small", "vitb14": "base", "vitl14": "large"}[settings.model]
    folder = f"dinov2-with-registers-{size}" if settings.registers else f"dinov2-{size}"
    original = f"dinov2_{settings.model}{'_reg4' if settings.registers else ''}_pretrain.pth"
    missing = not all(path.is_file() for path in weights_files(folder))
    return original if missing and all(path.is_file() for path in weights_files(original)) else folder


def source_files(stage: str, dataset_name: str, raw: Path, settings: Settings) -> list[Path]:
    """The files that a stage reads beside the artifacts of earlier stages, sorted, whether they exist or not."""
    reader = dataset(dataset_name)
    match stage:
        case "scan":
            return [*reader.files(raw), class_table(dataset_name, raw, settings)]
        case "masks" if settings.masks.backend == "grounded_sam":
            return [path for name in grounded_sam_weights(settings.masks) for path in weights_files(name)]
        case "masks":
            return [detections_file(raw, settings)]
        case "features" if settings.features.backend == "dinov2":
            return weights_files(dinov2_weights(settings.features))
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
    return hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest()
