"""Does `panrecon doctor` find what is wrong, and nothing where nothing is?

Every scene is broken in every way (`benchmarks/breaks.py`): is the break found by the check that it belongs to, do
other checks report it too, and is nothing wrong with the settings that the doctor proposes? Places that are no living
room (`benchmarks/doctor_scenes.py`), with exact depth and poses, are examined unbroken. Then seconds for 700 frames.
"""

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks.breaks import BREAKS, Break, copied, names_of
from benchmarks.doctor_confidence import FOLDER
from benchmarks.doctor_scenes import PLACES, simulate
from benchmarks.results import RESULTS, Report, Table, text_of, write_result
from benchmarks.scenes import BenchScene, find_scenes, panrecon
from benchmarks.study import ROOMS, SEEDS, SharedOption
from panrecon.commands.doctor import diagnose, repaired
from panrecon.config import ScanSettings
from panrecon.diagnosis.finding import Finding
from panrecon.diagnosis.parameters import DiagnosisParameters
from panrecon.simulation.room.sensor import SensorNoise
from panrecon.terminal import track

NAME: Final = "doctor_breaks"
FRAMES: Final = 700  # of the timed scan
SEED: Final = 0  # of the places; curves of confidence are fitted on others


@dataclass(frozen=True)
class Outcome:
    """What the doctor finds in one scene, unbroken (`broken_by` is empty) or broken in one way.

    `is_right` tells whether the check of the break finds it (nothing is found in an unbroken scene), with these
    sentences. `other_checks` find something wrong that they should not; `is_sound_repaired` tells whether the proposed
    settings leave nothing wrong, None where none are to be proposed.
    """

    scene: str
    broken_by: str
    is_right: bool
    sentences: str
    other_checks: tuple[str, ...]
    is_sound_repaired: bool | None
    seconds: float


def main(
    shared: SharedOption = None,
    processes: Annotated[int, typer.Option(min=1, help="scenes at once")] = 2,
    only: Annotated[str, typer.Option(help="breaks whose name contains this")] = "",
) -> None:
    scenes = find_scenes(",".join(map(str, SEEDS)), ROOMS, shared, RESULTS / "features")
    for scene in scenes:
        if scene.kind == "room" and not (scene.raw / "features" / "features.json").is_file():
            panrecon("simulate", "room", str(scene.raw), "--seed", scene.name.removeprefix("room"))
    breaks = [change for change in BREAKS if only in change.name]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        names = ("", *(change.name for change in breaks))
        futures = [pool.submit(outcome, scene.raw, name) for scene in scenes for name in names]
        futures += [pool.submit(place_outcome, name) for name in PLACES]
        outcomes = [future.result() for future in track(futures, NAME, len(futures))]
    time_taken = timed([scene for scene in scenes if scene.kind == "real"] or scenes)
    report: Report = [break_table(outcomes, breaks), false_alarms(outcomes), time_taken]
    write_result(NAME, report, {"outcomes": [asdict(outcome) for outcome in outcomes]})
    print(text_of(report))


def outcome(raw: Path, name: str, parameters: DiagnosisParameters = DiagnosisParameters()) -> Outcome:
    """The doctor's findings on a copy of a scene with the break of this name ("" = none), and after their repair."""
    change = next((change for change in BREAKS if change.name == name), None)
    with tempfile.TemporaryDirectory() as folder:
        scene = copied(raw, Path(folder))
        settings = ScanSettings()
        if change is not None:
            change.apply(scene)
            settings = settings.model_copy(update=dict(change.settings))
        started = time.perf_counter()
        findings = diagnose(scene, settings, parameters)
        seconds = time.perf_counter() - started
        wrong = [finding for finding in findings if finding.severity == "wrong"]
        if change is None:
            return Outcome(raw.name, "", not wrong, _sentences(wrong), _checks(wrong), None, seconds)
        severities = ("wrong", change.severity)
        right = [finding for finding in findings if finding.check == change.check and finding.severity in severities]
        others = [finding for finding in wrong if finding.check != change.check]
        is_sound = None
        if change.has_repair:
            after = diagnose(scene, repaired(settings, findings), parameters)
            is_sound = not any(finding.severity == "wrong" for finding in after)
        return Outcome(raw.name, name, bool(right), _sentences(right), _checks(others), is_sound, seconds)


def place_outcome(name: str) -> Outcome:
    """The doctor's findings on an unbroken place."""
    raw = FOLDER / f"{name}_{SEED}"
    if not raw.is_dir():
        simulate(name, raw, SEED, SensorNoise.none())
    return outcome(raw, "")


def _sentences(findings: Sequence[Finding]) -> str:
    return " ".join(finding.sentence for finding in findings)


def _checks(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(finding.check for finding in findings))


def break_table(outcomes: Sequence[Outcome], breaks: Sequence[Break]) -> Table:
    """A row a break: on how many scenes it is found, misnamed and repaired, and the sentence on the first of them."""
    rows = []
    for change in breaks:
        of_break = [outcome for outcome in outcomes if outcome.broken_by == change.name]
        missed = ", ".join(outcome.scene for outcome in of_break if not outcome.is_right)
        sound = [outcome.is_sound_repaired for outcome in of_break if outcome.is_sound_repaired is not None]
        other_checks = sorted({check for outcome in of_break for check in outcome.other_checks})
        count = sum(outcome.is_right for outcome in of_break)
        rows.append(
            [
                change.name,
                f"{count} / {len(of_break)}{f' (not {missed})' if missed else ''}",
                f"{sum(sound)} / {len(sound)}" if sound else "no setting",
                ", ".join(other_checks) or "-",
                of_break[0].sentences,
            ]
        )
    header = ["break", "found", "nothing wrong after --fix", "other checks that report", "finding on the first scene"]
    return Table(header, rows)


def false_alarms(outcomes: Sequence[Outcome]) -> str:
    """A line on the unbroken scans in which something is found."""
    unbroken = [outcome for outcome in outcomes if not outcome.broken_by]
    alarms = [f"{outcome.scene}: {outcome.sentences}" for outcome in unbroken if not outcome.is_right]
    return f"False alarms on {len(unbroken)} unbroken scans: {len(alarms)}. {' '.join(alarms)}"


def timed(scenes: Sequence[BenchScene]) -> str:
    """A line on the seconds that the command takes for `FRAMES` frames, start of Python included.

    Where the scan has fewer, it is continued backwards from its end, then forwards again, and so on.
    """
    raw = scenes[0].raw
    with tempfile.TemporaryDirectory() as folder:
        scene = copied(raw, Path(folder))
        names = names_of(scene)
        to_and_fro = cycle([*names[-2::-1], *names[1:]])
        for number, name in enumerate(islice(to_and_fro, max(FRAMES - len(names), 0)), int(names[-1]) + 1):
            for kind in ("color", "depth", "pose"):
                (path,) = (scene / kind).glob(f"{name}.*")
                path.with_stem(str(number)).symlink_to(path)
        for name in names[FRAMES:]:
            for kind in ("color", "depth", "pose"):
                next((scene / kind).glob(f"{name}.*")).unlink()
        started = time.perf_counter()
        panrecon("doctor", str(scene))
        seconds = time.perf_counter() - started
        repeated = max(FRAMES - len(names), 0)
        return f"{FRAMES} frames of {raw.name} ({repeated} of them repeated): {seconds:.1f} s."


if __name__ == "__main__":
    typer.run(main)
