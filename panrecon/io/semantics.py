"""The `semantics` artifact: class probabilities of the mesh's vertices, completed superface labels, the classifier."""

import json
from pathlib import Path

import numpy as np
from safetensors.torch import save

from panrecon.io.files import atomic_write, read_arrays, write_arrays
from panrecon.semantics.classifier import FittedClassifier
from panrecon.structures import Labels, PointSemantics, TriangleMesh


def write_point_semantics(folder: Path, mesh: TriangleMesh, semantics: PointSemantics) -> None:
    """Writes the class probabilities of the mesh's vertices as float16, beside the vertices (m)."""
    probability = semantics.probability.astype(np.float16)
    write_arrays(folder / "points.npz", points=mesh.vertices, probability=probability)


def read_point_semantics(folder: Path) -> PointSemantics:
    """The class probabilities of the mesh's vertices."""
    return PointSemantics(read_arrays(folder / "points.npz")["probability"].astype(np.float32))


def write_superface_labels(folder: Path, labels: Labels) -> None:
    """Writes class indices and instances of all superfaces; -1 is void."""
    write_arrays(folder / "labels.npz", category=labels.category, instance=labels.instance)


def read_superface_labels(folder: Path) -> Labels:
    """Class indices and instances of all superfaces."""
    return Labels(**read_arrays(folder / "labels.npz"))


def write_classifier(folder: Path, classifier: FittedClassifier) -> None:
    """Writes the weights, with temperature and held-out accuracy as metadata."""
    known = {"temperature": classifier.temperature, "held_out_accuracy": classifier.held_out_accuracy}
    metadata = {"panrecon": json.dumps(known)}  # one entry: safetensors writes several in any order
    with atomic_write(folder / "classifier.safetensors") as partial:
        partial.write_bytes(save(classifier.network.state_dict(), metadata))
