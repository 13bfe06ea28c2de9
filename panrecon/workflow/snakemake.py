"""Runs the stages of scenes through Snakemake: order, staleness and parallel scenes are its job."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from panrecon.config import Settings
from panrecon.io.files import write_json
from panrecon.io.weights import VARIABLE, weights_folder
from panrecon.terminal import ERROR_FILE, console, locked
from panrecon.workflow.scenes import PIPELINES, Scene
from panrecon.workflow.stages import RECORD
from panrecon.workflow.staleness import stale_stages


@dataclass(frozen=True)
class Plan:
    """What a run is asked to do."""

    scenes: Sequence[Scene]
    run_folder: Path
    until: str
    settings: Mapping[str, Settings]  # by the scene's label
    cores: int
    dry_run: bool


def run_plan(plan: Plan) -> int:
    """Carries the plan out; the exit code: 0 done, 2 the input is wrong, 1 our fault.

    What is up to date is left alone; what a killed run left is taken up again.
    """
    stale = {
        scene.label: names
        for scene in plan.scenes
        if (names := stale_stages(scene, plan.settings[scene.label], plan.until))
    }
    code = _run_stages(plan, stale) if stale else 0
    if code:
        return code
    if not stale:
        console.print("Nothing to do: " + ", ".join(s.label for s in plan.scenes) + f" up to date ({plan.until}).")
    if not plan.dry_run:
        for scene in plan.scenes:
            _print_results(scene, plan.until)
    return 0


def _run_stages(plan: Plan, stale: Mapping[str, Sequence[str]]) -> int:
    """Has Snakemake run the stale stages (by the scene's label); the exit code."""
    plan.run_folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        locks = [] if plan.dry_run else [stack.enter_context(locked(scene.run, "run")) for scene in plan.scenes]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        error_file = folder / "error"
        environment = os.environ | {ERROR_FILE: str(error_file), VARIABLE: str(weights_folder())}  # seen from here
        command = _command(plan, stale, folder)
        result = subprocess.run(command, cwd=plan.run_folder, env=environment, pass_fds=locks, check=False)
        sentence = error_file.exists()
    if result.returncode and not sentence:
        console.print(f"A stage or Snakemake failed; its log is the newest of {plan.run_folder}/.snakemake/log/.")
    return (2 if sentence else 1) if result.returncode else 0


def _print_results(scene: Scene, until: str) -> None:
    """The table of panoptic quality, if there is one, and where the mesh lies."""
    if until == "quality":
        print((scene.run / "quality" / "quality.md").read_text())
    if until in ("quality", "panoptic"):
        print(f"panoptic mesh: {scene.run / 'panoptic' / 'panoptic.ply'}")


def _command(plan: Plan, stale: Mapping[str, Sequence[str]], folder: Path) -> list[str]:
    for scene in plan.scenes:
        write_json(folder / f"{scene.label}.json", plan.settings[scene.label].model_dump(mode="json"))
    configuration = folder / "run.json"
    content = {
        "raw_folders": {scene.label: str(scene.raw) for scene in plan.scenes},
        "settings_folder": str(folder),
        "python": sys.executable,
    }
    write_json(configuration, content)
    targets = [f"{label}/{plan.until}/{RECORD}" for label in stale]
    forced = [f"{label}/{stage}/{RECORD}" for label, stages in stale.items() for stage in stages]
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(PIPELINES / "Snakefile")),
        *("--configfile", str(configuration), "--cores", str(plan.cores), "--nolock", "--rerun-incomplete"),
        *("--rerun-triggers", "input"),
        *(["--dry-run", "--quiet", "host", "reason"] if plan.dry_run else ["--quiet", "all"]),
        *("--forcerun", *forced, "--"),
        *targets,
    ]
