"""`panrecon estimate`: time, memory and disk space that a scene will take."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from panrecon.terminal import console, exit_on_input_error, progress_bar

if TYPE_CHECKING:
    from panrecon.profiling.costs import Estimate


def estimate(
    scene: Annotated[str, typer.Argument(help="<dataset>/<scene>, such as scannet/scene0087_02")],
    data: Annotated[Path | None, typer.Option(help="folder that holds <scene>/; default data/raw/<dataset>")] = None,
    settings: Annotated[list[Path], typer.Option("--settings", help="YAML files of settings; later ones win")] = [],  # noqa: B006
    override: Annotated[list[str], typer.Option("--set", help="section.key=value; several are allowed")] = [],  # noqa: B006
) -> None:
    """Time, memory and disk space of all stages of a scene, by running each on 20 frames, networks on fewer.

    Reads <data>/<scene>/ and the weights of networks that the settings ask for; writes nothing. Exit code 2: the input
    is wrong, in one sentence.
    """
    from panrecon.workflow.scenes import find_scene, settings_of

    with exit_on_input_error(), tempfile.TemporaryDirectory() as folder:
        located = find_scene(scene, data, Path(folder))
        scene_settings = settings_of(located.dataset, settings, override, located.raw)
        from panrecon.profiling.stages import STAGES, Profiler

        profiler = Profiler(located.dataset, located.raw, scene_settings, Path(folder))
        with progress_bar("estimate", STAGES) as advance:
            estimated = profiler.estimate(advance)
        show(estimated, scene)


def show(estimate: "Estimate", scene: str) -> None:
    """Prints a table by stage and notes to the console, and the totals as one line to standard output."""
    from rich.table import Table

    table = Table("stage", "time", "disk")
    for column in table.columns[1:]:
        column.justify = "right"
    for stage, cost in estimate.costs.items():
        table.add_row(stage, duration(cost.seconds), f"{cost.disk / 1e6:.0f} MB")
    console.print(table)
    for note in estimate.notes:
        console.print(note, highlight=False, soft_wrap=True)
    seconds = sum(cost.seconds for cost in estimate.costs.values())
    disk = sum(cost.disk for cost in estimate.costs.values())
    print(
        f"{scene}: {estimate.frames} frames, about {estimate.vertices / 1e6:.1f} million vertices; "
        f"{duration(seconds)}, {estimate.memory / 1e9:.1f} GB of memory, {disk / 1e9:.2f} GB on disk"
    )


def duration(seconds: float) -> str:
    """Seconds as text: whole seconds below 90, whole minutes below 90, else tenths of hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
