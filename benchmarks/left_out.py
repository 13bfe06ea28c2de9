"""Scenes whose prompts lack a third of the classes: what a user gets who did not name everything there is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.scenes import DATASET, BenchScene, panrecon, prepare, run_pipeline
from benchmarks.study import RUNS
from panrecon.io.categories import read_categories, write_categories
from panrecon.structures import CategoryTable

SHARE: Final = 3  # one of so many classes is left out


@dataclass(frozen=True)
class LeftOut:
    """A scene and the names of the classes that its prompts lack (none at all = all prompts); `table` has all."""

    scene: BenchScene
    table: CategoryTable
    names: tuple[str, ...]
    level: float

    @classmethod
    def of(cls, scene: BenchScene, seed: int, level: float = 1.0) -> "LeftOut":
        """A random third of the things and of the stuff."""
        table = read_categories(scene.raw / "classes.csv")
        generator = np.random.default_rng(seed)
        names: list[str] = []
        for thing in (True, False):
            of_kind = [category.name for category in table if category.thing == thing]
            names += generator.choice(of_kind, round(len(of_kind) / SHARE), replace=False).tolist()
        return cls(scene, table, tuple(names), level)

    @property
    def kind(self) -> str:
        """What the prompts lack, in a word for folders."""
        return "left_out" if self.names else "all_prompts"

    @property
    def run_name(self) -> str:
        """The name of the run, by the level of mask faults."""
        return f"{self.kind}{self.level:g}"

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return RUNS / self.run_name / DATASET / self.scene.name

    def run_until(self, stage: str, overrides: Sequence[str] = ()) -> None:
        """Simulates what is missing, and runs all stages up to this one."""
        prepare(self.scene, RUNS / self.kind / "features")
        inputs = RUNS / self.kind / "inputs"
        classes = inputs / f"{self.scene.name}_{self.level:g}.csv"
        if not classes.is_file():
            inputs.mkdir(parents=True, exist_ok=True)
            prompted = tuple(category for category in self.table if category.name not in self.names)
            write_categories(classes, replace(self.table, categories=prompted))
        detections = inputs / f"{self.scene.name}_{self.level:g}.json"
        if not detections.is_file():
            without = [argument for name in self.names for argument in ("--without", name)]
            options = ["--out", str(detections), "--level", str(self.level), *without]
            panrecon("simulate", "detections", str(self.scene.raw), *options)
        settings = [f"scan.classes={classes}", f"masks.detections={detections}", *overrides]
        run_pipeline(self.scene, RUNS, self.run_name, stage, settings)
