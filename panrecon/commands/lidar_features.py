"""`panrecon lidar features`: vision features of LiDAR scans' points and text embeddings of their classes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from panrecon.terminal import console, exit_on_input_error, locked, progress_bar

if TYPE_CHECKING:
    import numpy as np
    import torch

    from panrecon.datasets.lidar_base import LidarDataset, ScanReference
    from panrecon.features.base import PixelEncoder, TextEncoder
    from panrecon.features.points import PointInterpolation
    from panrecon.structures import FeatureMap, LidarImage

WINDOWS_PER_BATCH = 8
Scans = Sequence[tuple["LidarDataset", "ScanReference"]]


Folders = Annotated[list[Path], typer.Argument(help="data sets, as `panrecon lidar infer` takes them")]
LayoutOption = Annotated[
    Literal["semantic_kitti", "nuscenes", "kitti360"], typer.Option(help="file layout of the data sets")
]
Clip = Annotated[
    Path | None, typer.Option(help="CLIP as Hugging Face has it: folder of config.json, model.safetensors, tokenizer")
]
Maps = Annotated[
    Path | None, typer.Option(help="precomputed feature maps of images: <path in the data set>.npy, h x w x D")
]
Text = Annotated[Path | None, typer.Option(help="folder of a precomputed text_embeddings.npz")]
OpenClip = Annotated[
    str | None, typer.Option(help="text embeddings by open_clip, if installed: <model>=<file of weights>")
]
Occlusion = Annotated[
    bool, typer.Option("--occlusion", help="points occluded by nearer points of their scan take no feature")
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="where torch computes")]


@dataclass(frozen=True)
class FeatureSources:
    """The encoders, or precomputed files, of image features and of text embeddings, as the options name them.

    Raises:
        InputError: one of the two has no source or two of them, or they are not of one embedding space.
    """

    clip: Path | None
    maps: Path | None
    text: Path | None
    open_clip: str | None

    def __post_init__(self) -> None:
        """Checks that image features and text embeddings have one source each."""
        from panrecon.errors import InputError

        if self.text is not None and self.open_clip is not None:
            raise InputError("Text embeddings are asked for twice, by --text and by --open-clip; leave one out.")
        has_text = self.text is not None or self.open_clip is not None
        if self.clip is None and self.maps is None:
            raise InputError("There is no source of image features; name --clip, or --maps.")
        if self.clip is None and not has_text:
            raise InputError("There is no source of text embeddings; name --clip, --open-clip, or --text.")
        if self.clip is not None and self.maps is not None and has_text:
            raise InputError(f"{self.clip} is not used beside --maps and --text or --open-clip; leave --clip out.")
        if self.maps is None and self.open_clip is not None:
            raise InputError("Pixels of --clip and text of --open-clip have no common space; leave one out.")


@dataclass(frozen=True)
class FeatureEncoders:
    """Encoders of pixels and of text, and the description of both that features.json keeps."""

    pixels: "PixelEncoder"
    text: "TextEncoder"
    record: Mapping[str, Any]


def features(
    folders: Folders,
    layout: LayoutOption,
    clip: Clip = None,
    maps: Maps = None,
    text: Text = None,
    open_clip: OpenClip = None,
    name: Annotated[str, typer.Option(help="name of the folders to write; --features of `train`")] = "vision_features",
    occlusion: Occlusion = False,
    side: Annotated[int, typer.Option(min=1, help="shorter edge of the images as CLIP takes them, px")] = 448,
    every: Annotated[int, typer.Option(min=1, help="take every n-th scan of a data set")] = 1,
    device: Device = "auto",
) -> None:
    """Vision features of the points of LiDAR scans and text embeddings of the classes, for `train` and `infer`.

    Reads scans, images, calibration and `--clip`; `--maps` replaces it for pixels, `--text` or `--open-clip` for text.
    Writes <name>/<scan>.npz, text_embeddings.npz and features.json beside the scans. Prints their size before it
    starts; killed and called again, it continues. Exit code 2: the input is wrong, in one sentence.
    """
    from panrecon.datasets.lidar import lidar_dataset
    from panrecon.errors import InputError
    from panrecon.networks.inference import torch_device

    with exit_on_input_error():
        sources = FeatureSources(clip, maps, text, open_clip)
        if not name or Path(name).name != name:
            raise InputError(f"Folders cannot be called {name!r}; --name takes a plain name.")
        sets = [lidar_dataset(layout, folder) for folder in folders]
        scans = [(data, reference) for data in sets for reference in data.scans()[::every]]
        encoders = _encoders(sources, [data.root for data in sets], side, torch_device(device))
        table = sets[0].table
        names = list(dict.fromkeys(name for category in table for name in (category.name, *category.synonyms)))
        embeddings = encoders.text.embed(names)
        record = {"source": "panrecon lidar features", "simulated": False, "occlusion": occlusion}
        record |= {"dimensions": embeddings.shape[1], **encoders.record}
        _write(scans, name, names, embeddings, encoders, record)


def _encoders(sources: FeatureSources, roots: Sequence[Path], side: int, device: "torch.device") -> FeatureEncoders:
    from panrecon.features.clip import PROMPT, load_clip, pixels_of, words_of
    from panrecon.features.precomputed import PrecomputedPixels
    from panrecon.io.weights import find_weights, record_of
    from panrecon.networks.inference import Batches

    clip = sources.clip
    pixel_record: dict[str, Any] = {}
    text_record: dict[str, Any] = {}
    pixels: PixelEncoder | None = None
    text: TextEncoder | None = None
    if sources.maps is not None:
        pixels = PrecomputedPixels(_reader_of_maps(sources.maps, roots))
        pixel_record = {"encoder": "maps", "folder": str(sources.maps.absolute())}
    if sources.text is not None or sources.open_clip is not None:
        text, text_record = _other_text_encoder(sources, device)
    if clip is not None:
        network = load_clip(find_weights(clip), device)
        files = record_of(clip)["files"]
        if pixels is None:
            batches = Batches(WINDOWS_PER_BATCH, lambda sentence: console.print(sentence, highlight=False), "window")
            pixels = pixels_of(network, side, _read_image, device, batches)
            pixel_record = {"encoder": "MaskCLIP", "side": side, "files": files}
        if text is None:
            text = words_of(network, clip, device)
            text_record = {"encoder": "CLIP", "prompt": PROMPT, "files": files}
    assert pixels is not None and text is not None
    return FeatureEncoders(pixels, text, {"pixels": pixel_record, "words": text_record})


def _other_text_encoder(sources: FeatureSources, device: "torch.device") -> tuple["TextEncoder", dict[str, Any]]:
    """Text embeddings from a file or by open_clip, and their description."""
    from panrecon.errors import InputError
    from panrecon.features.clip import PROMPT
    from panrecon.features.precomputed import PrecomputedWords
    from panrecon.io.features import TEXT, read_text_embeddings
    from panrecon.networks.checkpoints import sha256_of

    if sources.text is not None:
        embedding_of_name = read_text_embeddings(sources.text)
        return PrecomputedWords(embedding_of_name), {"encoder": "file", "sha256": sha256_of(sources.text / TEXT)}
    from panrecon.features.open_clip import load_open_clip

    model, equals, file = (sources.open_clip or "").partition("=")
    if not equals:
        raise InputError(f"--open-clip is {sources.open_clip!r}; it takes <model>=<file of its weights>.")
    encoder = load_open_clip(model, Path(file), device)
    return encoder, {"encoder": "open_clip", "model": model, "prompt": PROMPT, "sha256": sha256_of(Path(file))}


def _read_image(image: "LidarImage") -> "np.ndarray":
    from panrecon.errors import InputError
    from panrecon.io.images import read_color

    rgb = read_color(image.path)
    if rgb.shape[:2] != (image.camera.height, image.camera.width):
        raise InputError(
            f"The image {image.path} has {rgb.shape[1]} x {rgb.shape[0]} pixels, its camera "
            f"{image.camera.width} x {image.camera.height}; put the data set's own image there."
        )
    return rgb


def _reader_of_maps(folder: Path, roots: Sequence[Path]) -> Callable[["LidarImage"], "FeatureMap"]:
    from panrecon.errors import InputError
    from panrecon.io.features import read_features

    def read(image: "LidarImage") -> "FeatureMap":
        root = next(root for root in roots if image.path.is_relative_to(root))
        path = folder / image.path.relative_to(root).with_suffix(".npy")
        if not path.is_file():
            raise InputError(f"The image {image.path} has no features {path}; export them, or leave --maps out.")
        return read_features(path.parent, path.stem)

    return read


def _write(
    scans: Scans,
    name: str,
    class_names: Sequence[str],
    embeddings: "np.ndarray",
    encoders: FeatureEncoders,
    record: Mapping[str, Any],
) -> None:
    """Writes the features of all scans that have none yet; the first of them gives the size of all."""
    from panrecon.io.features import size_of, write_point_readings, write_text_embeddings
    from panrecon.io.files import write_json

    targets = list(dict.fromkeys(reference.folder / name for _, reference in scans))
    for target in targets:
        _require_same(target, record)
    todo = [(data, reference) for data, reference in scans if not _file(data, reference, name).is_file()]
    if not todo:
        console.print(f"all {len(scans)} scans have {name} already", highlight=False)
        return
    readings = _readings(*todo[0], encoders.pixels, record)
    _announce(len(todo), len(scans) - len(todo), size_of(readings), targets[0].parent)
    with ExitStack() as locks, progress_bar("features", len(todo)) as advance:
        for target in targets:
            locks.enter_context(locked(target, "features", "choose another --name"))
            write_json(target / "features.json", dict(record))
            write_text_embeddings(target, class_names, embeddings)
        for index, (data, reference) in enumerate(todo):
            readings = readings if index == 0 else _readings(data, reference, encoders.pixels, record)
            write_point_readings(reference.folder / name, data.scan_name(reference), readings)
            advance(index + 1)
    console.print(f"features of {len(todo)} scans -> {name}/ beside them", highlight=False)


def _file(data: "LidarDataset", reference: "ScanReference", name: str) -> Path:
    return reference.folder / name / f"{data.scan_name(reference)}.npz"


def _require_same(target: Path, record: Mapping[str, Any]) -> None:
    """Raises InputError where a folder holds features of other settings."""
    from panrecon.errors import InputError
    from panrecon.io.files import read_json

    path = target / "features.json"
    if not path.is_file():
        if any(target.glob("*.npz")):
            raise InputError(f"{target} holds features without a features.json; choose another --name.")
        return
    existing = read_json(path)
    if existing != record:
        keys = [key for key in record if not isinstance(existing, dict) or existing.get(key) != record[key]]
        raise InputError(
            f"{target} holds features of other settings ({', '.join(keys) or 'more'}); choose another --name."
        )


def _readings(
    data: "LidarDataset", reference: "ScanReference", pixels: "PixelEncoder", record: Mapping[str, Any]
) -> "PointInterpolation":
    """The features that the points of a scan sample from its images."""
    import numpy as np

    from panrecon.errors import InputError
    from panrecon.features.points import MapView, interpolate_views

    scan = data.read(reference)
    if not scan.images:
        raise InputError(f"The scan {reference.key} of {reference.folder} has no image; put the cameras' images there.")

    def encoded(image: "LidarImage") -> "FeatureMap":
        feature_map = pixels.encode(image)
        if feature_map.values.shape[-1] != record["dimensions"]:
            raise InputError(
                f"The features of {image.path} have {feature_map.values.shape[-1]} dimensions, the text embeddings "
                f"{record['dimensions']}; take both from one model."
            )
        return feature_map

    views = (MapView(image.camera, image.camera_from_lidar, encoded(image)) for image in scan.images)
    splat = np.radians(data.beam_gap_deg / 2) if record["occlusion"] else None
    return interpolate_views(scan.points[:, :3].astype(np.float64), views, splat)


def _announce(scans: int, done: int, size: int, folder: Path) -> None:
    """Prints how much will be written; raises InputError where the disk has no room for it."""
    import shutil

    from panrecon.errors import InputError

    total = scans * size
    free = shutil.disk_usage(folder).free
    before = f"{done} exist, " if done else ""
    needed = f"{scans} scans x {size / 1e6:.1f} MB = {total / 1e9:.2f} GB"
    if total > free:
        raise InputError(f"{folder} has {free / 1e9:.2f} GB free, {needed} are needed; make room, or take --every.")
    console.print(f"{before}{needed}, by the size of the first of them", highlight=False)
