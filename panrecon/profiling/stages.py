"""What every stage will take, from running each one on a few frames of the very scan, at its real sizes.

Work grows with the number of frames, with the surface, with both or with neither (`stopwatch.GROWTH`). How much
surface the whole scan has is estimated from how often its depth images measure what the sampled frames have not seen.
"""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Final, assert_never

import numpy as np

from panrecon.config import FieldSettings, Settings
from panrecon.datasets.base import dataset
from panrecon.errors import InputError
from panrecon.evaluation.report.markdown import STEPS
from panrecon.evaluation.scene import EvaluationSettings
from panrecon.features.color import ColorExtractor
from panrecon.features.precomputed import PrecomputedExtractor
from panrecon.field.supervision import split_frames
from panrecon.io.categories import read_categories
from panrecon.io.detections import read_detections, require_frame_of, write_detections
from panrecon.io.features import read_all_features, read_features, write_features
from panrecon.io.graph import write_frame_labels
from panrecon.io.kept import kept_limit
from panrecon.io.mesh import write_mesh, write_panoptic_mesh
from panrecon.io.rendered import write_images
from panrecon.io.scan import read_image, read_scan, scan_views, write_scan
from panrecon.io.semantics import write_point_semantics
from panrecon.io.weights import find_weights
from panrecon.layout.gravity import estimate_gravity
from panrecon.masks.precomputed import PrecomputedSegmenter
from panrecon.masks.prompt import build_prompts, words_of
from panrecon.memory import memory_now, peak_memory
from panrecon.pipeline import (
    EvidenceOnSurface,
    FieldSupervision,
    features_stage,
    field_stage,
    frame_labels,
    graph_stage,
    mesh_stage,
    panoptic_stage,
    quality_stage,
    render_views,
    semantics_stage,
)
from panrecon.profiling.costs import Cost, Estimate, size_of, timed
from panrecon.profiling.networks import extract_features, find_masks, frames_needed
from panrecon.profiling.stopwatch import Part, Ratios, Stopwatch, extrapolated
from panrecon.profiling.surface import BYTES_OF_A_NODE, node_count, surface_seconds
from panrecon.profiling.survey import inner_of, repeated, share_seen, some_of
from panrecon.refinement.parameters import RefinementParameters
from panrecon.structures import Detections, FeatureMap, LabelledScene, Labels, Scan, SegmentedScene, View
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
BYTES_OF_A_KEPT_PIXEL: Final = 5  # colour and raw depth
BYTES_OF_A_VERTEX: Final = 400.0  # positions, colours, normals, features, trees: where most are held at once
COPIES: Final = 2.5  # of the frames' arrays while the field is set up: as they come, as one array, and indices


class Profiler:
    """A scene at work: what is known of it grows from stage to stage; `folder` is for files that are temporary.

    Raises:
        InputError: what a stage would refuse before it starts, such as weights that are missing.
    """

    def __init__(self, kind: str, raw: Path, settings: Settings, folder: Path) -> None:
        self.raw = raw
        self.settings = settings
        self.folder = folder
        self.whole = dataset(kind).scan(raw, settings.scan)
        self.measure = dataset(kind).depths(raw, self.whole, settings.scan)
        self.table = read_categories(class_table(kind, raw, settings))
        self.features_backend = features_backend(raw, settings)
        self._check_networks()
        self.known_masks = self._known_masks()
        self.is_annotated = bool(settings.quality.ground_truth or dataset(kind).annotation_files(raw))
        self.costs: dict[str, Cost] = {}
        self.notes: list[str] = []
        self.memory_of_networks = 0.0
        self.memory_of_grid = 0.0
        self.memory_of_start = memory_now()

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
        """`on_stage` takes how many of the `STAGES` are done. Raises InputError where a file cannot be read."""
        for stage_index, work in enumerate((self._scan, self._mesh, self._masks, self._features, self._graph)):
            work()
            on_stage(stage_index + 1)
        self._semantics()
        on_stage(6)
        frame_bytes = self._field()
        on_stage(7)
        self._panoptic()
        if self.is_annotated:
            self._quality()
        on_stage(STAGES)
        self.costs["start"] = Cost(_start())
        return Estimate(
            len(self.whole.frames),
            int(len(self.mesh.vertices) * self.surface_ratio),
            self.costs,
            self._memory(frame_bytes),
            tuple(self.notes),
        )

    def _memory(self, frame_bytes: float) -> float:
        """The greatest of any stage: this process's own peak, which has all stages behind it but those of networks and
        the field's grid, with what more frames and surface add to a stage; theirs. The images
        that a run keeps come on top.
        """
        masks = sum(detections.mask.nbytes for detections in self.detections.values()) / len(self.detections)
        more_frames = len(self.whole.frames) - len(self.sample.frames)
        probabilities = (len(self.table) + len(self.scene.objects) + 1) * 4
        surface = len(self.mesh.vertices) * (probabilities + BYTES_OF_A_VERTEX)
        pixels = self.whole.camera.width * self.whole.camera.height
        kept = min(kept_limit(), len(self.whole.frames) * pixels * BYTES_OF_A_KEPT_PIXEL)
        own = peak_memory() + more_frames * max(frame_bytes, masks) + max(self.surface_ratio - 1, 0.0) * surface
        of_field = self.memory_of_start + self.surface_ratio * (surface + self.memory_of_grid)
        return float(kept + max(own, of_field, self.memory_of_networks))

    def _scan(self) -> None:
        fused = some_of(self.whole, FUSED)
        seconds, _ = timed(lambda: write_scan(self.folder, fused, fused.frames, self.measure))
        images = size_of(self.folder / "color") if self.whole.needs_registration else 0
        self.fused = read_scan(self.folder)
        detected = [frame for frame in self.fused.frames if frame.name in self.known_masks]
        self.sample = some_of(replace(self.fused, frames=tuple(detected)) if detected else self.fused, FRAMES)
        self.frame_ratio = len(self.whole.frames) / len(self.sample.frames)  # times as many as are profiled
        fused_ratio = len(self.whole.frames) / len(fused.frames)
        self.costs["scan"] = Cost(seconds * fused_ratio, images * fused_ratio)

    def _mesh(self) -> None:
        watch = Stopwatch()
        views = scan_views(self.fused)
        seconds, self.mesh = timed(lambda: mesh_stage(views, self.settings.mesh, watch))
        self.surface_ratio = 1 / share_seen(
            self.whole, self.fused, self.settings.mesh.depth_max, self.measure
        )  # times as much as the fused frames give
        up = estimate_gravity(self.mesh, self.sample.poses).up
        self.image_seconds, _ = timed(lambda: isometric_view(self.mesh, up).paint(self.mesh.colors))
        disk = self._written("mesh.ply", lambda path: write_mesh(path, self.mesh))
        fused_ratio = len(self.whole.frames) / len(self.fused.frames)
        seconds = extrapolated("mesh", seconds, watch, Ratios(fused_ratio, self.surface_ratio))
        self.costs["mesh"] = Cost(seconds + self.image_seconds, disk * self.surface_ratio)

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
        seconds, detections = timed(lambda: list(segmenter.segment(self.sample, self.table)))
        self.detected = self.sample
        self.detections = _by_name(self.sample, detections)
        self.detected_ratio = detected / max(sum(frame.name in self.known_masks for frame in self.sample.frames), 1)
        return seconds

    def _find_masks(self, count: int) -> None:
        """By networks, on few frames; where the scan has no other masks, later stages are profiled on those."""
        few = inner_of(self.sample, frames_needed(self.settings.masks))
        network, detections_of_frames = find_masks(self.settings.masks, few, self.table)
        self.memory_of_networks = max(self.memory_of_networks, network.memory)
        writing, disk = timed(lambda: self._detections_written(_by_name(few, detections_of_frames).items()))
        more = count / len(few.frames)
        self.costs["masks"] = Cost(network.seconds(count) + writing * more, disk * more)
        if self.known_masks:
            self._take_known(count)
            return
        self.detected = repeated(few, len(self.sample.frames))
        names = (frame.name for frame in self.detected.frames)
        self.detections = dict(zip(names, cycle(detections_of_frames), strict=False))
        self.detected_ratio = self.frame_ratio
        count_of_masks = sum(len(detections.score) for detections in detections_of_frames)
        self.notes.append(
            "There is no detections.json that fits the scan: the stages after masks were profiled on the "
            f"{count_of_masks} masks that were found in {len(few.frames)} frames."
        )

    def _detections_written(self, frames: Iterable[tuple[str, Detections]]) -> float:
        return self._written("detections.json", partial(write_detections, frames=frames, table=self.table))

    def _features(self) -> None:
        network, extract = self._extractor()
        watch = Stopwatch()
        count = len(self.sample.frames)

        def maps() -> list[FeatureMap]:
            return list(features_stage(partial(extract, self.sample), count, self.settings.features, watch).maps)

        seconds, self.maps = timed(maps)
        disk = float(sum(values.values.size * HALF for values in self.maps))
        ratios = Ratios(self.frame_ratio, self.surface_ratio)
        seconds = network + extrapolated("features", seconds, watch, ratios)
        self.costs["features"] = Cost(seconds, disk * self.frame_ratio)

    def _extractor(self) -> tuple[float, Callable[[Scan], Iterator[FeatureMap]]]:
        """How long a network works before (s), and what then gives the maps of frames."""
        match self.features_backend:
            case "precomputed":
                read = partial(read_features, features_folder(self.raw, self.settings))
                return 0.0, PrecomputedExtractor(read).extract
            case "color":
                return 0.0, ColorExtractor(partial(read_image, self.sample)).extract
            case "dinov2":
                return self._extract(), partial(read_all_features, self.folder / RAW)
            case _:
                assert_never(self.features_backend)

    def _extract(self) -> float:
        """By the network, on few frames, whose maps then stand for all; how long it takes for the whole scan (s)."""
        few = inner_of(self.sample, frames_needed(self.settings.features))
        network, maps = extract_features(self.settings.features, few, self.folder / "extracted")
        self.memory_of_networks = max(self.memory_of_networks, network.memory)
        for frame, values in zip(self.sample.frames, cycle(maps), strict=False):
            write_features(self.folder / RAW, frame.name, values)
        disk = size_of(self.folder / RAW) * self.frame_ratio
        self.notes.append(f"The stage features needs {disk / 1e9:.2f} GB more on disk while it is at work.")
        return network.seconds(len(self.whole.frames))

    def _graph(self) -> None:
        watch = Stopwatch()
        views = scan_views(self.detected)
        seconds, self.graph = timed(
            lambda: graph_stage(views, self.mesh, self.detections, self.table, self.settings.graph, watch)
        )
        labelling, labels = timed(lambda: list(frame_labels(self.graph, self.detections, self.table)))
        self.labels_of_frame = dict(zip(self._sample_names(), (image for _, image in labels), strict=True))
        writing, disk = timed(lambda: self._frame_labels_written(labels))
        seconds = extrapolated("graph", seconds, watch, Ratios(self.detected_ratio, self.surface_ratio))
        seconds += (labelling + writing) * self.detected_ratio + 2 * self.image_seconds
        self.costs["graph"] = Cost(seconds, disk * self.detected_ratio)

    def _semantics(self) -> None:
        watch = Stopwatch()
        views = scan_views(self.sample)
        superface_of_vertex = self.graph.superface_of_vertex
        scene = SegmentedScene(self.mesh, superface_of_vertex, self.graph.instances, self.table)
        seconds, result = timed(lambda: semantics_stage(views, scene, self.maps, self.settings.semantics, watch))
        labels = result.of_superface.at(superface_of_vertex)
        self.scene = LabelledScene(self.mesh, labels, result.objects, self.table, self._labels_of_view)
        self.points = result.points
        disk = self._written("semantics", lambda path: write_point_semantics(path, self.mesh, result.points))
        seconds = extrapolated("semantics", seconds, watch, Ratios(self.frame_ratio, self.surface_ratio))
        self.costs["semantics"] = Cost(seconds + self.image_seconds, disk * self.surface_ratio)

    def _field(self) -> float:
        """Profiles the field on a few steps of every pass; the memory (bytes) that every further frame takes."""
        watch = Stopwatch()
        passes = _short_passes(self.settings.field)
        short = self.settings.field.model_copy(update={**passes, "held_out_frames": 0})
        map_of_frame = dict(zip(self._sample_names(), self.maps, strict=True))
        supervision = FieldSupervision(self.scene, self.points.confidence, map_of_frame.__getitem__)
        views = scan_views(self.sample)
        seconds, result = timed(lambda: field_stage(views, supervision, short, watch))
        seconds = extrapolated("field", seconds, watch, Ratios(self.frame_ratio, self.surface_ratio), without=("fit",))
        for name, each in zip(passes, _seconds_of_steps(watch.parts["fit"], passes.values()), strict=True):
            seconds += each * getattr(self.settings.field, name)
        self.field = result.fitted.field
        self.data = result.data
        disk = float(sum(value.nbytes for value in self.field.state_dict().values()))
        self.costs["field"] = Cost(seconds, disk)
        arrays = (self.data.color, self.data.depth, self.data.category, self.data.instance, self.data.weight)
        maps_bytes = self.data.features.nbytes if self.data.features is not None else 0
        return COPIES * (sum(values.nbytes for values in arrays) + maps_bytes) / len(self.sample.frames)

    def _panoptic(self) -> None:
        watch = Stopwatch()
        views = scan_views(self.sample)
        parameters = self._refinement_parameters()
        settings = self.settings.panoptic.model_copy(update={"surface": "tsdf"})
        on_surface = EvidenceOnSurface(self.graph.votes, self.points)
        inputs = (views, self.scene, on_surface, self.field, self.data.box, settings, parameters)
        seconds, refined = timed(lambda: panoptic_stage(*inputs, watch))
        self.panoptic = refined.panoptic
        self.table = refined.table
        seconds = extrapolated("panoptic", seconds, watch, Ratios(self.frame_ratio, self.surface_ratio))
        writing, disk = timed(
            lambda: self._written("panoptic.ply", lambda path: write_panoptic_mesh(path, self.panoptic, self.table))
        )
        rendering, bytes_of_view = self._rendered()
        count = len(split_frames(len(self.whole.frames), self.settings.field.held_out_frames)[1])
        seconds += writing * self.surface_ratio + rendering * count + self.image_seconds
        if self.settings.panoptic.surface == "field":
            query = watch.parts["query"].stepping  # its colours are asked for too
            seconds += (self._own_surface() + query) * self.surface_ratio
        self.costs["panoptic"] = Cost(seconds, disk * self.surface_ratio + bytes_of_view * count)

    def _rendered(self) -> tuple[float, float]:
        """Seconds and bytes of one rendered view."""
        views = scan_views(self.sample)
        name = self.sample.frames[0].name
        rendering, rendered = timed(
            lambda: list(render_views(views, [name], self.panoptic, self.field, self.data.box, self.table))
        )
        write_images(self.folder / "rendered", name, rendered[0][1], self.table)
        return rendering, size_of(self.folder / "rendered")

    def _labels_of_view(self, view: View) -> Labels:
        return self.labels_of_frame[view.name]

    def _refinement_parameters(self) -> RefinementParameters:
        return RefinementParameters(self.settings.mesh.voxel_size)

    def _sample_names(self) -> list[str]:
        return [frame.name for frame in self.sample.frames]

    def _own_surface(self) -> float:
        cell = self.settings.mesh.voxel_size
        self.memory_of_grid = node_count(self.data.box, cell) * BYTES_OF_A_NODE
        return surface_seconds(self.field, self.data.box, self.mesh, cell)

    def _quality(self) -> None:
        """Against its own mesh: the truth is nobody's business before the end."""
        evaluation = EvaluationSettings.of(self.table, self.settings.quality)
        up = estimate_gravity(self.mesh, self.sample.poses).up
        steps = dict.fromkeys(STEPS, self.panoptic)
        seconds, _ = timed(lambda: quality_stage(steps, self.panoptic, evaluation, {}, up))
        self.costs["quality"] = Cost(seconds * self.surface_ratio)

    def _frame_labels_written(self, labels: Sequence[tuple[str, Labels]]) -> float:
        for name, image in labels:
            write_frame_labels(self.folder / "labels", name, image, self.table)
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
    """How long a run takes to come up."""
    command = [sys.executable, "-m", "panrecon.pipelines.field", "--help"]
    return timed(lambda: subprocess.run(command, capture_output=True, check=True))[0]


def _short_passes(settings: FieldSettings) -> dict[str, int]:
    """Few steps of every pass that has any."""
    names = ("geometry_iterations", "frozen_iterations", "joint_iterations")
    return {name: min(getattr(settings, name), WARM_UP + FIELD_STEPS) for name in names}


def _seconds_of_steps(fit: Part, counts: Iterable[int]) -> Iterator[float]:
    """The median step of each of the passes of so many steps, the first `WARM_UP` of each aside; 0 without any."""
    moments = [fit.begun, *fit.advances]
    first = 0
    for count in counts:
        steps = np.diff(moments[first : first + count + 1])
        yield float(np.median(steps[WARM_UP:] if len(steps) > WARM_UP else steps)) if count else 0.0
        first += count
