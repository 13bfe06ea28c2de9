"""What all stage scripts share: where they read and write, output that is whole or absent, and its settings.json."""

import gc
import hashlib
import inspect
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape

from panrecon.config import Settings, load_settings
from panrecon.errors import InputError, OutOfMemoryError, UnwritableError
from panrecon.io.files import read_json, write_json
from panrecon.memory import peak_memory, reset_peak_memory
from panrecon.progress import Advance
from panrecon.terminal import (
    console,
    exit_on_input_error,
    locked,
    printable,
    progress_bar,
    system_errors_as_input_errors,
)
from panrecon.workflow.scenes import Scene
from panrecon.workflow.sources import features_backend, source_files
from panrecon.workflow.stages import RECORD, STAGES
from panrecon.workflow.staleness import finished_artifact, provenance

PICTURES: Final = (".png", ".jpg", ".gif", ".html")  # of no weight for what later stages make of an artifact


FINGERPRINT: Final = ".fingerprint.json"


Facts = Mapping[str, Any] | None  # what a stage adds to its settings.json
_checked: dict[Path, tuple[tuple[str, int, int], ...]] = {}  # artifacts whose digest this process knows to be right


@dataclass(frozen=True)
class Stage:
    """One stage at work on one scene; `output` is a folder aside that becomes the artifact when the stage succeeds."""

    name: str
    scene: Scene
    settings: Settings
    output: Path

    def folder(self, stage: str) -> Path:
        """The finished artifact of an earlier stage.

        Raises:
            InputError: it is not there.
        """
        assert stage in STAGES[self.name].reads, f"{self.name} is not stated to read {stage}"
        return finished_artifact(self.scene.run, stage)

    def say(self, text: str) -> None:
        console.print(f"[bold]{self.name}[/bold]: {escape(printable(text))}", highlight=False, soft_wrap=True)

    def models(self, records: Sequence[Mapping[str, Any]]) -> Facts:
        """Says which foreign networks are at work and under which licence, for settings.json; none of no networks."""
        if not records:
            return None
        self.say("with " + ", ".join(f"{record['name']} (licence: {record['license']})" for record in records))
        return {"models": list(records)}

    def progress(self, what: str, total: int) -> AbstractContextManager[Advance]:
        """A progress bar with the time left; what it gives takes the number of steps done."""
        return progress_bar(f"{self.name}: {what}", total)


def run_stage(work: Callable[[Stage], Facts]) -> None:
    """Runs the command line of a stage script: `work` fills `stage.output`, which then takes its place.

    What it gives back stands in the artifact's settings.json, beside what every stage tells.
    """
    app = typer.Typer(add_completion=False)
    app.command()(stage_command(work))
    app(prog_name=f"panrecon {Path(sys.argv[0]).stem}")


def stage_command(work: Callable[[Stage], Facts]) -> Callable[..., None]:
    """The command of a stage script: a function whose parameters are its options.

    Exit code 0: done. 2: the input is wrong, stated in one sentence, nothing written. 1: our fault, with a traceback.
    """

    def command(
        dataset: Annotated[str, typer.Option(help="data set of the raw scene, such as scannet")],
        raw: Annotated[Path, typer.Option(help="folder of the raw scene")],
        run: Annotated[Path, typer.Option(help="folder of the scene's run, which holds one folder a stage")],
        settings: Annotated[list[Path], typer.Option(help="YAML or JSON files of settings")] = [],  # noqa: B006
        override: Annotated[list[str], typer.Option("--set", help="section.key=value")] = [],  # noqa: B006
    ) -> None:
        with exit_on_input_error():
            loaded = load_settings(settings, override)
            scene = Scene(dataset, run.resolve().name, raw, run.resolve())
            carry_out(Path(sys.argv[0]).stem, scene, loaded, work)

    command.__doc__ = inspect.unwrap(work).__globals__["__doc__"]
    return command


def carry_out(name: str, scene: Scene, settings: Settings, work: Callable[[Stage], Facts]) -> None:
    """Makes the artifact `name` of a scene, in place of the one that is there.

    Raises:
        InputError: the input is wrong, and nothing was written; or another process is at work on this artifact.
    """
    final = scene.run / name
    if final.exists() and not final.is_dir():
        raise InputError(f"{final} is a file where the folder of the stage {name} belongs; move it.")
    for read in STAGES[name].reads:
        check_artifact(finished_artifact(scene.run, read))  # before a lock makes the folder
    with locked(scene.run, name):
        _fill_and_replace(Stage(name, scene, settings, scene.run / f".{name}.partial"), work)


def _fill_and_replace(stage: Stage, work: Callable[[Stage], Facts]) -> None:
    started = time.perf_counter()
    gc.collect()  # what an earlier stage of this process left
    reset_peak_memory()
    final = stage.scene.run / stage.name
    made_of = provenance(stage.name, stage.scene, stage.settings)
    _prepare(stage, made_of)
    try:
        with system_errors_as_input_errors():
            facts = work(stage) or {}
        _check_sources(stage, made_of)
    except InputError as error:
        if not isinstance(error, OutOfMemoryError | UnwritableError):  # the same run can go on where it stopped
            shutil.rmtree(stage.output, ignore_errors=True)
        if not (final / RECORD).is_file():  # under Snakemake, which took the declared files of the old one
            shutil.rmtree(final, ignore_errors=True)
        raise
    record = made_of | {
        **facts,
        "digest": digest(stage.output),
        "device": _device(stage),
        "seconds": round(time.perf_counter() - started, 2),
        "peak_memory_mb": peak_memory() >> 20,
    }
    write_json(stage.output / RECORD, record)
    (stage.output / FINGERPRINT).unlink()
    (final / RECORD).unlink(missing_ok=True)  # killed from here on, it leaves nothing that passes for finished
    shutil.rmtree(final, ignore_errors=True)
    stage.output.replace(final)
    _checked[final] = _state(final)
    stage.say(f"{record['seconds']:.1f} s, {record['peak_memory_mb']} MB -> {final}")


def _check_sources(stage: Stage, made_of: Mapping[str, Any]) -> None:
    """Raises InputError where a file that the stage read, or an artifact, is not what it was when the stage began."""
    now = provenance(stage.name, stage.scene, stage.settings)
    advice = f"changed while the stage {stage.name} read it; wait until it is whole and run again"
    if now["files"] != made_of["files"]:
        files = source_files(stage.name, stage.scene.dataset, stage.scene.raw, stage.settings)
        latest = max((file for file in files if file.is_file()), key=lambda file: file.stat().st_ctime_ns, default=None)
        raise InputError(f"{latest or stage.scene.raw} {advice}.")
    changed = sorted(name for name in now["inputs"] if now["inputs"][name] != made_of["inputs"][name])
    if changed:
        raise InputError(f"The artifact {stage.scene.run / changed[0]} {advice}.")


def _prepare(stage: Stage, made_of: Mapping[str, Any]) -> None:
    """An output folder: what a killed run of the very same stage left there is kept, so that it can resume."""
    fingerprint = stage.output / FINGERPRINT
    if _content(fingerprint) != made_of:
        shutil.rmtree(stage.output, ignore_errors=True)
        write_json(fingerprint, made_of)


def _content(fingerprint: Path) -> Any:
    """What a killed run was made of; None where that is not there, or was cut off."""
    try:
        return read_json(fingerprint)
    except InputError:
        return None


def digest(folder: Path) -> str:
    """SHA-256 over names and bytes of an artifact's files, pictures and its own settings.json left out."""
    result = hashlib.sha256()
    own = (RECORD, FINGERPRINT)
    data = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in own)
    for path in data:
        if path.suffix in PICTURES and path.parent == folder:
            continue
        with path.open("rb") as file:
            result.update(f"{path.relative_to(folder)}\0".encode() + hashlib.file_digest(file, "sha256").digest())
    return result.hexdigest()


def check_artifact(folder: Path) -> None:
    """Nothing, for a finished artifact whose files are those that its stage wrote; files once read are not read again.

    Raises:
        InputError: its digest is another.
    """
    state = _state(folder)
    if _checked.get(folder) == state:
        return
    if digest(folder) != read_json(folder / RECORD)["digest"]:
        raise InputError(
            f"The artifact {folder} is damaged: its files are not those that its stage wrote; remove it and run again."
        )
    _checked[folder] = state


def _state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, size and date of every file of an artifact."""
    states = ((path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return tuple((str(path), state.st_size, state.st_mtime_ns) for path, state in states)


def _device(stage: Stage) -> str:
    """Where the stage computed: what its setting `device` comes to, else, or without a network, the CPU."""
    device = getattr(getattr(stage.settings, stage.name), "device", "cpu")
    match stage.name:
        case "masks" if stage.settings.masks.backend == "precomputed":
            return "cpu"
        case "features" if features_backend(stage.scene.raw, stage.settings) != "dinov2":
            return "cpu"
    if device != "auto":
        return str(device)
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def stage_costs(run: Path, before: str) -> list[Mapping[str, Any]]:
    """Wall time (s) and peak memory (bytes) of every finished stage of a run but the stage `before`."""
    files = {name: run / name / RECORD for name in STAGES if name != before}
    records = {name: read_json(file) for name, file in files.items() if file.is_file()}
    return [
        {"stage": name, "seconds": record["seconds"], "peak_memory": record["peak_memory_mb"] << 20}
        for name, record in records.items()
    ]
