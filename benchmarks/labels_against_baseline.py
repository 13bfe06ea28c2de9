"""Are the pipeline's labels better than fusing every frame's labels into the surface by vote (`plain_fusion`)?

Both read the same scan, mesh and detections, and are scored on the same true mesh by the strict rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.measure import BASELINE, ProcessCost, pipeline_steps, run_baseline, scores, stage_costs, stages_until
from benchmarks.plain_fusion import MIN_OVERLAP
from benchmarks.results import Report, text_of, write_result
from benchmarks.scenes import DATASET, BenchScene, find_scenes, prepare, run_pipeline
from benchmarks.tables import Rows, cost_table, margins, mean_rows, score_table, summary_table
from panrecon.config import Settings
from panrecon.datasets.base import dataset
from panrecon.errors import InputError
from panrecon.evaluation.report.record import nan_to_null
from panrecon.io.categories import read_categories
from panrecon.terminal import exit_on_input_error
from panrecon.workflow.scenes import settings_of

RUN = "bench"
NAME = "labels_against_baseline"


def main(
    scenes: Annotated[str, typer.Option(help="names of scenes, joined by commas; default all there are")] = "",
    seeds: Annotated[str, typer.Option(help="seeds of the simulated rooms, joined by commas")] = "0,1,2",
    until: Annotated[str, typer.Option(help="last stage; graph is quick")] = "quality",
    shared: Annotated[
        Path | None, typer.Option(envvar="PANRECON_BENCH_DATA", help="folder that holds rendered/ and real/")
    ] = None,
    data: Annotated[Path, typer.Option(help="folder of the simulated rooms")] = Path("data/raw/scannet"),
    runs: Annotated[Path, typer.Option(help="folder of all runs")] = Path("data/runs"),
    override: Annotated[list[str], typer.Option("--set", help="section.key=value for the pipeline")] = [],  # noqa: B006
) -> None:
    """The pipeline against plain fusion: prints a table, writes it and JSON; what is up to date is not run again."""
    with exit_on_input_error():
        if "graph" not in stages_until(until):
            raise InputError(f"The stage {until!r} gives no labels to compare; graph is the first that does.")
        settings, features = settings_of(DATASET, [], override), runs / RUN / "features"
        rows: dict[str, Rows] = {}
        costs: dict[str, Mapping[str, ProcessCost]] = {}
        chosen = choose(scenes, find_scenes(seeds, data.resolve(), shared, features.resolve()))
        for scene in chosen:
            prepare(scene, features)
            run_pipeline(scene, runs, RUN, until, override)
            rows[scene.name], costs[scene.name] = compare(scene, runs / RUN / DATASET / scene.name, settings, until)
        means = mean_of_kinds(chosen, rows)
        summary = margins(mean_rows(list(rows.values())))
        report: Report = [summary_table({**rows, **means}), summary, score_table({**rows, **means}), cost_table(costs)]
        write_result(NAME, report, measurements(rows, means, costs, until, override))
        print(text_of(report))


def choose(names: str, found: Sequence[BenchScene]) -> list[BenchScene]:
    """The scenes of these names in the order of `found`; all without names."""
    wanted = set(filter(None, names.split(",")))
    unknown = wanted - {scene.name for scene in found}
    if unknown:
        there = ", ".join(scene.name for scene in found)
        raise InputError(f"There is no scene {', '.join(sorted(unknown))}; there are {there}.")
    return [scene for scene in found if not wanted or scene.name in wanted]


def compare(scene: BenchScene, run: Path, settings: Settings, until: str) -> tuple[Rows, dict[str, ProcessCost]]:
    """Scores of both variants of the baseline and of every step of the pipeline, and what all of it cost."""
    table = read_categories(run / "scan" / "classes.csv")
    baseline = run_baseline(run, settings.mesh)
    truth = dataset(DATASET).annotation(scene.raw, table)
    predictions = {**baseline.meshes, **pipeline_steps(run, table, until)}
    costs = {**stage_costs(run, until), BASELINE: baseline.cost}
    return scores(predictions, truth, table, settings.quality.radius), costs


def mean_of_kinds(scenes: Sequence[BenchScene], rows: Mapping[str, Rows]) -> dict[str, Rows]:
    """The mean of every kind of scene, and of all, of which there are several."""
    groups = {f"mean {kind}": [s.name for s in scenes if s.kind == kind] for kind in ("room", "rendered", "real")}
    groups["mean all"] = list(rows)
    return {title: mean_rows([rows[name] for name in names]) for title, names in groups.items() if len(names) > 1}


def measurements(
    rows: Mapping[str, Rows],
    means: Mapping[str, Rows],
    costs: Mapping[str, Mapping[str, ProcessCost]],
    until: str,
    override: Sequence[str],
) -> dict[str, Any]:
    """Everything in the JSON file; nan as null."""
    return {
        "until": until,
        "set": list(override),
        "protocol": "strict",
        "min_overlap": MIN_OVERLAP,
        "scenes": {scene: {"scores": nan_to_null(found), "cost": plain(costs[scene])} for scene, found in rows.items()},
        "means": {name: nan_to_null(found) for name, found in means.items()},
    }


def plain(costs: Mapping[str, ProcessCost]) -> dict[str, dict[str, float]]:
    return {stage: asdict(cost) for stage, cost in costs.items()}


if __name__ == "__main__":
    typer.run(main)
