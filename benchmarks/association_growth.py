"""How do time and memory of the association grow, against frames and against superfaces?

A built-in room walked through in 200 frames of 640 x 480, on a mesh of about 500,000 faces; fewer frames are every
second, fourth, eighth. What the graph stage does between reading and writing is counted: masks decoded, vertices seen,
superfaces, objects. Every measurement takes a process of its own, so that its memory is its own; compiled code is warm.
"""

import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import typer

from benchmarks.results import Report, Table, text_of, write_result
from benchmarks.scenes import DATASET, BenchScene, panrecon, run_pipeline
from benchmarks.study import ROOMS, RUNS, in_processes, run_folder
from panrecon.config import GraphSettings
from panrecon.graph.adjacency import superface_adjacency
from panrecon.graph.instances import infer_instances
from panrecon.graph.observation import FrameObservation, observe
from panrecon.graph.superfaces import superfaces
from panrecon.io.categories import read_categories
from panrecon.io.detections import read_detections
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, read_view
from panrecon.structures import Frame
from panrecon.threads import parallel_map

NAME: Final = "association_growth"
SCENE: Final = "growth"
FRAMES: Final = (25, 50, 100, 200)
VOXEL_SIZE: Final = 0.0255  # m: 500,000 faces
THRESHOLDS: Final = (0.3, 0.1, 0.03, 0.01)  # of superfaces: fewer to more
INVENTED: Final = 5.2  # masks a frame: 20 in all
REPEATS: Final = 3


@dataclass(frozen=True)
class Cost:
    """What was worked on, the median seconds of its parts, and the most memory beyond what was read (MB)."""

    frames: int
    masks_a_frame: float
    faces: int
    superfaces: int
    objects: int
    superface_seconds: float
    observe_seconds: float
    infer_seconds: float
    extra_memory_mb: int

    @property
    def seconds(self) -> float:
        return self.superface_seconds + self.observe_seconds + self.infer_seconds


def main() -> None:
    """Two tables and the fit of seconds against frames."""
    scene = BenchScene("room", ROOMS / SCENE)
    if not (scene.raw / "features" / "features.json").is_file():
        panrecon("simulate", "room", str(scene.raw), "--frames", str(max(FRAMES)), "--width", "640")
        panrecon("simulate", "detections", str(scene.raw), "--fault", f"hallucinations={INVENTED}")
    run_pipeline(scene, RUNS, "bench", "masks", [])
    run_pipeline(scene, RUNS, "bench", "mesh", [f"mesh.voxel_size={VOXEL_SIZE}"])
    k = GraphSettings().superface_threshold
    by_frames: list[Cost] = in_processes([(measure, scene, count, k) for count in FRAMES], NAME, processes=1)
    by_superfaces: list[Cost] = in_processes([(measure, scene, 100, k) for k in THRESHOLDS], NAME, processes=1)
    report: Report = [cost_table(by_frames), fit(by_frames), cost_table(by_superfaces)]
    record = {"by_frames": [asdict(cost) for cost in by_frames], "by_superfaces": [asdict(c) for c in by_superfaces]}
    write_result(NAME, report, record)
    print(text_of(report))


def measure(scene: BenchScene, run: Path, count: int, threshold: float) -> Cost:
    """The association of evenly chosen frames of the run."""
    assert run == run_folder(scene) and DATASET in run.parts
    scan, mesh = read_scan(run / "scan"), read_mesh(run / "mesh" / "mesh.ply")
    table = read_categories(run / "scan" / "classes.csv")
    detections = read_detections(run / "masks" / "detections.json", table)
    frames = [frame for frame in scan.frames[:: max(FRAMES) // count] if frame.name in detections]
    settings = GraphSettings(superface_threshold=threshold)
    superfaces(mesh, settings)  # loads what is compiled
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def observed(frame: Frame) -> FrameObservation:
        view = read_view(scan, frame)
        return observe(view, mesh.vertices, detections[frame.name], table, settings.depth_tolerance)

    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        superface_of_vertex = superfaces(mesh, settings)
        adjacency = superface_adjacency(mesh, superface_of_vertex)
        cut = time.perf_counter()
        observations = list(parallel_map(observed, frames))
        seen = time.perf_counter()
        found = infer_instances(observations, superface_of_vertex, adjacency, table, settings)
        times.append((cut - started, seen - cut, time.perf_counter() - seen))
    seconds = np.median(times, axis=0)
    return Cost(
        frames=len(frames),
        masks_a_frame=float(np.mean([len(detections[frame.name]) for frame in frames])),
        faces=len(mesh.faces),
        superfaces=int(superface_of_vertex.max()) + 1,
        objects=len(found.instances.objects),
        superface_seconds=float(seconds[0]),
        observe_seconds=float(seconds[1]),
        infer_seconds=float(seconds[2]),
        extra_memory_mb=(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024,
    )


def cost_table(costs: list[Cost]) -> Table:
    head = ["frames", "masks a frame", "faces", "superfaces", "objects", "superfaces, s", "observe, s", "infer, s"]
    rows = [
        [
            *(str(c.frames), f"{c.masks_a_frame:.1f}", f"{c.faces:,}", str(c.superfaces), str(c.objects)),
            *(f"{c.superface_seconds:.2f}", f"{c.observe_seconds:.2f}", f"{c.infer_seconds:.2f}", f"{c.seconds:.2f}"),
            str(c.extra_memory_mb),
        ]
        for c in costs
    ]
    return Table([*head, "all, s", "memory beyond the input, MB"], rows)


def fit(costs: list[Cost]) -> str:
    """Least squares of seconds = a + b x frames, and the exponent of the part that grows."""
    frames, seconds = np.array([(cost.frames, cost.observe_seconds + cost.infer_seconds) for cost in costs]).T
    slope, start = np.polyfit(frames, seconds, 1)
    residual = seconds - (start + slope * frames)
    r2 = 1 - (residual**2).sum() / ((seconds - seconds.mean()) ** 2).sum()
    exponent = np.polyfit(np.log(frames), np.log(seconds), 1)[0]
    return (
        f"observe + infer = {start:.2f} s + {1000 * slope:.1f} ms a frame (R2 {r2:.4f}); "
        f"seconds ~ frames ^ {exponent:.2f}"
    )


if __name__ == "__main__":
    typer.run(main)
