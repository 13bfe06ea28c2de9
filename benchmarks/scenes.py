"""The scenes of the benchmarks: simulated rooms, made if absent, and scenes of a data folder that may not be there."""

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
REAL: Final = ("hololens_office",)


@dataclass(frozen=True)
class BenchScene:
    """A raw scene, the settings that only it needs, and the kind of scene that its mean is taken with."""

    kind: str
    raw: Path
    overrides: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.raw.name


def room(seed: int, folder: Path) -> BenchScene:
    """The simulated room `folder`/room<seed>, which is what `make demo SEED=<seed>` makes."""
    return BenchScene("room", folder / f"room{seed}")


def shared_scenes(shared: Path, features: Path) -> list[BenchScene]:
    """The rendered scenes, their simulated features in `features`/<scene>, and the real one with its own."""
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
    """The simulated rooms, and what there is of the shared scenes; says so where there are none."""
    if not all(seed.isdigit() for seed in seeds.split(",")):
        raise InputError(f"The seeds {seeds!r} are not numbers joined by commas, such as 0,1,2.")
    found = [room(int(seed), rooms) for seed in seeds.split(",")]
    if shared is not None and shared.is_dir():
        return found + shared_scenes(shared.resolve(), features)
    where = "PANRECON_BENCH_DATA and --shared name no folder" if shared is None else f"There is no folder {shared}"
    console.print(f"{where}: the simulated rooms alone are compared.", highlight=False, soft_wrap=True)
    return found


def prepare(scene: BenchScene, features: Path) -> None:
    """Simulates what of the scene is to be simulated and not there yet."""
    if scene.kind == "room" and not (scene.raw / "features" / "features.json").is_file():
        seed = scene.name.removeprefix("room")
        panrecon("simulate", "room", str(scene.raw), "--seed", seed)
    if scene.kind == "rendered" and not (features / scene.name / "features.json").is_file():
        panrecon("simulate", "features", str(scene.raw), "--out", str(features / scene.name))


def run_pipeline(scene: BenchScene, runs: Path, name: str, until: str, overrides: Sequence[str]) -> None:
    """All stages up to `until`; what is up to date is left alone."""
    settings = [word for override in (*scene.overrides, *overrides) for word in ("--set", override)]
    folders = ["--data", str(scene.raw.parent), "--runs", str(runs), "--run", name]
    panrecon("run", f"{DATASET}/{scene.name}", *folders, "--until", until, *settings)


def panrecon(*arguments: str) -> None:
    """The command `panrecon`, its words passed on; if it fails, so do we with its exit code, the reason being said."""
    result = subprocess.run([sys.executable, "-m", "panrecon.cli", *arguments], stdout=sys.stderr, check=False)
    if result.returncode:
        raise SystemExit(result.returncode)
