"""The last stage without files: from the field's probabilities and the prior labels to the panoptic mesh."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from panrecon.progress import Progress, no_progress
from panrecon.refinement.fine_structures import refine_elongated_segments, refine_small_objects
from panrecon.refinement.labelling import panoptic_labels, relabel_boundaries
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.projection import project_boundaries
from panrecon.refinement.thin_structures import add_thin_structures
from panrecon.refinement.visibility import LabelsOfView
from panrecon.structures import CategoryTable, Labels, PanopticMesh, SceneObject, TriangleMesh, Views


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
    mesh: TriangleMesh,
    category_probability: Float[np.ndarray, "V C"],
    instance_probability: Float[np.ndarray, "V I1"],
    prior: Labels,
    objects: Sequence[SceneObject],
    table: CategoryTable,
    views: Views,
    labels_of_view: LabelsOfView,
    parameters: RefinementParameters,
    *,
    boundary_projection: bool = True,
    fine_structures: bool = True,
    thin_structures: bool = True,
    progress: Progress = no_progress,
) -> RefinedLabels:
    """The mesh with a segment for every vertex, by the field, the prior labels and the masks of all views.

    Probabilities are the field's at the vertices, in [0, 1]; the last instance is none. `labels_of_view` returns a
    view's own labels, of its masks, at its size, and is called from several threads. The flags are the settings of
    the stage of the same names.
    """
    decided = panoptic_labels(category_probability, instance_probability, prior, objects, table, mesh, parameters)
    labels = decided.labels
    if fine_structures:
        panoptic = PanopticMesh(mesh, labels)
        elongated = refine_elongated_segments(panoptic, views, labels_of_view, parameters, progress)
        labels = relabel_boundaries(mesh, elongated.labels, decided.scores, parameters, elongated.is_frozen)
    panoptic = project_boundaries(mesh, labels, parameters) if boundary_projection else PanopticMesh(mesh, labels)
    if fine_structures:
        panoptic = refine_small_objects(panoptic, views, labels_of_view, parameters, progress)
    if not thin_structures:
        return RefinedLabels(panoptic, decided.rejected, thin_piece_count=0)
    completed = add_thin_structures(panoptic, views, labels_of_view, parameters, progress)
    return RefinedLabels(completed.panoptic, decided.rejected, completed.piece_count)
