"""What every stage will take, from doing each one's work on a few frames of the very scan, at its real sizes.

Work grows with the number of frames, with the surface, with both or with neither. How much surface the whole scan has
is told from how often its depth images measure what the rehearsed frames have not seen.
"""

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Final, assert_never

from panrecon.config import Settings
from panrecon.datasets.base import dataset
from panrecon.errors import InputError
from panrecon.evaluation.protocols import parse_protocol
from panrecon.evaluation.scene import EvaluationSettings, evaluate_mesh
from panrecon.features.color import ColorExtractor
from panrecon.features.precomputed import PrecomputedExtractor
from panrecon.features.projection import fit_projection
from panrecon.field.fit import Training, passes
from panrecon.field.inference import PointField, query
from panrecon.field.scene_renderer import SceneRenderer
from panrecon.field.supervision import SurfaceSupervision, field_data, scene_box, split_frames
from panrecon.fusion.tsdf import fuse
from panrecon.geometry.mesh import vertex_normals
from panrecon.geometry.projective import up_direction
from panrecon.graph.adjacency import superface_adjacency
from panrecon.graph.correction import corrected_labels
from panrecon.graph.instances import infer_instances
from panrecon.graph.observation import FrameObservation, observe
from panrecon.graph.superfaces import superfaces
from panrecon.io import graph as artifact
from panrecon.io.categories import read_categories
from panrecon.io.detections import read_detections, require_frame_of, write_detections
from panrecon.io.features import read_all_features, read_features, write_features
from panrecon.io.mesh import write_mesh, write_panoptic_mesh
from panrecon.io.rendered import write_images
from panrecon.io.scan import read_image, read_scan, read_view, read_views, scan_views, write_scan
from panrecon.io.semantics import write_point_semantics
from panrecon.io.weights import find_weights
from panrecon.masks.precomputed import PrecomputedSegmenter
from panrecon.masks.prompt import build_prompts, words_of
from panrecon.profiling.costs import Cost, Estimate, memory_now, peak_memory, size_of, timed
from panrecon.profiling.networks import extract_features, find_masks, frames_needed
from panrecon.profiling.surface import BYTES_OF_A_NODE, node_count, surface_seconds
from panrecon.profiling.survey import inner_of, repeated, share_seen, some_of
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.refine import refine
from panrecon.semantics.classifier import fit_classifier, predict
from panrecon.semantics.lifting import lift_features
from panrecon.semantics.propagation import propagate
from panrecon.structures import Detections, FeatureMap, Frame, Labels, PanopticMesh, Scan, Views
from panrecon.threads import one_thread, parallel_map
from panrecon.visualization import isometric_view
from panrecon.workflow.sources import (
    class_table,
    detections_file,
    dinov2_weights,
    features_backend,
    features_folder,
    grounded_sam_weights,
)

FUSED: Final = 64  # frames, evenly spread; of fewer the surface is rough, and has more vertices than it should
FRAMES: Final = 20  # of these, for all other stages
WARM_UP: Final = 3  # field steps before the clock starts: kernels are compiled or loaded
FIELD_STEPS: Final = 8
STAGES: Final = 9
HALF: Final = 2  # bytes of a feature on disk
RAW: Final = "raw"  # in the folder: what a network gave, not projected
BYTES_OF_A_VERTEX: Final = 400.0  # positions, colours, normals, features, trees: where most are held at once
COPIES: Final = 2.5  # of the frames' arrays while the field is set up: as they come, as one array, and indices


class Rehearsal:
    """A scene at work: what is known of it grows from stage to stage; `folder` is for files that are thrown away.

    Raises:
        InputError: what a stage would refuse before it starts, such as weights that are missing.
    """

    def __init__(self, kind: str, raw: Path, settings: Settings, folder: Path) -> None:
        self.raw, self.settings, self.folder = raw, settings, folder
        self.whole = dataset(kind).scan(raw, settings.scan)
        self.measure = dataset(kind).depths(raw, self.whole, settings.scan)
        self.table = read_categories(class_table(kind, raw, settings))
        self.features_backend = features_backend(raw, settings)
        self._check_networks()
        self.known_masks = self._known_masks()
        self.is_annotated = bool(settings.quality.ground_truth or dataset(kind).annotation_files(raw))
        self.costs: dict[str, Cost] = {}
        self.notes: list[str] = []
        self.memory_of_networks, self.memory_of_grid, self.memory_of_start = 0.0, 0.0, memory_now()

    def _check_networks(self) -> None:
        """Refuses devices, words and weights that cannot be had, which otherwise came up after minutes."""
        if self.settings.masks.backend == "grounded_sam":
            build_prompts(words_of(self.table))
            frames_needed(self.settings.masks)
            for name in grounded_sam_weights(self.settings.masks):
                find_weights(name)
        if self.features_backend == "dinov2":
            frames_needed(self.settings.features)
            find_weights(dinov2_weights(self.settings.features))

    def _known_masks(self) -> Mapping[str, Detections]:
        """Those of the detections that were made elsewhere; where networks find masks, they need not be there."""
        try:
            file = read_detections(detections_file(self.raw, self.settings), self.table)
            require_frame_of(file, [frame.name for frame in self.whole.frames])
        except InputError:
            if self.settings.masks.backend == "precomputed":
                raise
            return {}
        return file

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
            tuple(self.notes),
        )

    def _memory(self, a_frame: float) -> float:
        """The greatest of any stage: this process's own peak, which has all stages behind it but those of networks and
        the field's grid, with what more frames and surface add to a stage; theirs.
        """
        masks = sum(found.mask.nbytes for found in self.detections.values()) / len(self.detections)
        more_frames = len(self.whole.frames) - len(self.some.frames)
        probabilities = (len(self.table) + len(self.found.instances.objects) + 1) * 4
        surface = len(self.mesh.vertices) * (probabilities + BYTES_OF_A_VERTEX)
        own = peak_memory() + more_frames * max(a_frame, masks) + max(self.surface_ratio - 1, 0.0) * surface
        of_field = self.memory_of_start + self.surface_ratio * (surface + self.memory_of_grid)
        return max(own, of_field, self.memory_of_networks)

    def _scan(self) -> None:
        fused = some_of(self.whole, FUSED)
        seconds, _ = timed(lambda: write_scan(self.folder, fused, fused.frames, self.measure))
        images = size_of(self.folder / "color") if self.whole.needs_registration else 0
        self.fused = read_scan(self.folder)
        detected = [frame for frame in self.fused.frames if frame.name in self.known_masks]
        self.some = some_of(replace(self.fused, frames=tuple(detected)) if detected else self.fused, FRAMES)
        self.frame_ratio = len(self.whole.frames) / len(self.some.frames)  # times as many as are rehearsed
        fused_ratio = len(self.whole.frames) / len(fused.frames)
        self.costs["scan"] = Cost(seconds * fused_ratio, images * fused_ratio)

    def _mesh(self) -> None:
        seconds, self.mesh = timed(lambda: fuse(scan_views(self.fused), self.settings.mesh))
        self.surface_ratio = 1 / share_seen(
            self.whole, self.fused, self.settings.mesh.depth_max, self.measure
        )  # times as much as the fused frames give
        up = up_direction(self.some.poses)
        self.picture_seconds, _ = timed(lambda: isometric_view(self.mesh, up).paint(self.mesh.colors))
        disk = self._written("mesh.ply", lambda path: write_mesh(path, self.mesh))
        fused_ratio = len(self.whole.frames) / len(self.fused.frames)
        self.costs["mesh"] = Cost(seconds * fused_ratio + self.picture_seconds, disk * self.surface_ratio)

    def _masks(self) -> None:
        match self.settings.masks.backend:
            case "precomputed":
                seconds = self._take_known(sum(frame.name in self.known_masks for frame in self.whole.frames))
                writing, disk = timed(lambda: self._detections_written(self.detections.items()))
                self.costs["masks"] = Cost((seconds + writing) * self.detected_ratio, disk * self.detected_ratio)
            case "grounded_sam":
                self._find_masks(len(self.whole.frames))
            case _:
                assert_never(self.settings.masks.backend)

    def _take_known(self, detected: int) -> float:
        """The masks of the later stages, of which the whole scan has `detected` frames; how long reading takes (s)."""
        segmenter = PrecomputedSegmenter(self.known_masks, self.settings.masks.min_area)
        seconds, found = timed(lambda: list(segmenter.segment(self.some, self.table)))
        self.masked, self.detections = self.some, _by_name(self.some, found)
        self.detected_ratio = detected / max(sum(frame.name in self.known_masks for frame in self.some.frames), 1)
        return seconds

    def _find_masks(self, count: int) -> None:
        """By networks, on few frames; where the scan has no other masks, later stages are rehearsed on those."""
        few = inner_of(self.some, frames_needed(self.settings.masks))
        network, found = find_masks(self.settings.masks, few, self.table)
        self.memory_of_networks = max(self.memory_of_networks, network.memory)
        writing, disk = timed(lambda: self._detections_written(_by_name(few, found).items()))
        more = count / len(few.frames)
        self.costs["masks"] = Cost(network.seconds(count) + writing * more, disk * more)
        if self.known_masks:
            self._take_known(count)
            return
        self.masked = repeated(few, len(self.some.frames))
        self.detections = dict(zip((frame.name for frame in self.masked.frames), cycle(found), strict=False))
        self.detected_ratio = self.frame_ratio
        count_of_masks = sum(len(detections.score) for detections in found)
        self.notes.append(
            "There is no detections.json that fits the scan: the stages after masks were rehearsed on the "
            f"{count_of_masks} masks that were found in {len(few.frames)} frames."
        )

    def _detections_written(self, frames: Iterable[tuple[str, Detections]]) -> float:
        return self._written("detections.json", partial(write_detections, frames=frames, table=self.table))

    def _features(self) -> None:
        network, extract = self._extractor()
        first = replace(self.some, frames=self.some.frames[:1])
        solving, _ = timed(lambda: fit_projection(extract(first), self.settings.features.dimensions))
        fitting, projection = timed(lambda: fit_projection(extract(self.some), self.settings.features.dimensions))
        seconds, self.maps = timed(lambda: [projection(values) for values in extract(self.some)])
        disk = float(sum(values.values.size * HALF for values in self.maps))
        growing = max(fitting - solving, 0.0) + seconds
        self.costs["features"] = Cost(network + solving + growing * self.frame_ratio, disk * self.frame_ratio)

    def _extractor(self) -> tuple[float, Callable[[Scan], Iterator[FeatureMap]]]:
        """How long a network works before (s), and what then gives the maps of frames."""
        match self.features_backend:
            case "precomputed":
                read = partial(read_features, features_folder(self.raw, self.settings))
                return 0.0, PrecomputedExtractor(read).extract
            case "color":
                return 0.0, ColorExtractor(partial(read_image, self.some)).extract
            case "dinov2":
                return self._extract(), partial(read_all_features, self.folder / RAW)
            case _:
                assert_never(self.features_backend)

    def _extract(self) -> float:
        """By the network, on few frames, whose maps then stand for all; how long it takes for the whole scan (s)."""
        few = inner_of(self.some, frames_needed(self.settings.features))
        network, maps = extract_features(self.settings.features, few, self.folder / "extracted")
        self.memory_of_networks = max(self.memory_of_networks, network.memory)
        for frame, values in zip(self.some.frames, cycle(maps), strict=False):
            write_features(self.folder / RAW, frame.name, values)
        disk = size_of(self.folder / RAW) * self.frame_ratio
        self.notes.append(f"The stage features needs {disk / 1e9:.2f} GB more on disk while it is at work.")
        return network.seconds(len(self.whole.frames))

    def _graph(self) -> None:
        settings = self.settings.graph
        looking, seen = timed(lambda: list(parallel_map(self._observed, self.masked.frames)))
        cutting, superface_of_vertex = timed(lambda: superfaces(self.mesh, settings))
        adjacency_took, adjacency = timed(lambda: superface_adjacency(self.mesh, superface_of_vertex))
        voting, self.found = timed(lambda: infer_instances(seen, superface_of_vertex, adjacency, self.table, settings))
        painting, self.labels_of_frame = timed(self._corrected)
        writing, disk = timed(self._frame_labels_written)
        seconds = (looking + voting) * self.surface_ratio + painting + writing
        fixed = (cutting + adjacency_took) * self.surface_ratio + 2 * self.picture_seconds
        self.costs["graph"] = Cost(seconds * self.detected_ratio + fixed, disk * self.detected_ratio)

    def _semantics(self) -> None:
        settings, superface_of_vertex = self.settings.semantics, self.found.superface_of_vertex
        of_superface = self.found.instances.of_superface
        pairs = list(zip(self.some.poses, self.maps, strict=True))
        carrying, points = timed(lambda: lift_features(self.mesh, self.some.camera, pairs, settings.depth_tolerance))
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
        truncation = self.settings.field.truncation
        setting_up, supervision = timed(lambda: SurfaceSupervision(self.mesh, self.known, self.confidence, truncation))
        rows = zip(read_views(self.some), self.labels_of_frame, self.maps, strict=True)
        labelling, training_views = timed(lambda: [supervision.training_view(*row) for row in rows])
        self.data = field_data(
            training_views,
            scene_box(self.mesh.vertices, truncation),
            len(self.table),
            len(self.found.instances.objects),
        )
        training = Training(self.data, self.settings.field)
        seconds = setting_up * self.surface_ratio + labelling * self.frame_ratio
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
        refining, settings = self._refined(seen), self.settings.panoptic
        writing, disk = timed(
            lambda: self._written("panoptic.ply", lambda path: write_panoptic_mesh(path, self.panoptic, self.table))
        )
        renderer = SceneRenderer(self.trained, self.data.box, self.panoptic, self.table.background)
        frame = self.some.frames[0]
        rendering, images = timed(lambda: renderer.images(self.some.camera, frame.world_from_camera))
        write_images(self.folder / "rendered", frame.name, images, self.table)
        count = len(split_frames(len(self.whole.frames), self.settings.field.held_out_frames)[1])
        seconds = (asking + writing) * self.surface_ratio + refining + rendering * count + self.picture_seconds
        if settings.surface == "field":
            seconds += (self._own_surface() + asking) * self.surface_ratio  # its colours are asked for too
        self.costs["panoptic"] = Cost(seconds, disk * self.surface_ratio + size_of(self.folder / "rendered") * count)

    def _refined(self, seen: PointField) -> float:
        """Refines the labels; the seconds that it takes with all frames."""
        views, names = scan_views(self.some), (frame.name for frame in self.some.frames)
        labels_of_frame = dict(zip(names, self.labels_of_frame, strict=True))
        settings = self.settings.panoptic

        def by(some: Views) -> PanopticMesh:
            return refine(
                self.mesh,
                seen.category_probability,
                seen.instance_probability,
                self.known,
                self.found.instances.objects,
                self.table,
                some,
                lambda view: labels_of_frame[view.name],
                RefinementParameters(self.settings.mesh.voxel_size),
                boundary_projection=settings.boundary_projection,
                fine_structures=settings.fine_structures,
                thin_structures=settings.thin_structures,
            ).panoptic

        with_one, _ = timed(lambda: by(replace(views, poses=views.poses[:1])))
        with_all, self.panoptic = timed(lambda: by(views))
        a_frame = max(with_all - with_one, 0.0) / max(len(views.poses) - 1, 1)
        return a_frame * len(self.whole.frames) + with_one * self.surface_ratio

    def _own_surface(self) -> float:
        cell = self.settings.mesh.voxel_size
        self.memory_of_grid = node_count(self.data.box, cell) * BYTES_OF_A_NODE
        return surface_seconds(self.trained, self.data.box, self.mesh, cell)

    def _quality(self) -> None:
        """Against its own mesh: the truth is nobody's business before the end."""
        settings = self.settings.quality
        protocols = tuple(parse_protocol(name) for name in settings.protocols)
        evaluation = EvaluationSettings(self.table, protocols, settings.radius, settings.by_area)
        up = up_direction(self.some.poses)
        seconds, _ = timed(lambda: evaluate_mesh(self.panoptic, self.panoptic, evaluation, {}, up))
        self.costs["quality"] = Cost(seconds * self.surface_ratio)

    def _observed(self, frame: Frame) -> FrameObservation:
        tolerance, found = self.settings.graph.depth_tolerance, self.detections[frame.name]
        return observe(read_view(self.some, frame), self.mesh.vertices, found, self.table, tolerance)

    def _corrected(self) -> list[Labels]:
        objects, names = self.found.instances.objects, [frame.name for frame in self.masked.frames]
        return [
            corrected_labels(self.detections[name], self.found.objects_of_frame[name], objects, self.table)
            for name in names
        ]

    def _frame_labels_written(self) -> float:
        for frame, labels in zip(self.masked.frames, self.labels_of_frame, strict=True):
            artifact.write_frame_labels(self.folder / "labels", frame.name, labels, self.table)
        return size_of(self.folder / "labels")

    def _written(self, name: str, write: Callable[[Path], object]) -> float:
        """The bytes of what `write` leaves at a path."""
        path = self.folder / "written" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
        return size_of(path)


def _by_name(scan: Scan, found: Sequence[Detections]) -> dict[str, Detections]:
    return dict(zip((frame.name for frame in scan.frames), found, strict=True))


def _start() -> float:
    """How long a stage takes to come up."""
    command = [sys.executable, "-m", "panrecon.pipelines.field", "--help"]
    return timed(lambda: subprocess.run(command, capture_output=True, check=True))[0]


def _seconds_of_a_step(training: Training, steps: range) -> float:
    """The median over `FIELD_STEPS` of a pass, all of them its second step: its first sets up the optimiser."""
    for _ in range(WARM_UP):
        training.step(steps[0])
    return statistics.median(timed(lambda: training.step(steps[:2][-1]))[0] for _ in range(FIELD_STEPS))
