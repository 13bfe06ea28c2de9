"""Laws of both implementations of GroundingDINO and SAM, on random weights in the released formats.

What they are compared with is the packages' own way from image to boxes and masks.
"""

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from panrecon.errors import InputError
from panrecon.masks import grounded_sam
from panrecon.masks.grounded_sam import GroundedSam, detector_size, full_mask, load_networks, masker_size
from panrecon.masks.parameters import MasksParameters
from panrecon.masks.prompt import VOCABULARY, box_phrases, build_prompts, phrase_text, words_of
from panrecon.masks.protocols import Detector, Masker, box_corners
from panrecon.networks.inference import as_pixels, resized
from panrecon.structures import Camera, CategoryTable, Frame, Scan
from tests.masks import tiny

CPU = torch.device("cpu")
IMAGE = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8).repeat(5, axis=0).repeat(5, axis=1)

SIZE = IMAGE.shape[0], IMAGE.shape[1]


@dataclass(frozen=True)
class Checkpoints:
    """The same weights as Hugging Face's folders and as the authors' files."""

    grounding_dino: Path
    sam: Path
    grounding_dino_original: Path
    sam_original: Path


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    folder = tmp_path_factory.mktemp("weights")
    detector, masker = tiny.grounding_dino(swin_t=True), tiny.sam()
    return Checkpoints(
        tiny.save(detector, folder / "grounding-dino-tiny"),
        tiny.save(masker, folder / "sam-vit-huge"),
        tiny.save_original_grounding_dino(detector, folder / "groundingdino_swint_ogc.pth"),
        tiny.save_original_sam(masker, folder / "sam_vit_h_4b8939.pth"),
    )


@pytest.fixture(scope="module")
def of_transformers(checkpoints: Checkpoints) -> tuple[Detector, Masker]:
    return load_networks("transformers", checkpoints.grounding_dino, checkpoints.sam, "cpu", "float32")


@pytest.fixture(scope="module")
def original(checkpoints: Checkpoints) -> tuple[Detector, Masker]:
    files = checkpoints.grounding_dino_original, checkpoints.sam_original
    return load_networks("original", *files, "cpu", "float32")


def test_the_same_weights_give_the_same_boxes_and_scores(
    of_transformers: tuple[Detector, Masker], original: tuple[Detector, Masker], table: CategoryTable
) -> None:
    (prompt,) = build_prompts(words_of(table))
    pixels = as_pixels([IMAGE, np.ascontiguousarray(IMAGE[:, ::-1])], CPU)
    for first, second in zip(
        of_transformers[0].detect(pixels, prompt), original[0].detect(pixels, prompt), strict=True
    ):
        assert first.token_score.shape == (40, len(prompt.tokens))
        assert first.token_score.std(axis=0).min() > 0.01 and first.box.std(axis=0).min() > 0.1  # they do say something
        assert_allclose(first.box, second.box, atol=1e-5)
        assert_allclose(first.token_score, second.token_score, atol=1e-5)


def test_the_same_weights_give_the_same_masks(
    of_transformers: tuple[Detector, Masker], original: tuple[Detector, Masker]
) -> None:
    pixels = torch.randn(2, 3, tiny.SIDE, tiny.SIDE, generator=torch.Generator().manual_seed(0))
    boxes = np.array([[10, 20, 100, 200], [50, 60, 70, 80], [0, 0, 256, 192]], np.float32)
    one, other = of_transformers[1].embed(pixels), original[1].embed(pixels)
    assert_allclose(one.numpy(), other.numpy(), atol=1e-4)
    first, second = of_transformers[1].decode(one[1], boxes), original[1].decode(other[1], boxes)
    assert first.shape == (3, 64, 64)
    assert 0.05 < (first > 0).mean() < 0.95
    assert_allclose(first, second, atol=1e-3)


def test_both_segment_a_scan_alike(
    of_transformers: tuple[Detector, Masker],
    original: tuple[Detector, Masker],
    table: CategoryTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grounded_sam, "detector_size", lambda size: size)  # 800 rows take Swin-T long
    camera = Camera(160, 120, 100.0, 100.0, 80.0, 60.0)
    scan = Scan("room", camera, camera, 1000.0, tuple(Frame(str(n), Path(), Path(), np.eye(4)) for n in range(3)))
    parameters = MasksParameters(box_threshold=0.6, text_threshold=0.2, duplicate_iou=0.8, min_area=25)
    found = []
    for networks in (of_transformers, original):
        segmenter = GroundedSam(
            *networks, lambda frame: np.roll(IMAGE, int(frame.name) * 40, axis=1), parameters, 2, print
        )
        found.append(list(segmenter.segment(scan, table)))
    for first, second in zip(*found, strict=True):
        assert len(first) > 0
        assert_array_equal(first.category, second.category)
        assert_allclose(first.score, second.score, atol=1e-4)
        assert (first.mask != second.mask).mean() < 1e-3


def test_a_batch_gives_what_its_images_give_alone(
    of_transformers: tuple[Detector, Masker], table: CategoryTable
) -> None:
    (prompt,) = build_prompts(words_of(table))
    images = [IMAGE, np.ascontiguousarray(IMAGE[::-1])]
    together = of_transformers[0].detect(as_pixels(images, CPU), prompt)
    for image, expected in zip(images, together, strict=True):
        (alone,) = of_transformers[0].detect(as_pixels([image], CPU), prompt)
        assert_allclose(alone.box, expected.box, atol=1e-5)
        assert_allclose(alone.token_score, expected.token_score, atol=1e-5)


def test_a_second_time_gives_the_same_bytes(of_transformers: tuple[Detector, Masker], table: CategoryTable) -> None:
    (prompt,) = build_prompts(words_of(table))
    once, again = (of_transformers[0].detect(as_pixels([IMAGE], CPU), prompt)[0] for _ in range(2))
    assert_array_equal(once.box, again.box)
    assert_array_equal(once.token_score, again.token_score)


def test_images_reach_the_detector_as_transformers_prepares_them() -> None:
    from transformers import GroundingDinoImageProcessor

    expected = GroundingDinoImageProcessor()(images=Image.fromarray(IMAGE), return_tensors="pt")["pixel_values"]
    pixels = as_pixels([resized(IMAGE, *detector_size(SIZE))], CPU)
    assert pixels.shape == expected.shape == (1, 3, 800, 1066)
    assert_allclose(pixels.numpy(), expected.numpy(), atol=1e-5)


def test_images_reach_the_detector_as_groundingdino_prepares_them() -> None:
    from groundingdino.datasets import transforms

    prepare = transforms.Compose(
        [
            transforms.RandomResize([800], max_size=1333),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    expected, _ = prepare(Image.fromarray(IMAGE), None)
    pixels = as_pixels([resized(IMAGE, *detector_size(SIZE))], CPU)
    assert_allclose(pixels[0].numpy(), expected.numpy(), atol=1e-5)


def test_images_reach_sam_as_transformers_prepares_them() -> None:
    from transformers import SamImageProcessor

    processor = SamImageProcessor(size={"longest_edge": tiny.SIDE}, pad_size={"height": tiny.SIDE, "width": tiny.SIDE})
    expected = processor(images=Image.fromarray(IMAGE), return_tensors="pt")
    height, width = masker_size(SIZE, tiny.SIDE)
    assert expected["reshaped_input_sizes"].tolist() == [[height, width]]
    pixels = as_pixels([resized(IMAGE, height, width)], CPU)
    assert_allclose(pixels[0].numpy(), expected["pixel_values"][0, :, :height, :width].numpy(), atol=1e-5)
    assert not expected["pixel_values"][0, :, height:].any() and not expected["pixel_values"][0, :, :, width:].any()


def test_boxes_and_phrases_are_those_of_groundingdinos_own_predict(
    checkpoints: Checkpoints, original: tuple[Detector, Masker], table: CategoryTable
) -> None:
    """Its `get_phrases_from_posmap` takes tokens of the whole prompt; given those of one word it says that word."""
    from groundingdino.util.utils import get_phrases_from_posmap
    from transformers import BertTokenizerFast

    (prompt,) = build_prompts(words_of(table))
    pixels = as_pixels([resized(IMAGE, 160, 208)], CPU)
    (output,) = original[0].detect(pixels, prompt)
    tokenizer = BertTokenizerFast(str(VOCABULARY), do_lower_case=True)
    strongest = np.arange(len(prompt.tokens)) == output.token_score.argmax(axis=1)[:, None]
    found = box_phrases(prompt, output.token_score * strongest, 0.25, 0.25)
    assert len(found.box) > 5
    for box, phrase in zip(found.box, found.phrase, strict=True):
        theirs = get_phrases_from_posmap(torch.from_numpy(strongest[box]), tokenizer(prompt.text), tokenizer)
        assert phrase_text(phrase) == theirs.replace(".", "")


def test_masks_are_those_of_sams_own_predictor(original: tuple[Detector, Masker]) -> None:
    from segment_anything import SamPredictor

    predictor = SamPredictor(original[1]._model)  # type: ignore[attr-defined]
    predictor.set_image(IMAGE)
    boxes = np.array([[20, 30, 100, 110], [5, 5, 150, 60]], np.float32)
    height, width = masker_size(SIZE, tiny.SIDE)
    pixels = torch.zeros(1, 3, tiny.SIDE, tiny.SIDE)
    pixels[..., :height, :width] = as_pixels([resized(IMAGE, height, width)], CPU)
    scale = np.array([width, height, width, height]) / np.tile(IMAGE.shape[1::-1], 2)
    logits = original[1].decode(original[1].embed(pixels)[0], (boxes * scale).astype(np.float32))
    for box, low in zip(boxes, logits, strict=True):
        expected, _, _ = predictor.predict(box=box, multimask_output=False)
        mask = full_mask(low, tiny.SIDE, (height, width), SIZE)
        assert 0 < expected.mean() < 1
        assert (mask != expected[0]).mean() < 1e-3


def test_bfloat16_runs_and_stays_close(checkpoints: Checkpoints, of_transformers: tuple[Detector, Masker]) -> None:
    _, masker = load_networks("transformers", checkpoints.grounding_dino, checkpoints.sam, "cpu", "bfloat16")
    pixels = torch.randn(1, 3, tiny.SIDE, tiny.SIDE, generator=torch.Generator().manual_seed(0))
    exact, rough = of_transformers[1].embed(pixels), masker.embed(pixels)
    assert rough.dtype == torch.float32
    assert 0 < (exact - rough).abs().max() < 0.2


def test_corners_of_boxes() -> None:
    assert_allclose(box_corners(np.array([[0.5, 0.4, 0.2, 0.6]])), [[0.4, 0.1, 0.6, 0.7]])


@pytest.mark.parametrize("implementation", ["transformers", "original"])
def test_weights_of_the_other_network_are_refused(implementation: str, checkpoints: Checkpoints) -> None:
    of_hugging_face = implementation == "transformers"
    detector = checkpoints.grounding_dino if of_hugging_face else checkpoints.grounding_dino_original
    masker = checkpoints.sam if of_hugging_face else checkpoints.sam_original
    with pytest.raises(InputError, match=rf"{masker.name}"):
        load_networks(implementation, masker, masker, "cpu", "float32")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=rf"{detector.name}"):
        load_networks(implementation, detector, detector, "cpu", "float32")  # type: ignore[arg-type]


def test_each_implementation_refuses_the_others_format(checkpoints: Checkpoints) -> None:
    with pytest.raises(InputError, match=r"swint_ogc\.pth is a file, as masks\.implementation=original reads"):
        load_networks("transformers", checkpoints.grounding_dino_original, checkpoints.sam, "cpu", "float32")
    with pytest.raises(InputError, match=r"grounding-dino-tiny is a folder, as .*=transformers reads"):
        load_networks("original", checkpoints.grounding_dino, checkpoints.sam_original, "cpu", "float32")


def test_a_damaged_folder_is_one_sentence(tmp_path: Path, checkpoints: Checkpoints) -> None:
    broken = tmp_path / "sam"
    broken.mkdir()
    (broken / "config.json").write_bytes((checkpoints.sam / "config.json").read_bytes())
    weights = (checkpoints.sam / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(InputError, match=r"weights of SAM in .*sam cannot be read .*download"):
        load_networks("transformers", checkpoints.grounding_dino, broken, "cpu", "float32")
    (broken / "config.json").write_text("not json")
    with pytest.raises(InputError, match="names no model_type"):
        load_networks("transformers", checkpoints.grounding_dino, broken, "cpu", "float32")


def test_weights_that_are_not_all_there_are_one_sentence(tmp_path: Path, checkpoints: Checkpoints) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(checkpoints.sam / "model.safetensors")
    del state["mask_decoder.iou_token.weight"]
    (tmp_path / "sam").mkdir()
    save_file(state, tmp_path / "sam" / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "sam" / "config.json").write_bytes((checkpoints.sam / "config.json").read_bytes())
    with pytest.raises(InputError, match=r"do not fit its config.json .such as mask_decoder\.iou_token\.weight"):
        load_networks("transformers", checkpoints.grounding_dino, tmp_path / "sam", "cpu", "float32")


class Exploit:
    """What a pickled file could do to whoever loads it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('executed')",)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps({"model": Exploit()})])
def test_a_file_that_is_no_checkpoint_is_refused_and_executes_nothing(
    content: bytes, tmp_path: Path, checkpoints: Checkpoints
) -> None:
    file = tmp_path / "groundingdino_swint_ogc.pth"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"swint_ogc\.pth cannot be read, it is damaged"):
        load_networks("original", file, checkpoints.sam_original, "cpu", "float32")


def test_a_zip_that_pickles_code_executes_nothing(tmp_path: Path, checkpoints: Checkpoints) -> None:
    file = tmp_path / "groundingdino_swint_ogc.pth"
    torch.save({"model": Exploit()}, file)
    with pytest.raises(InputError, match="cannot be read, it is damaged"):
        load_networks("original", file, checkpoints.sam_original, "cpu", "float32")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("implementation", ["transformers", "original"])
def test_cuda_gives_what_the_cpu_gives(
    implementation: str, checkpoints: Checkpoints, original: tuple[Detector, Masker], table: CategoryTable
) -> None:
    hugging_face = (checkpoints.grounding_dino, checkpoints.sam)
    files = (checkpoints.grounding_dino_original, checkpoints.sam_original)
    paths = hugging_face if implementation == "transformers" else files
    detector, masker = load_networks(implementation, *paths, "cuda", "float32")  # type: ignore[arg-type]
    (prompt,) = build_prompts(words_of(table))
    (there,) = detector.detect(as_pixels([IMAGE], detector.device), prompt)
    (here,) = original[0].detect(as_pixels([IMAGE], CPU), prompt)
    assert_allclose(there.token_score, here.token_score, atol=1e-2)
    pixels = torch.randn(1, 3, tiny.SIDE, tiny.SIDE, generator=torch.Generator().manual_seed(0))
    assert_allclose(masker.embed(pixels.cuda()).cpu().numpy(), original[1].embed(pixels).numpy(), atol=1e-2)
