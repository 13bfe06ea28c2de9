"""The supervision of a field: training views with the labels of their masks where there are any, else of 3D."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from panrecon.field.field import SceneBox
from panrecon.field.parameters import FieldParameters
from panrecon.field.sampling import FieldData
from panrecon.geometry.raycasting import Raycaster, confirmed_faces
from panrecon.geometry.resizing import resize_labels, resize_view, scale_to_side
from panrecon.structures import VOID, FeatureMap, Labels, TriangleMesh, View


@dataclass(frozen=True)
class TrainingView:
    """A view and its labels at training size, with the confidence of each label in [0, 1], and its feature map."""

    view: View
    labels: Labels
    weight: Float[np.ndarray, "h w"]
    features: FeatureMap


class SurfaceSupervision:
    """The labels of V vertices, and their confidence in [0, 1], as supervision of any view.

    `truncation` is the field's (m).
    """

    def __init__(
        self,
        mesh: TriangleMesh,
        labels: Labels,
        confidence: Float[np.ndarray, " V"],
        truncation: float,
        parameters: FieldParameters = FieldParameters(),
    ) -> None:
        self._raycaster = Raycaster(mesh)
        self._first_vertex = mesh.faces[:, 0]
        self._labels = labels
        self._confidence = confidence
        self._depth_tolerance = parameters.depth_tolerance * truncation
        self._parameters = parameters

    def training_view(self, view: View, mask_labels: Labels, features: FeatureMap) -> TrainingView:
        """The view at training size, labelled by its own masks and, where these are void, by the surface it sees.

        `mask_labels` have the size of the view. Pixels whose depth disagrees with the surface take no label from it.
        """
        scale = scale_to_side(view.camera.width, view.camera.height, self._parameters.image_side)
        resized = resize_view(view, scale)
        surface = self._raycaster.cast(resized.camera, resized.world_from_camera)
        face = confirmed_faces(surface, resized, self._depth_tolerance)
        vertex = np.where(face == VOID, VOID, self._first_vertex[face])
        confidence = np.where(vertex == VOID, 0, self._confidence[vertex])
        resized_labels = resize_labels(mask_labels, resized.camera.width, resized.camera.height)
        disagreement_weight = self._parameters.disagreement_weight
        labels, weight = combine_labels(resized_labels, self._labels.at(vertex), confidence, disagreement_weight)
        return TrainingView(resized, labels, weight, features)


def split_frames(count: int, max_held_out: int) -> tuple[list[int], list[int]]:
    """The indices of training and of held-out frames: the middles of equal stretches, at most one in five."""
    held_out_count = min(max_held_out, count // 5)
    held_out = [(2 * stretch + 1) * count // (2 * held_out_count) for stretch in range(held_out_count)]
    return [index for index in range(count) if index not in held_out], held_out


def combine_labels(
    mask_labels: Labels,
    surface_labels: Labels,
    surface_confidence: Float[np.ndarray, "h w"],
    disagreement_weight: float,
) -> tuple[Labels, Float[np.ndarray, "h w"]]:
    """The mask's label where there is one, else the surface's, and the confidence of each in [0, 1].

    A mask's is 1, or `disagreement_weight` where the surface's label is another; elsewhere it is the surface's own.
    """
    is_masked = mask_labels.category != VOID
    category = np.where(is_masked, mask_labels.category, surface_labels.category)
    instance = np.where(is_masked, mask_labels.instance, surface_labels.instance)
    same_category = mask_labels.category == surface_labels.category
    agrees = same_category & (mask_labels.instance == surface_labels.instance)
    weight = np.where(is_masked, np.where(agrees, 1.0, disagreement_weight), surface_confidence)
    return Labels(category, instance), weight.astype(np.float32)


def field_data(
    training_views: Sequence[TrainingView], box: SceneBox, category_count: int, instance_count: int
) -> FieldData:
    """All training views, at least one and of one camera, as arrays."""
    views = [training_view.view for training_view in training_views]
    labels = [training_view.labels for training_view in training_views]
    return FieldData(
        camera=views[0].camera,
        world_from_camera=np.stack([view.world_from_camera for view in views]),
        color=np.stack([view.color for view in views]),
        depth=np.stack([view.depth for view in views]).astype(np.float32),
        category=np.stack([view_labels.category for view_labels in labels]),
        instance=np.stack([view_labels.instance for view_labels in labels]),
        weight=np.stack([training_view.weight for training_view in training_views]).astype(np.float32),
        features=np.stack([training_view.features.values for training_view in training_views]).astype(np.float16),
        categories=category_count,
        instances=instance_count,
        box=box,
    )


def scene_box(
    vertices: Float[np.ndarray, "V 3"], truncation: float, parameters: FieldParameters = FieldParameters()
) -> SceneBox:
    """The bounding box of the surface (world, m) with a margin of free space; `truncation` is the field's (m)."""
    margin = parameters.box_margin * truncation
    low = vertices.min(axis=0).astype(np.float64) - margin
    high = vertices.max(axis=0).astype(np.float64) + margin
    return SceneBox(low, high - low)
