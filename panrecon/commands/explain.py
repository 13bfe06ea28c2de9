"""`panrecon explain`: why the graph holds an object to be one, in words and crops."""

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
    from panrecon.io.detections import DetectionFile
    from panrecon.structures import CategoryTable, Frame, Scan, SceneObject, SupportingMask

SHOWN: Final = 8  # crops for, and as many against
CLAIMED: Final = 0.3  # of the object's points in view, and a foreign mask is drawn


def explain(
    run: Annotated[Path, typer.Argument(help="a scene's run, such as data/runs/demo/scannet/room0")],
    number: Annotated[int, typer.Option("--object", min=1, help="id of the object in objects.json")],
    out: Annotated[Path | None, typer.Option(help="picture to write; default <run>/explained/object_<N>.png")] = None,
) -> None:
    """What speaks for and against an object: its masks in the frames, and the frames that call it something else.

    Reads the run's scan, mesh, masks, graph and, if it is up to date, semantics; prints the evidence and writes a sheet
    of crops. Exit code 2: the input is wrong, in one sentence.
    """
    from panrecon.io.images import write_image
    from panrecon.visualization import contact_sheet

    with exit_on_input_error():
        evidence = _read(run, number)
        print("\n".join(sentences(evidence)))
        crops = list(_crops(evidence))
        path = out or run / "explained" / f"object_{number}.png"
        write_image(path, contact_sheet(crops, columns=min(4, len(crops))))
        print(f"crops (green: its masks, red: its points under masks of something else): {path}")


@dataclass(frozen=True)
class _ObjectEvidence:
    """An object of a run with what its evidence refers to."""

    number: int
    found: "SceneObject"
    category: int  # which semantics may have changed
    is_disputed: bool  # and so left out of the final labels
    points: Float[np.ndarray, "P 3"]
    rivals: dict[int, tuple[str, float, float]]  # by id: class, votes for and against being one with it
    scan: "Scan"
    table: "CategoryTable"
    detections: "DetectionFile"
    depth_tolerance: float  # m, as the graph had it


def _read(run: Path, number: int) -> _ObjectEvidence:
    from panrecon.io import graph as artifact
    from panrecon.io.categories import read_categories
    from panrecon.io.detections import read_detections
    from panrecon.io.files import read_json
    from panrecon.io.mesh import read_mesh
    from panrecon.io.scan import read_scan

    if not (run / "graph" / "settings.json").is_file():
        raise InputError(f"{run} holds no finished graph/; name a scene's run, such as data/runs/demo/scannet/room0.")
    table = read_categories(run / "scan" / "classes.csv")
    instances = artifact.read_instances_found(run / "graph", table)
    if number > len(instances.objects):
        raise InputError(
            f"There is no object {number} in {run / 'graph'}; its objects are 1 to {len(instances.objects)}."
        )
    mine = instances.of_superface.instance[artifact.read_superfaces(run / "graph")] == number - 1
    found = instances.objects[number - 1]
    semantics, digest = run / "semantics" / "settings.json", read_json(run / "graph" / "settings.json")["digest"]
    named = found
    if semantics.is_file() and read_json(semantics)["inputs"]["graph"] == digest:
        named = artifact.read_objects(run / "semantics" / "objects.json", table)[number - 1]
    final, is_disputed = run / "panoptic" / "settings.json", False
    if final.is_file() and read_json(final)["inputs"]["graph"] == digest:
        is_disputed = number - 1 not in artifact.read_object_confidences(run / "panoptic" / "objects.json")
    links = read_json(run / "graph" / "object_graph.json")
    word_of = {node["id"]: node["category"] for node in links["nodes"]}
    rivals = {
        other: (word_of[other], edge["votes_for"], edge["votes_against"])
        for edge in links["edges"]
        for one, other in ((edge["source"], edge["target"]), (edge["target"], edge["source"]))
        if one == number
    }
    return _ObjectEvidence(
        number,
        found,
        named.category,
        is_disputed,
        read_mesh(run / "mesh" / "mesh.ply").vertices[mine],
        rivals,
        read_scan(run / "scan"),
        table,
        read_detections(run / "masks" / "detections.json", table),
        read_json(run / "graph" / "settings.json")["settings"]["depth_tolerance"],
    )


def sentences(evidence: _ObjectEvidence) -> Iterator[str]:
    """The evidence in words, a line each."""
    found, table = evidence.found, evidence.table
    yield f"object {evidence.number}: {table[evidence.category].name}, confidence {found.confidence:.2f}"
    if evidence.category != found.category:
        yield f"  {table[found.category].name} by its masks alone; renamed after the objects that look like it"
    if evidence.is_disputed:
        yield "  not among the final objects: most frames that see it call it something else, and so does the field"
    yield f"  {len(evidence.points)} vertices; {len(found.masks)} masks in {len(found.frames)} frames"
    words = Counter(table[mask.category].name for mask in found.masks)
    yield "  its masks say: " + ", ".join(f"{word} x{count}" for word, count in words.most_common())
    yield f"  votes on its superfaces: {found.votes_for:.0f} for being one, {found.votes_against:.0f} against"
    order = {frame.name: number for number, frame in enumerate(evidence.scan.frames)}
    detecting, contradicting = (sorted(names, key=order.__getitem__) for names in (found.frames, found.contradicting))
    yield f"  frames that detect it: {', '.join(detecting)}"
    yield f"  frames that call it something else: {', '.join(contradicting) or 'none'}"
    for other, (word, votes_for, votes_against) in sorted(evidence.rivals.items()):
        yield f"  one with object {other} ({word}): {votes_for:.0f} votes for, {votes_against:.0f} against"


def _crops(evidence: _ObjectEvidence) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Its surest masks, then frames that contradict."""
    from panrecon.visualization import evenly_spaced

    frame_of = {frame.name: frame for frame in evidence.scan.frames}
    surest = sorted(evidence.found.masks, key=lambda mask: -mask.score)[:SHOWN]
    for mask in surest:
        yield _supporting_crop(evidence, frame_of[mask.frame], mask)
    against = evidence.found.contradicting
    for number in evenly_spaced(len(against), SHOWN):
        yield _contradicting_crop(evidence, frame_of[against[number]])


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

    view, found = read_view(evidence.scan, frame), evidence.detections[frame.name]
    seen_from = view.camera, view.world_from_camera, view.depth
    _, pixels = visible_points(evidence.points, *seen_from, evidence.depth_tolerance)
    column, row, _ = nearest_pixel(view.camera, pixels)
    points = np.zeros(view.depth.shape, dtype=bool)
    points[row, column] = True
    mine = [mask.detection for mask in evidence.found.masks if mask.frame == frame.name]
    claims = [n for n in range(len(found)) if n not in mine and found.mask[n][row, column].mean() > CLAIMED]
    outline = np.asarray(found.mask[claims].any(axis=0))
    words = ", ".join(f"{evidence.table[found.category[n]].name} {found.score[n]:.2f}" for n in claims)
    return evidence_crop(view.color, points, outline, (230, 60, 60), f"{frame.name}: not it, but {words}")
