"""`panrecon lidar`: open-vocabulary panoptic segmentation of LiDAR scans: features, train, infer, evaluate, masks."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
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

    from panrecon.datasets.lidar_base import LidarDataset, ScanReference
    from panrecon.io.lidar import NetworkRecord
    from panrecon.lidar.augment import LabelledScan
    from panrecon.lidar.classify import TextEmbeddings
    from panrecon.lidar.train import State, TrainedNetwork
    from panrecon.lidar.variants import LidarVariant
    from panrecon.structures import LidarScan

lidar = typer.Typer(
    help="Open-vocabulary panoptic segmentation of LiDAR scans, by distillation of vision features.",
    no_args_is_help=True,
)

lidar.command()(features)
lidar.command()(masks)


class LabelledLayout(StrEnum):
    """File layouts of data sets with labels, to train on and to evaluate with."""

    semantic_kitti = "semantic_kitti"
    nuscenes = "nuscenes"


class ScanLayout(StrEnum):
    """File layouts of data sets whose scans can be labelled."""

    semantic_kitti = "semantic_kitti"
    nuscenes = "nuscenes"
    kitti360 = "kitti360"


class NetworkSize(StrEnum):
    """The small network, which a CPU trains in minutes, or the papers'."""

    small = "small"
    paper = "paper"


class Device(StrEnum):
    """Where torch computes; auto: on CUDA if there is a device."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Scans = Sequence[tuple["LidarDataset", "ScanReference"]]
Folders = Annotated[list[Path], typer.Argument(help="data sets: folders with sequences/, or with nuScenes' tables")]
LayoutOption = Annotated[LabelledLayout, typer.Option(help="file layout of the data sets")]
NetworkOption = Annotated[Path, typer.Option("--network", help="folder that `panrecon lidar train` wrote")]
Every = Annotated[int, typer.Option(min=1, help="take every n-th scan of a data set")]
Pictures = Annotated[int, typer.Option(min=0, help="number of scans, the first ones, to draw from above; 0: none")]
DEFAULT_PICTURES = 8
DeviceOption = Annotated[Device, typer.Option(help="where torch computes")]
Novel = Annotated[
    list[str] | None, typer.Option(help="a class without labels in training; repeat it; default: the paper's split")
]
Features = Annotated[str, typer.Option(help="name of the folders of the points' vision features")]
DEFAULT_FEATURES = "simulated_features"


@lidar.command()
def train(
    folders: Folders,
    out: Annotated[Path, typer.Option(help="folder to write")],
    layout: LayoutOption = LabelledLayout.nuscenes,
    novel: Novel = None,
    features: Features = DEFAULT_FEATURES,
    size: Annotated[NetworkSize, typer.Option(help="small: a CPU trains it in minutes")] = NetworkSize.small,
    variant: Annotated[
        str,
        typer.Option(
            help="full; ablations: no_object, no_voxel, no_fusion, no_appearance, no_anchors, negative; baseline: pfc"
        ),
    ] = "full",
    steps: Annotated[int, typer.Option(min=1, help="optimizer steps of one scan each")] = 600,
    seed: Annotated[int, typer.Option(min=0, help="seed of the initial weights and of the order of scans")] = 0,
    every: Every = 1,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="also write events for TensorBoard")] = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Trains a network on scans with labels and vision features; labels of novel classes are removed first.

    Reads the data sets with their folders of features; writes network.safetensors, network.json and losses.csv; with
    --tensorboard also tensorboard/: every loss, their weighted total and the learning rate. Killed and called again, it
    resumes from its last checkpoint. `negative` treats unlabelled points as P3Former does, `pfc` is the baseline of
    frozen features alone. Exit code 2: the input is wrong, in one sentence.
    """
    from panrecon.io.lidar import NetworkRecord, read_checkpoint, write_network
    from panrecon.io.tensorboard import import_writer
    from panrecon.lidar.variants import variant as variant_of

    with ExitStack() as stack:
        stack.enter_context(exit_on_input_error())
        if tensorboard:
            import_writer()  # raises before anything is read
        scans = _scans(layout, folders, every)
        novel_classes = _novel_classes(layout, novel)
        text_embeddings = _text_embeddings(scans, features, novel_classes)
        method = variant_of(variant, _full_method(size, layout, text_embeddings.embedding.shape[1], steps, seed))
        stack.enter_context(locked(out, "lidar", "choose another --out"))  # makes the folder
        record = NetworkRecord(
            network=method.network,
            layout=layout.value,
            novel=novel_classes,
            base_is_thing=tuple(text_embeddings.base.is_thing.tolist()),
            features=features,
            ensemble=method.ensemble,
            training=method.training,
            scans=tuple(f"{reference.sequence}/{reference.key}" for _, reference in scans),
        )
        resume = read_checkpoint(out, record)
        if resume is not None:
            console.print(f"resumes after step {int(resume['step'])}", highlight=False)
        labelled = [_labelled_scan(*scan, features, text_embeddings) for scan in track(scans, "read", len(scans))]
        trained = _train(labelled, text_embeddings, record, resume, out, tensorboard, _device(device))
        write_network(out, trained, record)
        console.print(f"{len(labelled)} scans, {steps} steps -> {out}", highlight=False)


@lidar.command()
def infer(
    folders: Folders,
    network: NetworkOption,
    out: Annotated[Path, typer.Option(help="folder to write predictions to")],
    layout: Annotated[
        ScanLayout | None, typer.Option(help="file layout of the data sets; default: as in training")
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="name of the folders of vision features; default: as in training")
    ] = None,
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="queries of a lower score are dropped")] = 0.4,
    thing_weight: Annotated[float, typer.Option(min=0.1, help="factor on scores of things")] = 2.0,
    every: Every = 1,
    pictures: Pictures = DEFAULT_PICTURES,
    device: DeviceOption = Device.auto,
) -> None:
    """Labels every scan with base and novel classes, in the form that the benchmark's server takes.

    Reads the data sets and a network; writes sequences/<NN>/predictions/<frame>.label (SemanticKITTI),
    panoptic/<token>_panoptic.npz in the challenge's 16 classes (nuScenes), or <frame>.label (a drive of KITTI-360), and
    pictures/<sequence>/<scan>.png. Classes are those of the layout, whatever the network was trained on. Exit code 2:
    the input is wrong, in one sentence.
    """
    from panrecon.datasets.lidar import read_sample
    from panrecon.io.images import write_image
    from panrecon.io.lidar import read_network
    from panrecon.lidar.birdseye import label_image
    from panrecon.lidar.inference import segment_scan
    from panrecon.lidar.pfc import segment_scan_by_ensemble
    from panrecon.lidar.settings import InferenceSettings
    from panrecon.lidar.train import scan_input
    from panrecon.structures import VOID

    with exit_on_input_error():
        model, record = read_network(network)
        torch_device = _device(device)
        model.to(torch_device)
        segment = segment_scan_by_ensemble if record.ensemble else segment_scan
        settings = InferenceSettings(threshold, thing_weight)
        scans = _scans(layout or LabelledLayout(record.layout), folders, every)
        source = features or record.features
        table = scans[0][0].table
        novel_classes = tuple(name for name in record.novel if table.index_of(name) != VOID)
        text_embeddings = _text_embeddings(scans, source, novel_classes).to(torch_device)
        for index, (data, reference) in enumerate(track(scans, "infer", len(scans))):
            scan, scored = read_sample(data, reference, source)
            model_input = scan_input(scored.points, scored.features).to(torch_device)
            labels = scored.on_scan(segment(model, model_input, text_embeddings, settings))
            data.write_prediction(out, reference, scan, labels)
            if index < pictures:
                image = label_image(scan.points, labels, data.table, text_embeddings.is_base)
                write_image(_picture_file(out / "pictures", reference, scan), image)
        console.print(f"{len(scans)} scans labelled -> {out}", highlight=False)


@lidar.command()
def evaluate(
    folders: Folders,
    prediction: Annotated[Path, typer.Option(help="folder of predictions, by `infer` or any other program")],
    layout: LayoutOption = LabelledLayout.nuscenes,
    novel: Novel = None,
    features: Features = DEFAULT_FEATURES,
    every: Every = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="file to write the scores to")] = None,
    pictures_to: Annotated[
        Path | None, typer.Option(help="folder to write images of truth, prediction and errors to")
    ] = None,
    pictures: Pictures = DEFAULT_PICTURES,
) -> None:
    """PQ, SQ and RQ by protocol `lidar` over all, base and novel things and stuff, and mIoU.

    SemanticKITTI: points without vision features, in no image, are not scored. `--pictures-to` writes
    <sequence>/<scan>.png, with truth, prediction and errors side by side. Exit code 2: the input is wrong, in one
    sentence.
    """
    from panrecon.io.files import write_json

    with exit_on_input_error():
        scans = _scans(layout, folders, every)
        scores = _scores(scans, prediction, features, _novel_classes(layout, novel), pictures_to, pictures)
        if json_file is not None:
            write_json(json_file, scores)
        _print_table(scores)


def _scans(
    layout: LabelledLayout | ScanLayout, folders: Sequence[Path], every: int
) -> list[tuple["LidarDataset", "ScanReference"]]:
    from panrecon.datasets.lidar import lidar_dataset

    sets = [lidar_dataset(layout.value, folder) for folder in folders]
    return [(data, reference) for data in sets for reference in data.scans()[::every]]


def _novel_classes(layout: LabelledLayout, named: Sequence[str] | None) -> tuple[str, ...]:
    from panrecon.datasets.lidar import NOVEL

    return tuple(named) if named else NOVEL[layout.value]


def _text_embeddings(scans: Scans, features: str, novel_classes: tuple[str, ...]) -> "TextEmbeddings":
    """Those beside the vision features of the first scan."""
    from panrecon.io.features import read_text_embeddings
    from panrecon.lidar.classify import class_text_embeddings

    data, reference = scans[0]
    return class_text_embeddings(data.table, read_text_embeddings(reference.folder / features), novel_classes)


def _full_method(
    size: NetworkSize, layout: LabelledLayout, embedding_width: int, steps: int, seed: int
) -> "LidarVariant":
    from dataclasses import replace

    from panrecon.lidar.settings import PAPER_NUSCENES, PAPER_SEMANTIC_KITTI, SMALL, paper_training, small_training
    from panrecon.lidar.variants import LidarVariant

    if size is NetworkSize.small:
        return LidarVariant(replace(SMALL, embedding_width=embedding_width), small_training(steps, seed))
    papers = {LabelledLayout.semantic_kitti: PAPER_SEMANTIC_KITTI, LabelledLayout.nuscenes: PAPER_NUSCENES}
    return LidarVariant(replace(papers[layout], embedding_width=embedding_width), paper_training(steps, seed))


def _labelled_scan(
    data: "LidarDataset", reference: "ScanReference", features: str, text_embeddings: "TextEmbeddings"
) -> "LabelledScan":
    from panrecon.datasets.lidar import read_sample
    from panrecon.errors import InputError
    from panrecon.lidar.train import labelled_scan

    _, scored = read_sample(data, reference, features)
    if scored.labels is None:
        raise InputError(f"The scan {reference.key} of {reference.folder} has no labels; training needs them.")
    return labelled_scan(scored.points, scored.features, scored.labels, text_embeddings)


def _train(
    scans: Sequence["LabelledScan"],
    text_embeddings: "TextEmbeddings",
    record: "NetworkRecord",
    resume: "dict[str, Tensor] | None",
    out: Path,
    tensorboard: bool,
    device: "torch.device",
) -> "TrainedNetwork":
    """Trains with a progress bar, checkpoints and, if asked for, events for TensorBoard."""
    from panrecon.io.lidar import write_checkpoint
    from panrecon.io.tensorboard import event_log
    from panrecon.lidar.train import Execution
    from panrecon.lidar.train import train as fit

    first = int(resume["step"]) if resume is not None else 0
    settings = record.training
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
                log.flush()  # what a resumed training does not log again
            write_checkpoint(out, state, record)

        return fit(scans, text_embeddings, record.network, settings, resume, on_step, on_checkpoint, Execution(device))


def _scores(
    scans: Scans,
    prediction: Path,
    features: str,
    novel_classes: tuple[str, ...],
    pictures_to: Path | None,
    pictures: int,
) -> dict[str, Any]:
    from panrecon.datasets.lidar import read_sample
    from panrecon.errors import InputError
    from panrecon.evaluation.lidar import lidar_record, point_outcomes
    from panrecon.evaluation.overlap import overlap
    from panrecon.io.images import write_image
    from panrecon.lidar.birdseye import comparison_image
    from panrecon.structures import Labels

    first, _ = scans[0]
    is_base = _text_embeddings(scans, features, novel_classes).is_base
    overlaps = []
    for index, (data, reference) in enumerate(track(scans, "evaluate", len(scans))):
        scan, scored = read_sample(data, reference, features)
        truth = scored.labels
        if truth is None:
            raise InputError(f"The scan {reference.key} of {reference.folder} has no labels to score against.")
        labels = data.read_prediction(prediction, reference, scan)
        predicted = Labels(labels.category[scored.is_scored], labels.instance[scored.is_scored])
        overlaps.append(overlap(predicted, truth))
        if pictures_to is not None and index < pictures:
            outcome = point_outcomes(predicted, truth, data.table, data.min_points)
            image = comparison_image(scored.points, truth, predicted, outcome, data.table, is_base)
            write_image(_picture_file(pictures_to, reference, scan), image)
    return lidar_record(overlaps, first.table, is_base, first.min_points)


def _picture_file(folder: Path, reference: "ScanReference", scan: "LidarScan") -> Path:
    return folder / reference.sequence / f"{scan.name}.png"


def _print_table(scores: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("classes", "PQ", "SQ", "RQ", title=f"{scores['scans']} scans, mIoU {100 * scores['miou']:.1f}")
    for name, quality in [*scores["groups"].items(), *scores["classes"].items()]:
        percent = ["-" if quality[key] is None else f"{100 * quality[key]:.1f}" for key in ("pq", "sq", "rq")]
        table.add_row(name, *percent)
    Console().print(table)


def _device(device: Device) -> "torch.device":
    import torch

    from panrecon.errors import InputError

    if device is Device.cuda and not torch.cuda.is_available():
        raise InputError("There is no CUDA device; take --device cpu.")
    cuda = device is Device.cuda or (device is Device.auto and torch.cuda.is_available())
    return torch.device("cuda" if cuda else "cpu")
