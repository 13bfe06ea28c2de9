"""The result on disk: `panoptic.ply`, `objects.json` and `classes.csv`, of a run's `panoptic/` and of Python users."""

from collections.abc import Mapping
from pathlib import Path

from panrecon.io.categories import read_categories, write_categories
from panrecon.io.graph import write_objects
from panrecon.io.mesh import read_panoptic_mesh, write_panoptic_mesh
from panrecon.structures import CategoryTable, PanopticMesh, SceneObject


def write_result(
    folder: Path, panoptic: PanopticMesh, objects: Mapping[int, SceneObject], table: CategoryTable
) -> None:
    """Writes the mesh, its objects by instance, and the table of the classes of both."""
    write_panoptic_mesh(folder / "panoptic.ply", panoptic, table)
    write_objects(folder / "objects.json", objects, table)
    write_categories(folder / "classes.csv", table)


def read_result(folder: Path) -> tuple[PanopticMesh, CategoryTable]:
    """The mesh and its class table: the scan's, in the same order, with the class `unknown` after them.

    Raises:
        InputError: a file is missing or broken.
    """
    table = read_categories(folder / "classes.csv")
    return read_panoptic_mesh(folder / "panoptic.ply", table), table
