"""Laws of cleaning a mesh."""

import numpy as np
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float
from numpy.testing import assert_array_equal

from panrecon.fusion.cleaning import canonical, keep_faces, without_small_components
from panrecon.structures import TriangleMesh


def ball(radius: float, center: tuple[float, float, float], subdivisions: int) -> TriangleMesh:
    """A ball of 20 * 4^subdivisions faces, every vertex of its own colour."""
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    vertices = (sphere.vertices + center).astype(np.float32)
    colors = np.random.default_rng(subdivisions).integers(0, 256, (len(vertices), 3)).astype(np.uint8)
    return TriangleMesh(vertices, sphere.faces.astype(np.int32), colors)


def joined(*meshes: TriangleMesh) -> TriangleMesh:
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return TriangleMesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + int(start) for mesh, start in zip(meshes, starts, strict=False)]).astype(np.int32),
        np.concatenate([mesh.colors for mesh in meshes]),
    )


def shuffled(mesh: TriangleMesh, seed: int) -> TriangleMesh:
    """The same surface: vertices and faces in another order, faces begun at another corner."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(mesh.vertices))
    rank = np.argsort(order)
    start = rng.integers(0, 3, (len(mesh.faces), 1))
    faces = np.take_along_axis(rank[mesh.faces], (start + np.arange(3)) % 3, axis=1)
    return TriangleMesh(mesh.vertices[order], rng.permutation(faces).astype(np.int32), mesh.colors[order])


def triangles(mesh: TriangleMesh) -> Float[np.ndarray, "F 9"]:
    """The corners of every triangle in turning order, begun at the smallest; sorted."""
    corners = mesh.vertices[mesh.faces]
    rotations = [np.roll(corners, shift, axis=1).reshape(-1, 9).tolist() for shift in range(3)]
    return np.array(sorted(min(same) for same in zip(*rotations, strict=True)))


@given(seed=st.integers(0, 2**32 - 1))
def test_the_canonical_mesh_forgets_the_order_of_vertices_and_faces(seed: int) -> None:
    mesh = ball(0.5, (0, 0, 0), 2)
    one, other = canonical(mesh), canonical(shuffled(mesh, seed))
    assert_array_equal(one.vertices, other.vertices)
    assert_array_equal(one.faces, other.faces)
    assert_array_equal(one.colors, other.colors)


def test_the_canonical_mesh_is_the_same_surface_with_the_same_front() -> None:
    mesh = ball(0.5, (0, 0, 0), 2)
    assert_array_equal(triangles(canonical(mesh)), triangles(mesh))
    color_at = {tuple(vertex): tuple(color) for vertex, color in zip(mesh.vertices, mesh.colors, strict=True)}
    after = canonical(mesh)
    assert all(color_at[tuple(v)] == tuple(c) for v, c in zip(after.vertices, after.colors, strict=True))


def test_small_components_go_and_others_stay_untouched() -> None:
    large, small, crumb = ball(0.5, (0, 0, 0), 2), ball(0.2, (2, 0, 0), 1), ball(0.1, (0, 2, 0), 0)
    mesh = shuffled(joined(crumb, large, small), seed=1)
    assert_array_equal(triangles(without_small_components(mesh, 81)), triangles(large))
    assert_array_equal(triangles(without_small_components(mesh, 80)), triangles(joined(large, small)))
    assert len(without_small_components(mesh, 0).vertices) == len(mesh.vertices)
    assert not len(without_small_components(mesh, 321).vertices)


def test_only_vertices_of_kept_faces_stay() -> None:
    mesh = ball(0.5, (0, 0, 0), 1)
    keep = np.zeros(len(mesh.faces), dtype=bool)
    keep[[3, 50]] = True
    kept = keep_faces(mesh, keep)
    assert_array_equal(kept.vertices[kept.faces], mesh.vertices[mesh.faces[keep]])
    assert_array_equal(np.unique(kept.faces), np.arange(len(kept.vertices)))
