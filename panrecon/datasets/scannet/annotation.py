"""The annotated mesh of a ScanNet scene: its objects, and the classes that their words mean."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Int

from panrecon.datasets.scannet.format import images_in, mesh_file, read_groups, read_segments, segments_file
from panrecon.datasets.scannet.label_map import LabelMap, find_label_map, read_label_map
from panrecon.errors import InputError
from panrecon.io.images import read_ids
from panrecon.io.mesh import read_mesh
from panrecon.structures import VOID, CategoryTable, Labels, PanopticMesh, normalised
from panrecon.visualization import evenly_spaced

FRAMES_READ: Final = 100  # evenly spaced ones, for the raw ids of objects whose word tells no class


def read_annotation(folder: Path, table: CategoryTable, label_map: Path | None) -> PanopticMesh:
    """The true mesh; instances are the `objectId`s, as in `instance-filt`, of stuff and of void too.

    With a label map (given, or found in the folder or above it) the words of objects are first turned into raw label
    ids, and `raw_ids` of the table decide; without one, names and synonyms of the classes do.

    Raises:
        InputError: a file is missing, damaged or of another release than the others.
    """
    groups = read_groups(folder)
    mesh = read_mesh(mesh_file(folder))
    segment_of_vertex = read_segments(folder)
    if len(segment_of_vertex) != len(mesh.vertices):
        raise InputError(
            f"{segments_file(folder)} has {len(segment_of_vertex)} vertices, {mesh_file(folder)} has "
            f"{len(mesh.vertices)}; both must come from the same release."
        )
    group_of_vertex = _group_of_vertex(groups, segment_of_vertex)
    category_of_group = _category_of_group(folder, groups, table, label_map_of(folder, label_map))
    category = np.append(category_of_group, VOID)[group_of_vertex].astype(np.int32)
    object_ids = [group.get("objectId", group_index) for group_index, group in enumerate(groups)]
    instance = np.array([*object_ids, VOID], np.int64)[group_of_vertex]
    return PanopticMesh(mesh, Labels(category, instance))


def label_map_of(folder: Path, label_map: Path | None) -> LabelMap | None:
    """The label map at a path, else the one in the folder or above it; None without any."""
    path = label_map or find_label_map(folder)
    return read_label_map(path) if path else None


def category_of_raw_id(table: CategoryTable, label_map: LabelMap | None) -> Mapping[int, int]:
    """The class index of every raw label id that a class of the table lists or, by the label map, is a word of."""
    return label_map.index_of_raw_id(table) if label_map else table.index_of_raw_id


def _group_of_vertex(groups: list[dict[str, Any]], segment_of_vertex: Int[np.ndarray, " V"]) -> Int[np.ndarray, " V"]:
    """Index into `groups` of every vertex's object, `VOID` where none."""
    segments, segment_index = np.unique(segment_of_vertex, return_inverse=True)
    group_of_segment = np.full(len(segments), VOID, dtype=np.int64)
    for group_index, group in enumerate(groups):
        group_of_segment[np.isin(segments, group["segments"])] = group_index
    return group_of_segment[segment_index]


def _category_of_group(
    folder: Path, groups: list[dict[str, Any]], table: CategoryTable, label_map: LabelMap | None
) -> Int[np.ndarray, " groups"]:
    """The class of every object: by the raw id of its word, else by the class of this name, else by the raw id that its
    pixels carry, else by the class of which its word is a synonym.
    """
    category_of_raw = category_of_raw_id(table, label_map)
    raw_id_of_word = label_map.raw_id_of_word if label_map else {}
    raw_ids = [raw_id_of_word.get(normalised(group["label"])) for group in groups]
    category = np.array(
        [
            _category_of_word(group["label"], table) if raw_id is None else category_of_raw.get(raw_id, VOID)
            for group, raw_id in zip(groups, raw_ids, strict=True)
        ],
        dtype=np.int64,
    )
    unknown = [index for index in np.flatnonzero(category == VOID) if raw_ids[index] is None]
    unknown = [index for index in unknown if "objectId" in groups[index]]
    if unknown and category_of_raw:
        raw_id_of_object = _raw_ids_by_pixels(folder, [int(groups[index]["objectId"]) for index in unknown])
        category[unknown] = [
            category_of_raw.get(raw_id, VOID) if raw_id else table.index_of(groups[index]["label"])
            for index, raw_id in zip(unknown, raw_id_of_object, strict=True)
        ]
    return category


def _category_of_word(word: str, table: CategoryTable) -> int:
    """The class of this name or synonym; of a class with raw ids, which say what it means exactly, the name alone."""
    category = table.index_of(word)
    by_synonym = category != VOID and normalised(table[category].name) != normalised(word)
    return VOID if by_synonym and table[category].raw_ids else category


def _raw_ids_by_pixels(folder: Path, object_ids: list[int]) -> list[int]:
    """The raw label id most pixels of each object carry in evenly spaced frames, 0 for an object of no pixel there."""
    paths = [path for path in images_in(folder / "instance-filt") if (folder / "label-filt" / path.name).is_file()]
    counts: Counter[tuple[int, int]] = Counter()
    for frame_index in evenly_spaced(len(paths), FRAMES_READ):
        instance = read_ids(paths[frame_index])
        raw = read_ids(folder / "label-filt" / paths[frame_index].name)
        pairs, count = np.unique(instance.astype(np.int64) << 16 | raw, return_counts=True)
        counts.update({(pair >> 16, pair & 0xFFFF): n for pair, n in zip(pairs.tolist(), count.tolist(), strict=True)})
    raw_id_of_instance: dict[int, int] = {}
    for (instance_id, raw_id), _ in sorted(counts.items(), key=lambda item: (item[1], -item[0][1])):
        raw_id_of_instance[instance_id] = raw_id  # the most frequent comes last
    return [raw_id_of_instance.get(object_id + 1, 0) for object_id in object_ids]
