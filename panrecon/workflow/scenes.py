"""Scenes to work on: where their files lie and which settings they have."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from panrecon.config import Settings, load_settings
from panrecon.datasets.base import dataset
from panrecon.errors import InputError
from panrecon.terminal import console

PIPELINES = Path(str(resources.files("panrecon.pipelines")))  # the stage scripts, the Snakefile, configs


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


def find_scene(label: str, data: Path | None, run_folder: Path) -> Scene:
    """The scene `<dataset>/<name>`; `data` is the folder that holds `<name>/`, by default data/raw/<dataset>.

    Raises:
        InputError: the label is malformed, the data set unknown, the folder absent or of a name that is no UTF-8, or a
            file is in the way.
    """
    kind, slash, name = label.partition("/")
    if not slash or not name or "/" in name:
        raise InputError(f"The scene {label!r} is not of the form <dataset>/<scene>, such as scannet/scene0087_02.")
    if name in (".", "..") or set(name) & set("{}"):
        raise InputError(f"The scene's name {name!r} is none a folder of a run may have; rename it, without braces.")
    raw = (data or Path("data") / "raw" / kind) / name
    run = run_folder / kind / name
    for folder in (raw.absolute(), run.absolute()):
        _check_name(folder)
    dataset(kind).check(raw)
    blocking = next((path for path in (run, *run.parents) if path.exists() and not path.is_dir()), None)
    if blocking is not None:
        raise InputError(f"{blocking} is a file where a folder of the run belongs; move it or choose another RUN.")
    return Scene(kind, name, raw.absolute(), run.resolve())


def _check_name(folder: Path) -> None:
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"The name of the folder {str(folder)!a} is no UTF-8, in which a run's files state it; rename it."
        ) from error


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


def last_stage(scene: Scene, settings: Settings) -> str:
    """`quality` where there is a truth to score against, else `panoptic`."""
    if settings.quality.ground_truth or dataset(scene.dataset).annotation_files(scene.raw):
        return "quality"
    console.print(f"{scene.label} is not annotated: it will be reconstructed, not scored.")
    return "panoptic"
