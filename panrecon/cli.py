"""The command line `panrecon`: one command a file of `panrecon/commands`, and one a stage."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

import panrecon
from panrecon.commands.doctor import doctor
from panrecon.commands.estimate import estimate
from panrecon.commands.evaluate import evaluate
from panrecon.commands.explain import explain
from panrecon.commands.import_scan import import_scan
from panrecon.commands.lidar import lidar
from panrecon.commands.prompts import prompts
from panrecon.commands.render import render
from panrecon.commands.simulate import simulate
from panrecon.commands.weights import weights
from panrecon.terminal import exit_on_input_error
from panrecon.workflow.stages import STAGES

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(simulate, name="simulate")
app.add_typer(lidar, name="lidar")
app.command()(doctor)
app.command()(estimate)
app.command()(evaluate)
app.command()(explain)
app.command(name="import")(import_scan)
app.command()(prompts)
app.command()(render)
app.command()(weights)


def _print_version(asked: bool) -> bool:
    if asked:
        typer.echo(f"panrecon {panrecon.__version__}")
        raise typer.Exit
    return asked


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and exit")
    ] = False,
) -> None:
    """Zero-shot panoptic 3D reconstruction of posed RGB-D scans."""


Overrides = Annotated[list[str], typer.Option("--set", help="section.key=value; several are allowed")]
SettingsFiles = Annotated[list[Path], typer.Option("--settings", help="YAML files of settings; later ones win")]


@app.command()
def run(
    scenes: Annotated[list[str], typer.Argument(help="<dataset>/<scene>, such as scannet/scene0087_02")],
    data: Annotated[Path | None, typer.Option(help="folder that holds <scene>/; default data/raw/<dataset>")] = None,
    runs: Annotated[Path, typer.Option(help="folder of all runs")] = Path("data/runs"),
    name: Annotated[str, typer.Option("--run", help="name of this run")] = "default",
    until: Annotated[str | None, typer.Option(help="last stage; default quality, or panoptic without truth")] = None,
    settings: SettingsFiles = [],  # noqa: B006  typer needs a list
    override: Overrides = [],  # noqa: B006
    cores: Annotated[int, typer.Option(min=1, help="stages of several scenes that may run at once")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="only show what would be done")] = False,
) -> None:
    """All stages of scenes: reads <data>/<scene>/, writes <runs>/<run>/<dataset>/<scene>/<stage>/.

    Stages that are up to date are skipped. --settings and --set override a scene's own settings.yaml. Exit code 2:
    the input is wrong, in one sentence.
    """
    from panrecon.errors import InputError, require_packages
    from panrecon.workflow.plan import Plan, run_plan
    from panrecon.workflow.scenes import find_scene, last_stage, settings_of_scenes

    with exit_on_input_error():
        require_packages("torch", "safetensors", "skimage")  # before hours of work
        if until is not None and until not in STAGES:
            raise InputError(f"There is no stage {until!r}; there are {', '.join(STAGES)}.")
        located = [find_scene(label, data, runs / name) for label in dict.fromkeys(scenes)]
        settings_of_scene = settings_of_scenes(located, settings, override)
        codes = []
        for stage in STAGES:
            ending_here = [s for s in located if (until or last_stage(s, settings_of_scene[s.label])) == stage]
            if ending_here:
                codes.append(run_plan(Plan(ending_here, runs / name, stage, settings_of_scene, cores, dry_run)))
    raise typer.Exit(max(codes, key=lambda code: (code == 1, code)))


@app.command()
def settings() -> None:
    """Prints every setting with its default and meaning."""
    from rich.console import Console
    from rich.table import Table

    from panrecon.config import Settings

    table = Table("setting", "default", "meaning")
    for section, field in Settings.model_fields.items():
        for name, setting in type(field.default).model_fields.items():
            table.add_row(f"{section}.{name}", str(setting.default), setting.description or "")
    Console().print(table)


def _add_stage(stage: str) -> None:
    """Adds the command `panrecon <stage> ...`, which runs the stage's script with its own options."""

    @app.command(
        name=stage,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True},  # they are among the words, too
        help=f"The stage alone: reads {', '.join(STAGES[stage].reads) or 'the raw scene'}; writes <run>/{stage}/.",
    )
    def command(words: Annotated[list[str], typer.Argument(hidden=True)] = []) -> None:  # noqa: B006
        from panrecon.workflow.script import run_stage

        sys.argv = [f"{stage}.py", *words]
        run_stage(import_module(f"panrecon.pipelines.{stage}").main)


for _stage in STAGES:
    _add_stage(_stage)


def main() -> None:
    """Entry point of the console script `panrecon`."""
    with exit_on_input_error():
        app()


if __name__ == "__main__":
    main()
