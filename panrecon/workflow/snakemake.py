"""Has Snakemake run the stages of several scenes: order, parallel scenes, retries and clusters are its job."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from panrecon.config import Settings
from panrecon.io.files import write_json
from panrecon.io.weights import VARIABLE, weights_folder
from panrecon.terminal import ERROR_FILE, console
from panrecon.workflow.scenes import PIPELINES, Scene
from panrecon.workflow.stages import RECORD


def run_by_snakemake(
    stale: Mapping[Scene, Sequence[str]],
    run_folder: Path,
    until: str,
    settings: Mapping[str, Settings],
    cores: int,
    locks: Sequence[int],
) -> int:
    """Runs the stale stages of every scene up to `until`, each in a process of its own; the exit code.

    `settings` by the scene's label; `locks` are file descriptors that the processes inherit.
    """
    with tempfile.TemporaryDirectory() as folder:
        error_file = Path(folder) / "error"
        environment = os.environ | {ERROR_FILE: str(error_file), VARIABLE: str(weights_folder())}  # seen from here
        for scene in stale:
            write_json(Path(folder) / f"{scene.label}.json", settings[scene.label].model_dump(mode="json"))
        content = {
            "raw_folders": {scene.label: str(scene.raw) for scene in stale},
            "settings_folder": folder,
            "python": sys.executable,
        }
        configuration = Path(folder) / "run.json"
        write_json(configuration, content)
        command = _command(stale, until, cores, configuration)
        result = subprocess.run(command, cwd=run_folder, env=environment, pass_fds=locks, check=False)
        sentence = error_file.exists()
    if result.returncode and not sentence:
        console.print(_unexplained(stale))
    return (2 if sentence else 1) if result.returncode else 0


def _unexplained(stale: Mapping[Scene, Sequence[str]]) -> str:
    """What is not finished after a stage failed without a sentence: Snakemake removes an artifact before it is made."""
    missing = {
        scene: next((stage for stage in stages if not (scene.run / stage / RECORD).is_file()), None)
        for scene, stages in stale.items()
    }
    unfinished = [f"{stage} of {scene.label}" for scene, stage in missing.items() if stage]
    return (
        f"Not finished: {', '.join(unfinished) or 'none that was begun'}. A stage ended without a word, as one that is "
        "killed for want of memory does; `panrecon run` of one scene alone shows where, `panrecon estimate` its memory."
    )


def _command(stale: Mapping[Scene, Sequence[str]], until: str, cores: int, configuration: Path) -> list[str]:
    targets = [f"{scene.label}/{until}/{RECORD}" for scene in stale]
    forced = [f"{scene.label}/{stage}/{RECORD}" for scene, stages in stale.items() for stage in stages]
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(PIPELINES / "Snakefile")),
        *("--configfile", str(configuration), "--cores", str(cores), "--nolock", "--rerun-incomplete"),
        *("--rerun-triggers", "input", "--quiet", "all"),
        *("--forcerun", *forced, "--"),
        *targets,
    ]
