"""How good are the labels of drives? Simulated streets in KITTI-360's layout, and a rendered one where it exists.

Detections and features are simulated from the truth (panrecon simulate), never Grounded-SAM's or DINOv2's.
"""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from benchmarks.results import Report, Table, text_of, write_result
from benchmarks.scenes import panrecon
from panrecon.evaluation.report.markdown import STEPS, TITLES
from panrecon.io.files import read_json
from panrecon.terminal import console, exit_on_input_error

DATASET: Final = "kitti360"
RENDERED: Final = "city_a"
NAME: Final = "drive_quality"
MEANS: Final = ("pq", "sq", "rq", "pq_things", "pq_stuff")
COSTLY: Final = ("scan", "mesh", "graph", "field")  # stages whose cost is reported


def main(
    seeds: Annotated[str, typer.Option(help="seeds of the simulated streets, joined by commas")] = "0,1",
    shared: Annotated[
        Path | None, typer.Option(envvar="PANRECON_BENCH_DATA", help="folder that holds rendered/city_a")
    ] = None,
    data: Annotated[Path, typer.Option(help="folder of the simulated streets")] = Path("data/raw/kitti360"),
    runs: Annotated[Path, typer.Option(help="folder of all runs")] = Path("data/runs"),
) -> None:
    """Strict panoptic quality after every step, time and memory: prints a table, writes it and JSON."""
    with exit_on_input_error():
        folders = [street(int(seed), data.resolve()) for seed in seeds.split(",")]
        if shared is not None and (shared / "rendered" / RENDERED).is_dir():
            folders.append(shared.resolve() / "rendered" / RENDERED)
        else:
            console.print(f"PANRECON_BENCH_DATA holds no rendered/{RENDERED}: simulated streets alone are scored.")
        records = {folder.name: scored(folder, runs) for folder in folders}
        report: Report = [quality_table(records), cost_table(records)]
        write_result(NAME, report, {"protocol": "strict", "drives": records})
        print(text_of(report))


def street(seed: int, data: Path) -> Path:
    """The simulated drive of this seed, created if absent."""
    folder = data / f"street{seed}"
    if not folder.is_dir():
        panrecon("simulate", "street", str(folder), "--seed", str(seed))
    return folder


def scored(folder: Path, runs: Path) -> dict[str, Any]:
    """Scores and costs of a drive, after running all stages with simulated detections and features."""
    run = runs / "bench" / DATASET / folder.name
    simulated = (runs / "bench" / "drives" / folder.name).resolve()
    if not (simulated / "features" / "features.json").is_file():
        panrecon("simulate", "detections", str(folder), "--out", str(simulated / "detections.json"))
        panrecon("simulate", "features", str(folder), "--out", str(simulated / "features"))
    sources = [f"masks.detections={simulated / 'detections.json'}", f"features.folder={simulated / 'features'}"]
    options = [argument for source in sources for argument in ("--set", source)]
    panrecon(
        "run", f"{DATASET}/{folder.name}", "--data", str(folder.parent), "--runs", str(runs), "--run", "bench", *options
    )
    scene = read_json(run / "quality" / "quality.json")["scenes"][folder.name]
    costs = {stage: read_json(run / stage / "settings.json") for stage in COSTLY}
    return {
        "frames": len(read_json(run / "scan" / "scan.json")["frames"]),
        "steps": {step: scene["steps"][step]["protocols"]["strict"]["mean"] for step in STEPS},
        "truth": scene["truth"],
        "cost": {stage: {key: cost[key] for key in ("seconds", "peak_memory_mb")} for stage, cost in costs.items()},
    }


def quality_table(records: dict[str, dict[str, Any]]) -> Table:
    """A table with a row for every drive and step, in per cent."""
    rows = [
        [name, TITLES[step], *(f"{100 * record['steps'][step][mean]:.1f}" for mean in MEANS)]
        for name, record in records.items()
        for step in STEPS
    ]
    return Table(["drive", "labels after", "PQ", "SQ", "RQ", "PQ things", "PQ stuff"], rows)


def cost_table(records: dict[str, dict[str, Any]]) -> Table:
    """A table with a row for every drive: wall time and peak memory of the costly stages."""
    rows = [
        [
            f"{name}, {record['frames']} frames",
            *(f"{cost['seconds']:.0f} s, {cost['peak_memory_mb']} MB" for cost in record["cost"].values()),
        ]
        for name, record in records.items()
    ]
    return Table(["drive", *COSTLY], rows)


if __name__ == "__main__":
    typer.run(main)
