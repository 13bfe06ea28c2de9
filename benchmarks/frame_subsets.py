"""How far do results on the real scans hang on a few frames? Every step on five random 90 % of them, and on all.

A single figure of a small scene hangs on one class at IoU 0.5; the mean over subsets is what the scan tells. Detections
and features are the scan's own.
"""

import shutil
from collections.abc import Mapping
from typing import Annotated, Final

import numpy as np
import typer

from benchmarks.labels_against_baseline import choose
from benchmarks.measure import pipeline_steps, scores
from benchmarks.results import Table, text_of, write_result
from benchmarks.scenes import DATASET, BenchScene, find_scenes, run_pipeline
from benchmarks.study import RUNS, SharedOption
from panrecon.config import Settings
from panrecon.datasets.base import dataset
from panrecon.evaluation.report.record import nan_to_null
from panrecon.io.categories import read_categories
from panrecon.io.files import read_json, write_json
from panrecon.terminal import exit_on_input_error

NAME: Final = "frame_subsets"
SHARE: Final = 0.9  # of the frames
SUBSETS: Final = 5
OF_FRAMES: Final = ("color", "depth", "pose", "features")  # folders with one file a frame
Scores = Mapping[str, Mapping[str, float]]  # by step


def main(
    scenes: Annotated[str, typer.Option(help="names of scenes, joined by commas; default all real ones")] = "",
    subsets: Annotated[int, typer.Option(help="random subsets of the frames")] = SUBSETS,
    shared: SharedOption = None,
) -> None:
    """A table with PQ after every step: of all frames, and the mean and the least of the subsets."""
    with exit_on_input_error():
        found = find_scenes("0", RUNS, shared, RUNS / NAME / "features")
        record: dict[str, dict[str, Scores]] = {}
        for scene in choose(scenes, [scene for scene in found if scene.kind == "real"]):
            record[scene.name] = {"all": measured(scene, scene)}
            for seed in range(subsets):
                record[scene.name][f"subset {seed}"] = measured(subset(scene, seed), scene)
        rows = [row for name, by_frames in record.items() for row in rows_of(name, by_frames)]
        report = [Table(["scene", "labels", "all frames: PQ", "mean of subsets", "least", "greatest"], rows)]
        write_result(NAME, report, {"scenes": nan_to_null(record)})
        print(text_of(report))


def subset(scene: BenchScene, seed: int) -> BenchScene:
    """The scene with a random share of its frames, as links to its files."""
    raw = RUNS.parent / NAME / f"{scene.name}_{seed}"
    shutil.rmtree(raw, ignore_errors=True)
    raw.mkdir(parents=True)
    names = sorted(path.stem for path in (scene.raw / "color").iterdir())
    count = round(SHARE * len(names))
    retained = set(np.random.default_rng(seed).choice(names, count, replace=False).tolist())
    for path in sorted(scene.raw.iterdir()):
        target = raw / path.name
        if path.name in OF_FRAMES:
            target.mkdir()
            for file in path.iterdir():
                if file.stem in retained:
                    (target / file.name).symlink_to(file)
        elif path.name == "detections.json":
            write_json(target, [detection for detection in read_json(path) if str(detection["image_id"]) in retained])
        else:
            target.symlink_to(path)
    return BenchScene(scene.kind, raw, scene.overrides)


def measured(scene: BenchScene, whole: BenchScene) -> Scores:
    """The strict scores of all steps against the truth of the whole scene."""
    run_pipeline(scene, RUNS, NAME, "panoptic", [])
    run = RUNS / NAME / DATASET / scene.name
    table = read_categories(run / "scan" / "classes.csv")
    truth = dataset(DATASET).annotation(whole.raw, table)
    return scores(pipeline_steps(run, table, "quality"), truth, table, Settings().quality.radius)


def rows_of(name: str, by_frames: Mapping[str, Scores]) -> list[list[str]]:
    """A row for every step of a scene."""
    rows = []
    for step, of_all in by_frames["all"].items():
        values = [100 * steps[step]["pq"] for frames, steps in by_frames.items() if frames != "all"]
        cells = [f"{np.mean(values):.1f}", f"{min(values):.1f}", f"{max(values):.1f}"] if values else ["", "", ""]
        rows.append([name, step, f"{100 * of_all['pq']:.1f}", *cells])
    return rows


if __name__ == "__main__":
    typer.run(main)
