"""Laws of the class tables that come with the project."""

import re
from itertools import permutations
from pathlib import Path

import pytest

from panrecon.errors import InputError
from panrecon.io.categories import TABLES, find_table, read_categories
from panrecon.roles import Role
from panrecon.structures import CategoryTable, normalised

BENCHMARKS = [
    "kitti360",
    "nuscenes",
    "semantic_kitti",
    "scannet20",
    "scannet200",
    "scene0087_02",
    "scene0088_00",
    "scene0420_01",
    "scene0628_02",
]
GENERAL = ["indoor", "street"]  # of no data set, for scenes of one's own
NAMES = [*BENCHMARKS, *GENERAL]
DRIVES = ["kitti360", "nuscenes", "semantic_kitti", "street"]
MAX_SYNONYMS = 4  # every word takes tokens of GroundingDINO's 256
PHRASE = re.compile(r"[a-z]+( [a-z]+)*")  # GroundingDINO ends a phrase at "." and "?" and knows no capitals
THINGS_OF_SCENE = {  # of PanopticRecon's four scenes
    "scene0087_02": {"chair", "couch", "table"},
    "scene0088_00": {"chair", "table"},
    "scene0420_01": {"chair", "table", "trash can", "cabinet"},
    "scene0628_02": {"chair", "table", "trash can", "backpack", "box", "laptop"},
}
STUFF_OF_SCENE = {
    "scene0087_02": {"floor", "wall", "curtain", "door", "clothes"},
    "scene0088_00": {"floor", "wall", "whiteboard", "door"},
    "scene0420_01": {"floor", "wall", "window", "door", "blackboard"},
    "scene0628_02": {"floor", "wall", "window", "door"},
}


def table(name: str) -> CategoryTable:
    return read_categories(find_table(name))


def evaluated(name: str, thing: bool) -> set[str]:
    return {category.name for category in table(name) if category.evaluated and category.thing == thing}


def words(categories: CategoryTable) -> list[str]:
    return [word for category in categories for word in (category.name, *category.synonyms)]


def test_these_are_the_tables() -> None:
    assert sorted(path.stem for path in TABLES.glob("*.csv")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_no_id_and_no_word_means_two_classes(name: str) -> None:
    """An own id that stands twice cannot be read at all."""
    categories = table(name)
    raw_ids = [raw_id for category in categories for raw_id in category.raw_ids]
    assert len(raw_ids) == len(set(raw_ids))
    meanings = [normalised(word) for word in words(categories)]
    assert len(meanings) == len(set(meanings))


@pytest.mark.parametrize("name", NAMES)
def test_things_and_stuff_are_evaluated(name: str) -> None:
    assert evaluated(name, thing=True) and evaluated(name, thing=False)


@pytest.mark.parametrize("name", NAMES)
def test_every_word_is_a_phrase_of_a_prompt(name: str) -> None:
    assert [word for word in words(table(name)) if not PHRASE.fullmatch(word)] == []


@pytest.mark.parametrize("name", DRIVES)
def test_a_drive_says_nothing_of_where_a_class_lies(name: str) -> None:
    assert {category.stated_role for category in table(name)} == {Role.ANY}


@pytest.mark.parametrize("name", sorted({*NAMES} - {*DRIVES}))
def test_a_room_has_few_surfaces_and_they_are_what_their_names_say(name: str) -> None:
    for role in (Role.FLOOR, Role.CEILING, Role.WALL):
        assert all(role in category.name.split() for category in table(name) if category.role == role)
    assert sum(category.role == Role.CEILING for category in table(name)) <= 1


def test_roles_of_scannet200() -> None:
    """All classes that lie flat on something, and names whose last words mislead."""
    names_of_role: dict[Role, set[str]] = {role: set() for role in Role}
    for category in table("scannet200"):
        names_of_role[category.role].add(category.name)
    assert names_of_role[Role.FLOOR] == {"floor", "shower floor"}
    assert names_of_role[Role.CEILING] == {"ceiling"}
    assert names_of_role[Role.WALL] == {"wall", "shower wall", "closet wall"}
    assert names_of_role[Role.ON_FLOOR] == {"mat"}
    assert names_of_role[Role.ON_WALL] == {
        *("door", "closet door", "doorframe", "window", "curtain", "blinds", "radiator", "light switch"),
        *("picture", "poster", "calendar", "mirror", "clock", "whiteboard", "blackboard", "bulletin board"),
        *("projector screen", "power outlet"),
    }
    assert names_of_role[Role.ANY] >= {
        *("ceiling light", "lamp", "light", "board", "ironing board", "shower curtain", "shower curtain rod"),
        *("shower door", "bathroom stall door", "bathroom cabinet", "keyboard piano", "hair dryer", "toilet paper"),
        *("mailbox", "object", "structure", "furniture", "coat rack", "range hood"),
    }
    assert names_of_role[Role.RESTING] >= {"alarm clock", "toaster oven", "case of water bottles", "laundry basket"}
    assert names_of_role[Role.STANDING] >= {"sofa chair", "mini fridge", "water cooler", "folded chair", "tv stand"}


def test_a_wall_that_a_scene_counts_ceilings_to_has_no_role() -> None:
    for name in ("scene0420_01", "scene0628_02"):
        walls = table(name)
        assert walls.index_of("ceiling") == walls.index_of("wall")
        assert walls[walls.index_of("wall")].role == Role.ANY


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_class_of_a_benchmark_has_raw_ids(name: str) -> None:
    assert all(category.raw_ids and min(category.raw_ids) > 0 for category in table(name))


@pytest.mark.parametrize("name", GENERAL)
def test_a_general_table_counts_from_one_and_evaluates_all(name: str) -> None:
    categories = table(name)
    assert categories.ids.tolist() == list(range(1, len(categories) + 1))
    assert categories.is_evaluated.all()
    assert not any(category.raw_ids for category in categories)
    assert max(len(category.synonyms) for category in categories) <= MAX_SYNONYMS


@pytest.mark.parametrize("name", GENERAL)
def test_no_phrase_of_a_general_table_lies_within_another(name: str) -> None:
    """GroundingDINO answers with words of its prompt, so `table` and `table lamp` are hard to tell apart. The names of
    benchmarks, such as `table` and `coffee table`, are not ours to choose.
    """
    assert [pair for pair in permutations(words(table(name)), 2) if f" {pair[0]} " in f" {pair[1]} "] == []


@pytest.mark.parametrize("name", sorted(THINGS_OF_SCENE))
def test_the_four_scenes_have_the_classes_of_the_paper(name: str) -> None:
    assert evaluated(name, thing=True) == THINGS_OF_SCENE[name]
    assert evaluated(name, thing=False) == STUFF_OF_SCENE[name]


@pytest.mark.parametrize(
    ("name", "word", "raw_id"),
    [
        ("scannet20", "chair", 1184),  # folded chair
        ("scannet20", "wall", 128),  # shower wall
        ("scannet20", "other furniture", 56),  # trash can
        ("scannet200", "mattress", 1191),
        ("scannet200", "laundry hamper", 1166),
        ("kitti360", "building", 34),  # garage
        ("kitti360", "fence", 35),  # gate
        ("kitti360", "pole", 37),  # smallpole
        ("kitti360", "car", 26),
        ("nuscenes", "bus", 16),  # rigid bus
        ("nuscenes", "pedestrian", 6),  # police officer
        ("semantic_kitti", "car", 252),  # moving car
        ("semantic_kitti", "road", 60),  # lane marking
        ("semantic_kitti", "bicyclist", 253),
        ("semantic_kitti", "motorcyclist", 255),
        ("scene0087_02", "couch", 39),  # couch cushions
        ("scene0628_02", "trash can", 97),  # recycling bin
    ],
)
def test_known_raw_ids(name: str, word: str, raw_id: int) -> None:
    categories = table(name)
    assert categories.index_of_raw_id[raw_id] == categories.index_of(word) >= 0


def test_sizes_and_kinds() -> None:
    assert len(table("scannet20")) == 20
    scannet200, kitti360 = table("scannet200"), table("kitti360")
    assert len(scannet200) == 200
    assert {category.name for category in scannet200 if not category.thing} == {"wall", "floor"}
    assert all(category.raw_ids == (category.id,) for category in scannet200)
    assert evaluated("kitti360", thing=True) >= {"building", "pole", "traffic light", "traffic sign", "car", "truck"}
    assert int(kitti360.is_evaluated.sum()) == 19  # its training ids 0 to 18
    assert kitti360.ids.min() == 7


@pytest.mark.parametrize(("name", "size", "things"), [("semantic_kitti", 19, 8), ("nuscenes", 16, 10)])
def test_lidar_benchmarks_count_from_one_things_first(name: str, size: int, things: int) -> None:
    categories = table(name)
    assert categories.ids.tolist() == list(range(1, size + 1))
    assert categories.is_evaluated.all()
    assert categories.is_thing.tolist() == [True] * things + [False] * (size - things)


def test_a_table_is_found_by_its_name_or_its_path(tmp_path: Path) -> None:
    assert find_table("scannet20") == TABLES / "scannet20.csv"
    assert find_table(TABLES / "kitti360.csv") == TABLES / "kitti360.csv"
    with pytest.raises(InputError, match=r"There is no class table scannet30; .*nuscenes, scannet20, scannet200"):
        find_table("scannet30")
    with pytest.raises(InputError, match="does not exist"):
        read_categories(find_table("here/classes.csv"))
    with pytest.raises(InputError, match="There is no class table data/scannet20"):
        find_table("data/scannet20")
    (tmp_path / "scannet20.csv").mkdir()
    for folder in (tmp_path, tmp_path / "scannet20.csv"):
        with pytest.raises(InputError, match=f"The class table {folder} is a folder; name a CSV file"):
            find_table(folder)
