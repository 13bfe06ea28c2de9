"""What the field is taught: the frames at training size, with the labels of masks where there are any, else of 3D."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from panrecon.field.field import SceneBox
from panrecon.field.sampling import FieldData
from panrecon.geometry.raycasting import Raycaster, confirmed_faces
from panrecon.geometry.resizing import resize_labels, resize_view, scale_to_side
from panrecon.structures import VOID, FeatureMap, Frame, Labels, TriangleMesh, View

LONGEST_SIDE = 320  # pixels of a training image's longer side
MARGIN = 1.0  # truncations of empty space around the scene in the box
DEPTH_TOLERANCE = 0.5  # truncations between measured depth and the mesh whose labels a pixel takes
DISPUTED = 0.3  # weight of a mask's label where the 3D labels say otherwise


@dataclass(frozen=True)
class TaughtFrame:
    """One frame's images and labels, all at training size; `weight` is the confidence of a label in [0, 1]."""

    view: View
    labels: Labels
    weight: Float[np.ndarray, "h w"]
    features: FeatureMap


class Teacher:
    """Labels frames by their masks and by the surface they see: V vertices with a label and its confidence each.

    `truncation` is `field.truncation` (m).
    """

    def __init__(
        self, mesh: TriangleMesh, labels: Labels, confidence: Float[np.ndarray, " V"], truncation: float
    ) -> None:
        self._raycaster, self._first_vertex = Raycaster(mesh), mesh.faces[:, 0]
        self._labels, self._confidence = labels, confidence
        self._tolerance = DEPTH_TOLERANCE * truncation

    def teach(self, full: View, of_masks: Labels, features: FeatureMap) -> TaughtFrame:
        """The view at training size; `of_masks` are its own corrected masks at full size, void where there is none."""
        view = resize_view(full, scale_to_side(full.camera.width, full.camera.height, LONGEST_SIDE))
        surface = self._raycaster.cast(view.camera, view.world_from_camera)
        face = confirmed_faces(surface, view, self._tolerance)
        vertex = np.where(face == VOID, VOID, self._first_vertex[face])
        confidence = np.where(vertex == VOID, 0, self._confidence[vertex])
        small = resize_labels(of_masks, view.camera.width, view.camera.height)
        labels, weight = combine_labels(small, self._labels.at(vertex), confidence)
        return TaughtFrame(view, labels, weight, features)


def held_out(count: int, wanted: int) -> list[int]:
    """Which of `count` frames are kept from the field: the middles of equal stretches, never more than one in five."""
    kept = min(wanted, count // 5)
    return [(2 * number + 1) * count // (2 * kept) for number in range(kept)]


def taught_and_held_out(frames: Sequence[Frame], wanted: int) -> tuple[list[Frame], list[Frame]]:
    """The frames that the field learns from, and those it does not; in order."""
    kept = held_out(len(frames), wanted)
    return [frame for n, frame in enumerate(frames) if n not in kept], [frames[number] for number in kept]


def combine_labels(
    of_masks: Labels, of_surface: Labels, surface_confidence: Float[np.ndarray, "h w"]
) -> tuple[Labels, Float[np.ndarray, "h w"]]:
    """The mask's label where there is one, less trusted where the surface's disagrees; else the surface's own."""
    masked = of_masks.category != VOID
    category = np.where(masked, of_masks.category, of_surface.category)
    instance = np.where(masked, of_masks.instance, of_surface.instance)
    agrees = (of_masks.category == of_surface.category) & (of_masks.instance == of_surface.instance)
    weight = np.where(masked, np.where(agrees, 1.0, DISPUTED), surface_confidence)
    return Labels(category, instance), weight.astype(np.float32)


def field_data(frames: Sequence[TaughtFrame], box: SceneBox, category_count: int, instance_count: int) -> FieldData:
    """All frames as arrays."""
    return FieldData(
        camera=frames[0].view.camera,
        world_from_camera=np.stack([frame.view.world_from_camera for frame in frames]),
        color=np.stack([frame.view.color for frame in frames]),
        depth=np.stack([frame.view.depth for frame in frames]).astype(np.float32),
        category=np.stack([frame.labels.category for frame in frames]),
        instance=np.stack([frame.labels.instance for frame in frames]),
        weight=np.stack([frame.weight for frame in frames]).astype(np.float32),
        features=np.stack([frame.features.values for frame in frames]).astype(np.float16),
        categories=category_count,
        instances=instance_count,
        box=box,
    )


def scene_box(vertices: Float[np.ndarray, "V 3"], truncation: float) -> SceneBox:
    """The box of the surface with some margin; `truncation` is `field.truncation` (m)."""
    margin = MARGIN * truncation
    low, high = vertices.min(axis=0).astype(np.float64) - margin, vertices.max(axis=0).astype(np.float64) + margin
    return SceneBox(low, high - low)
