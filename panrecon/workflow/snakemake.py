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
from panrecon.workflow.stages import VERSIONS
from panrecon.workflow.staleness import stale_artifacts


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
    before = _times(plan)
    plan.run_folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        locks = [] if plan.dry_run else [stack.enter_context(locked(scene.run, "run")) for scene in plan.scenes]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        error_file = folder / "error"
        environment = os.environ | {ERROR_FILE: str(error_file), VARIABLE: str(weights_folder())}  # seen from here
        command = _command(plan, folder)
        result = subprocess.run(command, cwd=plan.run_folder, env=environment, pass_fds=locks, check=False)
        sentence = error_file.exists()
    if result.returncode and not sentence:
        console.print(f"A stage or Snakemake failed; its log is the newest of {plan.run_folder}/.snakemake/log/.")
    if result.returncode:
        return 2 if sentence else 1
    if not plan.dry_run:
        if _times(plan) == before:
            console.print("Nothing to do: " + ", ".join(s.label for s in plan.scenes) + f" up to date ({plan.until}).")
        for scene in plan.scenes:
            _tell_results(scene, plan.until)
    return 0


def _tell_results(scene: Scene, until: str) -> None:
    """The table of panoptic quality, if there is one, and where the mesh lies."""
    if until == "quality":
        print((scene.run / "quality" / "quality.md").read_text())
    if until in ("quality", "panoptic"):
        print(f"panoptic mesh: {scene.run / 'panoptic' / 'panoptic.ply'}")


def _command(plan: Plan, folder: Path) -> list[str]:
    for scene in plan.scenes:
        write_json(folder / f"{scene.label}.json", plan.settings[scene.label].model_dump(mode="json"))
    configuration = folder / "run.json"
    content = {
        "raw_folders": {scene.label: str(scene.raw) for scene in plan.scenes},
        "settings_folder": str(folder),
        "python": sys.executable,
    }
    write_json(configuration, content)
    targets = [f"{scene.label}/{plan.until}/settings.json" for scene in plan.scenes]
    stale = [path for scene in plan.scenes for path in stale_artifacts(scene, plan.settings[scene.label], plan.until)]
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(PIPELINES / "Snakefile")),
        *("--configfile", str(configuration), "--cores", str(plan.cores), "--nolock", "--rerun-incomplete"),
        *("--rerun-triggers", "mtime", "input"),
        *(["--dry-run", "--quiet", "host", "reason"] if plan.dry_run else ["--quiet", "all"]),
        *(["--forcerun", *stale] if stale else []),
        "--",
        *targets,
    ]


def _times(plan: Plan) -> dict[Path, int]:
    """When every artifact of the plan's scenes was finished."""
    files = (scene.run / stage / "settings.json" for scene in plan.scenes for stage in VERSIONS)
    return {file: file.stat().st_mtime_ns for file in files if file.is_file()}
