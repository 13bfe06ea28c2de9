"""What every stage will take, from doing each one's work on a few frames of the very scan, at its real sizes.

Work grows with the number of frames, with the surface, with both or with neither. How much surface the whole scan has
is told from how often its depth images measure what the rehearsed frames have not seen.
"""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import cv2
import numpy as np
from jaxtyping import Int

from panrecon.config import Settings
from panrecon.datasets.base import dataset
from panrecon.datasets.sources import class_table, detections_file, features_backend, features_folder
from panrecon.errors import InputError
from panrecon.evaluation.protocols import protocol
from panrecon.evaluation.scene import Terms, judge_points
from panrecon.features.base import FeatureExtractor
from panrecon.features.color import ColorExtractor
from panrecon.features.precomputed import PrecomputedExtractor
from panrecon.features.projection import fit_projection
from panrecon.field.edges import sharpened
from panrecon.field.extract import query
from panrecon.field.fit import Training, passes
from panrecon.field.labelling import panoptic_labels
from panrecon.field.supervision import Teacher, field_data, held_out, scene_box
from panrecon.fusion.tsdf import fuse
from panrecon.geometry import transform, unproject, up_direction, vertex_normals
from panrecon.graph.contacts import contacts
from panrecon.graph.correction import corrected_labels
from panrecon.graph.instances import infer_instances
from panrecon.graph.observation import FrameObservation, observe
from panrecon.graph.superfaces import superfaces
from panrecon.io import graph as artifact
from panrecon.io.categories import read_categories
from panrecon.io.detections import read_detections, require_frame_of, write_detections
from panrecon.io.features import read_features
from panrecon.io.images import read_depth
from panrecon.io.mesh import write_mesh, write_panoptic_mesh
from panrecon.io.scan import Measure, read_scan, read_view, read_views, scan_views, write_scan
from panrecon.io.semantics import write_point_semantics
from panrecon.masks.precomputed import PrecomputedSegmenter
from panrecon.pictures import overview, spread
from panrecon.render import SceneRenderer, write_images
from panrecon.semantics.classifier import fit_classifier, predict
from panrecon.semantics.distill import distill
from panrecon.semantics.propagation import propagate
from panrecon.structures import Frame, Labels, PanopticMesh, Scan
from panrecon.threads import in_parallel, one_thread
from panrecon.workflow import PIPELINES

FUSED: Final = 64  # frames, evenly spread; of fewer the surface is rough, and has more vertices than it should
FRAMES: Final = 20  # of these, for all other stages
SURVEYED: Final = 300  # depth images, at most, that tell how much surface there is besides
CELL: Final = 0.16  # m
PIXEL_STEP: Final = 8
WARM_UP: Final = 3  # field steps before the clock starts: kernels are compiled or loaded
FIELD_STEPS: Final = 8
STAGES: Final = 9
HALF: Final = 2  # bytes of a feature on disk
BYTES_OF_A_VERTEX: Final = 400.0  # positions, colours, normals, features, trees: where most are held at once
COPIES: Final = 2.5  # of the frames' arrays while the field is set up: as they come, as one array, and indices

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """Of one stage: wall time, and the size of what it leaves on disk (bytes)."""

    seconds: float
    disk: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """By stage, and what all of them need to come up.

    `memory` is the greatest of any stage's process (bytes); `frames` and `vertices` are the whole scan's.
    """

    frames: int
    vertices: int
    costs: dict[str, Cost]
    memory: float


class Rehearsal:
    """A scene at work: what is known of it grows from stage to stage; `folder` is for files that are thrown away."""

    def __init__(self, kind: str, raw: Path, settings: Settings, folder: Path) -> None:
        self.raw, self.settings, self.folder = raw, settings, folder
        if settings.masks.backend == "grounded_sam":
            raise InputError(
                "What masks.backend=grounded_sam takes is not told: the other stages are rehearsed on detections, so "
                "give it a detections.json; of the masks themselves, time `make masks` with scan.frame_stride=50."
            )
        if settings.features.backend == "dinov2":
            raise InputError(
                "What features.backend=dinov2 takes is not told; set features.backend=auto for the other stages, and "
                "time `make features` with scan.frame_stride=50."
            )
        self.whole = dataset(kind).scan(raw, settings.scan)
        self.measure = dataset(kind).depths(raw, self.whole, settings.scan)
        self.table = read_categories(class_table(kind, raw, settings))
        self.detections_file = read_detections(detections_file(raw, settings), self.table)
        require_frame_of(self.detections_file, [frame.name for frame in self.whole.frames])
        self.is_annotated = bool(settings.quality.ground_truth or dataset(kind).annotation_files(raw))
        self.costs: dict[str, Cost] = {}

    def estimate(self, on_stage: Callable[[int], None]) -> Estimate:
        """`on_stage` hears how many of the `STAGES` are done. Raises InputError where a file cannot be read."""
        for number, work in enumerate((self._scan, self._mesh, self._masks, self._features, self._graph)):
            work()
            on_stage(number + 1)
        self._semantics()
        on_stage(6)
        a_frame = self._field()
        on_stage(7)
        self._panoptic()
        if self.is_annotated:
            self._quality()
        on_stage(STAGES)
        self.costs["starts of all stages"] = Cost(len(self.costs) * _start())
        return Estimate(
            len(self.whole.frames),
            int(len(self.mesh.vertices) * self.surface_ratio),
            self.costs,
            self._memory(a_frame),
        )

    def _memory(self, a_frame: float) -> float:
        """This process's own peak, which has all stages behind it, and what more frames and surface add to a stage."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
        masks = sum(found.mask.nbytes for found in self.detections.values()) / len(self.some.frames)
        more_frames = len(self.whole.frames) - len(self.some.frames)
        probabilities = (len(self.table) + len(self.found.instances.objects) + 1) * 4
        surface = len(self.mesh.vertices) * (probabilities + BYTES_OF_A_VERTEX)
        return peak + more_frames * max(a_frame, masks) + max(self.surface_ratio - 1, 0.0) * surface

    def _scan(self) -> None:
        fused = _some(self.whole, FUSED)
        seconds, _ = timed(lambda: write_scan(self.folder, fused, fused.frames, self.measure))
        images = _size(self.folder / "color") if self.whole.needs_registration else 0
        self.fused = read_scan(self.folder)
        detected = [frame for frame in self.fused.frames if frame.name in self.detections_file]
        self.some = _some(replace(self.fused, frames=tuple(detected)) if detected else self.fused, FRAMES)
        self.frame_ratio = len(self.whole.frames) / len(self.some.frames)  # times as many as are rehearsed
        fused_ratio = len(self.whole.frames) / len(fused.frames)
        self.costs["scan"] = Cost(seconds * fused_ratio, images * fused_ratio)

    def _mesh(self) -> None:
        seconds, self.mesh = timed(lambda: fuse(scan_views(self.fused), self.settings.mesh))
        self.surface_ratio = 1 / share_seen(
            self.whole, self.fused, self.settings.mesh.depth_max, self.measure
        )  # times as much as the fused frames give
        up = up_direction(self.some.poses)
        self.picture_seconds, _ = timed(lambda: overview(self.mesh, up).paint(self.mesh.colors))
        disk = self._written("mesh.ply", lambda path: write_mesh(path, self.mesh))
        fused_ratio = len(self.whole.frames) / len(self.fused.frames)
        self.costs["mesh"] = Cost(seconds * fused_ratio + self.picture_seconds, disk * self.surface_ratio)

    def _masks(self) -> None:
        segmenter = PrecomputedSegmenter(self.detections_file, self.settings.masks.min_area)
        seconds, found = timed(lambda: list(segmenter.segment(self.some, self.table)))
        self.detections = dict(zip((frame.name for frame in self.some.frames), found, strict=True))
        write = partial(write_detections, frames=self.detections.items(), table=self.table)
        writing, disk = timed(lambda: self._written("detections.json", write))
        detected = sum(frame.name in self.detections_file for frame in self.whole.frames)
        self.detected_ratio = detected / sum(frame.name in self.detections_file for frame in self.some.frames)
        self.costs["masks"] = Cost((seconds + writing) * self.detected_ratio, disk * self.detected_ratio)

    def _features(self) -> None:
        extractor = self._extractor()
        first = replace(self.some, frames=self.some.frames[:1])
        solving, _ = timed(lambda: fit_projection(extractor.extract(first), self.settings.features.dimensions))
        fitting, projection = timed(
            lambda: fit_projection(extractor.extract(self.some), self.settings.features.dimensions)
        )
        seconds, self.maps = timed(lambda: [projection(values) for values in extractor.extract(self.some)])
        disk = float(sum(values.values.size * HALF for values in self.maps))
        growing = max(fitting - solving, 0.0) + seconds
        self.costs["features"] = Cost(solving + growing * self.frame_ratio, disk * self.frame_ratio)

    def _extractor(self) -> FeatureExtractor:
        match features_backend(self.raw, self.settings):
            case "precomputed":
                return PrecomputedExtractor(partial(read_features, features_folder(self.raw, self.settings)))
            case _:
                return ColorExtractor(lambda frame: read_view(self.some, frame).color)

    def _graph(self) -> None:
        settings = self.settings.graph
        looking, seen = timed(lambda: list(in_parallel(self._observed, self.some.frames)))
        cutting, superface_of_vertex = timed(lambda: superfaces(self.mesh, settings))
        touching_took, touching = timed(lambda: contacts(self.mesh, superface_of_vertex))
        voting, self.found = timed(lambda: infer_instances(seen, superface_of_vertex, touching, self.table, settings))
        painting, self.labels_of_frame = timed(self._corrected)
        writing, disk = timed(self._frame_labels_written)
        seconds = (looking + voting) * self.surface_ratio + painting + writing
        fixed = (cutting + touching_took) * self.surface_ratio + 2 * self.picture_seconds
        self.costs["graph"] = Cost(seconds * self.detected_ratio + fixed, disk * self.detected_ratio)

    def _semantics(self) -> None:
        settings, superface_of_vertex = self.settings.semantics, self.found.superface_of_vertex
        of_superface = self.found.instances.of_superface
        pairs = list(zip(self.some.frames, self.maps, strict=True))
        carrying, points = timed(lambda: distill(self.mesh, self.some.camera, pairs, settings.depth_tolerance))
        category = of_superface.category[superface_of_vertex]
        fitting, classifier = timed(
            lambda: fit_classifier(points, category, superface_of_vertex, len(self.table), settings)
        )
        telling, semantics = timed(lambda: predict(classifier, points))
        filling, completed = timed(
            lambda: propagate(
                self.mesh, superface_of_vertex, of_superface, semantics, self.table, settings.min_confidence
            )
        )
        self.known, self.confidence = completed.at(superface_of_vertex), semantics.confidence
        disk = self._written("semantics", lambda path: write_point_semantics(path, self.mesh, semantics))
        seconds = carrying * self.frame_ratio * self.surface_ratio + fitting + (telling + filling) * self.surface_ratio
        self.costs["semantics"] = Cost(seconds + self.picture_seconds, disk * self.surface_ratio)

    def _field(self) -> float:
        """Rehearses the field; the memory (bytes) that every further frame takes."""
        setting_up, teacher = timed(lambda: Teacher(self.mesh, self.known, self.confidence, self.settings.field.reach))
        rows = zip(read_views(self.some), self.labels_of_frame, self.maps, strict=True)
        teaching, taught = timed(lambda: [teacher.teach(*row) for row in rows])
        self.data = field_data(
            taught,
            scene_box(self.mesh.vertices, self.settings.field.reach),
            len(self.table),
            len(self.found.instances.objects),
        )
        training = Training(self.data, self.settings.field)
        seconds = setting_up * self.surface_ratio + teaching * self.frame_ratio
        with one_thread():
            for part in passes(self.settings.field):
                if len(part.steps):
                    each = _seconds_of_a_step(training, part.steps)
                    seconds += each * len(part.steps)
        self.trained, state = training.field.eval(), training.state()
        disk = float(sum(value.nbytes for name, value in state.items() if name.startswith("field.")))
        self.costs["field"] = Cost(seconds, disk)
        arrays = (self.data.color, self.data.depth, self.data.category, self.data.instance, self.data.weight)
        maps = self.data.features.nbytes if self.data.features is not None else 0
        return COPIES * (sum(values.nbytes for values in arrays) + maps) / len(self.some.frames)

    def _panoptic(self) -> None:
        mesh = self.mesh
        asking, seen = timed(lambda: query(self.trained, mesh.vertices, vertex_normals(mesh.vertices, mesh.faces)))
        objects, reach = self.found.instances.objects, self.trained.reach
        probabilities = seen.category_probability, seen.instance_probability
        deciding, decided = timed(lambda: panoptic_labels(*probabilities, self.known, objects, self.table, mesh, reach))
        sharpening, sharp = timed(lambda: sharpened(mesh, decided.labels, reach))
        self.panoptic = PanopticMesh(sharp, decided.labels)
        writing, disk = timed(
            lambda: self._written("panoptic.ply", lambda path: write_panoptic_mesh(path, self.panoptic, self.table))
        )
        renderer = SceneRenderer(self.trained, self.data.box, self.panoptic, self.table.beyond)
        frame = self.some.frames[0]
        rendering, images = timed(lambda: renderer.images(self.some.camera, frame.world_from_camera))
        write_images(self.folder / "rendered", frame.name, images, self.table)
        count = len(held_out(len(self.whole.frames), self.settings.field.held_out_frames))
        seconds = (
            (asking + deciding + sharpening + writing) * self.surface_ratio + rendering * count + self.picture_seconds
        )
        self.costs["panoptic"] = Cost(seconds, disk * self.surface_ratio + _size(self.folder / "rendered") * count)

    def _quality(self) -> None:
        """Against its own mesh: the truth is nobody's business before the end."""
        settings = self.settings.quality
        protocols = tuple(protocol(name) for name in settings.protocols)
        terms = Terms(self.table, protocols, settings.radius, settings.by_area)
        up = up_direction(self.some.poses)
        seconds, _ = timed(lambda: judge_points(self.panoptic, self.panoptic, terms, {}, up))
        self.costs["quality"] = Cost(seconds * self.surface_ratio)

    def _observed(self, frame: Frame) -> FrameObservation:
        tolerance, found = self.settings.graph.depth_tolerance, self.detections[frame.name]
        return observe(read_view(self.some, frame), self.mesh.vertices, found, self.table, tolerance)

    def _corrected(self) -> list[Labels]:
        objects, names = self.found.instances.objects, [frame.name for frame in self.some.frames]
        return [
            corrected_labels(self.detections[name], self.found.objects_of_frame[name], objects, self.table)
            for name in names
        ]

    def _frame_labels_written(self) -> float:
        for frame, labels in zip(self.some.frames, self.labels_of_frame, strict=True):
            artifact.write_frame_labels(self.folder / "labels", frame.name, labels, self.table)
        return _size(self.folder / "labels")

    def _written(self, name: str, write: Callable[[Path], object]) -> float:
        """The bytes of what `write` leaves at a path."""
        path = self.folder / "written" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
        return _size(path)


def share_seen(whole: Scan, some: Scan, depth_max: float, measure: Measure | None = None) -> float:
    """The share of what `whole` measures within `depth_max` (m) that lies in cells where `some` measure; in (0, 1].

    Cells of `CELL` metres; of at most `SURVEYED` frames; 1 where nothing is measured. `measure` computes the depth of
    the frames of `whole` where they have no images of it.
    """
    seen = np.unique(np.concatenate([_cells(some, frame, depth_max) for frame in some.frames]))
    cells = (_cells(whole, frame, depth_max, measure) for frame in _some(whole, SURVEYED).frames)
    measured, known = np.sum([(len(found), np.isin(found, seen).sum()) for found in cells], axis=0)
    return float(max(known, 1) / max(measured, 1))


def _cells(scan: Scan, frame: Frame, depth_max: float, measure: Measure | None = None) -> Int[np.ndarray, " n"]:
    """A number for the cell of every measured point, of every `PIXEL_STEP`-th pixel each way."""
    coarse = scan.camera.scaled(1 / PIXEL_STEP)
    depth = measure(frame) if measure else read_depth(frame.depth, scan.depth_scale)
    small = cv2.resize(depth, (coarse.width, coarse.height), interpolation=cv2.INTER_NEAREST_EXACT)
    fused = (small > 0) & (small <= depth_max)
    x, y, z = np.floor(transform(frame.world_from_camera, unproject(coarse, small)[fused]) / CELL).astype(np.int64).T
    return (x << 42) + (y << 21) + z


def _some(scan: Scan, wanted: int) -> Scan:
    """The scan with at most so many of its frames, evenly spread."""
    return replace(scan, frames=tuple(scan.frames[number] for number in spread(len(scan.frames), wanted)))


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """How long it takes (s), and what comes of it."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _start() -> float:
    """How long a stage takes to come up."""
    command = [sys.executable, str(PIPELINES / "field.py"), "--help"]
    return timed(lambda: subprocess.run(command, capture_output=True, check=True))[0]


def _seconds_of_a_step(training: Training, steps: range) -> float:
    """The median over `FIELD_STEPS` of a pass, all of them its second step: its first sets up the optimiser."""
    for _ in range(WARM_UP):
        training.step(steps[0])
    return statistics.median(timed(lambda: training.step(steps[:2][-1]))[0] for _ in range(FIELD_STEPS))


def _size(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return float(sum(file.stat().st_size for file in files))
