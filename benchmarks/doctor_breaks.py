"""Does `panrecon doctor` find what is wrong, and nothing where nothing is?

Every scene is broken in every way (`benchmarks/breaks.py`): is the break found by the check that it belongs to, do
other checks cry too, and does the scan come out healthy with the settings that the doctor proposes? Then seconds for
200 frames.
"""

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks.breaks import BREAKS, Break, copied, names_of
from benchmarks.provenance import provenance
from benchmarks.scenes import BenchScene, find_scenes, panrecon
from benchmarks.study import RESULTS, ROOMS, SEEDS, SharedOption
from benchmarks.tables import table_of
from panrecon.commands.doctor import diagnose, repaired
from panrecon.config import ScanSettings
from panrecon.diagnosis.finding import Finding
from panrecon.io.files import write_json, write_text
from panrecon.terminal import track

NAME: Final = "doctor_breaks"
FRAMES: Final = 200  # of the timed scan


@dataclass(frozen=True)
class Outcome:
    """What the doctor said of one scene, whole (`change` is empty) or broken in one way.

    `others` are the checks that find something wrong beside the one that should; `healthy` whether the proposed
    settings leave nothing wrong, None where there are none to propose.
    """

    scene: str
    change: str
    found: bool
    sentence: str
    others: tuple[str, ...]
    healthy: bool | None
    seconds: float


def main(
    shared: SharedOption = None,
    processes: Annotated[int, typer.Option(min=1, help="scenes at once")] = 2,
    only: Annotated[str, typer.Option(help="breaks whose name holds this")] = "",
) -> None:
    scenes = find_scenes(",".join(map(str, SEEDS)), ROOMS, shared, RESULTS / "features")
    for scene in scenes:
        if scene.kind == "room" and not (scene.raw / "features" / "features.json").is_file():
            panrecon("simulate", "room", str(scene.raw), "--seed", scene.name.removeprefix("room"))
    chosen = [one for one in BREAKS if only in one.name]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        names = ("", *(one.name for one in chosen))
        waiting = [pool.submit(outcome, scene.raw, name) for scene in scenes for name in names]
        outcomes = [future.result() for future in track(waiting, NAME, len(waiting))]
    seconds = timed([scene for scene in scenes if scene.kind == "real"] or scenes)
    text = "\n".join([break_table(outcomes, chosen), alarms(outcomes), seconds])
    write_json(
        RESULTS / f"{NAME}.json", {**provenance(), "outcomes": [asdict(one) for one in outcomes], "time": seconds}
    )
    write_text(RESULTS / f"{NAME}.md", text)
    print(text)


def outcome(raw: Path, name: str) -> Outcome:
    """The doctor's findings on a copy of a scene broken in the way of this name (or whole), and after their repair."""
    change = next((one for one in BREAKS if one.name == name), None)
    with tempfile.TemporaryDirectory() as folder:
        scene = copied(raw, Path(folder))
        settings = ScanSettings()
        if change is not None:
            change.apply(scene)
            settings = settings.model_copy(update=dict(change.settings))
        started = time.perf_counter()
        findings = diagnose(scene, settings)
        seconds = time.perf_counter() - started
        wrong = [finding for finding in findings if finding.severity == "wrong"]
        if change is None:
            return Outcome(raw.name, "", not wrong, _sentences(wrong), _checks(wrong), None, seconds)
        mine = [one for one in findings if one.check == change.check and one.severity in ("wrong", change.severity)]
        others = [finding for finding in wrong if finding.check != change.check]
        healthy = None
        if change.has_repair:
            after = diagnose(scene, repaired(settings, findings))
            healthy = not any(finding.severity == "wrong" for finding in after)
        return Outcome(raw.name, change.name, bool(mine), _sentences(mine), _checks(others), healthy, seconds)


def _sentences(findings: Sequence[Finding]) -> str:
    return " ".join(finding.sentence for finding in findings)


def _checks(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(finding.check for finding in findings))


def break_table(outcomes: Sequence[Outcome], chosen: Sequence[Break]) -> str:
    """A row a break: on how many scenes it is found, misnamed and repaired, and what is said of it on the first."""
    rows = []
    for one in chosen:
        mine = [found for found in outcomes if found.change == one.name]
        missed = ", ".join(found.scene for found in mine if not found.found)
        healthy = [found.healthy for found in mine if found.healthy is not None]
        others = sorted({check for found in mine for check in found.others})
        rows.append(
            [
                one.name,
                f"{sum(found.found for found in mine)} / {len(mine)}{f' (not {missed})' if missed else ''}",
                f"{sum(healthy)} / {len(healthy)}" if healthy else "no setting",
                ", ".join(others) or "-",
                mine[0].sentence,
            ]
        )
    return table_of(["break", "found", "healthy after --fix", "other checks that cry", "said of the first scene"], rows)


def alarms(outcomes: Sequence[Outcome]) -> str:
    whole = [found for found in outcomes if not found.change]
    false = [f"{found.scene}: {found.sentence}" for found in whole if not found.found]
    return f"False alarms on {len(whole)} unbroken scans: {len(false)}. {' '.join(false)}\n"


def timed(scenes: Sequence[BenchScene]) -> str:
    """Seconds that the command takes for `FRAMES` frames, Python's start and all; some twice where it has fewer."""
    raw = scenes[0].raw
    with tempfile.TemporaryDirectory() as folder:
        scene = copied(raw, Path(folder))
        names = names_of(scene)
        for number in range(FRAMES - len(names)):  # walked back from the end
            for kind in ("color", "depth", "pose"):
                (path,) = (scene / kind).glob(f"{names[-2 - number]}.*")
                path.with_stem(str(int(names[-1]) + number + 1)).symlink_to(path)
        for name in names[FRAMES:]:
            for kind in ("color", "depth", "pose"):
                next((scene / kind).glob(f"{name}.*")).unlink()
        started = time.perf_counter()
        panrecon("doctor", str(scene))
        seconds = time.perf_counter() - started
        again = max(FRAMES - len(names), 0)
        return f"{FRAMES} frames of {raw.name} ({again} of them twice): {seconds:.1f} s.\n"


if __name__ == "__main__":
    typer.run(main)
