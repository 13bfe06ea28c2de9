"""The scenes of the benchmarks: simulated rooms, created if absent, and scenes of an optional data folder."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panrecon.errors import InputError
from panrecon.terminal import console

DATASET: Final = "scannet"
RENDERED: Final = ("house_kitchen", "house_living", "drake_living")
DETECTIONS: Final = "detections/faults1_seed0.json"  # as faulty as Grounded-SAM on real rooms
REAL: Final = ("hololens_office", "kitchen7")


@dataclass(frozen=True)
class BenchScene:
    """A raw scene, its own settings, and its kind ("room", "rendered", "real" ...), over which means are taken."""

    kind: str
    raw: Path
    overrides: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the raw folder."""
        return self.raw.name


def room(seed: int, folder: Path) -> BenchScene:
    """The simulated room `folder`/room<seed>, which `make demo SEED=<seed>` creates."""
    return BenchScene("room", folder / f"room{seed}")


def shared_scenes(shared: Path, features: Path) -> list[BenchScene]:
    """The rendered scenes, their simulated features in `features`/<scene>, and the real ones with their own."""
    rendered = [
        BenchScene(
            "rendered",
            shared / "rendered" / name,
            (f"masks.detections={shared / 'rendered' / name / DETECTIONS}", f"features.folder={features / name}"),
        )
        for name in RENDERED
    ]
    return rendered + [BenchScene("real", shared / "real" / name) for name in REAL]


def find_scenes(seeds: str, rooms: Path, shared: Path | None, features: Path) -> list[BenchScene]:
    """The simulated rooms and the shared scenes; a message is printed where there are none of the latter.

    Raises:
        InputError: `seeds` are not numbers joined by commas.
    """
    if not all(seed.isdigit() for seed in seeds.split(",")):
        raise InputError(f"The seeds {seeds!r} are not numbers joined by commas, such as 0,1,2.")
    scenes = [room(int(seed), rooms) for seed in seeds.split(",")]
    if shared is not None and shared.is_dir():
        return scenes + shared_scenes(shared.resolve(), features)
    reason = "PANRECON_BENCH_DATA and --shared name no folder" if shared is None else f"There is no folder {shared}"
    console.print(f"{reason}: the simulated rooms alone are compared.", highlight=False, soft_wrap=True)
    return scenes


def prepare(scene: BenchScene, features: Path) -> None:
    """Simulates a room, or the features of a rendered scene, unless they exist."""
    if scene.kind == "room" and not (scene.raw / "features" / "features.json").is_file():
        seed = scene.name.removeprefix("room")
        panrecon("simulate", "room", str(scene.raw), "--seed", seed)
    if scene.kind == "rendered" and not (features / scene.name / "features.json").is_file():
        panrecon("simulate", "features", str(scene.raw), "--out", str(features / scene.name))


def run_pipeline(scene: BenchScene, runs: Path, name: str, until: str, overrides: Sequence[str]) -> None:
    """Runs all stages up to `until` that are not up to date."""
    settings = [argument for override in (*scene.overrides, *overrides) for argument in ("--set", override)]
    folders = ["--data", str(scene.raw.parent), "--runs", str(runs), "--run", name]
    panrecon("run", f"{DATASET}/{scene.name}", *folders, "--until", until, *settings)


def panrecon(*arguments: str) -> None:
    """Runs the command `panrecon`; if it fails, which it reports itself, the benchmark exits with its exit code."""
    result = subprocess.run([sys.executable, "-m", "panrecon.cli", *arguments], stdout=sys.stderr, check=False)
    if result.returncode:
        raise SystemExit(result.returncode)
