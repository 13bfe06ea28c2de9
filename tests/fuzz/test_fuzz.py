"""Whatever is in a file, its reader reads it or refuses it in one sentence, never with another exception.

The same cases every time: `FUZZ_CASES` of every kind of file, drawn from `FUZZ_SEED` (`make fuzz` draws more). A
failure names kind, file, damage and case.
"""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from panrecon.cli import app
from panrecon.config import load_settings
from panrecon.datasets.poses import read_matrix, read_pose
from panrecon.datasets.scannet.dataset import ScanNet
from panrecon.datasets.scannet.format import write_frame, write_scene
from panrecon.errors import InputError
from panrecon.io.categories import find_table, read_categories, write_categories
from panrecon.io.detections import read_detections
from panrecon.io.features import read_features
from panrecon.io.files import read_arrays, read_json, write_arrays, write_json, write_text
from panrecon.io.images import read_color, read_depth, read_ids, read_size, write_depth, write_ids, write_image
from panrecon.io.mesh import read_mesh, read_panoptic_mesh, write_panoptic_mesh
from panrecon.io.tensors import read_tensors, write_tensors
from panrecon.memory import peak_memory
from panrecon.structures import Labels, PanopticMesh, TriangleMesh
from tests.datasets.importers import (
    test_arkit_scenes,
    test_colmap,
    test_frames,
    test_nerfstudio,
    test_plain,
    test_polycam,
    test_record3d,
    test_redwood,
    test_replica,
    test_rosbag,
    test_rtabmap,
    test_scanner_app,
    test_scannetpp,
    test_sens,
    test_stray,
    test_tum,
)
from tests.datasets.importers.test_record3d import lzfse  # noqa: F401  (a fixture)
from tests.datasets.scannet import test_scannet
from tests.fuzz.damage import DAMAGES

CASES: Final = int(os.environ.get("FUZZ_CASES", "300"))
SEED: Final = int(os.environ.get("FUZZ_SEED", "0"))
TABLE: Final = read_categories(find_table(Path("scannet20")))
MAX_SECONDS: Final = 60  # of a case: a thousand times what it takes
MAX_BYTES: Final = 1 << 30
Reader = Callable[[Path], Any]
Kind = tuple[Callable[[Path], Path], Reader]


def write_class_table(folder: Path) -> Path:
    write_categories(folder / "classes.csv", TABLE)
    return folder / "classes.csv"


def write_settings(folder: Path) -> Path:
    write_text(folder / "a.yaml", "scan:\n  frame_stride: 2\n  skip_frames: [3, 7]\nmesh: {voxel_size: 0.03}\n")
    return folder / "a.yaml"


def write_pose(folder: Path) -> Path:
    np.savetxt(folder / "0.txt", np.eye(4))
    return folder / "0.txt"


def write_picture(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        picture = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
        write_image(folder / name, picture)
        return folder / name

    return write


def write_depth_image(folder: Path) -> Path:
    write_depth(folder / "0.png", np.linspace(0, 4, 24 * 32, dtype=np.float32).reshape(24, 32))
    return folder / "0.png"


def write_id_image(folder: Path) -> Path:
    write_ids(folder / "0.png", np.arange(24 * 32, dtype=np.int32).reshape(24, 32))
    return folder / "0.png"


def write_npz(folder: Path) -> Path:
    write_arrays(folder / "a.npz", a=np.arange(40), b=np.ones((3, 2), np.float32))
    return folder / "a.npz"


def write_npy(folder: Path) -> Path:
    np.save(folder / "a.npy", np.ones((4, 5, 6), np.float16))
    return folder / "a.npy"


def write_weights(folder: Path) -> Path:
    write_tensors(folder / "a.safetensors", {"weight": torch.ones(3, 2), "step": torch.tensor(4)})
    return folder / "a.safetensors"


def write_surface(folder: Path) -> Path:
    vertices = np.random.default_rng(0).normal(size=(12, 3))
    mesh = TriangleMesh(vertices, np.arange(12).reshape(4, 3).astype(np.int32), np.zeros((12, 3), np.uint8))
    labels = Labels(np.arange(12, dtype=np.int32) % 3, np.arange(12, dtype=np.int32) % 2)
    write_panoptic_mesh(folder / "a.ply", PanopticMesh(mesh, labels), TABLE)
    return folder / "a.ply"


def write_detections_file(folder: Path) -> Path:
    mask = {"size": [24, 32], "counts": [100, 200, 468]}
    record = {"image_id": "0", "category": "chair", "score": 0.5, "bbox": [1, 2, 3, 4], "segmentation": mask}
    write_json(folder / "detections.json", [record, {**record, "image_id": "1", "score": 1}])
    return folder / "detections.json"


def decode_detections(path: Path) -> None:
    for _ in read_detections(path, TABLE).values():
        pass


KINDS: Final[dict[str, Kind]] = {
    "settings": (write_settings, lambda path: load_settings([path])),
    "JSON": (write_detections_file, read_json),
    "class table": (write_class_table, read_categories),
    "matrix": (write_pose, read_matrix),
    "pose": (write_pose, read_pose),
    "PNG": (write_picture("0.png"), read_color),
    "JPEG": (write_picture("0.jpg"), read_color),
    "image size": (write_picture("0.jpg"), read_size),
    "depth image": (write_depth_image, lambda path: read_depth(path, 1000.0)),
    "id image": (write_id_image, read_ids),
    "npz": (write_npz, read_arrays),
    "features": (write_npy, lambda path: read_features(path.parent, path.stem)),
    "safetensors": (write_weights, read_tensors),
    "mesh": (write_surface, read_mesh),
    "panoptic mesh": (write_surface, lambda path: read_panoptic_mesh(path, TABLE)),
    "detections": (write_detections_file, decode_detections),
}


def refusal_of(error: BaseException | None) -> InputError | None:
    """The refusal, which the shape checker of the tests may have met when it looked at what was read."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """No case takes minutes, and all of them together hold little more than they were given."""

    def stop(*_: object) -> None:
        raise AssertionError(f"a case took more than {MAX_SECONDS} s")

    before = peak_memory()
    usual = signal.signal(signal.SIGALRM, stop)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, usual)
    assert peak_memory() - before < MAX_BYTES


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_or_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    write, read = KINDS[kind]
    path = write(tmp_path)
    content = path.read_bytes()
    read(path)
    for case in range(CASES):
        rng = np.random.default_rng([SEED, case, len(kind)])
        damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
        path.write_bytes(damage(rng, content))
        signal.alarm(MAX_SECONDS)
        try:
            read(path)
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise AssertionError(f"{kind}: {damage.__name__}, case {case} of seed {SEED}") from error
            assert str(refusal).strip() and len(str(refusal)) < 4_000


def write_colmap(folder: Path) -> Path:
    workspace = test_colmap.write_workspace(folder)
    test_colmap.write_depths(workspace)
    return workspace


def write_record3d(folder: Path) -> Path:
    return test_record3d.zipped(test_record3d.write_recording(folder))


def write_scannet(folder: Path) -> Path:
    """With its truth, which an import takes along unread."""
    scene = folder / "scene0"
    for name in test_scannet.NAMES:
        write_frame(scene, test_scannet.view(name), test_scannet.truth_image(), TABLE)
    write_scene(scene, test_scannet.CAMERA, test_scannet.annotated(), TABLE)
    return scene


SCANS: Final[dict[str, Callable[[Path], Path]]] = {
    "plain": test_plain.write_scan,
    "tum": test_tum.write_sequence,
    "redwood": test_redwood.write_scan,
    "nerfstudio": test_nerfstudio.write_scan,
    "sens": lambda folder: test_sens.write_sens(folder / "a.sens"),
    "colmap": write_colmap,
    "polycam": test_polycam.write_export,
    "record3d": write_record3d,
    "frames": test_frames.write_scan,
    "arkit_scenes": test_arkit_scenes.write_scene,
    "3d_scanner_app": test_scanner_app.write_export,
    "replica": test_replica.write_scene,
    "stray": lambda folder: test_stray.write_recording(folder / "recording"),
    "scannet": write_scannet,
    "rosbag": test_rosbag.write_bag,
    "rtabmap": test_rtabmap.write_export,
    "scannetpp": lambda folder: test_scannetpp.write_recording(folder / "a", "stream"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SCANS)
def test_a_damaged_scan_is_imported_or_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    """And what is refused leaves nothing."""
    (tmp_path / "whole").mkdir()
    source = SCANS[kind](tmp_path / "whole")
    for case in range(max(CASES // 5, 1)):
        rng = np.random.default_rng([SEED, case, len(kind)])
        damaged = Path(shutil.copytree(tmp_path / "whole", tmp_path / "damaged"))
        files = sorted(path for path in damaged.rglob("*") if path.is_file())
        file = files[int(rng.integers(len(files)))]
        damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
        file.write_bytes(damage(rng, file.read_bytes()))
        path = damaged / source.relative_to(tmp_path / "whole")
        signal.alarm(MAX_SECONDS)
        outcome = CliRunner().invoke(app, ["import", str(path), "--format", kind, "--out", str(tmp_path / "out")])
        what = f"{kind}: {damage.__name__} of {file.name}, case {case} of seed {SEED}"
        assert outcome.exit_code in (0, 2), f"{what}: {outcome.exception!r}"
        assert (outcome.exit_code == 0) == (tmp_path / "out").is_dir(), what
        for folder in (damaged, tmp_path / "out"):
            shutil.rmtree(folder, ignore_errors=True)


TRUTH: Final = ("scene0.aggregation.json", "scene0_vh_clean_2.0.010000.segs.json", "scene0_vh_clean_2.ply")


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_truth_is_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    scene = write_scannet(tmp_path)
    contents = {name: (scene / name).read_bytes() for name in TRUTH}
    for case in range(CASES):
        rng = np.random.default_rng([SEED, case])
        name = TRUTH[int(rng.integers(len(TRUTH)))]
        damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
        (scene / name).write_bytes(damage(rng, contents[name]))
        signal.alarm(MAX_SECONDS)
        try:
            ScanNet().annotation(scene, TABLE)
        except Exception as error:
            assert refusal_of(error) is not None, f"{damage.__name__} of {name}, case {case} of seed {SEED}: {error!r}"
        (scene / name).write_bytes(contents[name])
