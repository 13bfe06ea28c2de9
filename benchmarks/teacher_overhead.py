"""What does a frame of Grounded-SAM cost besides its networks? Tiny networks, 640 x 480, 20 detections.

The networks have random weights and reduced sizes, and get every eighth or fourth pixel of the prepared images; their
outputs are replaced by 20 boxes and an ellipse in each, so that a frame has 20 detections. The same frames are also
prepared and post-processed by the processors of transformers.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from PIL import Image

from benchmarks.results import Report, Table, text_of, write_result
from panrecon.io.categories import find_table, read_categories
from panrecon.io.detections import write_frame
from panrecon.io.images import read_color, write_image
from panrecon.masks.grounded_sam import GroundedSam, load_networks
from panrecon.masks.parameters import MasksParameters
from panrecon.masks.prompt import Prompt, build_prompts, words_of
from panrecon.masks.protocols import Detector, DetectorOutput, Masker
from panrecon.structures import Camera, Frame, Scan
from tests.masks import tiny

NAME: Final = "teacher_overhead"
DETECTIONS: Final = 20
HEIGHT, WIDTH = 480, 640
SIDE: Final = 1024  # of SAM's square
TABLE = read_categories(find_table("scannet20"))


@dataclass
class Timed:
    """A network whose time is measured (s) and whose output is replaced by the 20 boxes."""

    network: Any
    seconds: float = 0.0
    boxes: np.ndarray = field(default_factory=lambda: boxes())

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return self.network.device

    @property
    def side(self) -> int:
        """The side of SAM's square input, pixels."""
        return SIDE

    @contextmanager
    def clock(self) -> Iterator[None]:
        """Adds the time of the block to `seconds`."""
        started = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - started

    def detect(self, pixels: torch.Tensor, prompt: Prompt) -> list[DetectorOutput]:
        """The 20 boxes of every image, after running the network."""
        with self.clock():
            outputs = self.network.detect(pixels[..., ::8, ::8].contiguous(), prompt)
            return [self.with_boxes(output, prompt) for output in outputs]

    def with_boxes(self, output: DetectorOutput, prompt: Prompt) -> DetectorOutput:
        """The output with the 20 boxes, each with a high score for a word of its own; all other scores are low."""
        score = np.full_like(output.token_score, 0.01)
        for word_index in range(DETECTIONS):
            score[word_index, prompt.word_of_token == word_index] = 0.3 + 0.02 * word_index
        box = output.box.copy()
        box[:DETECTIONS] = self.boxes
        return DetectorOutput(box, score)

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """The network's embeddings of every fourth pixel."""
        with self.clock():
            embedded: torch.Tensor = self.network.embed(pixels[..., ::4, ::4].contiguous())
        return embedded

    def decode(self, embedding: torch.Tensor, box: np.ndarray) -> np.ndarray:
        """Mask logits of the ellipse in every box, after running the network."""
        with self.clock():
            self.network.decode(embedding, box / 4)
            yy, xx = np.mgrid[:SIDE:4, :SIDE:4]
            x0, y0, x1, y1 = (box[:, side, None, None] for side in range(4))
            across = (2 * xx - x0 - x1) / (x1 - x0)
            along = (2 * yy - y0 - y1) / (y1 - y0)
            return (1 - across**2 - along**2).astype(np.float32)


def boxes() -> np.ndarray:
    """20 boxes x0, y0, x1, y1 relative to the image size, a tenth to a third of it wide and high."""
    rng = np.random.default_rng(0)
    size = rng.uniform(0.1, 0.33, (DETECTIONS, 2))
    corner = rng.uniform(0, 1 - size)
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


def main(frames: Annotated[int, typer.Option(help="frames to segment")] = 24) -> None:
    """Prints a table, writes it and JSON."""
    with tempfile.TemporaryDirectory() as folder:
        scan = scan_of(Path(folder), frames)
        networks = networks_in(Path(folder))
        wall, ours = our_seconds(scan, networks, Path(folder))
        theirs = transformers_seconds(scan, networks)
    rows = {"ours, images to files": ours, "transformers' processors, images to masks": theirs}
    cells = [[name, f"{1e3 * seconds:.1f} ms", f"{seconds / ours:.1f} x"] for name, seconds in rows.items()]
    report: Report = [
        Table([f"beside the networks, a frame of {WIDTH} x {HEIGHT}, {DETECTIONS} detections", "", ""], cells),
        f"The whole frame took {1e3 * wall:.0f} ms with tiny networks.",
    ]
    write_result(NAME, report, {"seconds": rows, "wall": wall, "frames": frames})
    print(text_of(report))


def scan_of(folder: Path, frames: int) -> Scan:
    """A scan of JPEGs whose detail is like a photograph's: smooth noise at several scales."""
    rng = np.random.default_rng(0)
    scan_frames = []
    for frame_index in range(frames):
        layers = [
            Image.fromarray(rng.integers(0, 256, (s, s, 3), np.uint8)).resize((WIDTH, HEIGHT)) for s in (4, 30, 200)
        ]
        path = folder / f"{frame_index}.jpg"
        write_image(path, np.mean([np.asarray(layer) for layer in layers], axis=0).astype(np.uint8))
        scan_frames.append(Frame(str(frame_index), path, path, np.eye(4)))
    camera = Camera(WIDTH, HEIGHT, 500.0, 500.0, 320.0, 240.0)
    return Scan("scene", camera, camera, 1000.0, tuple(scan_frames))


def networks_in(folder: Path) -> tuple[Detector, Masker]:
    """The tiny networks, saved in `folder` and loaded from there."""
    detector = tiny.save(tiny.grounding_dino(), folder / "grounding-dino-tiny")
    masker = tiny.save(tiny.sam(), folder / "sam-vit-huge")
    return load_networks("transformers", detector, masker, "cpu", "float32")


def our_seconds(scan: Scan, networks: tuple[Detector, Masker], folder: Path) -> tuple[float, float]:
    """The median seconds a frame over batches: the wall time, and the wall time without that of the networks."""
    batch = 4
    detector = Timed(networks[0])
    masker = Timed(networks[1])
    parameters = MasksParameters(box_threshold=0.25, text_threshold=0.25, duplicate_iou=0.8, min_area=25)
    segmenter = GroundedSam(detector, masker, lambda frame: read_color(frame.color), parameters, batch, print)
    wall = []
    ours = []
    started = time.perf_counter()
    before = 0.0
    for frame_index, detections in enumerate(segmenter.segment(scan, TABLE)):
        assert len(detections) == DETECTIONS, f"{len(detections)} detections"
        write_frame(folder / "frames", scan.frames[frame_index].name, detections, TABLE)
        if frame_index % batch == batch - 1:
            batch_seconds = time.perf_counter() - started
            network_seconds = detector.seconds + masker.seconds - before
            wall.append(batch_seconds / batch)
            ours.append((batch_seconds - network_seconds) / batch)
            started = time.perf_counter()
            before = detector.seconds + masker.seconds
    return float(np.median(wall)), float(np.median(ours))


def transformers_seconds(scan: Scan, networks: tuple[Detector, Masker]) -> float:
    """The median seconds a frame of preparation and post-processing by the processors of transformers."""
    from transformers import GroundingDinoImageProcessor, SamImageProcessor, SamProcessor

    detector_processor = GroundingDinoImageProcessor()
    masker_processor = SamProcessor(SamImageProcessor())
    (prompt,) = build_prompts(words_of(TABLE))
    detector = Timed(networks[0])
    masker = Timed(networks[1])
    boxes_px = [(boxes() * [WIDTH, HEIGHT, WIDTH, HEIGHT]).tolist()]
    seconds = []
    for frame in scan.frames:
        started = time.perf_counter()
        before = detector.seconds + masker.seconds
        image = Image.open(frame.color).convert("RGB")
        detector.detect(detector_processor(images=image, return_tensors="pt")["pixel_values"], prompt)
        prepared = masker_processor(images=image, input_boxes=boxes_px, return_tensors="pt")
        embedding = masker.embed(prepared["pixel_values"])
        logits = masker.decode(embedding[0], prepared["input_boxes"][0].numpy().astype(np.float32))
        sizes = prepared["original_sizes"], prepared["reshaped_input_sizes"]
        masker_processor.image_processor.post_process_masks(torch.from_numpy(logits)[None, :, None], *sizes)
        seconds.append(time.perf_counter() - started - (detector.seconds + masker.seconds - before))
    return float(np.median(seconds))


if __name__ == "__main__":
    typer.run(main)
