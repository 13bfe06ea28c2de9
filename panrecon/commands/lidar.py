"""`panrecon lidar`: open-vocabulary panoptic segmentation of LiDAR scans: train, infer, evaluate."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panrecon.commands.lidar_features import features
from panrecon.commands.lidar_masks import masks
from panrecon.terminal import console, exit_on_input_error, locked, progress_bar, track

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from panrecon.datasets.lidar import LidarDataset, ScanReference
    from panrecon.io.lidar import NetworkRecord
    from panrecon.lidar.augment import LabelledScan
    from panrecon.lidar.classify import Vocabulary
    from panrecon.lidar.train import State, TrainedNetwork
    from panrecon.lidar.variants import Variant
    from panrecon.structures import LidarScan

lidar = typer.Typer(
    help="Panoptic segmentation of LiDAR scans, with classes that are only named, learned from vision features.",
    no_args_is_help=True,
)

lidar.command()(features)
lidar.command()(masks)


class Layout(StrEnum):
    """A benchmark whose files hold the scans."""

    semantic_kitti = "semantic_kitti"
    nuscenes = "nuscenes"


class Scans(StrEnum):
    """Whose scans can be labelled."""

    semantic_kitti = "semantic_kitti"
    nuscenes = "nuscenes"
    kitti360 = "kitti360"


class Size(StrEnum):
    """Of the network."""

    small = "small"
    paper = "paper"


class Device(StrEnum):
    """Where torch works."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Folders = Annotated[list[Path], typer.Argument(help="data sets: folders with sequences/, or with nuScenes' tables")]
LayoutOption = Annotated[Layout, typer.Option(help="whose layout the data sets have")]
NetworkOption = Annotated[Path, typer.Option("--network", help="folder that `panrecon lidar train` wrote")]
Every = Annotated[int, typer.Option(min=1, help="take the first of so many scans each")]
Pictures = Annotated[int, typer.Option(min=0, help="draw at most so many scans from above, the first; 0: none")]
SHOWN = 8
DeviceOption = Annotated[Device, typer.Option(help="where to work")]
Novel = Annotated[
    list[str] | None, typer.Option(help="a class without labels in training; repeat it; default: the paper's split")
]
Features = Annotated[str, typer.Option(help="name of the folders that hold the points' vision features")]
FEATURES = "simulated_features"
PAPER_MIXED = 1.0  # share of scans: all, as mmdetection3d trains Cylinder3D with LaserMix and PolarMix


@lidar.command()
def train(
    folders: Folders,
    out: Annotated[Path, typer.Option(help="folder to write")],
    layout: LayoutOption = Layout.nuscenes,
    novel: Novel = None,
    features: Features = FEATURES,
    size: Annotated[Size, typer.Option(help="small: a CPU trains it in minutes")] = Size.small,
    variant: Annotated[
        str,
        typer.Option(
            help="full, or without something: no_object, no_voxel, no_fusion, no_looks, no_seeds, negative, pfc"
        ),
    ] = "full",
    steps: Annotated[int, typer.Option(min=1, help="steps of one scan each")] = 600,
    seed: Annotated[int, typer.Option(min=0, help="another seed, other weights and another order")] = 0,
    every: Every = 1,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="write events for TensorBoard, too")] = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Trains on scans with labels and vision features. Labels of novel classes are put away before anything else.

    Reads the data sets with their folders of features; writes network.safetensors, network.json and losses.csv; with
    --tensorboard also tensorboard/: every loss, their weighted total and the learning rate. Killed and called again, it
    goes on from its last checkpoint. `negative` is P3Former's use of unlabelled points, `pfc` the baseline of frozen
    features alone.
    """
    from panrecon.io.lidar import NetworkRecord, read_checkpoint, write_network
    from panrecon.io.tensorboard import import_writer
    from panrecon.lidar.variants import variant as changed

    with exit_on_input_error(), locked(out, "lidar", "choose another --out"):
        if tensorboard:
            import_writer()  # to know before anything is read
        found, chosen = _scan_references(layout, folders, every), _novel(layout, novel)
        words = _vocabulary(found, features, chosen)
        plan = changed(variant, _full(size, layout, words.embedding.shape[1], steps, seed))
        names = tuple(f"{reference.sequence}/{reference.key}" for _, reference in found)
        base_is_thing = tuple(words.base.is_thing.tolist())
        record = NetworkRecord(
            plan.sizes, layout.value, chosen, base_is_thing, features, plan.ensemble, plan.settings, names
        )
        resume = read_checkpoint(out, record)
        if resume is not None:
            console.print(f"goes on after step {int(resume['step'])}", highlight=False)
        scans = [_labelled(*entry, features, words) for entry in track(found, "read", len(found))]
        trained = _trained(scans, words, record, resume, out, tensorboard, _device(device))
        write_network(out, trained, record)
        console.print(f"{len(scans)} scans, {steps} steps -> {out}", highlight=False)


@lidar.command()
def infer(
    folders: Folders,
    network: NetworkOption,
    out: Annotated[Path, typer.Option(help="folder to write predictions to")],
    layout: Annotated[
        Scans | None, typer.Option(help="whose layout the data sets have; default: as in training")
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="name of the folders of features; default: as in training")
    ] = None,
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="less sure queries say nothing")] = 0.4,
    thing_weight: Annotated[float, typer.Option(min=0.1, help="scores of things count so often")] = 2.0,
    every: Every = 1,
    pictures: Pictures = SHOWN,
    device: DeviceOption = Device.auto,
) -> None:
    """Labels every scan, base and novel classes alike, in the form that the benchmark's server takes.

    Reads the data sets and a network; writes sequences/<NN>/predictions/<frame>.label (SemanticKITTI),
    panoptic/<token>_panoptic.npz in the challenge's 16 classes (nuScenes), or <frame>.label (a drive of KITTI-360), and
    pictures/<sequence>/<scan>.png. The classes are those of the layout, whatever the network was trained on.
    """
    from panrecon.datasets.lidar import read_sample
    from panrecon.io.images import write_image
    from panrecon.io.lidar import read_network
    from panrecon.lidar.birdseye import labelled_picture
    from panrecon.lidar.inference import Rule, segment_scan
    from panrecon.lidar.pfc import segment_scan_by_ensemble
    from panrecon.lidar.train import scan_input
    from panrecon.structures import VOID

    with exit_on_input_error():
        model, record = read_network(network)
        where = _device(device)
        model.to(where)
        segment = segment_scan_by_ensemble if record.ensemble else segment_scan
        found, source = _scan_references(layout or Layout(record.layout), folders, every), features or record.source
        known = found[0][0].table.index_of
        words = _vocabulary(found, source, tuple(name for name in record.novel if known(name) != VOID)).to(where)
        for number, (data, reference) in enumerate(track(found, "infer", len(found))):
            scan, part = read_sample(data, reference, source)
            labels = segment(
                model, scan_input(part.points, part.features).to(where), words, Rule(threshold, thing_weight)
            )
            whole = part.on_scan(labels)
            data.write_prediction(out, reference, scan, whole)
            if number < pictures:
                picture = labelled_picture(scan.points, whole, data.table, words.is_base)
                write_image(_picture_file(out / "pictures", reference, scan), picture)
        console.print(f"{len(found)} scans labelled -> {out}", highlight=False)


@lidar.command()
def evaluate(
    folders: Folders,
    prediction: Annotated[Path, typer.Option(help="folder of predictions, by `infer` or any program")],
    layout: LayoutOption = Layout.nuscenes,
    novel: Novel = None,
    features: Features = FEATURES,
    every: Every = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures here")] = None,
    pictures_to: Annotated[
        Path | None, typer.Option(help="folder to write pictures of truth, prediction and errors to")
    ] = None,
    pictures: Pictures = SHOWN,
) -> None:
    """PQ, SQ and RQ by protocol `lidar` over all, base and novel things and stuff, and mIoU.

    SemanticKITTI: points that no camera sees, by their features, are not scored. With `--pictures-to` every picture is
    <sequence>/<scan>.png, truth, prediction and errors side by side.
    """
    from panrecon.io.files import write_json

    with exit_on_input_error():
        found = _scan_references(layout, folders, every)
        content = _scores(found, prediction, features, _novel(layout, novel), pictures_to, pictures)
        if json_file is not None:
            write_json(json_file, content)
        _print(content)


def _scan_references(
    layout: Layout | Scans, folders: Sequence[Path], every: int
) -> list[tuple["LidarDataset", "ScanReference"]]:
    from panrecon.datasets.lidar import lidar_dataset

    sets = [lidar_dataset(layout.value, folder) for folder in folders]
    return [(data, reference) for data in sets for reference in data.scans()[::every]]


def _novel(layout: Layout, given: Sequence[str] | None) -> tuple[str, ...]:
    from panrecon.datasets.lidar import NOVEL

    return tuple(given) if given else NOVEL[layout.value]


def _vocabulary(
    found: Sequence[tuple["LidarDataset", "ScanReference"]], features: str, novel: tuple[str, ...]
) -> "Vocabulary":
    """The classes by the text embeddings beside the features of the first scan."""
    from panrecon.io.features import read_text_embeddings
    from panrecon.lidar.classify import vocabulary

    data, reference = found[0]
    return vocabulary(data.table, read_text_embeddings(reference.folder / features), novel)


def _full(size: Size, layout: Layout, embedding: int, steps: int, seed: int) -> "Variant":
    from dataclasses import replace

    from panrecon.lidar.settings import PAPER_NUSCENES, PAPER_SEMANTIC_KITTI, SMALL
    from panrecon.lidar.train import TrainingSettings, small_training
    from panrecon.lidar.variants import Variant

    if size is Size.small:
        return Variant(replace(SMALL, embedding=embedding), small_training(steps, seed))
    paper = {Layout.semantic_kitti: PAPER_SEMANTIC_KITTI, Layout.nuscenes: PAPER_NUSCENES}[layout]
    return Variant(replace(paper, embedding=embedding), TrainingSettings(steps, mixed=PAPER_MIXED, seed=seed))


def _labelled(data: "LidarDataset", reference: "ScanReference", features: str, words: "Vocabulary") -> "LabelledScan":
    from panrecon.datasets.lidar import read_sample
    from panrecon.errors import InputError
    from panrecon.lidar.train import labelled_scan

    _, part = read_sample(data, reference, features)
    if part.labels is None:
        raise InputError(f"The scan {reference.key} of {reference.folder} has no labels; training needs them.")
    return labelled_scan(part.points, part.features, part.labels, words)


def _trained(
    scans: Sequence["LabelledScan"],
    words: "Vocabulary",
    record: "NetworkRecord",
    resume: "dict[str, Tensor] | None",
    out: Path,
    tensorboard: bool,
    device: "torch.device",
) -> "TrainedNetwork":
    """Trains in sight, with checkpoints and, if wanted, events for TensorBoard."""
    from panrecon.io.lidar import write_checkpoint
    from panrecon.io.tensorboard import event_log
    from panrecon.lidar.train import train as fit

    first, settings = int(resume["step"]) if resume is not None else 0, record.settings
    events = event_log(out / "tensorboard", first) if tensorboard else nullcontext()
    with progress_bar("train", settings.steps) as advance, events as log:

        def on_step(step: int, values: Mapping[str, float]) -> None:
            advance(step + 1)
            if log is not None:
                total = sum(settings.weights[name] * value for name, value in values.items())
                losses = {f"loss/{name}": value for name, value in values.items()}
                log.add(step, losses | {"loss/total": total, "rate": settings.rate_at(step)})

        def on_checkpoint(step: int, state: "State") -> None:
            if log is not None:
                log.flush()  # what is not logged anew after a stop
            write_checkpoint(out, state, record)

        return fit(scans, words, record.sizes, settings, resume, on_step, on_checkpoint, device)


def _scores(
    found: Sequence[tuple["LidarDataset", "ScanReference"]],
    prediction: Path,
    features: str,
    novel: tuple[str, ...],
    pictures_to: Path | None,
    pictures: int,
) -> dict[str, Any]:
    from panrecon.datasets.lidar import read_sample
    from panrecon.errors import InputError
    from panrecon.evaluation.lidar import lidar_record, point_outcomes
    from panrecon.evaluation.overlap import overlap
    from panrecon.io.images import write_image
    from panrecon.lidar.birdseye import judged_picture
    from panrecon.structures import Labels

    data, _ = found[0]
    is_base = _vocabulary(found, features, novel).is_base
    overlaps = []
    for number, (source, reference) in enumerate(track(found, "evaluate", len(found))):
        scan, part = read_sample(source, reference, features)
        if part.labels is None:
            raise InputError(f"The scan {reference.key} of {reference.folder} has no labels to score against.")
        labels = source.read_prediction(prediction, reference, scan)
        mine = Labels(labels.category[part.is_scored], labels.instance[part.is_scored])
        overlaps.append(overlap(mine, part.labels))
        if pictures_to is not None and number < pictures:
            verdict = point_outcomes(mine, part.labels, source.table, source.min_points)
            picture = judged_picture(part.points, part.labels, mine, verdict, source.table, is_base)
            write_image(_picture_file(pictures_to, reference, scan), picture)
    return lidar_record(overlaps, data.table, is_base, data.min_points)


def _picture_file(folder: Path, reference: "ScanReference", scan: "LidarScan") -> Path:
    return folder / reference.sequence / f"{scan.name}.png"


def _print(content: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("classes", "PQ", "SQ", "RQ", title=f"{content['scans']} scans, mIoU {100 * content['miou']:.1f}")
    for name, row in [*content["groups"].items(), *content["classes"].items()]:
        table.add_row(name, *("-" if row[key] is None else f"{100 * row[key]:.1f}" for key in ("pq", "sq", "rq")))
    Console().print(table)


def _device(device: Device) -> "torch.device":
    import torch

    from panrecon.errors import InputError

    if device is Device.cuda and not torch.cuda.is_available():
        raise InputError("There is no CUDA device; take --device cpu.")
    cuda = device is Device.cuda or (device is Device.auto and torch.cuda.is_available())
    return torch.device("cuda" if cuda else "cpu")
