"""What an estimate tells grows as the work does: counted with a clock by which every piece of work takes a second."""

import itertools
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.commands.estimate import estimate as command
from panrecon.config import MasksSettings, Settings, load_settings
from panrecon.datasets.base import dataset
from panrecon.errors import InputError, OutOfMemoryError
from panrecon.field.field import SceneBox
from panrecon.field.inference import grid_shape
from panrecon.io.detections import read_detections
from panrecon.io.scan import read_scan, write_scan
from panrecon.masks import grounded_sam
from panrecon.memory import peak_memory
from panrecon.networks.torchvision_ops import ensure_torchvision
from panrecon.profiling import costs, networks, stages
from panrecon.profiling.costs import Estimate
from panrecon.profiling.networks import NetworkCost
from panrecon.profiling.stages import Profiler
from panrecon.profiling.surface import BYTES_OF_A_NODE, middle_of, node_count
from panrecon.profiling.survey import inner_of, share_seen, some_of
from panrecon.structures import CategoryTable, Detections, Scan
from panrecon.workflow.stages import STAGES
from tests.masks import tiny

FRAMES = 40  # of the small room
QUICK = ["field.log2_table_size=12", "semantics.iterations=20", "mesh.voxel_size=0.05"]
SMALL_IMAGES = 120  # pixels of the short side: the images' own, for speed
TRIED = 2  # frames that networks are tried on, on a CPU
NETWORK = 3.0 + FRAMES / 2  # seconds: checked, loaded and warmed up, and every frame
REST_OF_TWO = 5.0  # seconds: what a stage of two parts does after each part's last step, and outside of them


def steady(patch: pytest.MonkeyPatch) -> None:
    """Whatever is timed takes a second, and networks work in this process on small images."""
    patch.setattr(costs, "time", SimpleNamespace(perf_counter=itertools.count(0.0).__next__))
    patch.setattr(networks, "apart", lambda stage, work, *arguments: work(*arguments))
    patch.setattr(grounded_sam, "SHORT_SIDE", SMALL_IMAGES)


@pytest.fixture(autouse=True)
def steady_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    steady(monkeypatch)


def profiler(raw: Path, folder: Path, overrides: list[str]) -> Profiler:
    settings: Settings = load_settings([], QUICK + overrides)
    return Profiler("scannet", raw, settings, folder)


def estimate(raw_scenes: Path, folder: Path, overrides: list[str]) -> Estimate:
    return profiler(raw_scenes / "room", folder, overrides).estimate(lambda _: None)


@pytest.fixture(scope="module")
def usual(raw_scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Estimate:
    with pytest.MonkeyPatch.context() as patch:
        steady(patch)
        return estimate(raw_scenes, tmp_path_factory.mktemp("usual"), ["field.frozen_iterations=700"])


def test_every_stage_is_told_and_the_starts(usual: Estimate) -> None:
    assert list(usual.costs) == [*STAGES, "start"]
    assert usual.costs["start"].seconds == 1
    assert usual.frames == FRAMES


def test_every_step_of_the_whole_scan_counts_a_second(usual: Estimate) -> None:
    assert usual.costs["scan"].seconds == 1.0  # all frames of so short a scan are read and fused
    assert usual.costs["mesh"].seconds >= FRAMES
    assert usual.costs["features"].seconds == pytest.approx(2 * FRAMES + REST_OF_TWO)  # fitted and projected
    assert usual.costs["field"].seconds == pytest.approx(FRAMES + Settings().field.steps + REST_OF_TWO - 1)
    assert usual.costs["graph"].seconds >= FRAMES
    assert usual.costs["semantics"].seconds >= FRAMES


def test_a_longer_training_takes_as_much_longer(usual: Estimate, raw_scenes: Path, tmp_path: Path) -> None:
    longer = estimate(raw_scenes, tmp_path, ["field.frozen_iterations=7000"])
    assert longer.costs["field"].seconds - usual.costs["field"].seconds == 6300
    assert {name: cost.seconds for name, cost in longer.costs.items() if name != "field"} == {
        name: cost.seconds for name, cost in usual.costs.items() if name != "field"
    }


def test_unseen_surface_is_told_from_the_depth_images(raw_scenes: Path, tmp_path: Path) -> None:
    whole = Profiler("scannet", raw_scenes / "room", Settings(), tmp_path).whole
    few, half = some_of(whole, 2), some_of(whole, 20)
    assert share_seen(whole, whole, 6.0) == 1.0
    assert 0 < share_seen(whole, few, 6.0) < share_seen(whole, half, 6.0) < 1.0


# Networks.


@pytest.fixture(scope="module")
def tiny_networks(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The settings that ask for tiny networks of random weights."""
    folder = tmp_path_factory.mktemp("networks")
    ensure_torchvision()
    from transformers import Dinov2Config, Dinov2Model

    shape = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "image_size": 56, "patch_size": 14}
    Dinov2Model(Dinov2Config(**shape)).save_pretrained(folder / "dinov2")
    weights = {
        "masks.detector_weights": tiny.save(tiny.grounding_dino(), folder / "grounding-dino"),
        "masks.segmenter_weights": tiny.save(tiny.sam(), folder / "sam"),
        "features.weights": folder / "dinov2",
    }
    thresholds = {"masks.box_threshold": 0.05, "masks.text_threshold": 0.02}
    devices = {"masks.device": "cpu", "features.device": "cpu"}
    return [f"{name}={value}" for name, value in (weights | thresholds | devices).items()]


@pytest.fixture(scope="module")
def bare(raw_scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small room without detections and features."""
    folder = tmp_path_factory.mktemp("bare") / "room"
    folder.mkdir()
    for path in (raw_scenes / "room").iterdir():
        if path.name not in ("detections.json", "features"):
            (folder / path.name).symlink_to(path)
    return folder.parent


@pytest.fixture(scope="module")
def unusual(
    bare: Path, tiny_networks: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Profiler, Estimate]:
    """With both networks and the field's own surface."""
    backends = ["masks.backend=grounded_sam", "features.backend=dinov2", "panoptic.surface=field"]
    with pytest.MonkeyPatch.context() as patch:
        steady(patch)
        patch.setattr(networks, "peak_memory", lambda: 10**12)
        work = profiler(bare / "room", tmp_path_factory.mktemp("unusual"), [*tiny_networks, *backends])
        return work, work.estimate(lambda _: None)


def test_networks_are_tried_on_few_frames_and_told_for_all(unusual: tuple[Profiler, Estimate]) -> None:
    _, told = unusual
    assert list(told.costs) == [*STAGES, "start"]
    assert told.costs["masks"].seconds == pytest.approx(NETWORK + FRAMES / TRIED)  # and writing
    assert told.costs["features"].seconds == pytest.approx(NETWORK + 2 * FRAMES + REST_OF_TWO)
    assert told.costs["masks"].disk > 0
    assert told.costs["features"].disk == FRAMES * 15 * 20 * 32 * 2  # cells of 8 pixels, two bytes a number


def test_the_memory_of_networks_is_told_though_they_are_gone(unusual: tuple[Profiler, Estimate]) -> None:
    _, told = unusual
    assert told.memory == pytest.approx(1e12, rel=0.01)  # and the images that are kept


def test_what_masks_later_stages_were_profiled_on_is_said(unusual: tuple[Profiler, Estimate]) -> None:
    work, told = unusual
    masks, features = told.notes
    few = [len(work.detections[frame.name].score) for frame in work.detected.frames[:TRIED]]
    assert few[0] != few[1]
    assert f"on the {sum(few)} masks that were found in {TRIED} frames." in masks
    assert "features needs 0.00 GB more on disk" in features
    counts = [len(work.detections[frame.name].score) for frame in work.detected.frames]
    assert counts == few * (stages.FRAMES // TRIED)


def test_the_fields_own_surface_takes_its_grid_more(
    unusual: tuple[Profiler, Estimate], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, told = unusual
    with_own_surface = told.costs["panoptic"].seconds
    cell, box = work.settings.mesh.voxel_size, work.data.box
    nodes, asked = node_count(box, cell), node_count(middle_of(box, cell), cell)
    assert nodes > 2 * asked
    fused = work.settings.panoptic.model_copy(update={"surface": "tsdf"})
    monkeypatch.setattr(work, "settings", work.settings.model_copy(update={"panoptic": fused}))
    monkeypatch.setattr(work, "costs", {})
    work._panoptic()
    more = with_own_surface - work.costs["panoptic"].seconds
    assert more == pytest.approx(2 * nodes / asked + 2 + 1)  # asked and meshed; matched twice; colours


def test_the_fields_own_grid_is_in_the_memory(
    unusual: tuple[Profiler, Estimate], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, _ = unusual
    nodes = node_count(work.data.box, work.settings.mesh.voxel_size)
    monkeypatch.setattr(work, "memory_of_networks", 0.0)
    monkeypatch.setattr(work, "memory_of_grid", work.memory_of_grid * 1e5)
    assert work._memory(0.0) == pytest.approx(nodes * BYTES_OF_A_NODE * 1e5, rel=0.01)


def test_the_part_of_the_grid_that_is_asked_is_its_middle() -> None:
    box = SceneBox(np.array([1.0, 2.0, 3.0]), np.array([10.0, 6.31, 0.5]))
    part = middle_of(box, 0.1)
    assert grid_shape(box, 0.1) == (101, 64, 6)
    assert grid_shape(part, 0.1) == (64, 64, 6)
    assert_allclose(part.origin, [1.0 + 1.8, 2.0, 3.0])


def test_masks_that_are_there_already_serve_the_later_stages(
    raw_scenes: Path, tiny_networks: list[str], tmp_path: Path
) -> None:
    work = profiler(raw_scenes / "room", tmp_path, [*tiny_networks, "masks.backend=grounded_sam"])
    work._scan()
    work._masks()
    assert work.costs["masks"].seconds == pytest.approx(NETWORK + FRAMES / TRIED)  # by the networks all the same
    assert not work.notes
    file = read_detections(raw_scenes / "room" / "detections.json", work.table)
    assert len(work.detections) == len(work.detected.frames) == stages.FRAMES
    for frame in work.detected.frames:
        assert_array_equal(work.detections[frame.name].category, file[frame.name].category)


def test_masks_that_do_not_fit_are_no_hindrance_to_networks(
    raw_scenes: Path, bare: Path, tiny_networks: list[str], tmp_path: Path
) -> None:
    strangers = tmp_path / "strangers.json"
    strangers.write_text(
        (raw_scenes / "room" / "detections.json").read_text().replace('"image_id": "', '"image_id": "x')
    )
    with pytest.raises(InputError, match="is a frame of the scan"):
        profiler(bare / "room", tmp_path, [f"masks.detections={strangers}"])
    networks_too = [*tiny_networks, "masks.backend=grounded_sam", f"masks.detections={strangers}"]
    assert not profiler(bare / "room", tmp_path, networks_too).known_masks


def up_to_graph(work: Profiler) -> Profiler:
    for stage in (work._scan, work._mesh, work._masks, work._graph):
        stage()
    return work


def test_masks_of_few_frames_make_objects(
    raw_scenes: Path, bare: Path, tiny_networks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def perfect(_: MasksSettings, scan: Scan, table: CategoryTable) -> tuple[NetworkCost, list[Detections]]:
        file = read_detections(raw_scenes / "room" / "detections.json", table)
        return NetworkCost(0.0, 0.0, 0), [file[frame.name] for frame in scan.frames]

    monkeypatch.setattr(stages, "find_masks", perfect)
    work = up_to_graph(profiler(bare / "room", tmp_path, [*tiny_networks, "masks.backend=grounded_sam"]))
    assert work.graph.instances.objects


def test_networks_that_find_nothing_in_few_frames_are_no_hindrance(
    bare: Path, tiny_networks: list[str], tmp_path: Path
) -> None:
    nothing = ["masks.backend=grounded_sam", "masks.box_threshold=1"]
    work = up_to_graph(profiler(bare / "room", tmp_path, [*tiny_networks, *nothing]))
    assert f"on the 0 masks that were found in {TRIED} frames." in work.notes[0]
    assert list(work.costs) == ["scan", "mesh", "masks", "graph"]


@pytest.mark.parametrize("network", ["masks.segmenter_weights", "masks.detector_weights", "features.weights"])
def test_missing_weights_are_the_stages_own_sentence(
    network: str, bare: Path, tiny_networks: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    backends = ["masks.backend=grounded_sam", "features.backend=dinov2"]
    with pytest.raises(SystemExit) as end:
        command("scannet/room", bare, [], [*tiny_networks, *backends, f"{network}={bare / 'none.pth'}"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"The weights {bare / 'none.pth'} do not exist; name" in said


@pytest.mark.parametrize("backend", ["masks.backend=grounded_sam", "features.backend=dinov2"])
def test_public_weights_that_are_missing_say_where_they_come_from(
    backend: str, raw_scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANRECON_WEIGHTS", str(tmp_path))
    with pytest.raises(InputError, match=r"make weights ONLY="):
        profiler(raw_scenes / "room", tmp_path, [backend])


@pytest.fixture
def few_frames(raw_scenes: Path, tmp_path: Path) -> Scan:
    scan = some_of(dataset("scannet").scan(raw_scenes / "room", Settings().scan), TRIED)
    write_scan(tmp_path / "scan", scan, scan.frames)
    return read_scan(tmp_path / "scan")


def test_a_process_of_its_own_gives_what_this_one_does(
    few_frames: Scan, tiny_networks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    settings = load_settings([], tiny_networks).features
    cost, maps = networks.extract_features(settings, few_frames, tmp_path)
    here, expected = networks._extract_features(settings, few_frames, tmp_path)
    assert cost.seconds(1000) > cost.seconds(10) > cost.loading > 0
    assert 0.1e9 < cost.memory < here.memory  # which has all tests before it in it
    for one, other in zip(maps, expected, strict=True):
        assert_array_equal(one.values, other.values)


def test_the_original_implementation_is_profiled_too(
    few_frames: Scan, tiny_networks: list[str], table: CategoryTable, tmp_path: Path
) -> None:
    detector = tiny.save_original_grounding_dino(tiny.grounding_dino(swin_t=True), tmp_path / "detector.pth")
    masker = tiny.save_original_sam(tiny.sam(), tmp_path / "masker.pth")
    own = [f"masks.detector_weights={detector}", f"masks.segmenter_weights={masker}", "masks.implementation=original"]
    cost, found = networks.find_masks(load_settings([], [*tiny_networks, *own]).masks, few_frames, table)
    assert cost.seconds(FRAMES) == NETWORK
    assert len(found) == TRIED


def test_frames_to_warm_up_are_loading_as_far_as_they_are_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 9.0, 9.0, 17.0])
    monkeypatch.setattr(costs, "time", SimpleNamespace(perf_counter=lambda: next(moments)))
    cost, given = networks._worked(5.0, iter("abcdef"), 6, warm_up=2)
    assert given == list("abcdef")
    assert (cost.loading, cost.each) == (5.0 + 9.0 - 2 * 2.0, 2.0)


def test_a_scan_of_few_frames_has_none_to_warm_up() -> None:
    cost, given = networks._worked(0.0, iter("ab"), 2, warm_up=4)
    assert given == list("ab")
    assert (cost.loading, cost.each) == (1.0, 0.5)


def test_cuda_takes_a_batch_to_warm_up_and_a_cpu_none(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings([], ["masks.batch_size=4", "masks.device=cpu"]).masks
    assert networks.frames_needed(settings) == TRIED
    monkeypatch.setattr(networks, "torch_device", lambda wanted: torch.device("cuda"))
    assert networks.frames_needed(settings) == 12
    assert networks.frames_to_warm_up(settings) == 4


def test_a_process_that_is_killed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(OutOfMemoryError, match="stage masks were killed"):
        networks.apart("masks", os._exit, 1)


def test_the_memory_of_a_process_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert networks.apart("masks", peak_memory) < peak_memory() / 2


def test_frames_to_try_are_not_the_ends_if_there_are_others(few_frames: Scan, raw_scenes: Path) -> None:
    whole = dataset("scannet").scan(raw_scenes / "room", Settings().scan)
    inner = inner_of(whole, TRIED)
    assert [whole.frames.index(frame) for frame in inner.frames] == [13, 26]
    assert inner_of(few_frames, TRIED) == few_frames
    assert len(inner_of(some_of(whole, 3), TRIED).frames) == TRIED
