"""The last stage without files: from the field's probabilities and the prior labels to the panoptic mesh."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from panrecon.config import PanopticSettings
from panrecon.progress import Progress, no_progress
from panrecon.refinement.energy import final_labels
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.projection import project_boundaries
from panrecon.refinement.terms import LabelEvidence
from panrecon.refinement.thin_structures import add_thin_structures
from panrecon.refinement.unknown import unknown_objects, with_unknown_objects
from panrecon.structures import VOID, CategoryTable, LabelledScene, PanopticMesh, SceneObject, TriangleMesh, Views


@dataclass(frozen=True)
class RefinedLabels:
    """The panoptic mesh, the indices of the objects that no vertex has, and how many pieces of thin structures are new.

    The mesh may have moved, more and other vertices than `labelled_mesh`, whose V vertices have their labels with this
    probability, in [0, 1]. `table` has the class `unknown`, of which the `unknown_objects` are; their instances follow
    those of the scene's objects.
    """

    panoptic: PanopticMesh
    labelled_mesh: TriangleMesh
    probability: Float[np.ndarray, " V"]
    rejected_objects: Int[np.ndarray, " r"]
    thin_piece_count: int
    table: CategoryTable
    unknown_objects: tuple[SceneObject, ...]

    def final_objects(self, objects: Sequence[SceneObject]) -> dict[int, SceneObject]:
        """Those of the objects that were not rejected, and those without a name, by instance."""
        rejected = set(self.rejected_objects.tolist())
        every = enumerate([*objects, *self.unknown_objects])
        return {index: scene_object for index, scene_object in every if index not in rejected}


def refine(
    views: Views,
    scene: LabelledScene,
    evidence: LabelEvidence,
    parameters: RefinementParameters,
    settings: PanopticSettings = PanopticSettings(),
    progress: Progress = no_progress,
) -> RefinedLabels:
    """The mesh with a segment for every vertex, by all that the stages before say of it and the masks of all views.

    The settings say which parts of the refinement are left out.
    """
    mesh = scene.mesh
    with progress("labels", 1) as advance:
        final = final_labels(mesh, evidence, scene.objects, scene.table, parameters.voxel_size, parameters.energy)
        advance(1)
    labels = final.labels
    table = scene.table.with_unknown()
    nameless: tuple[SceneObject, ...] = ()
    if settings.unknown_objects and table.unknown != VOID:
        with progress("unknown objects", 1) as advance:
            unknown = unknown_objects(mesh, evidence.votes, evidence.layout, labels, parameters)
            advance(1)
        labels = with_unknown_objects(labels, unknown, len(scene.objects), table)
        nameless = unknown.scene_objects(table)
    present = np.unique(labels.instance)
    rejected = np.setdiff1d(np.arange(len(scene.objects)), present)
    panoptic = PanopticMesh(mesh, labels)
    if settings.boundary_projection:
        panoptic = project_boundaries(mesh, labels, parameters)
    piece_count = 0
    if settings.thin_structures:
        completed = add_thin_structures(panoptic, views, scene.labels_of_view, parameters, progress)
        panoptic = completed.panoptic
        piece_count = completed.piece_count
    return RefinedLabels(panoptic, mesh, final.probability, rejected, piece_count, table, nameless)
