"""What a run is asked to do, and how it is carried out: one scene in this process, several by Snakemake."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Thread

from panrecon.config import Settings
from panrecon.errors import InputError, missing_package_as, require_packages
from panrecon.geometry.raycasting import index_kept
from panrecon.io.kept import images_kept
from panrecon.terminal import console, locked, print_error
from panrecon.threads import prefer_openmp
from panrecon.workflow.scenes import Scene
from panrecon.workflow.script import carry_out
from panrecon.workflow.snakemake import run_by_snakemake
from panrecon.workflow.stages import STAGES
from panrecon.workflow.staleness import stale_stages


@dataclass(frozen=True)
class Plan:
    """What a run is asked to do."""

    scenes: Sequence[Scene]
    run_folder: Path
    until: str
    settings: Mapping[str, Settings]  # by the scene's label
    cores: int
    dry_run: bool


def run_plan(plan: Plan) -> int:
    """Carries the plan out; the exit code: 0 done, 2 the input is wrong, 1 our fault in a process of Snakemake's.

    What is up to date is left alone; what a killed run left is taken up again.
    """
    stale = {
        scene: names for scene in plan.scenes if (names := stale_stages(scene, plan.settings[scene.label], plan.until))
    }
    if not stale:
        console.print("Nothing to do: " + ", ".join(s.label for s in plan.scenes) + f" up to date ({plan.until}).")
    if plan.dry_run:
        _print_stages(stale)
        return 0
    code = _run_stale(plan, stale)
    if not code:
        for scene in plan.scenes:
            _print_results(scene, plan.until)
    return code


def _print_stages(stale: Mapping[Scene, Sequence[str]]) -> None:
    """What would be done, a line a stage."""
    for scene, names in stale.items():
        for name in names:
            print(f"{name:10} {scene.label}: {STAGES[name].summary}")


def _run_stale(plan: Plan, stale: Mapping[Scene, Sequence[str]]) -> int:
    if len(stale) > 1:
        require_packages("snakemake")
    with ExitStack() as stack:
        locks = [stack.enter_context(locked(scene.run, "run")) for scene in stale]
        if len(stale) > 1:
            return run_by_snakemake(stale, plan.run_folder, plan.until, plan.settings, plan.cores, locks)
        return max((_run_here(scene, plan.settings[scene.label], names) for scene, names in stale.items()), default=0)


def _run_here(scene: Scene, settings: Settings, names: Sequence[str]) -> int:
    """Runs stages of a scene in this process, which starts and reads images once for all of them; the exit code."""
    try:
        with missing_package_as(InputError):
            prefer_openmp()
            if "field" in names:
                _compile_meanwhile()
            with images_kept(), index_kept():
                for name in names:
                    carry_out(name, scene, settings, import_module(f"panrecon.pipelines.{name}").main)
    except InputError as error:
        print_error(error)
        return 2
    return 0


def _compile_meanwhile() -> None:
    """Begins to compile the field's kernels, if they are not: the stages before it leave a core idle for half a minute.

    The field waits for them; a failure is its to report.
    """
    from panrecon.field.cpu.compiled import ensure_compiled

    def compile_kernels() -> None:
        with suppress(RuntimeError):
            ensure_compiled()

    Thread(target=compile_kernels, daemon=True).start()


def _print_results(scene: Scene, until: str) -> None:
    """The table of panoptic quality, if there is one, and where the mesh lies."""
    if until == "quality":
        print((scene.run / "quality" / "quality.md").read_text())
    if until in ("quality", "panoptic"):
        print(f"panoptic mesh: {scene.run / 'panoptic' / 'panoptic.ply'}")
