"""The `graph` artifact: superfaces, votes, labels of superfaces, objects with their evidence, corrected 2D labels."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array

from panrecon.errors import InputError
from panrecon.evaluation.report.record import ObjectConfidence
from panrecon.graph.correction import labels_on_surfaces
from panrecon.graph.instances import GraphResult
from panrecon.graph.votes import VertexVotes
from panrecon.io.files import read_arrays, read_json, write_arrays, write_json
from panrecon.io.ids import categories_of_ids, ids_of_categories
from panrecon.io.images import read_ids, read_instances, write_ids, write_instances
from panrecon.structures import (
    VOID,
    CategoryTable,
    Instances,
    Labels,
    SceneObject,
    SuperfaceGraph,
    SupportingMask,
    View,
)
from panrecon.threads import parallel_map

if TYPE_CHECKING:
    import networkx as nx


def write_superfaces(folder: Path, superface_of_vertex: Int[np.ndarray, " V"]) -> None:
    """Writes the superface of every mesh vertex."""
    write_arrays(folder / "superfaces.npz", superface_of_vertex=superface_of_vertex)


def read_superfaces(folder: Path) -> Int[np.ndarray, " V"]:
    """The superface of every mesh vertex."""
    return read_arrays(folder / "superfaces.npz")["superface_of_vertex"]


def write_graph(folder: Path, graph: SuperfaceGraph) -> None:
    """Writes the edges between superfaces and their votes."""
    arrays = {"first": graph.first, "second": graph.second}
    write_arrays(folder / "graph.npz", **arrays, votes_for=graph.votes_for, votes_against=graph.votes_against)


def write_instances_found(folder: Path, instances: Instances, table: CategoryTable) -> None:
    """Writes `instances.npz` (class indices and instances of superfaces) and `objects.json` (ids as in label files)."""
    labels = instances.of_superface
    write_arrays(folder / "instances.npz", category=labels.category, instance=labels.instance)
    write_objects(folder / "objects.json", dict(enumerate(instances.objects)), table)


def read_instances_found(folder: Path, table: CategoryTable) -> Instances:
    """The labels of superfaces, and the objects that their instances stand for."""
    return Instances(Labels(**read_arrays(folder / "instances.npz")), read_objects(folder / "objects.json", table))


def write_objects(path: Path, objects: Mapping[int, SceneObject], table: CategoryTable) -> None:
    """Every object with its class and its evidence, by instance from 0; `id` is the `instance` of the label files."""
    write_json(path, [_object_record(instance, scene_object, table) for instance, scene_object in objects.items()])


def read_objects(path: Path, table: CategoryTable) -> tuple[SceneObject, ...]:
    """The objects of an `objects.json` in its order, with their evidence; classes that the table lacks are `VOID`."""
    return tuple(
        SceneObject(
            table.index_of(item["category"]),
            item["confidence"],
            item["votes_for"],
            item["votes_against"],
            tuple(_supporting_mask(mask, table) for mask in item["masks"]),
            tuple(item["contradicting_frames"]),
        )
        for item in read_json(path)
    )


def _supporting_mask(record: dict[str, Any], table: CategoryTable) -> SupportingMask:
    category = table.index_of(record["category"])
    return SupportingMask(record["frame"], record["detection"], category, record["score"], record["vertices"])


def read_object_confidences(path: Path) -> dict[int, ObjectConfidence]:
    """The evidence for the objects of any method's `objects.json`, by instance: a list of `id` and `confidence`.

    `frames`, the supporting ones, may be missing.

    Raises:
        InputError: the file is no such list.
    """
    try:
        lines = [(int(item["id"]), float(item["confidence"]), len(item.get("frames", []))) for item in read_json(path)]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path} is no list of objects with 'id', 'confidence' and perhaps 'frames', a list ({error!r}); mend it."
        ) from error
    wrong = next((line for line in lines if not 0 <= line[1] <= 1), None)
    if wrong:
        raise InputError(f"Object {wrong[0]} of {path} has the confidence {wrong[1]}; it must lie between 0 and 1.")
    return {object_id + VOID: ObjectConfidence(confidence, frames) for object_id, confidence, frames in lines}


def write_object_graph(folder: Path, objects: "nx.Graph[int]") -> None:
    """Writes the graph as node-link JSON of networkx, which other graph tools open."""
    import networkx as nx

    write_json(folder / "object_graph.json", nx.node_link_data(objects, edges="edges"))


def read_object_graph(folder: Path) -> "nx.Graph[int]":
    """The objects and the votes between them, as `object_graph` states them."""
    import networkx as nx

    objects: nx.Graph[int] = nx.node_link_graph(read_json(folder / "object_graph.json"), edges="edges")
    return objects


def write_graph_result(folder: Path, result: GraphResult, table: CategoryTable) -> None:
    """All of the artifact but the label images of frames, which `write_frame_labels` writes one by one."""
    from panrecon.graph.object_graph import object_graph  # networkx takes 0.15 s to import

    write_superfaces(folder, result.superface_of_vertex)
    write_graph(folder, result.graph)
    write_instances_found(folder, result.instances, table)
    write_votes(folder, result.votes)
    write_object_graph(folder, object_graph(result.instances, result.graph, table))


def write_votes(folder: Path, votes: VertexVotes) -> None:
    """Writes the votes of the vertices, float16, in rows of scipy's compressed sparse form."""
    arrays: dict[str, np.ndarray] = {}
    for kind, shares in (("objects", votes.of_objects), ("stuff", votes.of_stuff)):
        arrays[f"{kind}_row_end"] = shares.indptr[1:].astype(np.int64)
        arrays[f"{kind}_column"] = shares.indices.astype(np.int32)
        arrays[f"{kind}_share"] = shares.data.astype(np.float16)
        arrays[f"{kind}_count"] = np.array(shares.shape[1])
    write_arrays(folder / "votes.npz", **arrays, unmasked=votes.unmasked.astype(np.float16))


def read_votes(folder: Path) -> VertexVotes:
    """The votes of the vertices."""
    arrays = read_arrays(folder / "votes.npz")

    def shares(kind: str) -> csr_array:
        row_start = np.append(0, arrays[f"{kind}_row_end"])
        entries = (arrays[f"{kind}_share"].astype(np.float32), arrays[f"{kind}_column"], row_start)
        return csr_array(entries, (len(row_start) - 1, int(arrays[f"{kind}_count"])))

    return VertexVotes(shares("objects"), shares("stuff"), arrays["unmasked"].astype(np.float32))


def write_frame_labels(folder: Path, frame: str, labels: Labels, table: CategoryTable) -> None:
    """`semantic/<frame>.png` (class ids) and `instance/<frame>.png` (object ids), 0 = void and none."""
    write_ids(folder / "semantic" / f"{frame}.png", ids_of_categories(labels.category, table))
    write_instances(folder / "instance" / f"{frame}.png", labels.instance)


def write_labels_of_frames(folder: Path, labels_of_frames: Iterable[tuple[str, Labels]], table: CategoryTable) -> None:
    """`write_frame_labels` of frames by name, on all cores."""
    for _ in parallel_map(lambda named: write_frame_labels(folder, *named, table), labels_of_frames):
        pass


def has_frame_labels(folder: Path, frame: str) -> bool:
    """Whether a frame has labels: frames without any object have none."""
    return (folder / "semantic" / f"{frame}.png").is_file()


def read_frame_labels(folder: Path, frame: str, table: CategoryTable) -> Labels:
    """The labels of a frame's pixels; ids that the table does not list are void.

    Raises:
        InputError: an image is missing or damaged.
    """
    category = categories_of_ids(read_ids(folder / "semantic" / f"{frame}.png"), table)
    return Labels(category, read_instances(folder / "instance" / f"{frame}.png"))


def read_labels_of_surfaces(folder: Path, view: View, objects: Sequence[SceneObject], table: CategoryTable) -> Labels:
    """A frame's corrected masks, objects with their classes; void where there is none, and on the sky."""
    if not has_frame_labels(folder, view.name):
        return Labels(*(np.full(view.depth.shape, VOID, np.int32) for _ in range(2)))
    return labels_on_surfaces(read_frame_labels(folder, view.name, table), objects, table)


def _object_record(instance: int, scene_object: SceneObject, table: CategoryTable) -> dict[str, Any]:
    return {
        "id": instance - VOID,
        "category": table[scene_object.category].name,
        "category_id": table[scene_object.category].id,
        "confidence": round(scene_object.confidence, 4),
        "votes_for": round(scene_object.votes_for, 4),
        "votes_against": round(scene_object.votes_against, 4),
        "frames": list(scene_object.frames),
        "contradicting_frames": list(scene_object.contradicting),
        "masks": [
            {
                "frame": mask.frame,
                "detection": mask.detection,
                "category": table[mask.category].name,
                "score": round(mask.score, 4),
                "vertices": mask.vertices,
            }
            for mask in scene_object.masks
        ],
    }
