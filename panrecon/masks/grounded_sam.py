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
from panrecon.masks.parameters import MasksParameters
from panrecon.masks.prompt import PhraseTable, Prompt, box_phrases, build_prompts, phrase_table, phrase_text, words_of
from panrecon.masks.protocols import Detector, DetectorOutput, Masker
from panrecon.masks.selection import is_background_size, no_detections, without_duplicates, without_small_masks
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
from panrecon.threads import parallel_map

if TYPE_CHECKING:
    from torch import Tensor

SHORT_SIDE: Final = 800  # pixels, of GroundingDINO's input, as in its released preprocessing
LONG_SIDE: Final = 1333  # pixels, at most
BOXES_AT_ONCE: Final = 64  # boxes that SAM decodes together; halved where memory runs out


@dataclass(frozen=True)
class _Image:
    """A frame's image at the input sizes of both networks; `size` is its own, in rows and columns."""

    size: tuple[int, int]
    for_detector: UInt8[np.ndarray, "h w 3"]
    for_masker: UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True)
class _Boxes:
    """Boxes with a class: x0, y0, x1, y1 in shares of the image."""

    category: Int[np.ndarray, " n"]
    score: Float[np.ndarray, " n"]
    box: Float[np.ndarray, "n 4"]


class GroundedSam:
    """Segments frame by frame; `dropped` counts, and the log tells, the boxes whose phrase is no word of the table.

    `batch_size` is how many images a network gets at once, as far as memory allows. Beside the networks at most three
    batches of resized images are in memory (5 MB an image of 640 x 480), one batch of SAM's embeddings (4 MB each), and
    the masks of one frame.
    """

    def __init__(
        self,
        detector: Detector,
        masker: Masker,
        read: Callable[[Frame], UInt8[np.ndarray, "h w 3"]],
        parameters: MasksParameters,
        batch_size: int,
        log: Callable[[str], None],
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self.batch_size = batch_size
        self._detector = detector
        self._masker = masker
        self._read = read
        self._parameters = parameters
        self._detecting = Batches(batch_size, log)
        self._embedding = Batches(batch_size, log)
        self._decoding = Batches(BOXES_AT_ONCE, log, "box")
        self._log = log

    def segment(self, scan: Scan, table: CategoryTable) -> Iterator[Detections]:
        """Detections of every frame in order, most certain first, on the pixels of the scan's `camera`."""
        prompts = build_prompts(words_of(table))
        phrases = phrase_table(table)
        for batch in in_batches(ahead(self._prepare, scan.frames, 2 * self.batch_size), self.batch_size):
            boxes_of_image = self._boxes(batch, prompts, phrases, table)
            with_boxes = [image for image, boxes in zip(batch, boxes_of_image, strict=True) if len(boxes.box)]
            embeddings: Iterator[Tensor] = iter(self._embedding.run(self._embed, with_boxes))
            for image, boxes in zip(batch, boxes_of_image, strict=True):
                yield self._masks(image, boxes, next(embeddings)) if len(boxes.box) else no_detections(*image.size)
        if self.dropped:
            most_common = ", ".join(f"{phrase} x{count}" for phrase, count in self.dropped.most_common(8))
            self._log(f"dropped {self.dropped.total()} boxes whose phrase is no class, such as {most_common}")

    def _prepare(self, frame: Frame) -> _Image:
        image = self._read(frame)
        size = image.shape[0], image.shape[1]
        for_detector = resized(image, *detector_size(size))
        return _Image(size, for_detector, resized(image, *masker_size(size, self._masker.side)))

    def _boxes(
        self, batch: Sequence[_Image], prompts: Sequence[Prompt], phrases: PhraseTable, table: CategoryTable
    ) -> list[_Boxes]:
        """The boxes of every image that all prompts together give a class."""
        parts_of_image: list[list[_Boxes]] = [[] for _ in batch]
        for prompt in prompts:
            outputs = self._detecting.run(partial(self._detect, prompt), batch)
            for parts, output in zip(parts_of_image, outputs, strict=True):
                parts.append(self._classified(output, prompt, phrases, table))
        return [_concatenated(parts) for parts in parts_of_image]

    def _detect(self, prompt: Prompt, images: Sequence[_Image]) -> list[DetectorOutput]:
        pixels = as_pixels([image.for_detector for image in images], self._detector.device)
        return self._detector.detect(pixels, prompt)

    def _classified(self, output: DetectorOutput, prompt: Prompt, phrases: PhraseTable, table: CategoryTable) -> _Boxes:
        """The boxes whose phrase is a name or synonym, without things of background size."""
        parameters = self._parameters
        answers = box_phrases(prompt, output.token_score, parameters.box_threshold, parameters.text_threshold)
        category = phrases.categories(answers.phrase)
        is_class = category != VOID
        self.dropped.update(
            phrase_text(phrase) for phrase, known in zip(answers.phrase, is_class, strict=True) if not known
        )
        box = output.box[answers.box].clip(0, 1)
        is_background = is_background_size(box, table.is_thing[category], parameters.background_share)
        retained = is_class & ~is_background
        return _Boxes(category[retained], answers.score[retained], box[retained])

    def _embed(self, images: Sequence[_Image]) -> "list[Tensor]":
        pixels = as_pixels([image.for_masker for image in images], self._masker.device, self._masker.side)
        return list(self._masker.embed(pixels))

    def _masks(self, image: _Image, boxes: _Boxes, embedding: "Tensor") -> Detections:
        """The masks of the boxes, most certain first, without duplicates and small ones."""
        order = np.argsort(-boxes.score, kind="stable")
        height, width = image.for_masker.shape[:2]
        in_square = boxes.box[order] * np.array([width, height, width, height], np.float32)
        logits = self._decoding.run(
            lambda batch: list(self._masker.decode(embedding, np.stack(batch))), list(in_square)
        )
        full = partial(full_mask, side=self._masker.side, inner=(height, width), size=image.size)
        mask = np.stack(list(parallel_map(full, logits)))
        detections = Detections(boxes.category[order], boxes.score[order], mask)
        large = without_small_masks(detections, self._parameters.min_area)
        return without_duplicates(large, self._parameters.duplicate_iou)


def load_grounded_sam(
    settings: MasksSettings,
    detector: Path,
    masker: Path,
    read: Callable[[Frame], UInt8[np.ndarray, "h w 3"]],
    log: Callable[[str], None],
) -> GroundedSam:
    """The segmenter of `masks:` in the settings, with the networks of these checkpoints on its device.

    Raises:
        InputError: as `load_networks`.
    """
    networks = load_networks(settings.implementation, detector, masker, settings.device, settings.precision)
    parameters = MasksParameters(
        box_threshold=settings.box_threshold,
        text_threshold=settings.text_threshold,
        duplicate_iou=settings.duplicate_iou,
        min_area=settings.min_area,
    )
    return GroundedSam(*networks, read, parameters, batch_on(networks[0].device, settings.batch_size), log)


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
    """Rows and columns of GroundingDINO's input: short side 800, or less if the long one would exceed 1333."""
    height, width = size
    short = min(size)
    long = max(size)
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


def _concatenated(parts: Sequence[_Boxes]) -> _Boxes:
    return _Boxes(
        np.concatenate([part.category for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.box for part in parts]),
    )
