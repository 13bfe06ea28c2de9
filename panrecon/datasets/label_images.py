"""Label images of a sequence: a semantic and an instance image a frame, in any data set's ids."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int

from panrecon.errors import InputError
from panrecon.io.ids import categories_of_ids, instances_of_ids
from panrecon.io.images import has_8_bits, read_ids
from panrecon.structures import CategoryTable, Labels
from panrecon.visualization import evenly_spaced

Decode = Callable[[Int[np.ndarray, "h w"], Int[np.ndarray, "h w"]], Labels]
SEMANTIC_FOLDERS = ("semantic", "label")
MANY_IDS = 250  # of the 256 that 8 bits hold


@dataclass(frozen=True)
class LabelFrames:
    """Label images of a sequence, read one frame at a time.

    `files` are the semantic and the instance image of every frame, in the order taken; `decode` makes labels of them.
    Instance numbers are kept whatever the class, of stuff and of void too, for some protocols count them.
    """

    source: Path
    files: Mapping[str, tuple[Path, Path]]
    decode: Decode

    def matching_frame(self, frame: str) -> str | None:
        """The name here of a frame named elsewhere: `120` and `000120` are one frame."""
        return self._name_of_frame.get(_frame(frame))

    @cached_property
    def _name_of_frame(self) -> dict[int | str, str]:
        return {_frame(name): name for name in self.files}

    def read(self, frame: str) -> Labels:
        """The labels of a frame, by its name here or elsewhere.

        Raises:
            InputError: there is no such frame, or its two images differ in size or are no images of ids.
        """
        name = self.matching_frame(frame)
        if name is None:
            raise InputError(
                f"{self.source} has no label image of frame {frame}, only of {_abbreviated(self.files)}; "
                "score the frames that both sides have."
            )
        semantic, instance = map(read_ids, self.files[name])
        if semantic.shape != instance.shape:
            paths = self.files[name]
            raise InputError(
                f"{paths[0]} is {_size(semantic)} pixels, {paths[1]} is {_size(instance)}; export both at one size."
            )
        return self.decode(semantic, instance)


def read_label_frames(folder: Path, table: CategoryTable, remembers_unlisted: bool = False) -> LabelFrames:
    """`semantic/<frame>.png` (or `label/`) and `instance/<frame>.png`, 8 or 16 bit: the table's ids and instance ids.

    0 means void and none; ids that the table does not list become void, or `VOID` - id to remember them.

    Raises:
        InputError: a folder is missing or holds no image, or a frame has only one of its two images.
    """

    def decode(semantic: Int[np.ndarray, "h w"], instance: Int[np.ndarray, "h w"]) -> Labels:
        return Labels(categories_of_ids(semantic, table, remembers_unlisted), instances_of_ids(instance))

    return LabelFrames(folder, paired_images(semantic_folder(folder), folder / "instance"), decode)


def label_pairs(prediction: LabelFrames, truth: LabelFrames) -> Iterator[tuple[Labels, Labels]]:
    """The labels of every predicted frame and of its truth, one frame in memory at a time, both read at once."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        for frame in prediction.files:
            predicted = pool.submit(prediction.read, frame)
            true = pool.submit(truth.read, frame)
            yield predicted.result(), true.result()


def sampled_ids(frames: LabelFrames, count: int = 8) -> Int[np.ndarray, " n"]:
    """The semantic ids of at most `count` evenly spaced frames, as the files have them."""
    names = list(frames.files)
    sampled = [names[index] for index in evenly_spaced(len(names), count)]
    return np.unique(np.concatenate([np.unique(read_ids(frames.files[name][0])) for name in sampled]))


def may_have_wrapped(frames: LabelFrames, count: int = 8) -> bool:
    """Whether instance images of 8 bits have so many ids that some were more than these bits hold.

    At most `count` evenly spaced frames are looked at.
    """
    names = list(frames.files)
    paths = [frames.files[names[index]][1] for index in evenly_spaced(len(names), count)]
    narrow = [np.unique(read_ids(path)) for path in paths if has_8_bits(path)]
    return bool(narrow) and len(np.unique(np.concatenate(narrow))) >= MANY_IDS


def has_label_images(folder: Path) -> bool:
    """Whether a folder has the layout of `read_label_frames`."""
    return semantic_folder(folder).is_dir() and (folder / "instance").is_dir()


def semantic_folder(folder: Path) -> Path:
    """`semantic/` or `label/`, whichever exists; `semantic/` if neither does."""
    existing = (folder / name for name in SEMANTIC_FOLDERS if (folder / name).is_dir())
    return next(existing, folder / SEMANTIC_FOLDERS[0])


def paired_images(semantic: Path, instance: Path) -> dict[str, tuple[Path, Path]]:
    """The PNGs of every frame in two folders, by the semantic image's stem, in the order of their numbers.

    Raises:
        InputError: a folder is missing or empty, names a frame twice, or a frame is in one folder only.
    """
    semantics = _images_by_frame(semantic)
    instances = _images_by_frame(instance)
    for here, there, folder in ((semantics, instances, instance), (instances, semantics, semantic)):
        alone = next((path for frame, path in here.items() if frame not in there), None)
        if alone is not None:
            raise InputError(f"{alone} has no partner in {folder}; export it, or remove {alone}.")
    return {path.stem: (path, instances[frame]) for frame, path in semantics.items()}


def in_order(paths: Iterable[Path]) -> list[Path]:
    """In the order of the numbers that are their stems (3, 5, ... 101), other names after them."""

    def place(path: Path) -> tuple[bool, int, str]:
        frame = _frame(path.stem)
        return (False, frame, path.stem) if isinstance(frame, int) else (True, 0, frame)

    return sorted(paths, key=place)


def _frame(name: str) -> int | str:
    """What tells frames apart."""
    return int(name) if name.isdecimal() else name


def _images_by_frame(folder: Path) -> dict[int | str, Path]:
    paths = in_order(path for path in folder.glob("*") if path.suffix.lower() == ".png")
    if not paths:
        raise InputError(f"There is no label image <frame>.png in {folder}; export them there.")
    path_of_frame: dict[int | str, Path] = {}
    for path in paths:
        first = path_of_frame.setdefault(_frame(path.stem), path)
        if first != path:
            raise InputError(f"{first} and {path.name} are the same frame; remove one.")
    return path_of_frame


def _abbreviated(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed) if len(listed) <= 4 else f"{', '.join(listed[:3])} ... {listed[-1]}"


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
