"""How sure may `panrecon doctor` be of what it suspects?

Simulated places of other seeds than those that are reported, with and without noise, are broken in every way. Every
suspicion with evidence is an example: right if it is of the check that the break belongs to, and so is its repair. A
logistic curve a check is fitted to them and printed as `panrecon.diagnosis.parameters.ConfidenceParameters` has it,
with the calibration error on places that it was not fitted on.
"""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from jaxtyping import Bool, Float
from scipy.optimize import minimize

from benchmarks.breaks import BREAKS, Break, copied
from benchmarks.doctor_scenes import PLACES, simulate
from benchmarks.provenance import CHECKOUT
from benchmarks.results import Report, Table, text_of, write_result
from panrecon.commands.doctor import diagnose
from panrecon.config import ScanSettings
from panrecon.diagnosis.finding import model_of
from panrecon.diagnosis.parameters import ConfidenceParameters, DiagnosisParameters
from panrecon.errors import InputError
from panrecon.simulation.room.sensor import SensorNoise
from panrecon.terminal import track

NAME: Final = "doctor_confidence"
FOLDER: Final = CHECKOUT / "data" / "doctor"
SEEDS: Final = (100, 101)
PRIOR: Final = (-1.0, 0.7)  # offset and logarithm of the slope: even odds at 0.5, 90 % at 1.6
SPREAD: Final = (1.0, 0.5)  # standard deviations of both


@dataclass(frozen=True)
class Example:
    """One suspicion: its check, the evidence for it, and whether it is right."""

    place: str
    broken_by: str
    check: str
    evidence: float
    is_right: bool


def main(
    processes: Annotated[int, typer.Option(min=1, help="places at once")] = 2,
    every: Annotated[int, typer.Option(min=1, help="break every place in every n-th way only")] = 1,
) -> None:
    tasks = [(name, seed, is_noisy) for seed in SEEDS for name in PLACES for is_noisy in (False, True)]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        futures = [pool.submit(examples_of, *task, every, index) for index, task in enumerate(tasks)]
        examples = [example for future in track(futures, NAME, len(futures)) for example in future.result()]
    report: Report = [curve_table(examples), f"Simulated places: {len(PLACES)}, seeds {SEEDS}, exact and noisy."]
    write_result(NAME, report, {"examples": [asdict(example) for example in examples]})
    print(text_of(report))


def examples_of(name: str, seed: int, is_noisy: bool, every: int, first: int) -> list[Example]:
    """All suspicions on a place, unbroken and broken."""
    raw = FOLDER / f"{name}_{seed}{'_noisy' if is_noisy else ''}"
    if not raw.is_dir():
        simulate(name, raw, seed, SensorNoise(far=8.0) if is_noisy else SensorNoise.none())
    changes: list[Break | None] = [None, *BREAKS[first % every :: every]]
    return [example for change in changes for example in suspicions(raw, change)]


def suspicions(raw: Path, change: Break | None) -> list[Example]:
    """What the doctor suspects in a scene, however unsure it is, after it is broken; None = unbroken."""
    with tempfile.TemporaryDirectory() as folder:
        scene = copied(raw, Path(folder))
        settings = ScanSettings()
        if change is not None:
            change.apply(scene)
            settings = settings.model_copy(update=dict(change.settings))
        try:
            findings = diagnose(scene, settings, DiagnosisParameters())
        except InputError:
            return []
    right = change.check if change is not None else ""
    name = change.name if change is not None else ""
    return [
        Example(raw.name, name, finding.check, finding.evidence, finding.check == right)
        for finding in findings
        if finding.evidence is not None
    ]


def curve_of(evidence: Float[np.ndarray, " n"], is_right: Bool[np.ndarray, " n"]) -> tuple[float, float]:
    """Offset and slope of the likeliest logistic curve; without examples that of `PRIOR`, give or take `SPREAD`.

    The slope is positive: more evidence never makes a suspicion less sure.
    """

    def loss(values: np.ndarray) -> float:
        z = values[0] + np.exp(values[1]) * evidence
        surprise = float((np.logaddexp(0, z) - is_right * z).sum())
        return surprise + 0.5 * float((((values - PRIOR) / SPREAD) ** 2).sum())

    offset, log_slope = minimize(loss, np.array(PRIOR), method="Nelder-Mead").x
    return round(float(offset), 2), round(float(np.exp(log_slope)), 2)


def calibration_error(
    evidence: Float[np.ndarray, " n"], is_right: Bool[np.ndarray, " n"], curve: tuple[float, float]
) -> float:
    """Mean over five equal groups of sorted confidence of |mean confidence - share right|, by their sizes."""
    confidence = 1 / (1 + np.exp(-(curve[0] + curve[1] * evidence)))
    groups = np.array_split(np.argsort(confidence), 5)
    gaps = [abs(confidence[group].mean() - is_right[group].mean()) * len(group) for group in groups if len(group)]
    return float(sum(gaps) / len(evidence))


def curve_table(examples: Sequence[Example]) -> Table:
    """A row a model: the curve of all examples, and the calibration error of that of the first seed on the others."""
    rows = []
    trusted = ConfidenceParameters().trusted
    for model in sorted({model_of(example.check) for example in examples}):
        of_model = [example for example in examples if model_of(example.check) == model]
        evidence = np.array([example.evidence for example in of_model])
        is_right = np.array([example.is_right for example in of_model])
        is_first = np.array([f"_{SEEDS[0]}" in example.place for example in of_model])
        curve = curve_of(evidence, is_right)
        error = "-"
        if is_first.any() and not is_first.all():
            of_first = curve_of(evidence[is_first], is_right[is_first])
            error = f"{calibration_error(evidence[~is_first], is_right[~is_first], of_first):.2f}"
        is_trusted = curve[0] + curve[1] * evidence >= np.log(trusted / (1 - trusted))
        rows.append(
            [
                model,
                str(len(of_model)),
                str(int(is_right.sum())),
                f"{curve[0]:g}, {curve[1]:g}",
                f"{int(is_trusted[is_right].sum())} / {int(is_right.sum())}",
                str(int(is_trusted[~is_right].sum())),
                error,
            ]
        )
    header = ["model", "suspicions", "right", "offset, slope", "right and trusted", "wrong but trusted", "error"]
    return Table(header, rows)


if __name__ == "__main__":
    typer.run(main)
