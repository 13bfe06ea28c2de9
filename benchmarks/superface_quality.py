"""Do superfaces follow objects better than plain Felzenszwalb-Huttenlocher at equal count? On the rendered scenes.

Plain is ScanNet's Segmentator: normals and convexity, at its own k = 0.01, and at the k that gives as many superfaces
as ours. The row with depth edges adds the share of views in which an edge lies at a discontinuity of the depth.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import typer
from jaxtyping import Bool, Float, Int

from benchmarks.association import AssociationScene, build_scene
from benchmarks.results import Report, Table, text_of, write_result
from benchmarks.scenes import BenchScene
from benchmarks.study import SharedOption, in_processes, study_scenes
from panrecon.config import GraphSettings
from panrecon.evaluation.metrics.oversegmentation import boundary_recall, undersegmentation_error
from panrecon.geometry.mesh import mesh_edges, nearest_vertex
from panrecon.graph.kernels import felzenszwalb_huttenlocher
from panrecon.graph.superfaces import color_step, dihedral_weight, superfaces
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, read_views
from panrecon.structures import VOID

NAME: Final = "superface_quality"
SCANNET_K: Final = 0.01
RADIUS: Final = 0.04  # m between a true boundary and one of superfaces: two voxels
DISCONTINUITY: Final = 0.04  # of the depth, between neighbouring pixels
DEPTH_WEIGHT: Final = 0.1
SETTINGS: Final = GraphSettings()

QualityRow = list[str]


def main(shared: SharedOption = None) -> None:
    """Count, under-segmentation error and boundary recall of every variant on every scene, and the seconds of ours."""
    tasks = [(measure, scene) for scene in study_scenes(shared) if scene.kind == "rendered"]
    rows: list[QualityRow] = [row for rows_of_scene in in_processes(tasks, NAME) for row in rows_of_scene]
    head = ["scene", "superfaces", "count", "under-segmentation error, %", "boundary recall, %", "faces", "seconds"]
    report: Report = [Table(head, rows)]
    write_result(NAME, report, {"columns": head, "rows": rows})
    print(text_of(report))


def measure(scene: BenchScene, run: Path) -> list[QualityRow]:
    """The rows of one scene: the variants, then the share of depth edges at true boundaries and everywhere."""
    scan = read_scan(run / "scan")
    mesh = read_mesh(run / "mesh" / "mesh.ply")
    built = build_scene(scene.raw, scan, mesh, read_views(scan))
    truth = true_region(built)
    edges = mesh_edges(mesh.faces)
    normals = dihedral_weight(mesh, edges)
    colors = color_step(mesh, edges)
    depth = depth_edges(built, edges)

    def segmented(weight: Float[np.ndarray, " E"], k: float) -> Int[np.ndarray, " V"]:
        return felzenszwalb_huttenlocher(edges, weight, len(mesh.vertices), k, SETTINGS.superface_min_vertices)

    superfaces(mesh, SETTINGS)  # loads what is compiled
    started = time.perf_counter()
    ours = superfaces(mesh, SETTINGS)
    seconds = time.perf_counter() - started
    count = int(ours.max()) + 1
    with_depth = normals + SETTINGS.color_weight * colors + DEPTH_WEIGHT * depth
    variants = {
        "ours: normals, convexity, colour": ours,
        "ours and depth edges, as many": at_count(lambda k: segmented(with_depth, k), count),
        "plain, as many": at_count(lambda k: segmented(normals, k), count),
        f"plain, k = {SCANNET_K}": segmented(normals, SCANNET_K),
    }
    is_boundary = (truth[edges[:, 0]] != truth[edges[:, 1]]) & (truth[edges] != VOID).all(axis=1)
    result = [
        [
            *(scene.name, name, str(int(segment.max()) + 1)),
            f"{100 * undersegmentation_error(segment, truth):.2f}",
            f"{100 * boundary_recall(segment, truth, mesh.vertices, edges, RADIUS):.2f}",
            *((f"{len(mesh.faces):,}", f"{seconds:.2f}") if segment is ours else ("", "")),
        ]
        for name, segment in variants.items()
    ]
    at_boundaries = 100 * depth[is_boundary].mean()
    everywhere = 100 * depth.mean()
    note = f"views with a depth edge: {at_boundaries:.2f} % at true boundaries, {everywhere:.2f} % everywhere"
    return [*result, [scene.name, note, "", "", "", "", ""]]


def at_count(segments: Callable[[float], Int[np.ndarray, " V"]], count: int) -> Int[np.ndarray, " V"]:
    """The segmentation by the k whose count is nearest to `count`, after 14 bisections (larger k, fewer segments)."""
    low, high = 1e-4, 10.0
    best = segments(low)
    for _ in range(14):
        k = float(np.sqrt(low * high))
        candidate = segments(k)
        if abs(int(candidate.max()) + 1 - count) < abs(int(best.max()) + 1 - count):
            best = candidate
        low, high = (k, high) if candidate.max() + 1 > count else (low, k)
    return best


def true_region(built: AssociationScene) -> Int[np.ndarray, " V"]:
    """The object or stuff class of the nearest true vertex of every vertex, `VOID` where none is within 5 cm."""
    truth = built.truth.labels
    region = np.where(truth.instance != VOID, truth.instance + len(built.table), truth.category)
    nearest = nearest_vertex(built.mesh.vertices, built.truth.mesh.vertices, 0.05)
    return np.where(nearest == VOID, VOID, region[nearest]).astype(np.int64)


def depth_edges(built: AssociationScene, edges: Int[np.ndarray, "E 2"]) -> Float[np.ndarray, " E"]:
    """The share of views in which the ends of an edge lie at a depth discontinuity."""
    hits, views = (np.zeros(len(built.mesh.vertices)) for _ in range(2))
    for view, seen in zip(read_views(built.scan), built.vertices, strict=True):
        views[seen.point] += 1
        hits[seen.point] += depth_discontinuities(view.depth).ravel()[seen.pixel]
    return (hits / np.maximum(views, 1))[edges].mean(axis=1)


def depth_discontinuities(depth: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels with a neighbour that is nearer or farther by `DISCONTINUITY` times the nearer depth."""
    measured = np.where(depth > 0, depth, np.nan).astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    far = cv2.dilate(np.nan_to_num(measured, nan=0), kernel)
    near = cv2.erode(np.nan_to_num(measured, nan=np.inf), kernel)
    return (depth > 0) & (far - near > DISCONTINUITY * near)


if __name__ == "__main__":
    typer.run(main)
