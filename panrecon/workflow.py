"""Runs the stages of scenes through Snakemake: order, staleness and parallel scenes are its job."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import panrecon
from panrecon.config import Settings, load_settings
from panrecon.datasets.base import DATASETS, dataset
from panrecon.errors import InputError
from panrecon.io.files import read_json, write_json
from panrecon.io.weights import VARIABLE, weights_folder
from panrecon.stage import ERROR_FILE, READS, VERSIONS, console, decisive, locked

CHECKOUT = Path(panrecon.__file__).parents[1]
PIPELINES = CHECKOUT / "pipelines"
OWN_SETTINGS = "settings.yaml"  # of a raw scene: what `panrecon doctor --fix` writes


@dataclass(frozen=True)
class Scene:
    """A scene to work on: where its raw files lie and where its artifacts go."""

    dataset: str
    name: str
    raw: Path
    run: Path

    @property
    def label(self) -> str:
        return f"{self.dataset}/{self.name}"


@dataclass(frozen=True)
class Plan:
    """What a run is asked to do."""

    scenes: Sequence[Scene]
    run_folder: Path
    until: str
    settings: Mapping[str, Settings]  # by the scene's label
    cores: int
    dry_run: bool


def find_scene(label: str, data: Path | None, run_folder: Path) -> Scene:
    """The scene `<dataset>/<name>`; `data` is the folder that holds `<name>/`, by default data/raw/<dataset>.

    Raises:
        InputError: the label is malformed, the data set unknown, the folder absent, or a file is in the way.
    """
    kind, slash, name = label.partition("/")
    if not slash or not name or "/" in name:
        raise InputError(f"The scene {label!r} is not of the form <dataset>/<scene>, such as scannet/scene0087_02.")
    if kind not in DATASETS:
        raise InputError(f"There is no data set {kind!r}; there is {', '.join(DATASETS)}.")
    raw = (data or Path("data") / "raw" / kind) / name
    dataset(kind).check(raw)
    run = run_folder / kind / name
    blocking = next((path for path in (run, *run.parents) if path.exists() and not path.is_dir()), None)
    if blocking is not None:
        raise InputError(f"{blocking} is a file where a folder of the run belongs; move it or choose another RUN.")
    return Scene(kind, name, raw.absolute(), run.resolve())


def settings_of(kind: str, files: Sequence[Path], overrides: Sequence[str], raw: Path | None = None) -> Settings:
    """Defaults, then what the data set differs in, what the scene's own folder says, the user's files and overrides."""
    own = [raw / OWN_SETTINGS] if raw is not None and (raw / OWN_SETTINGS).is_file() else []
    return load_settings([PIPELINES / "configs" / f"{kind}.yaml", *own, *files], overrides)


def settings_of_scenes(scenes: Sequence[Scene], files: Sequence[Path], overrides: Sequence[str]) -> dict[str, Settings]:
    """The settings of every scene by its label; says which scenes have some of their own."""
    for scene in scenes:
        if (scene.raw / OWN_SETTINGS).is_file():
            console.print(f"{scene.label}: with its own {scene.raw / OWN_SETTINGS}", highlight=False, soft_wrap=True)
    return {scene.label: settings_of(scene.dataset, files, overrides, scene.raw) for scene in scenes}


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


def last_stage(scene: Scene, settings: Settings) -> str:
    """`quality` where there is a truth to score against, else `panoptic`."""
    if settings.quality.ground_truth or dataset(scene.dataset).annotation_files(scene.raw):
        return "quality"
    console.print(f"{scene.label} is not annotated: it will be reconstructed, not scored.")
    return "panoptic"


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


def stale_artifacts(scene: Scene, settings: Settings, until: str) -> list[str]:
    """The finished artifacts that other settings, files or versions made, below the run's folder; up to `until`."""
    found = []
    for stage in needed(until):
        file = scene.run / stage / "settings.json"
        wanted = decisive(stage, scene.dataset, scene.raw, settings)
        if file.is_file() and any(read_json(file).get(key) != value for key, value in wanted.items()):
            found.append(f"{scene.label}/{stage}/settings.json")
    return found


def needed(until: str) -> list[str]:
    """The stage and all that it reads, at first or second hand, in order."""
    wanted = {until}
    for stage in reversed(VERSIONS):
        if stage in wanted:
            wanted.update(READS[stage])
    return [stage for stage in VERSIONS if stage in wanted]


def _times(plan: Plan) -> dict[Path, int]:
    """When every artifact of the plan's scenes was finished."""
    files = (scene.run / stage / "settings.json" for scene in plan.scenes for stage in VERSIONS)
    return {file: file.stat().st_mtime_ns for file in files if file.is_file()}
