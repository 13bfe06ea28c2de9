"""Laws of Grounded-SAM's way from images to masks, with networks made by hand that look for colours."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor

from panrecon.masks.base import Segmenter
from panrecon.masks.grounded_sam import GroundedSam, detector_size, full_mask, load_networks, masker_size
from panrecon.masks.parameters import MasksParameters
from panrecon.masks.prompt import Prompt
from panrecon.masks.protocols import Detector, DetectorOutput, Masker
from panrecon.structures import Camera, CategoryTable, Detections, Frame, Scan

PARAMETERS = MasksParameters(box_threshold=0.25, text_threshold=0.25, duplicate_iou=0.8, min_area=25)
COLORS = {"chair": (1, 0, 0), "table": (0, 1, 0), "wall": (0, 0, 1)}  # what the networks take for what
CPU = torch.device("cpu")


class ColorDetector:
    """A box around everything red, green or blue, for the word that the colour stands for; counts its batches."""

    def __init__(self, memory: int = 99, score: float = 0.6, says: Mapping[str, str] = MappingProxyType({})) -> None:
        self.device, self.memory, self.score, self.says = CPU, memory, score, says
        self.batches: list[int] = []

    def detect(self, pixels: Tensor, prompt: Prompt) -> list[DetectorOutput]:
        self.batches.append(len(pixels))
        if len(pixels) > self.memory:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [self._outputs(image, prompt) for image in pixels]

    def _outputs(self, image: Tensor, prompt: Prompt) -> DetectorOutput:
        boxes, scores = [np.zeros(4)], [np.zeros(len(prompt.tokens))]  # one query always finds nothing
        for word, color in COLORS.items():
            row, column = np.nonzero(of_color(image, color))
            said = self.says.get(word, word)
            if said not in prompt.words or not len(row):
                continue
            height, width = image.shape[1:]
            boxes.append(
                np.array(
                    [column.min() / width, row.min() / height, (column.max() + 1) / width, (row.max() + 1) / height]
                )
            )
            mine = prompt.word_of_token == prompt.words.index(said)
            scores.append(np.where(mine, self.score + 0.01 * len(boxes), 0.0))
        return DetectorOutput(np.stack(boxes).astype(np.float32), np.stack(scores).astype(np.float32))


class ColorMasker:
    """Of every box the pixels of the colour in its middle; on a square of 128 and as logits on one of 64."""

    def __init__(self, memory: int = 99) -> None:
        self.device, self.side, self.memory = CPU, 128, memory
        self.embedded = 0

    def embed(self, pixels: Tensor) -> Tensor:
        if len(pixels) > self.memory:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        self.embedded += len(pixels)
        return pixels

    def decode(self, embedding: Tensor, box: np.ndarray) -> np.ndarray:
        masks = []
        for x0, y0, x1, y1 in box:
            inside = torch.zeros(embedding.shape[1:], dtype=torch.bool)
            inside[round(y0) : round(y1), round(x0) : round(x1)] = True
            of_mine = [inside & torch.from_numpy(of_color(embedding, color)) for color in COLORS.values()]
            best = max(of_mine, key=lambda mask: int(mask.sum()))
            masks.append(torch.nn.functional.avg_pool2d(best[None].float() * 2 - 1, 2)[0].numpy())
        return np.stack(masks)


def of_color(image: Tensor, color: tuple[int, ...]) -> np.ndarray:
    """Where a normalised image has a colour; its darks lie below -1.5, its lights above 2."""
    return np.asarray((torch.where(image > 0, 1, 0) == torch.tensor(color)[:, None, None]).all(dim=0).numpy())


def painted(height: int, width: int, **boxes: tuple[int, int, int, int]) -> np.ndarray:
    """An image, black but for boxes (top, left, bottom, right) of the colours that stand for words."""
    image = np.zeros((height, width, 3), np.uint8)
    for word, (top, left, bottom, right) in boxes.items():
        image[top:bottom, left:right] = np.array(COLORS[word]) * 255
    return image


def scan_of(images: list[np.ndarray]) -> Scan:
    height, width = images[0].shape[:2]
    camera = Camera(width, height, 50.0, 50.0, width / 2, height / 2)
    frames = tuple(Frame(str(number), Path(), Path(), np.eye(4)) for number in range(len(images)))
    return Scan("scene", camera, camera, 1000.0, frames)


def segmenter(
    images: list[np.ndarray],
    detector: ColorDetector | None = None,
    masker: ColorMasker | None = None,
    batch_size: int = 2,
    parameters: MasksParameters = PARAMETERS,
    said: list[str] | None = None,
) -> GroundedSam:
    say = (said if said is not None else []).append
    networks = detector or ColorDetector(), masker or ColorMasker()
    return GroundedSam(*networks, lambda frame: images[int(frame.name)], parameters, batch_size, say)


def found(images: list[np.ndarray], table: CategoryTable, **options: object) -> list[Detections]:
    return list(segmenter(images, **options).segment(scan_of(images), table))  # type: ignore[arg-type]


def test_the_parts_are_what_they_are_taken_for() -> None:
    assert isinstance(ColorDetector(), Detector)
    assert isinstance(ColorMasker(), Masker)
    assert isinstance(segmenter([painted(8, 8)]), Segmenter)


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (96, 128), (968, 1296), (100, 333), (375, 1242)])
def test_masks_land_on_the_pixels_of_the_image(size: tuple[int, int], table: CategoryTable) -> None:
    """Whatever was resized and padded on the way; to a pixel of the coarsest image on it."""
    height, width = size
    chair = (height // 8, width // 4, height // 2, width // 2)
    desk = (5 * height // 8, width // 8, 7 * height // 8, 7 * width // 8)
    image = painted(height, width, chair=chair, table=desk)
    (detections,) = found([image], table)
    coarsest = max(height, width) / 64
    assert [table[row].name for row in detections.category] == ["table", "chair"]
    for mask, (top, left, bottom, right) in zip(detections.mask, (desk, chair), strict=True):
        assert mask.shape == (height, width)
        rows, columns = np.nonzero(mask)
        borders = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        assert_allclose(borders, (top, left, bottom, right), atol=coarsest)
        assert mask.sum() / ((bottom - top) * (right - left)) == pytest.approx(1, abs=0.3)


def test_frames_come_in_order_whatever_the_batches(table: CategoryTable) -> None:
    images = [painted(48, 64, chair=(4, 4 + 3 * n, 40, 20 + 3 * n)) for n in range(5)]
    images[2] = painted(48, 64)
    one_by_one = found(images, table, batch_size=1)
    assert [len(detections) for detections in one_by_one] == [1, 1, 0, 1, 1]
    for batch_size in (2, 3, 8):
        for detections, expected in zip(found(images, table, batch_size=batch_size), one_by_one, strict=True):
            assert_array_equal(detections.mask, expected.mask)
            assert_array_equal(detections.score, expected.score)
    lefts = [np.nonzero(one.mask[0])[1].min() for one in one_by_one if len(one)]
    assert lefts == sorted(lefts) and len(set(lefts)) == 4


def test_frames_without_a_box_are_not_embedded(table: CategoryTable) -> None:
    masker = ColorMasker()
    found([painted(48, 64), painted(48, 64, chair=(4, 4, 40, 30)), painted(48, 64)], table, masker=masker)
    assert masker.embedded == 1


def test_synonyms_are_asked_for_and_stand_for_their_class(table: CategoryTable) -> None:
    image = painted(48, 64, chair=(4, 4, 40, 30))
    (detections,) = found([image], table, detector=ColorDetector(says={"chair": "seat"}))
    assert [table[row].name for row in detections.category] == ["chair"]


def test_long_tables_are_asked_for_in_passes_that_add_up(table: CategoryTable, monkeypatch: pytest.MonkeyPatch) -> None:
    image = painted(48, 64, chair=(4, 4, 20, 30), table=(24, 4, 44, 60), wall=(0, 40, 20, 60))
    detector = ColorDetector()
    (whole,) = found([image], table, detector=detector)
    from panrecon.masks import grounded_sam

    monkeypatch.setattr(grounded_sam, "build_prompts", lambda words: [p for w in words for p in original([w])])
    (parts,) = found([image], table)
    assert detector.batches == [1]
    assert set(whole.category) == set(parts.category) and len(parts) == 3


from panrecon.masks.prompt import build_prompts as original  # noqa: E402


def test_things_of_background_size_go_and_stuff_of_that_size_stays(table: CategoryTable) -> None:
    full = (0, 0, 48, 64)
    (of_thing,) = found([painted(48, 64, chair=full)], table)
    (of_stuff,) = found([painted(48, 64, wall=full)], table)
    assert len(of_thing) == 0
    assert [table[row].name for row in of_stuff.category] == ["wall"]


def test_of_two_boxes_around_one_thing_the_more_certain_stays(table: CategoryTable) -> None:
    class Twice(ColorDetector):
        def _outputs(self, image: Tensor, prompt: Prompt) -> DetectorOutput:
            output = super()._outputs(image, prompt)
            less_certain = output.token_score * np.float32(0.9)
            return DetectorOutput(np.tile(output.box, (2, 1)), np.concatenate([less_certain, output.token_score]))

    image = painted(48, 64, chair=(4, 4, 40, 30))
    (once,), (twice,) = found([image], table), found([image], table, detector=Twice())
    assert_array_equal(twice.score, once.score)
    assert_array_equal(twice.mask, once.mask)


def test_boxes_whose_phrase_is_no_class_are_dropped_and_counted(table: CategoryTable) -> None:
    """The detector answers with a part of a word, which is no word of the table."""

    class Partial(ColorDetector):
        def _outputs(self, image: Tensor, prompt: Prompt) -> DetectorOutput:
            output = super()._outputs(image, prompt)
            first = np.diff(prompt.word_of_token, prepend=-2) != 0
            return DetectorOutput(output.box, np.where(first, output.token_score, 0).astype(np.float32))

    long_name = CategoryTable(tuple(c for c in table if c.name != "chair"))
    long_name = CategoryTable((*long_name, type(table[0])(20, "chair cushion", thing=True)))
    images = [painted(48, 64, chair=(4, 4, 40, 30))] * 3
    looking = segmenter(images, Partial(says={"chair": "chair cushion"}))
    assert [len(detections) for detections in looking.segment(scan_of(images), long_name)] == [0, 0, 0]
    assert looking.dropped == {"chair": 3}


def test_out_of_memory_halves_the_batch_and_says_so(table: CategoryTable) -> None:
    images = [painted(48, 64, chair=(4, 4, 40, 20 + n)) for n in range(9)]
    expected = found(images, table)
    said: list[str] = []
    detector, masker = ColorDetector(memory=1), ColorMasker(memory=2)
    detections = found(images, table, detector=detector, masker=masker, batch_size=4, said=said)
    for one, other in zip(detections, expected, strict=True):
        assert_array_equal(one.mask, other.mask)
    assert said == [
        f"out of memory with {before} at once: goes on with {after}" for before, after in ((4, 2), (2, 1), (4, 2))
    ]
    assert detector.batches == [4, 2] + [1] * 9  # once learned, it is kept to


@pytest.mark.parametrize(
    ("size", "seen"),
    [((480, 640), (800, 1066)), ((640, 480), (1066, 800)), ((376, 1408), (356, 1333)), ((800, 800), (800, 800))],
)
def test_the_detector_sees_a_short_side_of_800_or_a_long_one_of_1333(
    size: tuple[int, int], seen: tuple[int, int]
) -> None:
    assert detector_size(size) == seen


def test_the_masker_sees_the_long_side_fill_its_square() -> None:
    assert masker_size((480, 640), 1024) == (768, 1024)
    assert masker_size((1296, 968), 1024) == (1024, 765)


def test_full_masks_are_what_two_bilinear_steps_give() -> None:
    """As segment-anything's own `postprocess_masks`, in torch."""
    from torch.nn.functional import interpolate

    logits = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    square = interpolate(torch.from_numpy(logits)[None, None], (256, 256), mode="bilinear", align_corners=False)
    expected = interpolate(square[..., :192, :256], (120, 161), mode="bilinear", align_corners=False)[0, 0] > 0
    mask = full_mask(logits, 256, (192, 256), (120, 161))
    assert (mask != expected.numpy()).sum() <= 2  # of rounding at 0


def test_asking_for_float16_on_a_cpu_is_refused_before_weights_are_read(tmp_path: Path) -> None:
    from panrecon.errors import InputError

    with pytest.raises(InputError, match="float16 needs a CUDA device"):
        load_networks("transformers", tmp_path / "none", tmp_path / "none", "cpu", "float16")
