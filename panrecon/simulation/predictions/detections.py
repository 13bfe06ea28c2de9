"""A simulated segmenter: detections made of true labels, with seeded errors. A test bench, not Grounded-SAM."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from panrecon.errors import InputError
from panrecon.roles import Role
from panrecon.simulation.predictions.mask_faults import cut_in_two, grown_over_boundary, jittered, overlap, random_blob
from panrecon.simulation.predictions.stuff_cells import stuff_cells
from panrecon.structures import VOID, CategoryTable, Detections, Labels, normalised

Mask = Bool[np.ndarray, "h w"]
_Detection = tuple[int, float, Mask]  # class index, score, mask

CONFUSED: Final[Mapping[str, tuple[str, ...]]] = {  # class names that a segmenter confuses with a class
    "chair": ("sofa", "table"),
    "table": ("desk", "cabinet", "chair"),
    "sofa": ("bed", "chair"),
    "shelf": ("cabinet", "bookshelf"),
    "bookshelf": ("cabinet", "shelf"),
    "bed": ("sofa", "table"),
    "cabinet": ("shelf", "table", "bookshelf"),
    "desk": ("table", "cabinet"),
    "lamp": ("vase", "picture"),
    "plant": ("vase", "lamp"),
    "picture": ("window", "door"),
    "cup": ("bowl", "vase"),
    "bowl": ("cup", "vase"),
    "book": ("box", "laptop"),
    "laptop": ("book", "picture"),
    "vase": ("cup", "lamp"),
    "box": ("book", "cabinet"),
    "window": ("picture", "door"),
    "door": ("cabinet", "window"),
    "rug": ("floor",),
}


@dataclass(frozen=True)
class DetectionFaults:
    """Rates of errors per segment and view, in [0, 1], unless stated otherwise; `at_level` scales them together.

    `miss` holds for a segment that covers 1 % of the image (smaller ones are missed more often) and is multiplied by
    the class's entry in `miss_of_class`. `swallow` is the rate at which stuff and furniture take in a small object
    before them. `jitter` is the standard deviation of the boundary relative to the square root of the mask's area.
    `confused_objects` is the share of objects with a fixed wrong class, used in `confused_views` of their views;
    `confused_stuff` that of regions of stuff (cells of 0.8 m of the world) with a fixed wrong class of stuff or of
    standing things, used in as many of theirs: errors that agreement among views does not reveal. `at_level` leaves it
    as it is, at 0.
    `hallucinations` is the mean number per frame, `score_noise` a standard deviation. `prompted` are the only class
    names that are detected; None = all.
    """

    miss: float = 0.15
    miss_of_class: tuple[tuple[str, float], ...] = (
        ("wall", 0.5),
        ("floor", 0.5),
        ("rug", 1.3),
        ("box", 1.3),
        ("vase", 1.2),
    )
    split: float = 0.05
    merge: float = 0.1
    leak: float = 0.15
    jitter: float = 0.045
    duplicate: float = 0.08
    confused_objects: float = 0.12
    confused_stuff: float = 0.0
    confused_views: float = 0.6
    wrong_class: float = 0.03
    hallucinations: float = 1.0
    swallow: float = 0.25
    score_noise: float = 0.1
    prompted: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuses a share of stuff beyond 1, which is a percentage."""
        if not 0 <= self.confused_stuff <= 1:
            raise InputError(f"The fault confused_stuff is {self.confused_stuff:g}; give a share of stuff, 0 to 1.")

    @classmethod
    def at_level(cls, level: float) -> "DetectionFaults":
        """All rates times `level`: 0 = exact masks, 1 = like Grounded-SAM measured on real rooms, 2 = much worse."""
        default = cls()
        unscaled = {"miss_of_class", "confused_stuff", "confused_views", "prompted"}
        scaled = [field.name for field in fields(cls) if field.name not in unscaled]
        return replace(default, **{name: level * getattr(default, name) for name in scaled})


@dataclass(frozen=True)
class _Segment:
    """The pixels of one thing, of one class of stuff, or of one `cell` of it that is `called` by another class."""

    category: int
    instance: int
    mask: Mask
    called: int | None = None
    cell: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[int, ...]:
        """Non-negative numbers that are the segment's own, the same in every view."""
        return self.category + 1, self.instance + 1, *self.cell


@dataclass(frozen=True)
class _Frame:
    """The true segments of one frame that are prompted, those that are not, and the errors to simulate."""

    segments: tuple[_Segment, ...]
    unprompted: tuple[_Segment, ...]
    categories: CategoryTable
    faults: DetectionFaults
    seed: int
    frame: int

    @property
    def surroundings(self) -> tuple[_Segment, ...]:
        """All segments, onto which a mask may leak."""
        return self.segments + self.unprompted

    def view_rng(self, segment: _Segment, fault: int) -> np.random.Generator:
        """A generator for one kind of fault of a segment in this view."""
        return np.random.default_rng([self.seed, self.frame, *segment.key, fault])

    def object_rng(self, segment: _Segment, fault: int) -> np.random.Generator:
        """A generator for one kind of fault of a segment, the same in every view."""
        return np.random.default_rng([self.seed, *segment.key, fault])


def exact_detections(truth: Labels, categories: CategoryTable, min_area: int = 1) -> Detections:
    """One exact mask with score 1 for every thing and every stuff class of at least `min_area` pixels."""
    segments = _segments(truth, categories, min_area)
    return _detections([(s.category, 1.0, s.mask) for s in segments], truth.category.shape)


def simulated_detections(
    truth: Labels,
    categories: CategoryTable,
    faults: DetectionFaults | None = None,
    *,
    seed: int = 0,
    frame: int = 0,
    min_area: int = 25,
    positions: Float[np.ndarray, "h w 3"] | None = None,
) -> Detections:
    """Detections of one frame with errors, by falling score; a function of truth, positions, `seed` and `frame` alone.

    `truth` holds label images; segments under `min_area` pixels are never detected. `positions` are world points (m) of
    the pixels, NaN where not measured; only `confused_stuff` needs them.

    Raises:
        ValueError: `confused_stuff` is not 0, and there are no positions.
    """
    faults = DetectionFaults() if faults is None else faults
    true_segments = _segments(truth, categories, min_area)
    segments = [s for s in true_segments if _is_prompted(s.category, categories, faults)]
    unprompted = [s for s in true_segments if not _is_prompted(s.category, categories, faults)]
    scene = _Frame(tuple(segments), tuple(unprompted), categories, faults, seed, frame)
    if faults.confused_stuff > 0:
        if positions is None:
            raise ValueError(f"confused_stuff is {faults.confused_stuff}; pass the positions of the pixels, too.")
        segments = [part for segment in segments for part in _with_confused_cells(scene, segment, positions)]
        scene = replace(scene, segments=tuple(segments))
    host_of_merged = _merges(scene)
    detections: list[_Detection] = []
    for index, segment in enumerate(segments):
        if index not in host_of_merged and not _is_missed(scene, segment):
            merged = [segments[other] for other, host in host_of_merged.items() if host == index]
            detections += _segment_detections(scene, segment, merged)
    detections += _hallucinations(scene, truth.category.shape)
    large_enough = [detection for detection in detections if detection[2].sum() >= min_area]
    return _detections(large_enough, truth.category.shape)


def _segments(truth: Labels, categories: CategoryTable, min_area: int) -> list[_Segment]:
    is_labelled = truth.category != VOID
    instance = np.where(is_labelled & categories.is_thing[truth.category], truth.instance, VOID)
    is_labelled &= ~categories.is_thing[truth.category] | (instance != VOID)
    base = int(instance.max(initial=0)) + 2
    key_of_pixel = np.where(is_labelled, truth.category.astype(np.int64) * base + instance + 1, -1)
    keys, areas = np.unique(key_of_pixel[is_labelled], return_counts=True)
    return [
        _Segment(int(key // base), int(key % base) - 1, key_of_pixel == key)
        for key, area in zip(keys, areas, strict=True)
        if area >= min_area
    ]


def _is_prompted(category: int, categories: CategoryTable, faults: DetectionFaults) -> bool:
    if faults.prompted is None:
        return True
    return category in {categories.index_of(name) for name in faults.prompted}


def _with_confused_cells(scene: _Frame, segment: _Segment, positions: Float[np.ndarray, "h w 3"]) -> Iterator[_Segment]:
    """The segment without the cells that are called by another class in this view, and each of these by itself."""
    classes = _classes_stuff_is_confused_with(scene, segment)
    if scene.categories.is_thing[segment.category] or not classes:
        yield segment
        return
    correct_mask = segment.mask.copy()
    for cell, mask in stuff_cells(segment.mask, positions):
        region = replace(segment, mask=mask, cell=cell)
        object_rng = scene.object_rng(region, 9)
        is_confused = object_rng.uniform() < scene.faults.confused_stuff
        called = classes[int(object_rng.integers(len(classes)))]
        if is_confused and scene.view_rng(region, 9).uniform() < scene.faults.confused_views:
            correct_mask &= ~mask
            yield replace(region, called=called)
    if correct_mask.any():
        yield replace(segment, mask=correct_mask)


def _classes_stuff_is_confused_with(scene: _Frame, segment: _Segment) -> list[int]:
    """The other prompted classes of stuff and of things that stand on the floor."""
    return [
        index
        for index, category in enumerate(scene.categories)
        if (not category.thing or category.role == Role.STANDING)
        and index != segment.category
        and _is_prompted(index, scene.categories, scene.faults)
    ]


def _is_missed(scene: _Frame, segment: _Segment) -> bool:
    """Small segments and hard classes are missed more often, and some objects in all views more than others."""
    share_of_image = segment.mask.mean()
    size_factor = np.clip((0.01 / share_of_image) ** 0.35, 0.35, 4.0)
    class_name = normalised(scene.categories[segment.category].name)
    class_factor = dict(scene.faults.miss_of_class).get(class_name, 1.0)
    object_factor = scene.object_rng(segment, 1).uniform(0.5, 1.5)
    rate = min(scene.faults.miss * size_factor * class_factor * object_factor, 0.97)
    return bool(scene.view_rng(segment, 1).uniform() < rate)


def _merges(scene: _Frame) -> dict[int, int]:
    """The segments that are detected as part of an adjacent one of their class, and the index of that one."""
    host_of_merged: dict[int, int] = {}
    for host, segment in enumerate(scene.segments):
        rng = scene.view_rng(segment, 2)
        if segment.instance == VOID or host in host_of_merged or rng.uniform() >= scene.faults.merge:
            continue
        for other, neighbour in enumerate(scene.segments):
            is_free = other not in host_of_merged and other not in host_of_merged.values() and other != host
            if is_free and neighbour.category == segment.category and overlap(segment.mask, neighbour.mask, margin=4):
                host_of_merged[other] = host
                break
    return host_of_merged


def _segment_detections(scene: _Frame, segment: _Segment, merged: Sequence[_Segment]) -> list[_Detection]:
    """The detections of one segment, together with those that are merged into it."""
    mask = _distorted(scene, segment, merged)
    rng = scene.view_rng(segment, 3)
    pieces = cut_in_two(mask, rng) if rng.uniform() < scene.faults.split else [mask]
    if rng.uniform() < scene.faults.duplicate:
        pieces.append(jittered(mask, 2 * scene.faults.jitter, rng))
    result = []
    for piece_index, piece in enumerate(pieces):
        category = _predicted_category(scene, segment, repeated=piece_index > 0)
        is_correct = category == segment.category
        result.append((category, _score(scene, segment, piece, rng) * (1.0 if is_correct else 0.85), piece))
    return result


def _distorted(scene: _Frame, segment: _Segment, merged: Sequence[_Segment]) -> Mask:
    mask = np.logical_or.reduce([segment.mask, *(other.mask for other in merged)])
    rng = scene.view_rng(segment, 4)
    if segment.instance == VOID or scene.categories[segment.category].name in (
        "table",
        "shelf",
        "desk",
        "bed",
        "cabinet",
    ):
        mask = _with_swallowed(scene, segment, mask, rng)
    if rng.uniform() < scene.faults.leak:
        mask = grown_over_boundary(mask, [s.mask for s in scene.surroundings if s is not segment], rng)
    return jittered(mask, scene.faults.jitter, rng) if scene.faults.jitter > 0 else mask


def _with_swallowed(scene: _Frame, segment: _Segment, mask: Mask, rng: np.random.Generator) -> Mask:
    """The mask with some of the small objects that lie before it."""
    for other in scene.surroundings:
        is_small = other.instance != VOID and other.mask.sum() < 0.15 * segment.mask.sum()
        if is_small and rng.uniform() < scene.faults.swallow and overlap(segment.mask, other.mask, margin=2):
            mask = mask | other.mask
    return mask


def _predicted_category(scene: _Frame, segment: _Segment, *, repeated: bool) -> int:
    """The detected class index: mostly the true one, for some objects mostly one fixed wrong one."""
    if segment.called is not None:
        return segment.called
    object_rng = scene.object_rng(segment, 5)
    view_rng = scene.view_rng(segment, 6 + repeated)
    fixed_confusion = _confused_category(scene, segment, object_rng)
    is_confused_object = object_rng.uniform() < scene.faults.confused_objects
    if is_confused_object and view_rng.uniform() < scene.faults.confused_views:
        return fixed_confusion
    if view_rng.uniform() < scene.faults.wrong_class:
        return _confused_category(scene, segment, view_rng)
    return segment.category


def _confused_category(scene: _Frame, segment: _Segment, rng: np.random.Generator) -> int:
    """A random prompted class that is confused with the segment's; the segment's own if there is none."""
    class_name = normalised(scene.categories[segment.category].name)
    listed = [scene.categories.index_of(name) for name in CONFUSED.get(class_name, ())]
    others = [category for category in listed if category not in (VOID, segment.category)]
    candidates = [category for category in others if _is_prompted(category, scene.categories, scene.faults)]
    return candidates[int(rng.integers(len(candidates)))] if candidates else segment.category


def _score(scene: _Frame, segment: _Segment, mask: Mask, rng: np.random.Generator) -> float:
    """About 0.3 + 0.5 IoU with the true mask, as box scores are; exactly 1 without score noise."""
    if scene.faults.score_noise == 0:
        return 1.0
    iou = (mask & segment.mask).sum() / max((mask | segment.mask).sum(), 1)
    return float(np.clip(0.3 + 0.5 * iou + scene.faults.score_noise * rng.standard_normal(), 0.2, 0.98))


def _hallucinations(scene: _Frame, shape: tuple[int, ...]) -> list[_Detection]:
    """Masks of objects that do not exist, with low scores."""
    rng = np.random.default_rng([scene.seed, scene.frame, 71])
    things = np.flatnonzero(scene.categories.is_thing).tolist()
    prompted = [category for category in things if _is_prompted(category, scene.categories, scene.faults)]
    count = int(rng.poisson(scene.faults.hallucinations)) if prompted else 0
    result = []
    for _ in range(count):
        category = prompted[int(rng.integers(len(prompted)))]
        score = float(rng.uniform(0.25, 0.5))
        result.append((category, score, random_blob((shape[0], shape[1]), rng)))
    return result


def _detections(detections: Sequence[_Detection], shape: tuple[int, ...]) -> Detections:
    ordered = sorted(detections, key=lambda detection: -detection[1])
    return Detections(
        np.array([category for category, _, _ in ordered], dtype=np.int32),
        np.array([score for _, score, _ in ordered], dtype=np.float32),
        np.array([mask for _, _, mask in ordered], dtype=bool).reshape(len(ordered), *shape),
    )
