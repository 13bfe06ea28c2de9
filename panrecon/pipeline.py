"""The method, composed once: a pure function for every stage, and the function that joins them.

Arrays and settings go in, frozen dataclasses come out; a `Progress` shows what is at work. Stage scripts, the Python
API, profiling and benchmarks call these functions and compose nothing themselves. Stages that need files or networks
(`scan`, `masks`, `quality`) get what was read through small protocols.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from panrecon.config import (
    FeaturesSettings,
    FieldSettings,
    GraphSettings,
    MeshSettings,
    PanopticSettings,
    SemanticsSettings,
    Settings,
)
from panrecon.errors import InputError
from panrecon.evaluation.metrics.views import mean_view_quality, view_quality
from panrecon.evaluation.report.record import ObjectConfidence
from panrecon.evaluation.scene import CompleteTruth, EvaluationSettings, SceneResult, evaluate_mesh, step_record
from panrecon.features.projection import Projection, fit_projection
from panrecon.field.field import PanopticField, SceneBox
from panrecon.field.fit import FittedField, State, fit
from panrecon.field.inference import RenderedView, field_surface, query, render_view
from panrecon.field.parameters import FieldParameters, RenderingParameters
from panrecon.field.sampling import FieldData
from panrecon.field.scene_renderer import SceneImages, SceneRenderer
from panrecon.field.supervision import SurfaceSupervision, TrainingView, field_data, scene_box, split_frames
from panrecon.fusion.tsdf import fuse
from panrecon.geometry.mesh import nearest_vertex, vertex_normals
from panrecon.graph.adjacency import superface_adjacency
from panrecon.graph.correction import corrected_labels, labels_on_surfaces
from panrecon.graph.instances import GraphResult, infer_instances
from panrecon.graph.observation import FrameObservation, observe
from panrecon.graph.parameters import GraphParameters
from panrecon.graph.superfaces import superfaces
from panrecon.graph.votes import VertexVotes
from panrecon.layout.scene import scene_layout
from panrecon.masks.base import Segmenter
from panrecon.progress import Progress, no_progress, track
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.refine import RefinedLabels, refine
from panrecon.refinement.terms import LabelEvidence
from panrecon.semantics.classifier import FittedClassifier, fit_classifier, predict
from panrecon.semantics.lifting import lift_features
from panrecon.semantics.parameters import SemanticsParameters
from panrecon.semantics.propagation import propagate
from panrecon.semantics.relabelling import relabel_by_similarity
from panrecon.structures import (
    VOID,
    CategoryTable,
    Detections,
    FeatureMap,
    LabelledScene,
    Labels,
    PanopticMesh,
    PointSemantics,
    Scan,
    SceneObject,
    SegmentedScene,
    TriangleMesh,
    View,
    Views,
    with_categories,
)
from panrecon.threads import kernels_may_overlap, one_thread, parallel_map
from panrecon.visualization import evenly_spaced


def mesh_stage(views: Views, settings: MeshSettings, progress: Progress = no_progress) -> TriangleMesh:
    """One coloured mesh (world frame, m) of all depth images, by TSDF fusion (Curless and Levoy, 1996).

    Raises:
        InputError: the views measure nothing that gives a surface, or their poses are too far apart.
    """
    return fuse(views, settings, progress)


def masks_stage(
    segmenter: Segmenter, scan: Scan, table: CategoryTable, progress: Progress = no_progress
) -> Iterator[Detections]:
    """The detections of every frame, in the scan's order, as the segmenter finds them."""
    return track(segmenter.segment(scan, table), progress, "frames", len(scan.frames))


@dataclass(frozen=True)
class FeaturesResult:
    """The principal components of a scan's features, and every frame's map in their basis, to read once.

    Maps are rounded to half precision, in which they are kept.
    """

    projection: Projection
    maps: Iterator[FeatureMap]


def features_stage(
    extract: Callable[[], Iterable[FeatureMap]],
    count: int,
    settings: FeaturesSettings,
    progress: Progress = no_progress,
) -> FeaturesResult:
    """Dense features of `count` frames in one basis of at most `settings.dimensions` principal components.

    `extract` gives the maps of all frames in order, and is called twice: no more than one map is held in memory.
    """
    projection = fit_projection(track(extract(), progress, "fit", count), settings.dimensions)
    projected = (projection(values) for values in track(extract(), progress, "project", count))
    return FeaturesResult(projection, (FeatureMap(_half_precision(features.values)) for features in projected))


def graph_stage(
    views: Views,
    mesh: TriangleMesh,
    detections: Mapping[str, Detections],
    table: CategoryTable,
    settings: GraphSettings,
    progress: Progress = no_progress,
    parameters: GraphParameters = GraphParameters(),
) -> GraphResult:
    """Objects with one id across all frames: the masks of all frames vote on the superfaces of the mesh.

    `detections` by frame name; a frame that is not there has none. Frames are observed in parallel.
    """
    detected = [index for index, name in enumerate(views.names) if name in detections]

    def observed(index: int) -> FrameObservation:
        view = views.read(index)
        return observe(view, mesh.vertices, detections[view.name], table, settings.depth_tolerance)

    observations = list(track(parallel_map(observed, detected), progress, "frames", len(detected)))
    with progress("superfaces", 2) as advance:
        superface_of_vertex = superfaces(mesh, settings)
        advance(1)
        adjacency = superface_adjacency(mesh, superface_of_vertex)
        advance(2)
    with progress("objects", 1) as advance:
        result = infer_instances(observations, superface_of_vertex, adjacency, table, settings, parameters)
        advance(1)
    return result


def frame_labels(
    result: GraphResult, detections: Mapping[str, Detections], table: CategoryTable, progress: Progress = no_progress
) -> Iterator[tuple[str, Labels]]:
    """Name and corrected label image of every frame with detections: its masks with the ids of the scene's objects."""

    def labels_of_frame(name: str) -> tuple[str, Labels]:
        return name, corrected_labels(detections[name], result.objects_of_frame[name], result.instances.objects, table)

    results = parallel_map(labels_of_frame, result.objects_of_frame)
    return track(results, progress, "labels", len(result.objects_of_frame))


def view_labels(
    result: GraphResult,
    detections: Mapping[str, Detections],
    objects: Sequence[SceneObject],
    table: CategoryTable,
    view: View,
) -> Labels:
    """A view's corrected label image, objects with the classes of `objects`; void where no mask or no surface is."""
    if view.name not in result.objects_of_frame:
        return Labels(*(np.full(view.depth.shape, VOID, np.int32) for _ in range(2)))
    object_of_detection = result.objects_of_frame[view.name]
    labels = corrected_labels(detections[view.name], object_of_detection, result.instances.objects, table)
    return labels_on_surfaces(labels, objects, table)


@dataclass(frozen=True)
class SemanticsResult:
    """Class probabilities of the vertices, the objects with their final classes, and the labels of all superfaces.

    `before` are the labels of the superfaces ahead of propagation.
    """

    points: PointSemantics
    objects: tuple[SceneObject, ...]
    before: Labels
    of_superface: Labels
    classifier: FittedClassifier


def semantics_stage(
    views: Views,
    scene: SegmentedScene,
    features: Iterable[FeatureMap],
    settings: SemanticsSettings,
    progress: Progress = no_progress,
    parameters: SemanticsParameters = SemanticsParameters(),
) -> SemanticsResult:
    """Labels for what no mask labelled: features are lifted onto the vertices, and a classifier learns class from them.

    `features` are the maps of all views in order.
    """
    mesh = scene.mesh
    superface_of_vertex = scene.superface_of_vertex
    table = scene.table
    posed_features = track(zip(views.poses, features, strict=True), progress, "frames", len(views.names))
    lifted = lift_features(mesh, views.camera, posed_features, settings.depth_tolerance, parameters)
    labels_of_masks = scene.instances.of_superface
    objects = scene.instances.objects
    if settings.similarity_relabelling:
        object_of_vertex = labels_of_masks.instance[superface_of_vertex]
        with progress("relabelling", 1) as advance:
            objects = relabel_by_similarity(objects, object_of_vertex, lifted, len(table), parameters)
            advance(1)
    named = with_categories(labels_of_masks, objects)
    with progress("classifier", 1) as advance:
        category = named.category[superface_of_vertex]
        classifier = fit_classifier(lifted, category, superface_of_vertex, len(table), settings, parameters)
        advance(1)
    with progress("propagation", 1) as advance:
        semantics = predict(classifier, lifted)
        completed = propagate(mesh, superface_of_vertex, named, semantics, table, settings.min_confidence)
        advance(1)
    points = PointSemantics(_half_precision(semantics.probability))  # as they are kept
    return SemanticsResult(points, objects, named, completed, classifier)


@dataclass(frozen=True)
class FieldResult:
    """A trained field, what it was trained on, and the names of the frames that were held out."""

    fitted: FittedField
    data: FieldData
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class FieldSupervision:
    """What the field is trained on beside images: a scene's labels, those of its V vertices with their confidence.

    `features_of_frame` gives the map of a frame by its name.
    """

    scene: LabelledScene
    confidence: Float[np.ndarray, " V"]
    features_of_frame: Callable[[str], FeatureMap]


def field_stage(
    views: Views,
    supervision: FieldSupervision,
    settings: FieldSettings,
    progress: Progress = no_progress,
    resume: Mapping[str, Tensor] | None = None,
    save: Callable[[State], None] | None = None,
    parameters: FieldParameters = FieldParameters(),
) -> FieldResult:
    """One hash-encoded field of distance, colour, class and instance, optimised on all frames but the held-out ones.

    `save` is given a state now and then, of which `resume` is the last.

    Raises:
        InputError: `settings.encoding` does not run on the device.
        FloatingPointError: the optimisation diverged.
    """
    training, held_out = split_frames(len(views.names), settings.held_out_frames)
    scene = supervision.scene
    surface = SurfaceSupervision(scene.mesh, scene.labels, supervision.confidence, settings.truncation, parameters)

    def supervised(index: int) -> TrainingView:
        view = views.read(index)
        return surface.training_view(view, scene.labels_of_view(view), supervision.features_of_frame(view.name))

    frames = list(track(map(supervised, training), progress, "labels", len(training)))
    box = scene_box(scene.mesh.vertices, settings.truncation, parameters)
    data = field_data(frames, box, len(scene.table), len(scene.objects))
    with progress("fit", settings.steps) as advance:
        fitted = fit(
            data,
            settings,
            parameters,
            resume=resume,
            on_step=lambda step, _: advance(step + 1),
            on_checkpoint=None if save is None else lambda _, state: save(state),
        )
    return FieldResult(fitted, data, tuple(views.names[index] for index in held_out))


def rendered_training_views(
    result: FieldResult, count: int, parameters: RenderingParameters = RenderingParameters()
) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], RenderedView]]:
    """Colour at training size of at most `count` training views, evenly spaced, and what the field shows there."""
    data = result.data
    for index in evenly_spaced(len(data.color), count):
        pose = data.world_from_camera[index]
        depth = data.depth[index]
        yield data.color[index], render_view(result.fitted.field, data.box, data.camera, pose, depth, parameters)


@dataclass(frozen=True)
class EvidenceOnSurface:
    """What masks and features say of the V vertices of the fused mesh."""

    votes: VertexVotes
    points: PointSemantics

    def at(self, vertex: Int[np.ndarray, " n"]) -> "EvidenceOnSurface":
        """That of the vertices `vertex`."""
        return EvidenceOnSurface(self.votes.at(vertex), PointSemantics(self.points.probability[vertex]))


def panoptic_stage(
    views: Views,
    scene: LabelledScene,
    on_surface: EvidenceOnSurface,
    field: PanopticField,
    box: SceneBox,
    settings: PanopticSettings,
    parameters: RefinementParameters,
    progress: Progress = no_progress,
) -> RefinedLabels:
    """The panoptic mesh: class and object of every vertex by masks, features, field and layout together."""
    if settings.surface == "field":
        max_distance = parameters.metres(parameters.max_surface_distance)
        surface, nearest = field_surface(field, box, scene.mesh, parameters.voxel_size, max_distance)
        scene = replace(scene, mesh=surface, labels=scene.labels.at(nearest))
        on_surface = on_surface.at(nearest)
    with progress("query", 1) as advance:
        answer = query(field, scene.mesh.vertices, vertex_normals(scene.mesh.vertices, scene.mesh.faces))
        advance(1)
    evidence = LabelEvidence(
        on_surface.votes,
        answer.category_probability,
        answer.instance_probability,
        on_surface.points.probability,
        scene.labels,
        scene_layout(scene.mesh, views.poses, parameters.voxel_size),
    )
    return refine(views, scene, evidence, parameters, settings, progress)


def render_views(
    views: Views,
    names: Collection[str],
    panoptic: PanopticMesh,
    field: PanopticField,
    box: SceneBox,
    table: CategoryTable,
    progress: Progress = no_progress,
    parameters: RenderingParameters = RenderingParameters(),
) -> Iterator[tuple[View, SceneImages]]:
    """The views of these names as recorded, and what the field and the panoptic mesh show from the same place."""
    renderer = SceneRenderer(field, box, panoptic, table.background, parameters)
    indices = [index for index, name in enumerate(views.names) if name in names]

    def rendered(index: int) -> tuple[View, SceneImages]:
        view = views.read(index)
        return view, renderer.images(view.camera, view.world_from_camera)

    with one_thread():
        results = parallel_map(rendered, indices) if kernels_may_overlap() else map(rendered, indices)
        yield from track(results, progress, "render", len(indices))


def quality_stage(
    steps: Mapping[str, PanopticMesh],
    truth: PanopticMesh,
    evaluation: EvaluationSettings,
    confidences: Mapping[int, ObjectConfidence],
    up: Float[np.ndarray, "3"],
    rendered: Iterable[tuple[View, View]] = (),
    complete: CompleteTruth | None = None,
) -> SceneResult:
    """The scores of the last of `steps` against the true mesh, with the headline scores of every step.

    `confidences` by instance; `up` is the upward direction of the world, for the images alone; `rendered` are pairs of
    a rendered view and the view as it was recorded. `complete` is the truth with the classes that prompts left out.
    """
    records = parallel_map(lambda mesh: step_record(mesh, truth, evaluation), steps.values())
    result = evaluate_mesh(list(steps.values())[-1], truth, evaluation, confidences, up, complete)
    views = [view_quality(image.color, view.color, image.depth, view.depth) for image, view in rendered]
    record = {
        **result.record,
        "steps": dict(zip(steps, records, strict=True)),
        "views": {**asdict(mean_view_quality(views)), "frames": len(views)} if views else None,
    }
    return replace(result, record=record)


@dataclass(frozen=True)
class Reconstruction:
    """A panoptic mesh of V vertices in the world frame (m), and its objects by instance.

    `category` holds indices of `table`, `instance` keys of `objects` (things alone); `VOID` (-1) where there is none.
    `confidence` in [0, 1] is the object's on things, elsewhere the probability of the label.
    """

    mesh: TriangleMesh
    category: Int[np.ndarray, " V"]
    instance: Int[np.ndarray, " V"]
    confidence: Float[np.ndarray, " V"]
    objects: Mapping[int, SceneObject]
    table: CategoryTable


def reconstruct(
    views: Views,
    detections: Mapping[str, Detections],
    features: Callable[[], Iterable[FeatureMap]],
    table: CategoryTable,
    settings: Settings = Settings(),
    progress: Progress = no_progress,
) -> Reconstruction:
    """The whole method on what a segmenter and a feature extractor gave: `mesh` to `panoptic`, in memory.

    `detections` by frame name, on the pixels of the views' camera; `features` gives the maps of all views in order, and
    is called twice.

    Raises:
        InputError: the depth gives no surface, or nothing is detected.
    """
    mesh = mesh_stage(views, settings.mesh, progress)
    if not any(len(detections[name].score) for name in views.names if name in detections):
        raise InputError("There is no detection in any frame; give masks of the frames, by their names.")
    projected = features_stage(features, len(views.names), settings.features, progress)
    maps = {
        name: features.values.astype(np.float16) for name, features in zip(views.names, projected.maps, strict=True)
    }

    def features_of_frame(name: str) -> FeatureMap:
        return FeatureMap(maps[name].astype(np.float32))

    graph = graph_stage(views, mesh, detections, table, settings.graph, progress)
    segmented = SegmentedScene(mesh, graph.superface_of_vertex, graph.instances, table)
    semantics = semantics_stage(views, segmented, map(features_of_frame, views.names), settings.semantics, progress)
    labels_of_vertices = semantics.of_superface.at(graph.superface_of_vertex)
    labels_of_view = partial(view_labels, graph, detections, semantics.objects, table)
    scene = LabelledScene(mesh, labels_of_vertices, semantics.objects, table, labels_of_view)
    supervision = FieldSupervision(scene, semantics.points.confidence, features_of_frame)
    trained = field_stage(views, supervision, settings.field, progress)
    parameters = RefinementParameters(settings.mesh.voxel_size)
    field = trained.fitted.field
    box = trained.data.box
    on_surface = EvidenceOnSurface(graph.votes, semantics.points)
    refined = panoptic_stage(views, scene, on_surface, field, box, settings.panoptic, parameters, progress)
    labels = refined.panoptic.labels
    objects = refined.final_objects(semantics.objects)
    confidence = label_confidence(refined, semantics.objects)
    return Reconstruction(refined.panoptic.mesh, labels.category, labels.instance, confidence, objects, refined.table)


def label_confidence(refined: RefinedLabels, objects: Sequence[SceneObject]) -> Float[np.ndarray, " V"]:
    """How certain the label of every vertex is, in [0, 1]: the confidence of its object, else the label's probability.

    The probability is that at the nearest vertex of the mesh that was labelled.
    """
    panoptic = refined.panoptic
    instance = panoptic.labels.instance
    nearest = nearest_vertex(panoptic.mesh.vertices, refined.labelled_mesh.vertices, np.inf)
    of_object = np.array([scene_object.confidence for scene_object in (*objects, *refined.unknown_objects)] + [0.0])
    return np.where(instance != VOID, of_object[instance], refined.probability[nearest]).astype(np.float32)


def _half_precision(values: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """The values rounded to half precision, as single precision."""
    return values.astype(np.float16).astype(np.float32)
