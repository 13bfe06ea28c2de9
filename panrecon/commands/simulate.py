"""`panrecon simulate`: the test bench. It writes ordinary raw scenes and precomputed files; no stage knows it."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, assert_never

import typer

from panrecon.terminal import console, exit_on_input_error, track

if TYPE_CHECKING:
    from panrecon.structures import CategoryTable, Labels

simulate = typer.Typer(
    help="The test bench: a furnished room, a street, simulated detections and features.", no_args_is_help=True
)


class StreetLayout(StrEnum):
    """A benchmark whose files a street can be written as."""

    kitti360 = "kitti360"
    semantic_kitti = "semantic_kitti"
    nuscenes = "nuscenes"


SceneFolder = Annotated[
    Path, typer.Argument(help="raw scene with label-filt/, instance-filt/ and classes.csv, or of KITTI-360")
]
Seed = Annotated[int, typer.Option(min=0, help="another seed, other faults")]
FaultLevel = Annotated[float, typer.Option(help="0 = perfect, 1 = like Grounded-SAM measured on real rooms, 2 = worse")]
Faults = Annotated[list[str], typer.Option("--fault", help="one fault by name, such as miss=0.3")]
LeftOut = Annotated[list[str], typer.Option("--without", help="a class that nobody asks the segmenter for")]


@simulate.command()
def room(
    folder: Annotated[Path, typer.Argument(help="scene folder to write, such as data/raw/scannet/room0")],
    seed: Annotated[int, typer.Option(min=0, help="another seed, another room")] = 0,
    frames: Annotated[int, typer.Option(min=1, help="frames of the walk")] = 60,
    width: Annotated[int, typer.Option(min=32, help="image width, pixels; the height is 3/4 of it")] = 480,
    level: FaultLevel = 1.0,
    shop: Annotated[int, typer.Option(min=0, help="small things on shelves and tables, at least; 0 = a home")] = 0,
) -> None:
    """A furnished room as a ScanNet export with exact ground truth, simulated detections and features.

    With --shop 70 it is a shop: seventy small things or more (cups, bowls, vases, books, boxes) in rows, many alike.

    Reads nothing; writes color/ depth/ pose/ intrinsic/ label-filt/ instance-filt/, the annotated mesh, classes.csv,
    detections.json and features/. The folder must be new; it is whole or absent.
    """
    from panrecon.datasets.scannet.format import AnnotatedMesh, write_frame, write_scene
    from panrecon.io.categories import write_categories
    from panrecon.io.files import new_folder
    from panrecon.simulation.room.ground_truth import ground_truth_mesh
    from panrecon.simulation.room.path import hand_held_path
    from panrecon.simulation.room.room import build_room
    from panrecon.simulation.room.sensor import RoomCamera
    from panrecon.structures import Camera, View

    with exit_on_input_error(), new_folder(folder) as partial:
        built = build_room(seed, shop)
        focal = 0.82 * width  # 63 degrees across, as ScanNet's structure sensor
        camera = Camera(width, width * 3 // 4, focal, focal, width / 2 - 0.5, width * 3 / 8 - 0.5)
        renderer = RoomCamera(built)
        views = []
        for frame_index, pose in enumerate(track(hand_held_path(built, frames, seed), "render", frames)):
            simulated = renderer.render(camera, pose, seed=seed, frame=frame_index)
            view = View(str(frame_index), camera, simulated.world_from_camera, simulated.color, simulated.depth)
            write_frame(partial, view, simulated.truth, built.categories)
            views.append(simulated)
        truth = ground_truth_mesh(built, views)
        write_scene(partial, camera, AnnotatedMesh(truth.mesh, truth.labels, truth.segment), built.categories)
        write_categories(partial / "classes.csv", built.categories)
        _write_detections(partial, partial / "detections.json", level, [], [], seed)
        _write_features(partial, partial / "features", seed)
    console.print(f"room {seed}: {frames} frames, {built.instance_count} objects -> {folder}", highlight=False)


@simulate.command()
def street(
    folder: Annotated[Path, typer.Argument(help="data set to write, such as data/raw/kitti360/street")],
    layout: Annotated[StreetLayout, typer.Option(help="whose layout to write")] = StreetLayout.kitti360,
    seed: Annotated[int, typer.Option(min=0, max=999, help="another seed, another street; numbers the drive")] = 0,
    length: Annotated[float, typer.Option(min=20.0, help="length of the street, m")] = 60.0,
    frames: Annotated[int, typer.Option(min=1, help="frames of the drive")] = 40,
    spacing: Annotated[float, typer.Option(min=0.1, help="metres between frames; a metre takes 0.1 s")] = 1.0,
    width: Annotated[int | None, typer.Option(min=32, help="image width, px; default 1408, nuscenes 480")] = None,
    beams: Annotated[int | None, typer.Option(min=2, help="beams of the LiDAR; default 64, nuscenes 32")] = None,
    columns: Annotated[int, typer.Option(min=8, help="measurements of every beam in a turn")] = 2048,
    features: Annotated[bool, typer.Option("--features", help="also simulated vision features of the points")] = False,
) -> None:
    """A drive along a street with LiDAR and cameras, moving cars and people, and exact ground truth.

    Reads nothing; writes the layout of KITTI-360 (two cameras, label images, accumulated static points), SemanticKITTI
    (two cameras, labels of the scans) or nuScenes (six cameras, labels of the scans). Scans are taken at one instant,
    without the motion of a turning sensor.
    """
    from panrecon.commands import simulate_street
    from panrecon.errors import InputError
    from panrecon.simulation.street.street import build_street

    with exit_on_input_error():
        if frames * spacing > length:
            raise InputError(f"{frames} frames {spacing:g} m apart leave a street of {length:g} m; raise --length.")
        built = build_street(seed, length)
        is_surround = layout == StreetLayout.nuscenes
        width = width or (480 if is_surround else 1408)
        beams = beams or (32 if is_surround else 64)
        recording = simulate_street.StreetRecording(built, frames, width, beams, columns, features, spacing)
        match layout:
            case StreetLayout.kitti360:
                simulate_street.write_kitti360(folder, recording)
            case StreetLayout.semantic_kitti:
                simulate_street.write_semantic_kitti(folder, recording)
            case StreetLayout.nuscenes:
                simulate_street.write_nuscenes(folder, recording)
            case _:
                assert_never(layout)
        things = len(built.category_of_instance)
        console.print(f"street {seed}: {frames} frames, {things} objects -> {folder}", highlight=False)


@simulate.command()
def detections(
    folder: SceneFolder,
    out: Annotated[Path | None, typer.Option(help="file to write; default detections.json of the scene")] = None,
    level: FaultLevel = 1.0,
    fault: Faults = [],  # noqa: B006  typer needs a list
    without: LeftOut = [],  # noqa: B006
    seed: Seed = 0,
) -> None:
    """Detections made of the ground truth, with faults of chosen rates: COCO results with RLE.

    --fault confused_stuff=0.25 calls a quarter of all regions of stuff by a fixed wrong class in most views, whatever
    the level; it reads depth and poses, too. --without lamp, as often as needed, leaves a class out of the prompts: it
    is never detected, but masks of others still leak onto it.
    """
    with exit_on_input_error():
        _write_detections(folder, out or folder / "detections.json", level, fault, without, seed)


@simulate.command()
def features(
    folder: SceneFolder,
    out: Annotated[Path | None, typer.Option(help="folder to write; default features/ of the scene")] = None,
    seed: Seed = 0,
) -> None:
    """Dense features made of the ground truth: class and object signal, noise, artefacts."""
    with exit_on_input_error():
        _write_features(folder, out or folder / "features", seed)


@simulate.command()
def points(
    folder: Annotated[Path, typer.Argument(help="drive of KITTI-360 with label images")],
    out: Annotated[
        Path | None, typer.Option(help="folder to write; default beside the drive's velodyne_points/")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Vision-language features of a drive's LiDAR points, made of its label images. They are not CLIP's.

    Writes <frame>.npz of every scan whose frame has a pose and label images, and text_embeddings.npz of the classes.
    """
    from panrecon.commands.simulate_points import write_drive_features

    with exit_on_input_error():
        count, target = write_drive_features(folder, out, seed)
        console.print(f"simulated features of {count} scans -> {target}", highlight=False)


def _write_detections(folder: Path, out: Path, level: float, fault: list[str], without: list[str], seed: int) -> None:
    from panrecon.commands.simulate_positions import positions_reader
    from panrecon.io.detections import write_detections
    from panrecon.simulation.predictions.detections import DetectionFaults, exact_detections, simulated_detections
    from panrecon.simulation.predictions.mask_quality import mask_quality

    table, frames = _truth(folder)
    rates = vars(DetectionFaults.at_level(level)) | _rates(fault)
    faults = DetectionFaults(**rates | {"prompted": _prompted(table, without)})
    positions_of_frame = positions_reader(folder) if faults.confused_stuff > 0 else None
    names = []
    simulated = []
    exact = []
    for frame_index, (name, truth) in enumerate(frames):
        names.append(name)
        positions = positions_of_frame(name, truth.category.shape) if positions_of_frame else None
        simulated.append(simulated_detections(truth, table, faults, seed=seed, frame=frame_index, positions=positions))
        exact.append(exact_detections(truth, table))
    write_detections(out, list(zip(names, simulated, strict=True)), table)
    quality = mask_quality(simulated, exact)
    console.print(
        f"simulated detections: {sum(map(len, simulated))} masks, recall {quality.recall:.2f}, "
        f"precision {quality.precision:.2f}, SQ {quality.segmentation_quality:.2f} -> {out}",
        highlight=False,
    )


def _write_features(folder: Path, out: Path, seed: int) -> None:
    from panrecon.io.features import write_features
    from panrecon.io.files import write_json
    from panrecon.simulation.predictions.features import simulated_features

    table, frames = _truth(folder)
    for frame_index, (name, truth) in enumerate(frames):
        write_features(out, name, simulated_features(truth, table, seed=seed, frame=frame_index))
    write_json(out / "features.json", {"source": "panrecon simulate features", "seed": seed})


def _truth(folder: Path) -> "tuple[CategoryTable, Iterator[tuple[str, Labels]]]":
    """The scene's class table and the exact labels of its frames, in order."""
    from panrecon.config import ScanSettings, Settings
    from panrecon.datasets.base import dataset
    from panrecon.datasets.scannet.format import read_truth
    from panrecon.errors import InputError
    from panrecon.io.categories import read_categories
    from panrecon.structures import only_things
    from panrecon.workflow.sources import class_table

    if (folder / "calibration").is_dir():
        reader = dataset("kitti360")
        table = read_categories(class_table("kitti360", folder, Settings()))
        frames = reader.label_frames(folder, table)
        posed = (frame.name for frame in reader.scan(folder, ScanSettings()).frames)
        labelled = [name for name in posed if frames.matching_frame(name)]  # the data set does not label every frame
        return table, ((name, only_things(frames.read(name), table)) for name in labelled)
    table = read_categories(folder / "classes.csv")
    if not table.index_of_raw_id:
        raise InputError(
            f"{folder / 'classes.csv'} has no raw_ids; they say which ids of label-filt/ mean which class."
        )
    scan = dataset("scannet").scan(folder, ScanSettings())
    return table, ((frame.name, read_truth(folder, frame.name, table)) for frame in scan.frames)


def _prompted(table: "CategoryTable", without: list[str]) -> tuple[str, ...] | None:
    """The names of all other classes; None where no class is left out."""
    from panrecon.errors import InputError
    from panrecon.structures import VOID

    left_out = [table.index_of(word) for word in without]
    if VOID in left_out:
        raise InputError(
            f"--without {without[left_out.index(VOID)]!r} is no class of the table; it has "
            f"{', '.join(category.name for category in table)}."
        )
    names = tuple(category.name for index, category in enumerate(table) if index not in left_out)
    if not names:
        raise InputError("--without leaves no class of the table; name fewer.")
    return names if without else None


def _rates(fault: list[str]) -> dict[str, float]:
    from panrecon.errors import InputError
    from panrecon.simulation.predictions.detections import DetectionFaults

    names = [name for name, value in vars(DetectionFaults()).items() if isinstance(value, float)]
    rates = {}
    for text in fault:
        name, _, value = text.partition("=")
        if name not in names or not value.replace(".", "", 1).isdigit():
            raise InputError(f"The fault {text!r} is not name=rate with a name of {', '.join(names)}.")
        rates[name] = float(value)
    return rates
