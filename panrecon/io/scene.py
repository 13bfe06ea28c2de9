"""A scene in memory as stages of a run left it; `folder` gives the folder of a stage by its name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from panrecon.io.categories import read_categories
from panrecon.io.graph import read_instances_found, read_labels_of_surfaces, read_objects, read_superfaces
from panrecon.io.mesh import read_mesh
from panrecon.io.semantics import read_superface_labels
from panrecon.structures import LabelledScene, SegmentedScene


def read_segmented_scene(folder: Callable[[str], Path]) -> SegmentedScene:
    """The scene after `graph`.

    Raises:
        InputError: a file is missing or broken.
    """
    table = read_categories(folder("scan") / "classes.csv")
    mesh = read_mesh(folder("mesh") / "mesh.ply")
    return SegmentedScene(mesh, read_superfaces(folder("graph")), read_instances_found(folder("graph"), table), table)


def read_labelled_scene(folder: Callable[[str], Path]) -> LabelledScene:
    """The scene after `semantics`; labels of views are read when they are asked for.

    Raises:
        InputError: a file is missing or broken.
    """
    table = read_categories(folder("scan") / "classes.csv")
    mesh = read_mesh(folder("mesh") / "mesh.ply")
    objects = read_objects(folder("semantics") / "objects.json", table)
    labels = read_superface_labels(folder("semantics")).at(read_superfaces(folder("graph")))
    labels_of_view = partial(read_labels_of_surfaces, folder("graph") / "labels", objects=objects, table=table)
    return LabelledScene(mesh, labels, objects, table, labels_of_view)
