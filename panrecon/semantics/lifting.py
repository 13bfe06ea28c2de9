"""Dense image features lifted onto the vertices of the mesh."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from panrecon.features.sampling import sample
from panrecon.geometry.mesh import vertex_normals
from panrecon.geometry.projective import invert, project, transform
from panrecon.geometry.raycasting import Raycaster, visible_points
from panrecon.semantics.parameters import SemanticsParameters
from panrecon.structures import Camera, FeatureMap, TriangleMesh
from panrecon.threads import parallel_map


@dataclass(frozen=True)
class LiftedFeatures:
    """Weighted mean feature of every point, and the sum of the weights of its views (0 = in no view, feature 0)."""

    feature: Float[np.ndarray, "V D"]
    weight: Float[np.ndarray, " V"]


def lift_features(
    mesh: TriangleMesh,
    camera: Camera,
    posed_features: Iterable[tuple[Float[np.ndarray, "4 4"], FeatureMap]],
    tolerance: float,
    parameters: SemanticsParameters = SemanticsParameters(),
) -> LiftedFeatures:
    """The mean feature of every vertex over the views in which it lies within `tolerance` (m) of the ray-cast depth.

    `posed_features` are poses (world from camera) and feature maps. Each view's feature is normalised to unit length
    and weighted by the cosine of the incidence angle over the squared distance.
    """
    raycaster = Raycaster(mesh)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    coarse = camera.scaled(parameters.visibility_scale)
    feature = np.zeros((len(mesh.vertices), 0), np.float32)
    weight = np.zeros(len(mesh.vertices))

    def unit_features(
        posed: tuple[Float[np.ndarray, "4 4"], FeatureMap],
    ) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n D"], Float[np.ndarray, " n"]]:
        """The vertices that a view sees, their unit features in it, and their weights."""
        world_from_camera, features = posed
        depth = raycaster.cast(coarse, world_from_camera).depth
        visible, _ = visible_points(mesh.vertices, coarse, world_from_camera, depth, tolerance)
        view_weight = _view_weight(mesh.vertices[visible], normals[visible], world_from_camera, parameters)
        pixels, _ = project(camera, transform(invert(world_from_camera), mesh.vertices[visible]))
        values = sample(features, camera, pixels)
        length = np.linalg.norm(values, axis=1, keepdims=True)
        unit = np.divide(values, length, out=np.zeros_like(values), where=length > 0)
        return visible, unit, view_weight

    for visible, unit, view_weight in parallel_map(unit_features, posed_features):
        if not feature.shape[1]:
            feature = np.zeros((len(mesh.vertices), unit.shape[1]), np.float32)
        feature[visible] += unit * view_weight[:, None]
        weight[visible] += view_weight
    scale = np.divide(1, weight, out=np.zeros_like(weight), where=weight > 0)
    return LiftedFeatures(feature * scale[:, None].astype(np.float32), weight.astype(np.float32))


def _view_weight(
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    world_from_camera: Float[np.ndarray, "4 4"],
    parameters: SemanticsParameters,
) -> Float[np.ndarray, " n"]:
    """Cosine of the incidence angle over the squared distance, 1/m^2."""
    toward = world_from_camera[:3, 3] - points
    distance = np.linalg.norm(toward, axis=1)
    cosine = np.einsum("ij,ij->i", toward, normals) / np.maximum(distance, 1e-6)
    squared_distance = np.maximum(distance, parameters.min_distance) ** 2
    return np.asarray(np.maximum(cosine, parameters.min_cosine) / squared_distance)
