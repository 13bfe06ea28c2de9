"""A simulated segmenter: exact images become detections with chosen, seeded faults. A test bench, not Grounded-SAM."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from jaxtyping import Bool

from panrecon.simulation.predictions.mask_faults import cut_in_two, grown_over_boundary, overlap, shaken, spot
from panrecon.structures import VOID, CategoryTable, Detections, Labels, normalised

Mask = Bool[np.ndarray, "h w"]

CONFUSED: Final[Mapping[str, tuple[str, ...]]] = {
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
    """Rates per segment and view unless said otherwise; `at_level` scales them together.

    `miss` holds for a segment that covers 1 % of the image (smaller ones are missed more often) and is multiplied by
    the class's entry in `miss_of_class`. `jitter` is the deviation of the boundary relative to the square root of the
    mask's area. `confused_objects` is the share of objects with a fixed wrong word, used in `confused_views` of their
    views. `hallucinations` are expected per frame. `prompted` holds the only words that are detected; None = all.
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
    confused_views: float = 0.6
    wrong_class: float = 0.03
    hallucinations: float = 1.0
    swallow: float = 0.25
    score_noise: float = 0.1
    prompted: tuple[str, ...] | None = None

    @classmethod
    def at_level(cls, level: float) -> "DetectionFaults":
        """All rates times `level`: 0 = exact masks, 1 = like Grounded-SAM measured on real rooms, 2 = much worse."""
        default = cls()
        kept = {"miss_of_class", "confused_views", "prompted"}
        rates = {field.name: level * getattr(default, field.name) for field in fields(cls) if field.name not in kept}
        return replace(default, **rates)


@dataclass(frozen=True)
class _Segment:
    """A connected meaning of the image: one thing, or one class of stuff."""

    category: int
    instance: int
    mask: Mask


@dataclass(frozen=True)
class _Frame:
    """What all faults of one frame may draw on."""

    segments: tuple[_Segment, ...]
    categories: CategoryTable
    faults: DetectionFaults
    seed: int
    frame: int

    def view_rng(self, segment: _Segment, fault: int) -> np.random.Generator:
        """Differs in every view."""
        return np.random.default_rng([self.seed, self.frame, segment.category + 1, segment.instance + 1, fault])

    def object_rng(self, segment: _Segment, fault: int) -> np.random.Generator:
        """The same in every view of the object."""
        return np.random.default_rng([self.seed, segment.category + 1, segment.instance + 1, fault])


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
) -> Detections:
    """What a faulty segmenter finds in one frame, most certain first; a function of truth, `seed` and `frame` alone.

    `truth` holds images of category rows and instance numbers; segments under `min_area` pixels are never found.
    """
    faults = DetectionFaults() if faults is None else faults
    segments = [s for s in _segments(truth, categories, min_area) if _is_prompted(s.category, categories, faults)]
    scene = _Frame(tuple(segments), categories, faults, seed, frame)
    merged = _merges(scene)
    found: list[tuple[int, float, Mask]] = []
    for index, segment in enumerate(segments):
        if index not in merged and not _missed(scene, segment):
            found += _found(scene, segment, [segments[other] for other, into in merged.items() if into == index])
    found += _hallucinated(scene, truth.category.shape)
    return _detections([item for item in found if item[2].sum() >= min_area], truth.category.shape)


def _segments(truth: Labels, categories: CategoryTable, min_area: int) -> list[_Segment]:
    known = truth.category != VOID
    instance = np.where(known & categories.is_thing[truth.category], truth.instance, VOID)
    known &= ~categories.is_thing[truth.category] | (instance != VOID)
    base = int(instance.max(initial=0)) + 2
    key = np.where(known, truth.category.astype(np.int64) * base + instance + 1, -1)
    keys, counts = np.unique(key[known], return_counts=True)
    return [
        _Segment(int(k // base), int(k % base) - 1, key == k)
        for k, count in zip(keys, counts, strict=True)
        if count >= min_area
    ]


def _is_prompted(category: int, categories: CategoryTable, faults: DetectionFaults) -> bool:
    if faults.prompted is None:
        return True
    return category in {categories.index_of(word) for word in faults.prompted}


def _missed(scene: _Frame, segment: _Segment) -> bool:
    """Small segments and hard classes are missed more often, and some objects always more than others."""
    share = segment.mask.mean()
    size = np.clip((0.01 / share) ** 0.35, 0.35, 4.0)
    of_class = dict(scene.faults.miss_of_class).get(normalised(scene.categories[segment.category].name), 1.0)
    hardness = scene.object_rng(segment, 1).uniform(0.5, 1.5)
    rate = min(scene.faults.miss * size * of_class * hardness, 0.97)
    return bool(scene.view_rng(segment, 1).uniform() < rate)


def _merges(scene: _Frame) -> dict[int, int]:
    """Segments that are found as part of a touching neighbour of their class: index of the neighbour -> its host."""
    merged: dict[int, int] = {}
    for host, segment in enumerate(scene.segments):
        rng = scene.view_rng(segment, 2)
        if segment.instance == VOID or host in merged or rng.uniform() >= scene.faults.merge:
            continue
        for other, neighbour in enumerate(scene.segments):
            free = other not in merged and other not in merged.values() and other != host
            if free and neighbour.category == segment.category and overlap(segment.mask, neighbour.mask, margin=4):
                merged[other] = host
                break
    return merged


def _found(scene: _Frame, segment: _Segment, swallowed: Sequence[_Segment]) -> list[tuple[int, float, Mask]]:
    """The detections that one segment gives rise to, with their scores."""
    mask = _distorted(scene, segment, swallowed)
    rng = scene.view_rng(segment, 3)
    pieces = cut_in_two(mask, rng) if rng.uniform() < scene.faults.split else [mask]
    if rng.uniform() < scene.faults.duplicate:
        pieces.append(shaken(mask, 2 * scene.faults.jitter, rng))
    result = []
    for number, piece in enumerate(pieces):
        category = _named(scene, segment, repeated=number > 0)
        right = category == segment.category
        result.append((category, _score(scene, segment, piece, rng) * (1.0 if right else 0.85), piece))
    return result


def _distorted(scene: _Frame, segment: _Segment, swallowed: Sequence[_Segment]) -> Mask:
    mask = np.logical_or.reduce([segment.mask, *(other.mask for other in swallowed)])
    rng = scene.view_rng(segment, 4)
    if segment.instance == VOID or scene.categories[segment.category].name in (
        "table",
        "shelf",
        "desk",
        "bed",
        "cabinet",
    ):
        mask = _swallowing(scene, segment, mask, rng)
    if rng.uniform() < scene.faults.leak:
        mask = grown_over_boundary(mask, [s.mask for s in scene.segments if s is not segment], rng)
    return shaken(mask, scene.faults.jitter, rng) if scene.faults.jitter > 0 else mask


def _swallowing(scene: _Frame, segment: _Segment, mask: Mask, rng: np.random.Generator) -> Mask:
    """Stuff and furniture take in small things that lie before them."""
    for other in scene.segments:
        small = other.instance != VOID and other.mask.sum() < 0.15 * segment.mask.sum()
        if small and rng.uniform() < scene.faults.swallow and overlap(segment.mask, other.mask, margin=2):
            mask = mask | other.mask
    return mask


def _named(scene: _Frame, segment: _Segment, *, repeated: bool) -> int:
    """The class the segmenter gives: mostly the right one, for some objects mostly one fixed wrong one."""
    fixed = scene.object_rng(segment, 5)
    view = scene.view_rng(segment, 6 + repeated)
    confuser = _confuser(scene, segment, fixed)
    if fixed.uniform() < scene.faults.confused_objects and view.uniform() < scene.faults.confused_views:
        return confuser
    if view.uniform() < scene.faults.wrong_class:
        return _confuser(scene, segment, view)
    return segment.category


def _confuser(scene: _Frame, segment: _Segment, rng: np.random.Generator) -> int:
    """A class of the confusion list that this one is taken for; itself if there is none that is prompted."""
    listed = [
        scene.categories.index_of(w) for w in CONFUSED.get(normalised(scene.categories[segment.category].name), ())
    ]
    others = (row for row in listed if row not in (VOID, segment.category))
    rows = [row for row in others if _is_prompted(row, scene.categories, scene.faults)]
    return rows[int(rng.integers(len(rows)))] if rows else segment.category


def _score(scene: _Frame, segment: _Segment, mask: Mask, rng: np.random.Generator) -> float:
    """Around 0.3 + 0.5 x IoU with the truth, as a box score would be; exactly 1 without score noise."""
    if scene.faults.score_noise == 0:
        return 1.0
    quality = (mask & segment.mask).sum() / max((mask | segment.mask).sum(), 1)
    return float(np.clip(0.3 + 0.5 * quality + scene.faults.score_noise * rng.standard_normal(), 0.2, 0.98))


def _hallucinated(scene: _Frame, shape: tuple[int, ...]) -> list[tuple[int, float, Mask]]:
    """Masks of things that are not there, with low scores."""
    rng = np.random.default_rng([scene.seed, scene.frame, 71])
    rows = [
        int(row)
        for row in np.flatnonzero(scene.categories.is_thing)
        if _is_prompted(int(row), scene.categories, scene.faults)
    ]
    count = int(rng.poisson(scene.faults.hallucinations)) if rows else 0
    return [
        (rows[int(rng.integers(len(rows)))], float(rng.uniform(0.25, 0.5)), spot((shape[0], shape[1]), rng))
        for _ in range(count)
    ]


def _detections(found: Sequence[tuple[int, float, Mask]], shape: tuple[int, ...]) -> Detections:
    ordered = sorted(found, key=lambda item: -item[1])
    return Detections(
        np.array([category for category, _, _ in ordered], dtype=np.int32),
        np.array([score for _, score, _ in ordered], dtype=np.float32),
        np.array([mask for _, _, mask in ordered], dtype=bool).reshape(len(ordered), *shape),
    )
