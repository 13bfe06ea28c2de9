"""The last stage without files: from the field's probabilities and the prior labels to the panoptic mesh."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from panrecon.config import PanopticSettings
from panrecon.progress import Progress, no_progress
from panrecon.refinement.fine_structures import refine_elongated_segments, refine_small_objects
from panrecon.refinement.labelling import panoptic_labels, relabel_boundaries
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.projection import project_boundaries
from panrecon.refinement.thin_structures import add_thin_structures
from panrecon.structures import LabelledScene, PanopticMesh, SceneObject, Views


@dataclass(frozen=True)
class RefinedLabels:
    """The panoptic mesh, the indices of the objects that no vertex has, and how many pieces of thin structures are new.

    The mesh may have moved, more and other vertices than the one that was given.
    """

    panoptic: PanopticMesh
    rejected_objects: Int[np.ndarray, " r"]
    thin_piece_count: int

    def final_objects(self, objects: Sequence[SceneObject]) -> dict[int, SceneObject]:
        """Those of the objects that were not rejected, by instance."""
        rejected = set(self.rejected_objects.tolist())
        return {index: scene_object for index, scene_object in enumerate(objects) if index not in rejected}


def refine(
    views: Views,
    scene: LabelledScene,
    category_probability: Float[np.ndarray, "V C"],
    instance_probability: Float[np.ndarray, "V I1"],
    parameters: RefinementParameters,
    settings: PanopticSettings = PanopticSettings(),
    progress: Progress = no_progress,
) -> RefinedLabels:
    """The mesh with a segment for every vertex, by the field, the labels it has and the masks of all views.

    Probabilities are the field's at the vertices, in [0, 1]; the last instance is none. The settings say which parts of
    the refinement are left out.
    """
    mesh = scene.mesh
    labels_of_view = scene.labels_of_view
    probabilities = (category_probability, instance_probability)
    decided = panoptic_labels(*probabilities, scene.labels, scene.objects, scene.table, mesh, parameters)
    labels = decided.labels
    if settings.fine_structures:
        panoptic = PanopticMesh(mesh, labels)
        elongated = refine_elongated_segments(panoptic, views, labels_of_view, parameters, progress)
        labels = relabel_boundaries(mesh, elongated.labels, decided.scores, parameters, elongated.is_frozen)
    panoptic = PanopticMesh(mesh, labels)
    if settings.boundary_projection:
        panoptic = project_boundaries(mesh, labels, parameters)
    if settings.fine_structures:
        panoptic = refine_small_objects(panoptic, views, labels_of_view, parameters, progress)
    if not settings.thin_structures:
        return RefinedLabels(panoptic, decided.rejected, thin_piece_count=0)
    completed = add_thin_structures(panoptic, views, labels_of_view, parameters, progress)
    return RefinedLabels(completed.panoptic, decided.rejected, completed.piece_count)
