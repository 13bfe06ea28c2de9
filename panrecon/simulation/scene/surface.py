"""Surfaces composed of parts: one mesh, and the colour of any point of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from panrecon.geometry.mesh import face_normals
from panrecon.simulation.scene.shapes import Part
from panrecon.simulation.scene.textures import PATTERNS, texture_coordinates
from panrecon.structures import TriangleMesh


@dataclass(frozen=True)
class PartTextures:
    """Materials and frames of all parts as arrays."""

    rotation: Float[np.ndarray, "P 3 3"]
    origin: Float[np.ndarray, "P 3"]
    extent: Float[np.ndarray, "P 3"]
    color: Float[np.ndarray, "P 3"]
    accent: Float[np.ndarray, "P 3"]
    scale: Float[np.ndarray, " P"]
    seed: Int[np.ndarray, " P"]
    pattern: Int[np.ndarray, " P"]

    @classmethod
    def of(cls, parts: Sequence[Part]) -> "PartTextures":
        """The textures of these parts, by their index."""
        names = list(PATTERNS)
        return cls(
            rotation=np.array([part.world_from_part[:3, :3].T for part in parts], dtype=np.float32),
            origin=np.array([part.world_from_part[:3, 3] for part in parts], dtype=np.float32),
            extent=np.array([part.extent for part in parts], dtype=np.float32),
            color=np.array([part.material.color for part in parts], dtype=np.float32),
            accent=np.array([part.material.accent for part in parts], dtype=np.float32),
            scale=np.array([part.material.scale for part in parts], dtype=np.float32),
            seed=np.array([part.material.seed for part in parts]),
            pattern=np.array([names.index(part.material.pattern) for part in parts]),
        )

    def color_at(
        self, points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"], part: Int[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n 3"]:
        """The albedo, RGB in [0, 1], of world points on these parts with their unit normals."""
        part_points = np.einsum("nij,nj->ni", self.rotation[part], points.astype(np.float32) - self.origin[part])
        part_normals = np.einsum("nij,nj->ni", self.rotation[part], normals)
        result = np.empty((len(points), 3), dtype=np.float32)
        for pattern_index, pattern in enumerate(PATTERNS.values()):
            index = np.flatnonzero(self.pattern[part] == pattern_index)
            if len(index):
                part_of_point = part[index]
                coordinates = texture_coordinates(
                    part_points[index],
                    part_normals[index],
                    self.extent[part_of_point],
                    self.color[part_of_point],
                    self.accent[part_of_point],
                    self.scale[part_of_point],
                    self.seed[part_of_point],
                )
                result[index] = pattern(coordinates)
        return np.clip(result, 0.0, 1.0)


def unit_normals(mesh: TriangleMesh) -> Float[np.ndarray, "F 3"]:
    """Unit normals of the faces, as float32."""
    normals = face_normals(mesh.vertices, mesh.faces)
    return (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)


def joined(parts: Sequence[Part]) -> TriangleMesh:
    """All parts as one mesh, faces in their order, coloured by the first colour of their materials."""
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts])
    vertices = np.concatenate([part.vertices for part in parts])
    faces = np.concatenate([part.faces + offset for part, offset in zip(parts, offsets[:-1], strict=True)])
    colors = np.concatenate([np.tile(part.material.color, (len(part.vertices), 1)) for part in parts])
    return TriangleMesh(vertices, faces.astype(np.int32), np.rint(255 * colors.clip(0, 1)).astype(np.uint8))
