"""ScanNet's label map `scannetv2-labels.combined.tsv`: the words that its raw label ids stand for."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from panrecon.errors import InputError
from panrecon.structures import VOID, CategoryTable, normalised

FILE_NAME = "scannetv2-labels.combined.tsv"
WORD_COLUMNS = ("raw_category", "category", "nyu40class")  # from the finest to the coarsest
PARENTS_SEARCHED = 3  # a release keeps the map beside scans/, two folders above a scan


@dataclass(frozen=True)
class LabelMap:
    """The raw id of every annotator's word, and the words of every raw id, the finest first."""

    raw_id_of_word: Mapping[str, int]
    words_of_raw_id: Mapping[int, tuple[str, ...]]

    def index_of_raw_id(self, table: CategoryTable) -> dict[int, int]:
        """The class index of every raw id that a class means.

        A class that lists `raw_ids` means exactly these; its synonyms, which are a detector's words, add none. Any
        other class means the ids that its name or a synonym is a word of.
        """
        index_of_raw_id = dict(table.index_of_raw_id)
        for raw_id, words in self.words_of_raw_id.items():
            indices = [index for index in map(table.index_of, words) if index != VOID and not table[index].raw_ids]
            if indices:
                index_of_raw_id.setdefault(raw_id, indices[0])
        return index_of_raw_id


def find_label_map(folder: Path) -> Path | None:
    """The label map in a folder or up to three folders above it."""
    start = folder.absolute()
    candidates = (above / FILE_NAME for above in (start, *start.parents[:PARENTS_SEARCHED]))
    return next((path for path in candidates if path.is_file()), None)


def read_label_map(path: Path) -> LabelMap:
    """The map of a file with tabs between the columns `id`, `raw_category`, `category` and `nyu40class`.

    Raises:
        InputError: there is no such file, it lacks a column, or an id is no number.
    """
    if not path.is_file():
        raise InputError(f"The label map {path} does not exist; name ScanNet's {FILE_NAME}.")
    try:
        records = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), delimiter="\t"))
        ids = [int(record["id"]) for record in records]
        columns = [[normalised(record[column] or "") for record in records] for column in WORD_COLUMNS]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"The label map {path} is not ScanNet's ({error}); name {FILE_NAME}.") from error
    raw_id_of_word: dict[str, int] = {}
    for word, raw_id in zip(columns[0], ids, strict=True):
        raw_id_of_word.setdefault(word, raw_id)
    words: dict[int, dict[str, None]] = {raw_id: {} for raw_id in ids}
    for column in columns:
        for raw_id, word in zip(ids, column, strict=True):
            words[raw_id][word] = None
    words_of_raw_id = {raw_id: tuple(word for word in distinct if word) for raw_id, distinct in words.items()}
    return LabelMap(raw_id_of_word, words_of_raw_id)
