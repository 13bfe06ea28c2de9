"""Dense image features carried onto the points of the scene."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from panrecon.features.sampling import sample
from panrecon.geometry.mesh import vertex_normals
from panrecon.geometry.projective import invert, project, transform
from panrecon.geometry.raycasting import Raycaster, visible_points
from panrecon.structures import Camera, FeatureMap, TriangleMesh

CAST_SCALE = 0.5  # visibility is tested on images of this scale
MIN_COSINE = 0.1  # a glancing view keeps this weight


@dataclass(frozen=True)
class LiftedFeatures:
    """Mean feature of every point and the weight of the views it comes from (0 = seen in none, feature 0)."""

    feature: Float[np.ndarray, "V D"]
    weight: Float[np.ndarray, " V"]


def lift_features(
    mesh: TriangleMesh,
    camera: Camera,
    posed_features: Iterable[tuple[Float[np.ndarray, "4 4"], FeatureMap]],
    tolerance: float,
) -> LiftedFeatures:
    """The features of the vertices, averaged over the views that see them: within `tolerance` (m) of what a pixel sees.

    Each view's feature counts with unit length, so that none shouts, times the cosine of the viewing angle over the
    squared distance: the near and frontal view knows best.
    """
    raycaster, normals = Raycaster(mesh), vertex_normals(mesh.vertices, mesh.faces)
    coarse = camera.scaled(CAST_SCALE)
    feature, weight = np.zeros((len(mesh.vertices), 0), np.float32), np.zeros(len(mesh.vertices))
    for world_from_camera, features in posed_features:
        if not feature.shape[1]:
            feature = np.zeros((len(mesh.vertices), features.values.shape[-1]), np.float32)
        depth = raycaster.cast(coarse, world_from_camera).depth
        seen, _ = visible_points(mesh.vertices, coarse, world_from_camera, depth, tolerance)
        trust = _trust(mesh.vertices[seen], normals[seen], world_from_camera)
        pixels, _ = project(camera, transform(invert(world_from_camera), mesh.vertices[seen]))
        values = sample(features, camera, pixels)
        length = np.linalg.norm(values, axis=1, keepdims=True)
        feature[seen] += np.divide(values, length, out=np.zeros_like(values), where=length > 0) * trust[:, None]
        weight[seen] += trust
    scale = np.divide(1, weight, out=np.zeros_like(weight), where=weight > 0)
    return LiftedFeatures(feature * scale[:, None].astype(np.float32), weight.astype(np.float32))


def _trust(
    points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"], world_from_camera: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, " n"]:
    """Cosine of the viewing angle over the squared distance."""
    toward = world_from_camera[:3, 3] - points
    distance = np.linalg.norm(toward, axis=1)
    cosine = np.einsum("ij,ij->i", toward, normals) / np.maximum(distance, 1e-6)
    return np.asarray(np.maximum(cosine, MIN_COSINE) / np.maximum(distance, 0.1) ** 2)
