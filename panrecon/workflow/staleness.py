"""Which artifacts of a run follow from what they were made of, decided once: here."""

from pathlib import Path
from typing import Any

from panrecon import __version__
from panrecon.config import Settings
from panrecon.errors import InputError
from panrecon.io.files import read_json
from panrecon.workflow.scenes import Scene
from panrecon.workflow.sources import fingerprint, source_files
from panrecon.workflow.stages import RECORD, STAGES, needed


def provenance(name: str, scene: Scene, settings: Settings) -> dict[str, Any]:
    """What decides a stage's output: its settings and version, the files and the artifacts that it reads.

    Raises:
        InputError: an earlier stage has not been finished.
    """
    return {
        "stage": name,
        "dataset": scene.dataset,
        "scene": scene.name,
        "settings": getattr(settings, name).model_dump(mode="json"),
        "version": STAGES[name].version,
        "package": __version__,
        "files": fingerprint(source_files(name, scene.dataset, scene.raw, settings)),
        "inputs": {
            read: read_json(finished_artifact(scene.run, read) / RECORD)["digest"] for read in STAGES[name].reads
        },
    }


def finished_artifact(run: Path, name: str) -> Path:
    """The folder of a finished stage.

    Raises:
        InputError: it is not there.
    """
    folder = run / name
    if not (folder / RECORD).is_file():
        raise InputError(f"{folder} is not there; run `panrecon run` or the stage {name!r} first.")
    return folder


def stale_stages(scene: Scene, settings: Settings, until: str) -> list[str]:
    """The stages up to `until`, in order, whose artifacts are not there, or are not what they would be made of now.

    A stage is stale if a stage that it reads is; the package's version alone makes none so.
    """
    stale: list[str] = []
    for name in needed(until):
        if set(STAGES[name].reads) & set(stale) or not _is_current(name, scene, settings):
            stale.append(name)
    return stale


def _is_current(name: str, scene: Scene, settings: Settings) -> bool:
    """Whether an artifact, all of whose inputs are current, is what the stage would make."""
    artifact = scene.run / name
    if not all((artifact / file).is_file() for file in (*STAGES[name].files, RECORD)):
        return False
    record = read_json(artifact / RECORD)
    expected = provenance(name, scene, settings)
    return all(record.get(key) == value for key, value in expected.items() if key != "package")
