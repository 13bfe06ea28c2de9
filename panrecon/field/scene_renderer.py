"""Images of a field and a panoptic mesh from any pose."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from panrecon.field.parameters import RenderingParameters

if TYPE_CHECKING:
    from panrecon.field.field import PanopticField, SceneBox
    from panrecon.structures import Camera, Labels, PanopticMesh


@dataclass(frozen=True)
class SceneImages:
    """What a camera sees: colour and depth (m, 0 = nothing) of the field; normals (world) and labels of the mesh."""

    color: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    normal: Float[np.ndarray, "h w 3"]
    labels: "Labels"


class SceneRenderer:
    """Renders a field and a panoptic mesh, which is indexed once; rays are sampled near the mesh alone.

    What sees no surface sees the class `background`: the sky, of a table that has it, else `VOID`.
    """

    def __init__(
        self,
        field: "PanopticField",
        box: "SceneBox",
        panoptic: "PanopticMesh",
        background: int,
        parameters: RenderingParameters = RenderingParameters(),
    ) -> None:
        from panrecon.geometry.mesh import vertex_normals
        from panrecon.geometry.raycasting import Raycaster

        self._field = field
        self._box = box
        self._parameters = parameters
        self._labels = panoptic.labels
        self._background = background
        self._raycaster = Raycaster(panoptic.mesh)
        self._first_vertex = panoptic.mesh.faces[:, 0]
        normals = vertex_normals(panoptic.mesh.vertices, panoptic.mesh.faces)[panoptic.mesh.faces].mean(axis=1)
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        self._normals = np.append(normals / np.maximum(length, 1e-12), np.zeros((1, 3)), axis=0)  # the last for VOID

    def images(self, camera: "Camera", world_from_camera: Float[np.ndarray, "4 4"]) -> SceneImages:
        from panrecon.field.inference import render_view
        from panrecon.structures import VOID, Labels

        hit = self._raycaster.cast(camera, world_from_camera)
        seen = render_view(self._field, self._box, camera, world_from_camera, hit.depth, self._parameters)
        labels = self._labels.at(np.where(hit.face == VOID, VOID, self._first_vertex[hit.face]))
        category = np.where(hit.face == VOID, self._background, labels.category).astype(np.int32)
        return SceneImages(seen.color, seen.depth, self._normals[hit.face], Labels(category, labels.instance))
