"""Is the list of words a gamble? What one synonym more or less costs on the real scans, and all changes together.

Ten changes are drawn from a pool: a word of the detections that no class has becomes a synonym of a class of which a
person might think so (a laptop is a tv), or a synonym of the class table is taken out where another word of its class
is detected. Detections are precomputed, so a change adds or drops masks; what a detector would do with another prompt
is not measured. A word that is not detected in a scan changes nothing there.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
import typer

from benchmarks.labels_against_baseline import choose
from benchmarks.measure import pipeline_steps, scores
from benchmarks.results import Report, Table, text_of, write_result
from benchmarks.scenes import DATASET, BenchScene, find_scenes, run_pipeline
from benchmarks.study import ROOMS, RUNS, SharedOption
from panrecon.config import Settings
from panrecon.datasets.base import dataset
from panrecon.io.categories import read_categories
from panrecon.io.files import read_json, write_json
from panrecon.structures import VOID, CategoryTable, normalised
from panrecon.terminal import console, exit_on_input_error

NAME: Final = "word_lists"
CHANGES: Final = 10
SEED: Final = 0
PLAUSIBLE: Final[Mapping[str, tuple[str, ...]]] = {  # words that a person might give to a class
    "floor": ("rug",),
    "cabinet": ("refrigerator", "oven", "microwave", "sink"),
    "counter": ("sink", "bench"),
    "window": ("curtain", "mirror"),
    "table": ("bench",),
    "chair": ("bench", "sofa", "couch", "bed"),
    "sofa": ("bed", "bench"),
    "plant": ("vase",),
    "cup": ("bottle", "vase", "bowl"),
    "poster": ("mirror", "curtain"),
    "backpack": ("suitcase", "handbag"),
    "box": ("suitcase", "microwave"),
    "crate": ("suitcase",),
    "coffee machine": ("microwave", "oven"),
    "kitchen item": ("bottle", "microwave", "sink"),
    "tv": ("laptop", "microwave"),
    "keyboard": ("laptop",),
    "game controller": ("remote", "cell phone"),
    "tray": ("bowl",),
    "container": ("bowl", "bottle"),
}


@dataclass(frozen=True)
class Change:
    """A synonym more of a class, or one less."""

    adds: bool
    word: str
    category: str

    def __str__(self) -> str:
        """As a row of the table says it."""
        return f"{'with' if self.adds else 'without'} {self.word} for {self.category}"

    def is_possible(self, table: CategoryTable, detected: Mapping[str, int]) -> bool:
        """Whether it changes the masks of a scan, and leaves every class a word that is detected."""
        category_index = table.index_of(self.category)
        if category_index == VOID or table[category_index].name != self.category or self.word not in detected:
            return False
        if self.adds:
            return table.index_of(self.word) == VOID
        words = {word for word in detected if table.index_of(word) == category_index}
        return self.word in words and self.word != normalised(self.category) and len(words) > 1

    def applied(self, record: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """A record of the detections as the other list of words reads it; None for one that it skips."""
        if normalised(record["category"]) != self.word:
            return record
        return {**record, "category": self.category} if self.adds else None


@dataclass(frozen=True)
class RealScan:
    """A scene with its class table and its detections."""

    scene: BenchScene
    table: CategoryTable
    records: Sequence[Mapping[str, Any]]

    @property
    def detected(self) -> Counter[str]:
        """How often every word is detected."""
        return Counter(normalised(record["category"]) for record in self.records)

    def possible(self, changes: Sequence[Change]) -> list[Change]:
        """Those of the changes that change its masks."""
        return [change for change in changes if change.is_possible(self.table, self.detected)]

    def quality(self, changes: Sequence[Change], until: str) -> float:
        """Strict PQ in per cent after the stage `until`, with masks as the changed list of words reads them."""
        records = list(self.records)
        for change in changes:
            records = [changed for record in records if (changed := change.applied(record)) is not None]
        path = RUNS.parent / NAME / f"{self.scene.name}.json"
        write_json(path, records)
        run_pipeline(self.scene, RUNS, NAME, until, [f"masks.detections={path}"])
        steps = pipeline_steps(RUNS / NAME / DATASET / self.scene.name, self.table, until)
        truth = dataset(DATASET).annotation(self.scene.raw, self.table)
        of_step = scores(steps, truth, self.table, Settings().quality.radius)
        return 100 * list(of_step.values())[-1]["pq"]


def main(
    scenes: Annotated[str, typer.Option(help="names of scenes, joined by commas; default all real ones")] = "",
    until: Annotated[str, typer.Option(help="last stage: panoptic, or graph, which is quick")] = "panoptic",
    shared: SharedOption = None,
) -> None:
    """A table with a row for every change: the change of PQ in every scan, and of their mean."""
    with exit_on_input_error():
        of_features = RUNS / NAME / "features"
        real = [scene for scene in find_scenes("0", ROOMS, shared, of_features) if scene.kind == "real"]
        scans = [read_real_scan(scene) for scene in choose(scenes, real)]
        if not scans:
            console.print("Without real scans there is nothing to measure.", highlight=False)
            raise typer.Exit
        drawn = draw(scans)
        unchanged = [scan.quality([], until) for scan in scans]
        costs = {str(change): changes_of(scans, [change], unchanged, until) for change in drawn}
        costs["all together"] = changes_of(scans, drawn, unchanged, until)
        rows = [[name, *(f"{value:+.1f}" for value in (*of_scan, np.mean(of_scan)))] for name, of_scan in costs.items()]
        names = [scan.scene.name for scan in scans]
        first = ["as it is: PQ", *(f"{value:.1f}" for value in (*unchanged, np.mean(unchanged)))]
        of_single = [float(np.mean(costs[str(change)])) for change in drawn]
        summary = f"A single change moves the mean by {np.mean(of_single):+.1f} PQ, {min(of_single):+.1f} at worst."
        report: Report = [Table([f"words, after {until}", *names, "mean"], [first, *rows]), summary]
        write_result(NAME, report, {"scenes": names, "unchanged": unchanged, "changes": costs, "until": until})
        print(text_of(report))


def read_real_scan(scene: BenchScene) -> RealScan:
    """The table and the detections of a raw scene."""
    return RealScan(scene, read_categories(scene.raw / "classes.csv"), read_json(scene.raw / "detections.json"))


def draw(scans: Sequence[RealScan]) -> list[Change]:
    """Changes drawn at random, without replacement, from those that change the masks of a scan; no word twice."""
    additions = [Change(True, word, category) for category, words in PLAUSIBLE.items() for word in words]
    removals = [
        Change(False, normalised(synonym), category.name)
        for scan in scans
        for category in scan.table
        for synonym in category.synonyms
    ]
    pool = dict.fromkeys(change for scan in scans for change in scan.possible([*additions, *removals]))
    shuffled = np.random.default_rng(SEED).permutation(np.array(list(pool), dtype=object))
    of_word: dict[str, Change] = {}
    for change in shuffled:
        of_word.setdefault(change.word, change)
    return list(of_word.values())[:CHANGES]


def changes_of(
    scans: Sequence[RealScan], changes: Sequence[Change], unchanged: Sequence[float], until: str
) -> list[float]:
    """The change of PQ in every scan, in points; 0 where the changes say nothing of its masks."""
    return [
        scan.quality(possible, until) - before if (possible := scan.possible(changes)) else 0.0
        for scan, before in zip(scans, unchanged, strict=True)
    ]


if __name__ == "__main__":
    typer.run(main)
