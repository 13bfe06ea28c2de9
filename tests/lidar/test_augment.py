"""Laws of scans that are mixed of two."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from panrecon.lidar import train
from panrecon.lidar.augment import LabelledScan, augment, copy_paste, laser_mix, polar_mix
from panrecon.lidar.classify import TextEmbeddings
from panrecon.lidar.settings import AugmentationSettings, TrainingSettings
from panrecon.lidar.train import Trainer, labelled_scan
from panrecon.structures import VOID
from tests.lidar.test_targets import relabelled

from .conftest import TINY, ToyScan, first_points, toy_scan

Mix = Callable[[LabelledScan, LabelledScan, Generator], LabelledScan]
MIXES = pytest.mark.parametrize("mix", [laser_mix, polar_mix])


def seeded(seed: int) -> Generator:
    return torch.Generator().manual_seed(seed)


def sample(scan: ToyScan, text: TextEmbeddings) -> LabelledScan:
    return labelled_scan(scan.points, scan.features, scan.labels, text)


@pytest.fixture(scope="module")
def pair(request: pytest.FixtureRequest) -> tuple[LabelledScan, LabelledScan]:
    text = request.getfixturevalue("text")
    return sample(toy_scan(0), text), sample(toy_scan(1), text)


def index_in(points: Tensor, mixed: LabelledScan) -> Tensor:
    """The index of every point in the mixed scan, `VOID` if it is not in it."""
    index_of = {tuple(point): index for index, point in enumerate(mixed.scan.points.tolist())}
    assert len(index_of) == len(mixed.scan.points)
    return torch.tensor([index_of.get(tuple(point), VOID) for point in points.tolist()])


@MIXES
def test_every_point_is_of_one_of_the_two_and_keeps_what_belongs_to_it(
    pair: tuple[LabelledScan, LabelledScan], mix: Mix
) -> None:
    mixed = mix(*pair, seeded(0))
    instances = []
    count = 0
    for source in pair:
        index = index_in(source.scan.points, mixed)
        is_mixed = index != VOID
        index = index[is_mixed]
        assert 0.1 < float(is_mixed.float().mean()) < 0.9
        assert source.scan.features[is_mixed].equal(mixed.scan.features[index])
        assert source.scan.valid[is_mixed].equal(mixed.scan.valid[index])
        assert source.category[is_mixed].equal(mixed.category[index])
        renumbered = set(zip(source.instance[is_mixed].tolist(), mixed.instance[index].tolist(), strict=True))
        assert len(renumbered) == len(dict(renumbered)) == len({new for _, new in renumbered})
        assert all((old == VOID) == (new == VOID) for old, new in renumbered)
        instances.append({new for _, new in renumbered} - {VOID})
        count += len(index)
    assert count == len(mixed.scan.points) == len(mixed.category) == len(mixed.instance)
    assert instances[0] and instances[1] and not instances[0] & instances[1]


def test_bands_of_inclination_alternate_between_the_two_scans(pair: tuple[LabelledScan, LabelledScan]) -> None:
    counts = set()
    for seed in range(12):
        mixed = laser_mix(*pair, seeded(seed))
        angles, owners = [], []
        for number, source in enumerate(pair):
            x, y, z = source.scan.points[:, :3].double().unbind(dim=1)
            angles.append(torch.arcsin(z / torch.sqrt(x**2 + y**2 + z**2)))
            owners.append(torch.where(index_in(source.scan.points, mixed) == VOID, 1 - number, number))
        order = torch.cat(angles).argsort()
        angle, owner = torch.cat(angles)[order], torch.cat(owners)[order]
        boundaries = (owner.diff() != 0).nonzero().squeeze(1)
        heights = angle[boundaries].diff()
        assert float(heights.max() - heights.min()) < 0.02
        counts.add(len(boundaries) + 1)
    assert counts == set(range(3, 7))


@MIXES
@pytest.mark.parametrize("how", ["deleted", "swapped", "permuted"])
def test_labels_of_novel_classes_change_nothing_of_a_mixed_scan(text: TextEmbeddings, mix: Mix, how: str) -> None:
    first, second = toy_scan(0), toy_scan(1)
    one = mix(sample(first, text), sample(second, text), seeded(2))
    other = mix(sample(relabelled(first, how), text), sample(relabelled(second, how), text), seeded(2))
    assert one.category.equal(other.category)
    assert one.instance.equal(other.instance)
    for name in ("points", "features", "valid"):
        assert getattr(one.scan, name).equal(getattr(other.scan, name))


@MIXES
@pytest.mark.parametrize("counts", [(0, 0), (0, 1), (1, 0), (1, 1), (0, 1380)])
def test_empty_scans_mix(text: TextEmbeddings, mix: Mix, counts: tuple[int, int]) -> None:
    first, second = (sample(first_points(toy_scan(), count), text) for count in counts)
    mixed = mix(first, second, seeded(0))
    assert len(mixed.scan.points) == len(mixed.instance) <= sum(counts)


def drawn(text: TextEmbeddings, mixed: float, count: int) -> tuple[Trainer, list[LabelledScan]]:
    scans = [sample(toy_scan(seed), text) for seed in range(3)]
    trainer = Trainer(scans, text, TINY, TrainingSettings(1, augmentation=AugmentationSettings(mix_probability=mixed)))
    return trainer, [trainer.draw_scan() for _ in range(count)]


def test_either_mix_comes_as_often_as_the_other(text: TextEmbeddings, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Mix] = []

    def recorded(mix: Mix) -> Mix:
        return lambda *given: called.append(mix) or mix(*given)  # type: ignore[func-returns-value]

    monkeypatch.setattr(train, "laser_mix", recorded(laser_mix))
    monkeypatch.setattr(train, "polar_mix", recorded(polar_mix))
    drawn(text, mixed=1.0, count=80)
    assert len(called) == 80
    assert 25 < called.count(laser_mix) < 55
    called.clear()
    drawn(text, mixed=0.5, count=80)
    assert 25 < len(called) < 55


def test_without_mixing_only_what_augments_is_drawn(text: TextEmbeddings) -> None:
    """So that trainings without mixing do not depend on its settings."""
    trainer, samples = drawn(text, mixed=0.0, count=3)
    generator = seeded(0)
    for found in samples:
        first = int(torch.randint(3, (2,), generator=generator)[0])
        same = augment(trainer.scans[first], generator)
        torch.rand(2, generator=generator)
        assert found.scan.points.equal(same.scan.points)
    assert np.array_equal(trainer.generator.get_state().numpy(), generator.get_state().numpy())


def test_copied_objects_come_whole_and_with_instances_of_their_own(text: TextEmbeddings) -> None:
    first, second = drawn(text, mixed=0.0, count=2)[1]
    both = copy_paste(first, second)
    added = len(both.category) - len(first.category)
    assert both.scan.points[:-added].equal(first.scan.points)
    objects = second.instance != VOID
    assert added == int(objects.sum()) > 0
    assert both.scan.features[-added:].equal(second.scan.features[objects])
    assert both.category[-added:].equal(second.category[objects])
    assert not set(both.instance[-added:].tolist()) & set(first.instance.tolist())
