"""The `quality` artifact: the steps that are scored, the record of their scores, its tables, images and page."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from panrecon.evaluation.report.html import report_page
from panrecon.evaluation.report.markdown import STEPS, quality_tables
from panrecon.evaluation.scene import EvaluationSettings, SceneResult, quality_record
from panrecon.io.files import write_json, write_text
from panrecon.io.graph import read_instances_found, read_superfaces
from panrecon.io.images import write_image
from panrecon.io.mesh import read_mesh, read_panoptic_mesh
from panrecon.io.semantics import read_superface_labels
from panrecon.structures import CategoryTable, PanopticMesh
from panrecon.visualization import contact_sheet


def read_labelled_steps(folder_of_stage: Callable[[str], Path], table: CategoryTable) -> dict[str, PanopticMesh]:
    """The labels after the graph, after semantics, and at the end, by step."""
    mesh = read_mesh(folder_of_stage("mesh") / "mesh.ply")
    superface_of_vertex = read_superfaces(folder_of_stage("graph"))
    after_graph = read_instances_found(folder_of_stage("graph"), table).of_superface.at(superface_of_vertex)
    after_semantics = read_superface_labels(folder_of_stage("semantics")).at(superface_of_vertex)
    final = read_panoptic_mesh(folder_of_stage("panoptic") / "panoptic.ply", table)
    steps = (PanopticMesh(mesh, after_graph), PanopticMesh(mesh, after_semantics), final)
    return dict(zip(STEPS, steps, strict=True))


def write_quality(
    folder: Path, scene: str, result: SceneResult, evaluation: EvaluationSettings, costs: Sequence[Mapping[str, Any]]
) -> None:
    """`quality.json`, `.md` and `.png`, and `report.html`, which shows besides what the stages cost.

    What they cost differs from run to run and is in no other file.
    """
    record = quality_record({scene: result}, evaluation, is_mesh=True)
    write_json(folder / "quality.json", record)
    write_text(folder / "quality.md", quality_tables(record))
    write_image(folder / "quality.png", contact_sheet(list(result.images.values()), columns=2))
    with_costs = {**record, "scenes": {scene: {**record["scenes"][scene], "stages": costs}}}
    write_text(folder / "report.html", report_page(f"Panoptic quality of {scene}", with_costs, {scene: result.images}))
