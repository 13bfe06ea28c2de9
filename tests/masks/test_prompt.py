"""Laws of prompts, and of the phrases that boxes answer with."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from panrecon.errors import InputError
from panrecon.io.categories import find_table, read_categories
from panrecon.masks.prompt import (
    MAX_TOKENS,
    VOCABULARY,
    Prompt,
    box_phrases,
    build_prompts,
    phrase_table,
    phrase_text,
    token_ids,
    words_of,
)
from panrecon.structures import VOID, Category, CategoryTable

KITCHEN = CategoryTable(
    (
        Category(1, "wall", thing=False, synonyms=("Wall Skirting",)),
        Category(2, "cabinet", thing=True, synonyms=("kitchen cabinet", "cupboard")),
        Category(3, "table", thing=True, synonyms=("kitchen table", "desk")),
        Category(4, "t-shirt", thing=True),
        Category(5, "dishwasher", thing=True),
    )
)
PROMPT = build_prompts(words_of(KITCHEN))[0]


def answer(prompt: Prompt, **score_of_word: float) -> np.ndarray:
    """A row of token scores: every token of these words (`kitchen_table` or `kitchen_table_0`, its first) has one."""
    row = np.full(len(prompt.tokens), 0.01, np.float32)
    for name, score in score_of_word.items():
        word, _, place = name.rpartition("_") if name[-1].isdigit() else (name, "", "")
        own = np.flatnonzero(prompt.word_of_token == prompt.words.index(word.replace("_", " ")))[:-1]  # no full stop
        row[own[[int(place)]] if place else own] = score
    return row


def said(*rows: np.ndarray, box: float = 0.25, text: float = 0.25) -> list[tuple[str, float, int]]:
    found = box_phrases(PROMPT, np.stack(rows), box, text)
    return [
        (phrase_text(phrase), round(float(score), 3), int(number))
        for phrase, score, number in zip(found.phrase, found.score, found.box, strict=True)
    ]


def test_the_prompt_is_all_names_and_synonyms_parted_by_full_stops() -> None:
    assert PROMPT.text == (
        "wall . wall skirting . cabinet . kitchen cabinet . cupboard . table . kitchen table . desk . t-shirt . "
        "dishwasher ."
    )


@pytest.mark.parametrize("name", ["scannet20", "scannet200", "kitti360", "scene0087_02", "indoor", "street"])
def test_tokens_are_those_of_the_text(name: str) -> None:
    """By the tokenizer of transformers, which both implementations of GroundingDINO use."""
    from transformers import BertTokenizerFast

    tokenizer = BertTokenizerFast(str(VOCABULARY), do_lower_case=True)
    for prompt in build_prompts(words_of(read_categories(find_table(name)))):
        assert list(prompt.tokens) == tokenizer(prompt.text)["input_ids"]
        for token, word in zip(prompt.tokens[1:-1], prompt.word_of_token[1:-1], strict=True):
            assert token in (*token_ids(prompt.words[word]), *token_ids("."))


def test_the_special_tokens_are_where_grounding_dino_looks_for_them() -> None:
    """Its code names them by number."""
    assert PROMPT.tokens[0] == 101 and PROMPT.tokens[-1] == 102
    assert token_ids(".") == (1012,) and token_ids("?") == (1029,)
    assert_array_equal(PROMPT.word_of_token[[0, -1]], VOID)


@settings(deadline=None)
@given(
    words=st.lists(st.sampled_from(["chair", "coffee table", "tv stand", "dishwasher"]), max_size=40),
    room=st.integers(6, 60),
)
def test_long_lists_take_several_prompts_in_order_and_none_too_long(words: list[str], room: int) -> None:
    prompts = build_prompts(words, room)
    assert [word for prompt in prompts for word in prompt.words] == words
    lengths = [len(prompt.tokens) for prompt in prompts]
    assert all(length <= room for length in lengths)
    needed = sum(len(token_ids(word)) + 1 for word in words)
    assert len(prompts) >= needed / (room - 2)


def test_passes_are_as_few_as_can_be_and_about_equal() -> None:
    lengths = [len(prompt.tokens) for prompt in build_prompts(words_of(read_categories(find_table("scannet200"))))]
    assert len(lengths) == -(-sum(length - 2 for length in lengths) // (MAX_TOKENS - 2))
    assert max(lengths) - min(lengths) <= 0.1 * MAX_TOKENS


def test_a_word_longer_than_a_prompt_is_an_error() -> None:
    with pytest.raises(InputError, match=r"longer than a prompt \(4 tokens\)"):
        build_prompts(["chair", "the chair of my dear old aunt"], 6)


def test_a_word_that_would_part_the_prompt_is_an_error() -> None:
    with pytest.raises(InputError, match=r"'st\. bernard' holds a full stop"):
        words_of(CategoryTable((Category(1, "dog", thing=True, synonyms=("st. bernard",)),)))


@pytest.mark.parametrize("word", ["椅子", "🪑", "\u200b", "a" * 300])
def test_a_word_that_bert_does_not_know_is_an_error(word: str) -> None:
    with pytest.raises(InputError, match=r"cannot read the class word .*English name"):
        words_of(CategoryTable((Category(1, "chair", thing=True), Category(2, word, thing=True))))


def test_two_classes_that_are_one_to_bert_are_an_error() -> None:
    bars = Category(1, "café", thing=False), Category(2, "cafe", thing=False)
    with pytest.raises(InputError, match="'café' and 'cafe' of two classes are one"):
        words_of(CategoryTable(bars))
    assert words_of(CategoryTable((Category(1, "café", thing=False, synonyms=("cafe",)),))) == ("café",)


def test_a_box_says_the_tokens_above_the_threshold_of_its_strongest_word() -> None:
    assert said(answer(PROMPT, cupboard=0.8)) == [("cupboard", 0.8, 0)]
    assert said(answer(PROMPT, kitchen_table=0.5)) == [("kitchen table", 0.5, 0)]
    assert said(answer(PROMPT, kitchen_table_0=0.1, kitchen_table_1=0.6)) == [("table", 0.6, 0)]
    assert said(answer(PROMPT, kitchen_table_0=0.6, kitchen_table_1=0.1)) == [("kitchen", 0.6, 0)]


def test_a_box_that_answers_to_two_words_keeps_the_stronger() -> None:
    assert said(answer(PROMPT, cabinet=0.4, table=0.7)) == [("table", 0.7, 0)]
    assert said(answer(PROMPT, kitchen_cabinet=0.4, kitchen_table=0.7)) == [("kitchen table", 0.7, 0)]


def test_score_and_phrase_stay_together_where_boxes_have_none() -> None:
    weak, silent = answer(PROMPT, desk=0.2), answer(PROMPT)
    silent[0] = 0.9  # only [CLS] is above the threshold
    rows = [weak, answer(PROMPT, wall=0.3), silent, answer(PROMPT, desk=0.6)]
    assert said(*rows) == [("wall", 0.3, 1), ("desk", 0.6, 3)]


def test_a_full_stop_speaks_for_the_word_before_it_and_is_not_said() -> None:
    row = answer(PROMPT, desk=0.5)
    row[np.flatnonzero(PROMPT.word_of_token == PROMPT.words.index("desk"))[-1]] = 0.7
    assert said(row) == [("desk", 0.7, 0)]
    alone = answer(PROMPT)
    alone[np.flatnonzero(PROMPT.word_of_token == PROMPT.words.index("desk"))[-1]] = 0.7
    assert said(alone) == []


def test_both_thresholds_are_exclusive() -> None:
    row = answer(PROMPT, desk=0.5, kitchen_table_0=0.1)
    assert said(row, box=0.5) == []
    assert said(row, box=0.4, text=0.5) == []
    assert said(row, box=0.4, text=0.4) == [("desk", 0.5, 0)]


@pytest.mark.parametrize(
    ("phrase", "row"),
    [
        ("wall skirting", 0),
        ("cupboard", 1),
        ("kitchen cabinet", 1),
        ("desk", 2),
        ("t-shirt", 3),
        ("dishwasher", 4),
        ("kitchen", VOID),
        ("skirting wall", VOID),
        ("dish", VOID),
    ],
)
def test_a_phrase_is_of_the_class_whose_name_or_synonym_it_is(phrase: str, row: int) -> None:
    assert_array_equal(phrase_table(KITCHEN).categories([token_ids(phrase)]), [row])


def test_part_of_a_word_is_no_phrase_of_a_class() -> None:
    first = token_ids("dishwasher")[:1]
    assert len(token_ids("dishwasher")) > 1
    assert_array_equal(phrase_table(KITCHEN).categories([first]), [VOID])


def test_a_word_of_two_classes_is_the_one_whose_name_it_is() -> None:
    table = CategoryTable((Category(1, "sofa", thing=True, synonyms=("couch",)), Category(2, "couch", thing=True)))
    assert words_of(table) == ("sofa", "couch")
    assert_array_equal(phrase_table(table).categories([token_ids("couch")]), [1])
