"""Which finished artifacts of a run no longer follow from its settings, files and versions."""

from pathlib import Path
from typing import Any

from panrecon.config import Settings
from panrecon.io.files import read_json
from panrecon.workflow.scenes import Scene
from panrecon.workflow.sources import fingerprint, source_files
from panrecon.workflow.stages import VERSIONS, needed


def decisive(name: str, dataset: str, raw: Path, settings: Settings) -> dict[str, Any]:
    """What makes a finished artifact stale when it changes, earlier stages aside."""
    return {
        "settings": getattr(settings, name).model_dump(mode="json"),
        "version": VERSIONS[name],
        "files": fingerprint(source_files(name, dataset, raw, settings)),
    }


def stale_artifacts(scene: Scene, settings: Settings, until: str) -> list[str]:
    """The finished artifacts that other settings, files or versions made, below the run's folder; up to `until`."""
    found = []
    for stage in needed(until):
        file = scene.run / stage / "settings.json"
        wanted = decisive(stage, scene.dataset, scene.raw, settings)
        if file.is_file() and any(read_json(file).get(key) != value for key, value in wanted.items()):
            found.append(f"{scene.label}/{stage}/settings.json")
    return found
