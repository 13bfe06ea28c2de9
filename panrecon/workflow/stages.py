"""The graph of stages, stated once: from it come the Snakefile's rules, the Makefile's targets and the docs' table.

It needs nothing but Python, so that the Makefile can ask it before anything is installed:
`python panrecon/workflow/stages.py` prints the names of the stages in order.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class StageDefinition:
    """A stage: what it does, which stages' artifacts it reads, and which files every artifact of it has.

    `version` is raised when the output changes for the same input. Later stages may read further files of an
    artifact, such as images, whose names depend on the scene.
    """

    version: int
    reads: tuple[str, ...]
    files: tuple[str, ...]
    summary: str


STAGES: Final[dict[str, StageDefinition]] = {
    "scan": StageDefinition(
        version=2,
        reads=(),
        files=("scan.json", "classes.csv"),
        summary="reads the raw scene, registers colour to depth, checks every image and pose",
    ),
    "mesh": StageDefinition(
        version=3,
        reads=("scan",),
        files=("mesh.ply",),
        summary="fuses depth into a truncated signed distance function, extracts and cleans the surface",
    ),
    "masks": StageDefinition(
        version=1,
        reads=("scan",),
        files=("detections.json",),
        summary="finds the classes in every frame (`precomputed`, or `grounded_sam`)",
    ),
    "features": StageDefinition(
        version=1,
        reads=("scan",),
        files=("features.json", "projection.npz"),
        summary=(
            "brings dense features to one basis per scene (`precomputed`, `dinov2`, or `color`: statistics "
            "without a network)"
        ),
    ),
    "graph": StageDefinition(
        version=9,
        reads=("scan", "mesh", "masks"),
        files=("superfaces.npz", "graph.npz", "instances.npz", "objects.json", "votes.npz"),
        summary=(
            "cuts the mesh into superfaces, lets all masks vote on which belong together, gives objects one "
            "id and one class (`consensus`, or `panopticrecon`: the paper's rule)"
        ),
    ),
    "semantics": StageDefinition(
        version=5,
        reads=("scan", "mesh", "features", "graph"),
        files=("points.npz", "labels.npz", "objects.json", "classifier.safetensors"),
        summary=(
            "relabels objects that similar objects and their own masks call otherwise; learns class from "
            "features where there are labels, fills in where there are none"
        ),
    ),
    "field": StageDefinition(
        version=7,
        reads=("scan", "mesh", "features", "graph", "semantics"),
        files=("field.safetensors", "field.json"),
        summary="optimises four hash volumes for distance, colour, semantics and instances by volume rendering",
    ),
    "panoptic": StageDefinition(
        version=15,
        reads=("scan", "mesh", "graph", "semantics", "field"),
        files=("panoptic.ply", "objects.json", "classes.csv"),
        summary=(
            "decides class and object of every vertex by one energy of votes, field, features, layout and "
            "appearance; gives objects without a name an id; projects boundary vertices onto their segment; adds "
            "thin structures; renders the held-out frames"
        ),
    ),
    "quality": StageDefinition(
        version=3,
        reads=("scan", "mesh", "graph", "semantics", "panoptic"),
        files=("quality.json", "quality.md"),
        summary=(
            "panoptic quality in 3D by several protocols, after every step; the only stage that reads annotations"
        ),
    ),
}
RECORD: Final = "settings.json"  # in every artifact: what it was made of


def needed(until: str) -> list[str]:
    """The stage and all that it reads, at first or second hand, in order."""
    required = {until}
    for name in reversed(STAGES):
        if name in required:
            required.update(STAGES[name].reads)
    return [name for name in STAGES if name in required]


def stage_table() -> str:
    """The stages as a table in Markdown."""
    rows = [
        f"| {name} | {stage.summary} | {', '.join(stage.reads) or 'the raw scene'} | "
        + ", ".join(f"`{file}`" for file in stage.files)
        + " |"
        for name, stage in STAGES.items()
    ]
    return "\n".join(["| stage | what it does | reads | leaves |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    print(*STAGES)
