"""`panrecon explain`: the evidence for and against an object of the graph, in sentences and crops."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import typer
from jaxtyping import Float, UInt8

from panrecon.errors import InputError
from panrecon.terminal import exit_on_input_error

if TYPE_CHECKING:
    import networkx as nx

    from panrecon.io.detections import DetectionFile
    from panrecon.structures import CategoryTable, Frame, Scan, SceneObject, SupportingMask

MAX_CROPS: Final = 8  # of supporting masks, and as many of contradicting frames
MIN_COVERED: Final = 0.3  # share of the object's visible points under another object's mask, for it to be drawn


def explain(
    run: Annotated[Path, typer.Argument(help="a scene's run, such as data/runs/demo/scannet/room0")],
    object_id: Annotated[int, typer.Option("--object", min=1, help="id of the object in objects.json")],
    out: Annotated[Path | None, typer.Option(help="image to write; default <run>/explained/object_<N>.png")] = None,
) -> None:
    """The evidence for and against an object: its masks in the frames, and the frames that label it as something else.

    Reads the run's scan, mesh, masks, graph and, if it is up to date, semantics; prints the evidence and writes a
    contact sheet of crops. Exit code 2: the input is wrong, in one sentence.
    """
    from panrecon.io.images import write_image
    from panrecon.visualization import contact_sheet

    with exit_on_input_error():
        evidence = _read(run, object_id)
        print("\n".join(sentences(evidence)))
        crops = list(_crops(evidence))
        path = out or run / "explained" / f"object_{object_id}.png"
        write_image(path, contact_sheet(crops, columns=min(4, len(crops))))
        print(f"crops (green: its masks, red: its points under masks of something else): {path}")


@dataclass(frozen=True)
class _ObjectEvidence:
    """An object of a run, and the artifacts that its evidence refers to."""

    object_id: int  # from 1
    scene_object: "SceneObject"
    category: int  # by the semantics stage, which may differ from that of the graph
    is_rejected: bool  # by the panoptic stage
    points: Float[np.ndarray, "P 3"]
    objects: "nx.Graph[int]"  # with the votes between them
    scan: "Scan"
    table: "CategoryTable"
    detections: "DetectionFile"
    depth_tolerance: float  # m, the graph's setting


def _read(run: Path, object_id: int) -> _ObjectEvidence:
    from panrecon.io import graph as artifact
    from panrecon.io.categories import read_categories
    from panrecon.io.detections import read_detections
    from panrecon.io.files import read_json
    from panrecon.io.mesh import read_mesh
    from panrecon.io.scan import read_scan
    from panrecon.structures import UNKNOWN

    if not (run / "graph" / "settings.json").is_file():
        raise InputError(f"{run} holds no finished graph/; name a scene's run, such as data/runs/demo/scannet/room0.")
    table = read_categories(run / "scan" / "classes.csv")
    instances = artifact.read_instances_found(run / "graph", table)
    if object_id > len(instances.objects):
        raise InputError(
            f"There is no object {object_id} in {run / 'graph'}; its objects are 1 to {len(instances.objects)}. "
            f"Objects of the class `{UNKNOWN}` have no masks that could explain them."
        )
    index = object_id - 1
    is_of_object = instances.of_superface.instance[artifact.read_superfaces(run / "graph")] == index
    scene_object = instances.objects[index]
    graph_settings = read_json(run / "graph" / "settings.json")
    digest = graph_settings["digest"]
    semantics = run / "semantics" / "settings.json"
    category = scene_object.category
    if semantics.is_file() and read_json(semantics)["inputs"]["graph"] == digest:
        category = artifact.read_objects(run / "semantics" / "objects.json", table)[index].category
    panoptic = run / "panoptic" / "settings.json"
    is_rejected = False
    if panoptic.is_file() and read_json(panoptic)["inputs"]["graph"] == digest:
        is_rejected = index not in artifact.read_object_confidences(run / "panoptic" / "objects.json")
    return _ObjectEvidence(
        object_id,
        scene_object,
        category,
        is_rejected,
        read_mesh(run / "mesh" / "mesh.ply").vertices[is_of_object],
        artifact.read_object_graph(run / "graph"),
        read_scan(run / "scan"),
        table,
        read_detections(run / "masks" / "detections.json", table),
        graph_settings["settings"]["depth_tolerance"],
    )


def sentences(evidence: _ObjectEvidence) -> Iterator[str]:
    """The evidence as lines of text: class, confidence, masks, votes, frames, and neighbours in the object graph."""
    scene_object = evidence.scene_object
    table = evidence.table
    yield f"object {evidence.object_id}: {table[evidence.category].name}, confidence {scene_object.confidence:.2f}"
    if evidence.category != scene_object.category:
        by_masks = table[scene_object.category].name
        yield f"  {by_masks} by its masks alone; relabelled by the objects that are similar to it"
    if evidence.is_rejected:
        yield "  rejected: at every vertex masks, features, field and layout together say something else"
    yield f"  {len(evidence.points)} vertices; {len(scene_object.masks)} masks in {len(scene_object.frames)} frames"
    classes = Counter(table[mask.category].name for mask in scene_object.masks)
    yield "  classes of its masks: " + ", ".join(f"{name} x{count}" for name, count in classes.most_common())
    votes_for = scene_object.votes_for
    votes_against = scene_object.votes_against
    yield f"  votes on its superfaces: {votes_for:.0f} for one object, {votes_against:.0f} against"
    frame_index = {frame.name: index for index, frame in enumerate(evidence.scan.frames)}
    detecting = sorted(scene_object.frames, key=frame_index.__getitem__)
    contradicting = sorted(scene_object.contradicting, key=frame_index.__getitem__)
    yield f"  frames that detect it: {', '.join(detecting)}"
    yield f"  frames that label it as something else: {', '.join(contradicting) or 'none'}"
    for other, votes in sorted(evidence.objects[evidence.object_id].items()):
        name = evidence.objects.nodes[other]["category"]
        counts = f"{votes['votes_for']:.0f} votes for, {votes['votes_against']:.0f} against"
        yield f"  same object as {other} ({name}): {counts}"


def _crops(evidence: _ObjectEvidence) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Its masks of the highest score, then contradicting frames."""
    from panrecon.visualization import evenly_spaced

    frame_of = {frame.name: frame for frame in evidence.scan.frames}
    masks = sorted(evidence.scene_object.masks, key=lambda mask: -mask.score)
    for mask in masks[:MAX_CROPS]:
        yield _supporting_crop(evidence, frame_of[mask.frame], mask)
    contradicting = evidence.scene_object.contradicting
    for index in evenly_spaced(len(contradicting), MAX_CROPS):
        yield _contradicting_crop(evidence, frame_of[contradicting[index]])


def _supporting_crop(evidence: _ObjectEvidence, frame: "Frame", mask: "SupportingMask") -> UInt8[np.ndarray, "h w 3"]:
    from panrecon.io.scan import read_view
    from panrecon.visualization import evidence_crop

    pixels = evidence.detections[frame.name].mask[mask.detection]
    text = f"{frame.name}: {evidence.table[mask.category].name} {mask.score:.2f}"
    return evidence_crop(read_view(evidence.scan, frame).color, pixels, pixels, (60, 220, 60), text)


def _contradicting_crop(evidence: _ObjectEvidence, frame: "Frame") -> UInt8[np.ndarray, "h w 3"]:
    from panrecon.geometry.projective import nearest_pixel
    from panrecon.geometry.raycasting import visible_points
    from panrecon.io.scan import read_view
    from panrecon.visualization import evidence_crop

    view = read_view(evidence.scan, frame)
    detections = evidence.detections[frame.name]
    _, pixels = visible_points(
        evidence.points, view.camera, view.world_from_camera, view.depth, evidence.depth_tolerance
    )
    column, row, _ = nearest_pixel(view.camera, pixels)
    points = np.zeros(view.depth.shape, dtype=bool)
    points[row, column] = True
    supporting = [mask.detection for mask in evidence.scene_object.masks if mask.frame == frame.name]
    covering = [
        index
        for index in range(len(detections))
        if index not in supporting and detections.mask[index][row, column].mean() > MIN_COVERED
    ]
    outline = np.asarray(detections.mask[covering].any(axis=0))
    names = [f"{evidence.table[detections.category[index]].name} {detections.score[index]:.2f}" for index in covering]
    return evidence_crop(view.color, points, outline, (230, 60, 60), f"{frame.name}: instead {', '.join(names)}")
