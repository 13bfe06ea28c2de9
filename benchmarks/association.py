"""One scene for the benchmarks of the graph: what of it does not depend on the masks is worked out once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from benchmarks.measure import MIN_FRAMES, strict_scores
from benchmarks.plain_fusion import FrameVotes, LabelFusion, SurfaceVoxels, surface_voxels
from panrecon.config import GraphSettings, MasksSettings, MeshSettings
from panrecon.datasets.base import dataset
from panrecon.geometry.mesh import nearest_vertex
from panrecon.geometry.projective import nearest_pixel
from panrecon.geometry.raycasting import visible_points
from panrecon.graph.adjacency import SuperfaceAdjacency, superface_adjacency
from panrecon.graph.instances import GraphResult, infer_instances
from panrecon.graph.observation import FrameObservation
from panrecon.graph.superfaces import superfaces
from panrecon.io.categories import read_categories
from panrecon.io.detections import read_detections
from panrecon.masks.overlap import resolve_overlaps, resolve_things
from panrecon.masks.precomputed import PrecomputedSegmenter
from panrecon.structures import CategoryTable, Detections, Labels, PanopticMesh, Scan, TriangleMesh, View

# Both rules of the graph, and the baseline. The written rule says nothing of how often an object must be seen: it is
# given the filter that suits it best, the same as the better variant of plain fusion.
CONSENSUS: Final = "consensus"
WRITTEN: Final = "written rule, >= 3 frames"
UNFILTERED: Final = "written rule"
PLAIN: Final = "plain fusion, >= 3 frames"
METHODS: Final = (CONSENSUS, WRITTEN, UNFILTERED, PLAIN)
SETTINGS_OF_RULE: Final = {
    CONSENSUS: GraphSettings(),
    WRITTEN: GraphSettings(rule="panopticrecon", min_frames=3),
    UNFILTERED: GraphSettings(rule="panopticrecon", min_frames=1),
}
DEPTH_STEP: Final = (0.03, 0.04)  # m, and as a share of the depth
Masks = Mapping[str, Detections]  # by frame


@dataclass(frozen=True)
class Seen:
    """The points that a frame sees, in order, and their pixels as row x width + column."""

    point: Int[np.ndarray, " n"]
    pixel: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class AssociationScene:
    """A mesh with its truth and, for every frame, the vertices it sees; masks come and go."""

    scan: Scan
    mesh: TriangleMesh
    table: CategoryTable
    truth: PanopticMesh
    vertices: Sequence[Seen]
    voxels: SurfaceVoxels
    voxels_seen: Sequence[Seen]
    depth_step: Float[np.ndarray, " V"]  # the share of its views in which a vertex lies at a step of the depth

    @cached_property
    def superface_of_vertex(self) -> Int[np.ndarray, " V"]:
        return superfaces(self.mesh, GraphSettings())

    @cached_property
    def adjacency(self) -> SuperfaceAdjacency:
        return superface_adjacency(self.mesh, self.superface_of_vertex)

    @cached_property
    def _nearest(self) -> Int[np.ndarray, " T"]:
        return nearest_vertex(self.truth.mesh.vertices, self.mesh.vertices, 0.05)

    @property
    def share_covered(self) -> float:
        """The share of the evaluated truth within 5 cm of the mesh."""
        evaluated = np.append(self.table.is_evaluated, False)[self.truth.labels.category]
        return float((self._nearest[evaluated] >= 0).mean())

    def observations(self, masks: Masks) -> list[FrameObservation]:
        """What every frame with masks says of the vertices."""
        frames = zip(self.scan.frames, self.vertices, strict=True)
        return [
            self._observation(frame.name, frame.world_from_camera, seen, masks[frame.name])
            for frame, seen in frames
            if frame.name in masks
        ]

    def infer(self, masks: Masks, settings: GraphSettings) -> GraphResult:
        return infer_instances(self.observations(masks), self.superface_of_vertex, self.adjacency, self.table, settings)

    def transfer_labels(self, labels: Labels) -> Labels:
        """Labels of the vertices, brought to the true ones."""
        return labels.at(self._nearest)

    def scores(self, labels: Labels) -> dict[str, float]:
        """The strict means of labels of the vertices."""
        return strict_scores(self.transfer_labels(labels), self.truth.labels, self.table)

    def scores_of(self, method: str, masks: Masks) -> dict[str, float]:
        """The strict means of one of the three methods, each of which reads the same masks."""
        if method == PLAIN:
            return self.scores(self._plain_fusion(masks))
        return self.scores(labels_of_vertices(self.infer(masks, SETTINGS_OF_RULE[method])))

    def _plain_fusion(self, masks: Masks) -> Labels:
        fusion = LabelFusion(self.table, len(self.voxels.points))
        for frame, seen in zip(self.scan.frames, self.voxels_seen, strict=True):
            if frame.name in masks:
                found = masks[frame.name]
                winner = resolve_overlaps(found, np.ones(len(found), dtype=bool)).ravel()[seen.pixel]
                labelled = winner >= 0
                fusion.add(FrameVotes(found.category, seen.point[labelled], winner[labelled]))
        return fusion.labels(max(MIN_FRAMES.values())).at(self.voxels.of_vertex)

    def _observation(self, name: str, world_from_camera: np.ndarray, seen: Seen, found: Detections) -> FrameObservation:
        is_thing = self.table.is_thing[found.category]
        thing = resolve_things(found, is_thing).ravel()[seen.pixel]
        stuff = resolve_overlaps(found, ~is_thing).ravel()[seen.pixel]
        return FrameObservation(name, world_from_camera, found.category, found.score, seen.point, thing, stuff)


def labels_of_vertices(found: GraphResult) -> Labels:
    return found.instances.of_superface.at(found.superface_of_vertex)


def build_scene(raw: Path, scan: Scan, mesh: TriangleMesh, views: Iterable[View]) -> AssociationScene:
    """The scene of a mesh, seen by the views, which are read once and may differ from the scan's own."""
    table, settings = read_categories(raw / "classes.csv"), MeshSettings()
    voxels = surface_voxels(mesh.vertices, settings.voxel_size)
    vertices_seen, voxels_seen = [], []
    views_of, steps_of = np.zeros(len(mesh.vertices)), np.zeros(len(mesh.vertices))
    for view in views:
        seen = _seen(mesh.vertices, view, GraphSettings().depth_tolerance)
        views_of[seen.point] += 1
        steps_of[seen.point] += at_depth_step(view.depth).ravel()[seen.pixel]
        vertices_seen.append(seen)
        voxels_seen.append(_seen(voxels.points, view, settings.truncation * settings.voxel_size))
    truth = dataset("scannet").annotation(raw, table)
    return AssociationScene(scan, mesh, table, truth, vertices_seen, voxels, voxels_seen, steps_of / views_of.clip(1))


def at_depth_step(depth: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The pixels among whose neighbours the depth (m, 0 = none) steps by more than a sensor's noise."""
    window = np.ones((3, 3), np.uint8)
    farthest = cv2.dilate(depth, window)
    nearest = cv2.erode(np.where(depth > 0, depth, np.inf).astype(np.float32), window)
    return np.asarray((depth > 0) & (farthest - nearest > DEPTH_STEP[0] + DEPTH_STEP[1] * depth))


def _seen(points: Float[np.ndarray, "P 3"], view: View, tolerance: float) -> Seen:
    point, pixels = visible_points(points, view.camera, view.world_from_camera, view.depth, tolerance)
    column, row, _ = nearest_pixel(view.camera, pixels)
    return Seen(point.astype(np.int32), (row * view.camera.width + column).astype(np.int32))


def read_masks(path: Path, scan: Scan, table: CategoryTable) -> dict[str, Detections]:
    """The detections of a file as the stage `masks` passes them on."""
    segmenter = PrecomputedSegmenter(read_detections(path, table), MasksSettings().min_area)
    found = zip((frame.name for frame in scan.frames), segmenter.segment(scan, table), strict=True)
    return {name: detections for name, detections in found if len(detections)}
