"""Do the compiled heads and the compiled Adam earn their lines? Against plain torch in whole training steps; medians.

A step of the last pass with the default settings, on one and on two threads of torch, beside nobody and beside one
process that keeps a core busy. All variants take turns in one run. What saves less than a third of a step would go.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Final

import torch
import typer

from benchmarks.encoding_speed import box_scene, compare
from benchmarks.results import Report, Table, text_of, write_result
from panrecon.config import FieldSettings
from panrecon.field.cpu.adam import TableAdam
from panrecon.field.field import GeometryHead, Network
from panrecon.field.fit import ADAM, Pass, Training
from panrecon.threads import one_thread

NAME: Final = "kernel_worth"
THREADS: Final = (1, 2)  # of torch; compiled kernels take all cores
BUSY: Final = "while True: pass"


class TorchAdamTraining(Training):
    """Training whose table is updated by torch's own fused Adam."""

    def _new_optimizer(self, part: Pass) -> torch.optim.Adam:
        ours = super()._new_optimizer(part)
        assert isinstance(ours, TableAdam)
        groups = [{"params": group["params"]} for group in ours.param_groups]
        return torch.optim.Adam(groups, **ADAM, fused=True)


def main() -> None:
    """A table of the variants by number of busy neighbours."""
    rows = []
    for neighbours in (0, 1):
        with busy_neighbours(neighbours):
            rows += compare(f"{neighbours} busy neighbours", variants())
    cells = [[row.group, row.variant, f"{1000 * row.seconds:.1f} ms", f"{1 / row.ratio:.2f} x"] for row in rows]
    report: Report = [Table(["beside", "variant", "median step", "of the compiled one"], cells)]
    write_result(NAME, report, {"rows": [asdict(row) for row in rows]})
    print(text_of(report))


def variants() -> dict[str, Callable[[], None]]:
    """A training step by variant, the compiled one first."""
    steps = {"compiled": training_step(Training, plain_heads=False, threads=1)}
    for threads in THREADS:
        name = f"torch on {threads} thread{'s'[: threads - 1]}"
        steps[f"heads by {name}"] = training_step(Training, plain_heads=True, threads=threads)
        steps[f"Adam by {name}"] = training_step(TorchAdamTraining, plain_heads=False, threads=threads)
    return steps


def training_step(kind: type[Training], plain_heads: bool, threads: int) -> Callable[[], None]:
    """One step of a training of its own."""
    settings = FieldSettings(geometry_iterations=0, frozen_iterations=0, joint_iterations=1000, device="cpu")
    training = kind(box_scene(), settings)
    if plain_heads:
        for head in training.field.modules():
            if isinstance(head, GeometryHead | Network):
                head.forward = head.plain  # type: ignore[method-assign]

    def step() -> None:
        with one_thread():
            torch.set_num_threads(threads)
            training.step(training.finished)

    return step


@contextmanager
def busy_neighbours(count: int) -> Iterator[None]:
    """So many processes that keep a core busy each."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    typer.run(main)
