"""Objects projected back to the frames: label images with scene-wide instances and corrected classes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from panrecon.masks.overlap import resolve_overlaps, resolve_things
from panrecon.structures import VOID, CategoryTable, Detections, Labels, SceneObject, with_categories


def corrected_labels(
    detections: Detections,
    object_of_detection: Int[np.ndarray, " D"],
    objects: Sequence[SceneObject],
    table: CategoryTable,
) -> Labels:
    """The label image of a frame, in which every mask has its object's instance and class (Yu et al., IROS 2024).

    A thing mask of no object is void; stuff fills the pixels that no object covers.
    """
    category_of_object = np.array([scene_object.category for scene_object in objects] + [VOID], dtype=np.int32)
    thing = resolve_things(detections, object_of_detection != VOID)
    stuff = resolve_overlaps(detections, ~table.is_thing[detections.category])
    instance = np.append(object_of_detection, VOID)[thing]
    stuff_category = np.append(detections.category, VOID)[stuff]
    category = np.where(instance != VOID, category_of_object[instance], stuff_category)
    return Labels(category.astype(np.int32), instance.astype(np.int32))


def labels_on_surfaces(labels: Labels, objects: Sequence[SceneObject], table: CategoryTable) -> Labels:
    """Corrected labels with the classes that `objects` have now; void where a class has no surface, as the sky."""
    on_surface = ~np.append(table.is_background, True)[labels.category]
    return with_categories(
        Labels(np.where(on_surface, labels.category, VOID).astype(np.int32), labels.instance), objects
    )
