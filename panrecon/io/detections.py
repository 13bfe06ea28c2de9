"""Detections as COCO results: `image_id, category, score, bbox [x, y, w, h], segmentation (compressed RLE)`."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco

from panrecon.errors import InputError, reason
from panrecon.io.files import atomic_write, read_json, write_text
from panrecon.io.images import MAX_PIXELS
from panrecon.structures import VOID, CategoryTable, Detections

FIRST_LETTER: Final = 48  # of a compressed run-length code: its 0
MAX_LETTERS: Final = 7  # of a run: 35 bits


@dataclass(frozen=True)
class DetectionFile(Mapping[str, Detections]):
    """Detections by frame name, their masks decoded on access, most certain first.

    `skipped` counts detections by words of no class.
    """

    records: Mapping[str, list[dict[str, Any]]]
    table: CategoryTable
    skipped: Mapping[str, int]

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, frame: str) -> Detections:
        records = sorted(self.records[frame], key=_certain_first)
        masks = [_mask(frame, record["segmentation"]) for record in records]
        sizes = sorted({mask.shape for mask in masks})
        if len(sizes) > 1:
            raise InputError(f"Masks of frame {frame} are of sizes {sizes} (rows, columns); an image has one size.")
        return Detections(
            np.array([self.table.index_of(record["category"]) for record in records], dtype=np.int32),
            np.array([record["score"] for record in records], dtype=np.float32),
            np.stack(masks),
        )


def require_frame_of(file: DetectionFile, names: Sequence[str]) -> None:
    """Raises InputError where no detection is of a frame of these names."""
    if not set(names) & file.records.keys():
        raise InputError(
            f"No image_id of the detections (such as {next(iter(file.records))!r}) is a frame of the scan (such as "
            f"{names[0]!r}); image_id must be the frame's name."
        )


def read_detections(path: Path, table: CategoryTable) -> DetectionFile:
    """All detections whose word is a name or synonym of the table.

    Raises:
        InputError: there is none, none is of a known class, or a record is incomplete.
    """
    if not path.is_file():
        raise InputError(
            f"There are no detections at {path}; put COCO results of a segmenter there, or name masks.detections."
        )
    content = read_json(path)
    if not isinstance(content, list) or not content:
        raise InputError(f"{path} holds no detection; a list of COCO results is needed.")
    records: dict[str, list[dict[str, Any]]] = defaultdict(list)
    skipped: Counter[str] = Counter()
    for record_index, record in enumerate(content):
        _check(path, record_index, record)
        if table.index_of(record["category"]) == VOID:
            skipped[record["category"]] += 1
        else:
            records[str(record["image_id"])].append(record)
    if not records:
        words = ", ".join(sorted(skipped))
        raise InputError(
            f"No detection of {path} is of a class of the table; its words are {words}: add them as synonyms."
        )
    return DetectionFile(dict(records), table, dict(skipped))


def compressed(frames: Iterable[tuple[str, Detections]], table: CategoryTable) -> DetectionFile:
    """Detections by frame name in memory, as compact and in the order as `write_detections` keeps them on disk."""
    records = {
        frame: [json.loads(line) for line in _lines(frame, detections, table)]
        for frame, detections in frames
        if len(detections)
    }
    return DetectionFile(records, table, {})


def write_detections(path: Path, frames: Iterable[tuple[str, Detections]], table: CategoryTable) -> None:
    """Writes one record a detection, a line each, in the order given."""
    _write_lines(path, (line for frame, detections in frames for line in _lines(frame, detections, table)))


def write_frame(folder: Path, frame: str, detections: Detections, table: CategoryTable) -> None:
    """Writes the detections of one frame to a file of its own, until `join_frames` makes one of all."""
    write_text(_frame_file(folder, frame), "\n".join(_lines(frame, detections, table)))


def frames_written(folder: Path, names: Sequence[str]) -> list[bool]:
    """Which of the frames have their file."""
    return [_frame_file(folder, name).is_file() for name in names]


def join_frames(path: Path, folder: Path, names: Sequence[str]) -> int:
    """The number of detections, after joining the frames' own files to one as `write_detections` writes it."""
    return _write_lines(path, (line for name in names for line in _frame_file(folder, name).read_text().splitlines()))


def require_detections(count: int, frames: int) -> None:
    """Raises: InputError where a scan of so many frames has no detection, so that no later stage could go on."""
    if not count:
        raise InputError(
            f"No class of the table was found in any of {frames} frames; see what is asked for with "
            "`panrecon prompts`, or lower masks.box_threshold or masks.min_area."
        )


def _frame_file(folder: Path, frame: str) -> Path:
    return folder / f"{frame}.jsonl"


def _lines(frame: str, detections: Detections, table: CategoryTable) -> list[str]:
    return [
        json.dumps(_record(frame, table[category].name, float(score), mask))
        for category, score, mask in zip(detections.category, detections.score, detections.mask, strict=True)
    ]


def _write_lines(path: Path, lines: Iterable[str]) -> int:
    """A JSON list with an entry a line, never whole in memory; gives the number of entries."""
    count = 0
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write("[")
        for line in lines:
            file.write(f"{',' if count else ''}\n{line}")
            count += 1
        file.write("\n]\n")
    return count


def _record(frame: str, category: str, score: float, mask: np.ndarray) -> dict[str, Any]:
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    segmentation = {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")}
    bbox = [float(value) for value in coco.toBbox(encoded)]
    return {
        "image_id": frame,
        "category": category,
        "score": round(score, 4),
        "bbox": bbox,
        "segmentation": segmentation,
    }


def _certain_first(record: dict[str, Any]) -> tuple[float, str, str]:
    """Most certain first; equal scores in an order that only word and mask decide, whatever that of the file."""
    return -float(record["score"]), record["category"], str(record["segmentation"]["counts"])


def _mask(frame: str, segmentation: dict[str, Any]) -> Bool[np.ndarray, "h w"]:
    """The mask of COCO's compressed RLE or, where its counts are a list, of the uncompressed one."""
    size = segmentation["size"]
    is_size = isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
    if not is_size or size[0] * size[1] > MAX_PIXELS:
        raise InputError(f"A mask of frame {frame} has the size {size!r}; rows and columns of its image are needed.")
    try:
        counts = segmentation["counts"]
        if isinstance(counts, list) and not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("its counts are no whole numbers")
        covered = sum(counts) if isinstance(counts, list) else pixels_covered(str(counts))
        if covered != size[0] * size[1]:
            raise ValueError(f"its runs cover {covered} of {size[0]} x {size[1]} pixels")
        if isinstance(counts, list):
            segmentation = coco.frPyObjects(segmentation, *size)
        return coco.decode(segmentation).astype(bool)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise InputError(f"A mask of frame {frame} is no run-length code ({reason(error)}); export it anew.") from error


def pixels_covered(counts: str) -> int:
    """The pixels that a compressed run-length code of COCO's covers, those of background too.

    A letter holds five bits, least significant first, and whether more follow; from the fourth run on a number is the
    difference to the run before the last.

    Raises:
        ValueError: it is cut, or holds other letters or negative runs.
    """
    letters = np.frombuffer(counts.encode("latin-1"), np.uint8).astype(np.int64) - FIRST_LETTER
    is_last = (letters & 32) == 0
    if ((letters < 0) | (letters > 63)).any() or not is_last[-1:].all():
        raise ValueError("its counts are no letters of a whole code")
    first = np.flatnonzero(np.append(True, is_last[:-1])[: len(letters)])
    length = np.diff(np.append(first, len(letters)))
    if (length > MAX_LETTERS).any():
        raise ValueError("its counts hold a run of too many digits")
    place = np.arange(len(letters)) - np.repeat(first, length)
    numbers = np.add.reduceat((letters & 31) << (5 * place), first) if len(first) else np.zeros(0, np.int64)
    numbers -= np.where(letters[is_last] & 16, 1 << (5 * length), 0)
    runs = numbers.copy()
    for parity in (1, 2):
        runs[parity::2] = np.cumsum(numbers[parity::2])
    if (runs < 0).any():
        raise ValueError("its counts hold negative runs")
    return int(runs.sum())


def _check(path: Path, record_index: int, record: Any) -> None:
    missing = {"image_id", "category", "score", "segmentation"} - set(record if isinstance(record, dict) else ())
    if missing:
        raise InputError(f"Record {record_index} of {path} lacks {', '.join(sorted(missing))}; add it.")
    word = record["category"]
    score = record["score"]
    if not isinstance(word, str):
        raise InputError(f"Record {record_index} of {path} has the category {word!r}; the word of a class is needed.")
    if not isinstance(score, int | float) or not 0 <= score <= 1:
        raise InputError(f"Record {record_index} of {path} has the score {score!r}; a number from 0 to 1 is needed.")
    if not {"size", "counts"} <= set(record["segmentation"] if isinstance(record["segmentation"], dict) else ()):
        raise InputError(f"Record {record_index} of {path} has a segmentation that is no RLE; polygons are not read.")
