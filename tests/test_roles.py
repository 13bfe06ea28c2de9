"""Laws of the roles of classes."""

import pytest

from panrecon.roles import WORDS_OF_ROLE, Role
from panrecon.structures import Category

WORDS = [word for words in WORDS_OF_ROLE.values() for word in words.split(", ")]


def role_of(name: str, *synonyms: str) -> Role:
    return Category(1, name, thing=True, synonyms=synonyms).role


def plural(word: str) -> str:
    """By the rules of school grammar, without irregular words."""
    if word.endswith(("shelf", "knife")):
        return word.removesuffix("fe").removesuffix("f") + "ves"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")


def test_every_role_but_any_has_words_and_no_word_stands_twice() -> None:
    assert set(WORDS_OF_ROLE) == set(Role)
    joined = [word.replace(" ", "") for word in WORDS]
    assert len(joined) == len(set(joined))
    assert all(word == word.lower().strip() for word in WORDS)


@pytest.mark.parametrize("role", Role)
def test_case_plural_hyphens_and_adjectives_make_no_difference(role: Role) -> None:
    for word in WORDS_OF_ROLE[role].split(", "):
        spellings = [
            *(word, word.upper(), word.title(), word.replace(" ", "-"), word.replace(" ", "_"), word.replace(" ", "")),
            *(plural(word), plural(word).upper(), f"old {word}", f"  old   {plural(word)} "),
        ]
        assert {spelling: role_of(spelling) for spelling in spellings} == dict.fromkeys(spellings, role)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("ceiling light", Role.ANY),
        ("floor lamp", Role.ANY),
        ("table lamp", Role.ANY),
        ("ceiling fan", Role.ANY),
        ("wall socket", Role.ON_WALL),
        ("wall shelf", Role.ON_WALL),
        ("wall cabinet", Role.ANY),
        ("kitchen cabinet", Role.STANDING),
        ("floor mat", Role.ON_FLOOR),
        ("mouse mat", Role.RESTING),
        ("metal trash can", Role.STANDING),
        ("tin can", Role.RESTING),
        ("carpet", Role.ON_FLOOR),
        ("car", Role.ANY),
        ("tables for two", Role.ANY),
        ("notable", Role.ANY),
        ("chair leg", Role.ANY),
        ("", Role.ANY),
    ],
)
def test_the_end_of_a_name_decides_in_whole_words(name: str, role: Role) -> None:
    assert role_of(name) == role


def test_synonyms_speak_for_an_unknown_name_if_they_agree() -> None:
    assert role_of("gizmo", "chairs", "widget", "bar stool") == Role.STANDING
    assert role_of("gizmo", "chair", "cup") == role_of("gizmo") == Role.ANY
    assert role_of("gizmo", "chair", "lamp") == Role.ANY
    assert role_of("chair", "cup", "rug", "wall") == Role.STANDING


def test_a_class_that_joins_surfaces_of_a_room_has_no_role() -> None:
    assert role_of("wall", "wall skirting", "column") == Role.WALL
    assert role_of("floor", "rug") == Role.FLOOR
    assert role_of("wall", "ceiling") == role_of("ceiling", "floor") == Role.ANY


@pytest.mark.parametrize("role", Role)
def test_what_is_stated_holds_whatever_the_words_say(role: Role) -> None:
    assert Category(1, "floor", thing=False, synonyms=("ceiling",), stated_role=role).role == role
