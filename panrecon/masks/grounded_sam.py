"""Grounded-SAM: GroundingDINO's boxes for the words of a class table, SAM's mask in every box (Ren et al., 2024)."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, assert_never

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from panrecon.config import MasksSettings
from panrecon.errors import InputError
from panrecon.masks.prompt import Prompt, Vocabulary, build_prompts, phrases, readable, vocabulary, words_of
from panrecon.masks.protocols import Detector, Masker, Queries
from panrecon.masks.selection import distinct, large_enough, nothing, of_background_size
from panrecon.networks.inference import (
    Batches,
    Device,
    Precision,
    ahead,
    as_pixels,
    autocast,
    batch_on,
    fitting_memory,
    in_batches,
    resized,
    torch_device,
)
from panrecon.structures import VOID, CategoryTable, Detections, Frame, Scan
from panrecon.threads import in_parallel

if TYPE_CHECKING:
    from torch import Tensor

SHORT_SIDE: Final = 800  # of the image that GroundingDINO sees, as released; its long side is at most
LONG_SIDE: Final = 1333
BOXES_AT_ONCE: Final = 64  # that SAM decodes together; halved where memory runs out


@dataclass(frozen=True)
class Rules:
    """The thresholds of `masks:` in the settings: two of scores in [0, 1], one of IoU in (0, 1], one in pixels."""

    box_threshold: float
    text_threshold: float
    duplicate_iou: float
    min_area: int


@dataclass(frozen=True)
class _Image:
    """A frame's image as both networks take it; `size` is its own, in rows and columns."""

    size: tuple[int, int]
    for_detector: UInt8[np.ndarray, "h w 3"]
    for_masker: UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True)
class _Boxes:
    """Boxes of known classes; as shares of the image."""

    category: Int[np.ndarray, " n"]
    score: Float[np.ndarray, " n"]
    box: Float[np.ndarray, "n 4"]


class GroundedSam:
    """Segments frame by frame; `dropped` counts the boxes left out for their phrase, which no class has, and is told.

    `batch_size` is how many images a network gets at once, as far as memory allows.
    Beside the networks at most three batches of images are in memory, resized (5 MB an image of 640 x 480), one batch
    of SAM's embeddings (4 MB each), and the masks of one frame.
    """

    def __init__(
        self,
        detector: Detector,
        masker: Masker,
        read: Callable[[Frame], UInt8[np.ndarray, "h w 3"]],
        rules: Rules,
        batch_size: int,
        say: Callable[[str], None],
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._detector, self._masker = detector, masker
        self.batch_size = batch_size
        self._read, self._rules = read, rules
        self._detecting, self._embedding = Batches(batch_size, say), Batches(batch_size, say)
        self._decoding = Batches(BOXES_AT_ONCE, say, "box")
        self._say = say

    def segment(self, scan: Scan, table: CategoryTable) -> Iterator[Detections]:
        prompts, words = build_prompts(words_of(table)), vocabulary(table)
        for batch in in_batches(ahead(self._prepare, scan.frames, 2 * self.batch_size), self.batch_size):
            boxes = self._boxes(batch, prompts, words, table)
            prompted = [image for image, found in zip(batch, boxes, strict=True) if len(found.box)]
            embeddings: Iterator[Tensor] = iter(self._embedding.run(self._embed, prompted))
            for image, found in zip(batch, boxes, strict=True):
                yield self._masks(image, found, next(embeddings)) if len(found.box) else nothing(*image.size)
        if self.dropped:
            phrases = ", ".join(f"{phrase} x{count}" for phrase, count in self.dropped.most_common(8))
            self._say(f"dropped {self.dropped.total()} boxes whose phrase is no class, such as {phrases}")

    def _prepare(self, frame: Frame) -> _Image:
        image = self._read(frame)
        size = image.shape[0], image.shape[1]
        for_detector = resized(image, *detector_size(size))
        return _Image(size, for_detector, resized(image, *masker_size(size, self._masker.side)))

    def _boxes(
        self, batch: Sequence[_Image], prompts: Sequence[Prompt], words: Vocabulary, table: CategoryTable
    ) -> list[_Boxes]:
        """Of every image the boxes of all prompts that speak for a class."""
        found: list[list[_Boxes]] = [[] for _ in batch]
        for prompt in prompts:
            answers = self._detecting.run(partial(self._detect, prompt), batch)
            for boxes, queries in zip(found, answers, strict=True):
                boxes.append(self._named(queries, prompt, words, table))
        return [_joined(boxes) for boxes in found]

    def _detect(self, prompt: Prompt, images: Sequence[_Image]) -> list[Queries]:
        pixels = as_pixels([image.for_detector for image in images], self._detector.device)
        return self._detector.detect(pixels, prompt)

    def _named(self, queries: Queries, prompt: Prompt, words: Vocabulary, table: CategoryTable) -> _Boxes:
        """The boxes whose phrase is a name or synonym, those of background size left out."""
        found = phrases(prompt, queries.token_score, self._rules.box_threshold, self._rules.text_threshold)
        row = words.rows(found.phrase)
        self.dropped.update(readable(phrase) for phrase, r in zip(found.phrase, row, strict=True) if r == VOID)
        box = queries.box[found.box].clip(0, 1)
        keep = (row != VOID) & ~of_background_size(box, table.is_thing[row])
        return _Boxes(row[keep], found.score[keep], box[keep])

    def _embed(self, images: Sequence[_Image]) -> "list[Tensor]":
        pixels = as_pixels([image.for_masker for image in images], self._masker.device, self._masker.side)
        return list(self._masker.embed(pixels))

    def _masks(self, image: _Image, found: _Boxes, embedding: "Tensor") -> Detections:
        """The masks of the boxes, most certain first, without duplicates and tiny ones."""
        order = np.argsort(-found.score, kind="stable")
        height, width = image.for_masker.shape[:2]
        boxes = found.box[order] * np.array([width, height, width, height], np.float32)
        logits = self._decoding.run(lambda some: list(self._masker.decode(embedding, np.stack(some))), list(boxes))
        full = partial(full_mask, side=self._masker.side, inner=(height, width), size=image.size)
        mask = np.stack(list(in_parallel(full, logits)))
        detections = Detections(found.category[order], found.score[order], mask)
        return distinct(large_enough(detections, self._rules.min_area), self._rules.duplicate_iou)


def load_grounded_sam(
    settings: MasksSettings,
    detector: Path,
    masker: Path,
    read: Callable[[Frame], UInt8[np.ndarray, "h w 3"]],
    say: Callable[[str], None],
) -> GroundedSam:
    """The segmenter of `masks:` in the settings, with the networks of these checkpoints on its device.

    Raises:
        InputError: as `load_networks`.
    """
    networks = load_networks(settings.implementation, detector, masker, settings.device, settings.precision)
    rules = Rules(settings.box_threshold, settings.text_threshold, settings.duplicate_iou, settings.min_area)
    return GroundedSam(*networks, read, rules, batch_on(networks[0].device, settings.batch_size), say)


def load_networks(
    implementation: Literal["transformers", "original"],
    detector: Path,
    masker: Path,
    device: Device,
    precision: Precision,
) -> tuple[Detector, Masker]:
    """Both networks from their checkpoints: folders of Hugging Face's, or the authors' `.pth` files.

    Raises:
        InputError: a file is of another model or damaged, or the device or precision cannot be had.
    """
    where = torch_device(device)
    autocast(where, precision)  # refuses what cannot be had before gigabytes are read
    _check_format(implementation, detector, masker)
    with fitting_memory("GroundingDINO and SAM"):
        match implementation:
            case "transformers":
                from panrecon.masks.huggingface import HuggingFaceGroundingDino, HuggingFaceSam

                return HuggingFaceGroundingDino(detector, where, precision), HuggingFaceSam(masker, where, precision)
            case "original":
                from panrecon.masks.original import OriginalGroundingDino, OriginalSam

                return OriginalGroundingDino(detector, where, precision), OriginalSam(masker, where, precision)
            case _:
                assert_never(implementation)


def _check_format(implementation: Literal["transformers", "original"], *weights: Path) -> None:
    for path in weights:
        if path.is_file() and implementation == "transformers":
            raise InputError(f"{path} is a file, as masks.implementation=original reads; set that, or name a folder.")
        if path.is_dir() and implementation == "original":
            raise InputError(
                f"{path} is a folder, as masks.implementation=transformers reads; set that, or name a file."
            )


def detector_size(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the image that GroundingDINO sees: short side 800, unless the long one would pass 1333."""
    height, width = size
    short, long = min(size), max(size)
    short_side = SHORT_SIDE if SHORT_SIDE * long / short <= LONG_SIDE else round(LONG_SIDE * short / long)
    if height <= width:
        return short_side, int(short_side * width / height)
    return int(short_side * height / width), short_side


def masker_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Rows and columns of the image in SAM's square: its long side fills it."""
    scale = side / max(size)
    return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)


def full_mask(
    logits: Float[np.ndarray, "low low"], side: int, inner: tuple[int, int], size: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """SAM's mask at the size of the image: bilinear to the square, the padding cut off, bilinear to the image."""
    square = cv2.resize(logits, (side, side), interpolation=cv2.INTER_LINEAR)
    image = cv2.resize(square[: inner[0], : inner[1]], size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(image > 0)


def _joined(parts: Sequence[_Boxes]) -> _Boxes:
    return _Boxes(
        np.concatenate([part.category for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.box for part in parts]),
    )
