"""GroundingDINO's text prompt, and the class of a box by its tokens (Liu et al., ECCV 2024)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.errors import InputError
from panrecon.structures import VOID, CategoryTable, normalised

# The vocabulary of BERT-base-uncased (Devlin et al., 2019; Apache-2.0), the text encoder of every GroundingDINO.
VOCABULARY: Final = Path(__file__).with_name("bert_base_uncased_vocab.txt")
MAX_TOKENS: Final = 256  # of a prompt, its two special tokens included: the width of GroundingDINO's logits
SEPARATOR: Final = "."
UNKNOWN: Final = 100  # BERT's id of [UNK], a word piece outside its vocabulary


@dataclass(frozen=True)
class Prompt:
    """The words of one pass of the detector: `chair . arm chair . table .`

    `tokens` are BERT's ids, [CLS] and [SEP] included. `word_of_token` is the index of a token's word, `VOID` for
    special tokens; the full stop behind a word belongs to it.
    """

    words: tuple[str, ...]
    tokens: tuple[int, ...]
    word_of_token: Int[np.ndarray, " T"]

    @property
    def text(self) -> str:
        """The prompt as the networks' own packages take it."""
        return "".join(f"{word} {SEPARATOR} " for word in self.words).rstrip()


@cache
def tokenizer() -> Any:
    """BERT's word-piece tokenizer, lower case."""
    from tokenizers.implementations import BertWordPieceTokenizer

    return BertWordPieceTokenizer.from_file(str(VOCABULARY), lowercase=True)


def token_ids(word: str) -> tuple[int, ...]:
    """The ids of a word's tokens, without special ones."""
    return tuple(tokenizer().encode(word, add_special_tokens=False).ids)


def words_of(table: CategoryTable) -> tuple[str, ...]:
    """All names and synonyms in the table's order, each once.

    Raises:
        InputError: one contains a separator or is not in BERT's vocabulary, or two classes share one.
    """
    words = dict.fromkeys(normalised(word) for category in table for word in (category.name, *category.synonyms))
    word_of_phrase: dict[tuple[int, ...], str] = {}
    for word in words:
        phrase = token_ids(word)
        if set(word) & {".", "?"}:
            raise InputError(
                f"The class word {word!r} holds a full stop or question mark, which part a prompt; write it without."
            )
        if not phrase or UNKNOWN in phrase:
            raise InputError(f"GroundingDINO cannot read the class word {word!r}; give the class an English name.")
        other = word_of_phrase.setdefault(phrase, word)
        if table.index_of(other) != table.index_of(word):
            raise InputError(f"The words {other!r} and {word!r} of two classes are one to GroundingDINO; rename one.")
    return tuple(word_of_phrase.values())


def build_prompts(words: Sequence[str], limit: int = MAX_TOKENS) -> tuple[Prompt, ...]:
    """As few prompts of at most `limit` tokens as hold all words, in order and of about the same length.

    Raises:
        InputError: a word alone is longer than a prompt.
    """
    lengths = [len(token_ids(word)) + 1 for word in words]
    too_long = next((word for word, length in zip(words, lengths, strict=True) if length > limit - 2), None)
    if too_long is not None:
        raise InputError(
            f"The class word {too_long[:40]!r}... is longer than a prompt ({limit - 2} tokens); shorten it."
        )
    fewest = len(_groups(lengths, limit - 2))
    room = max(lengths, default=0)
    while len(_groups(lengths, room)) > fewest:
        room += 1
    return tuple(_prompt([words[index] for index in group]) for group in _groups(lengths, room))


def _groups(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Indices of consecutive items whose lengths add up to at most `room`."""
    groups: list[list[int]] = []
    used = 0
    for index, length in enumerate(lengths):
        if not groups or used + length > room:
            groups.append([])
            used = 0
        groups[-1].append(index)
        used += length
    return groups


def _prompt(words: Sequence[str]) -> Prompt:
    stop = token_ids(SEPARATOR)
    of_words = [(*token_ids(word), *stop) for word in words]
    (start,) = tokenizer().encode("[CLS]", add_special_tokens=False).ids
    (end,) = tokenizer().encode("[SEP]", add_special_tokens=False).ids
    word_index = np.repeat(np.arange(len(words)), [len(tokens) for tokens in of_words])
    word_of_token = np.concatenate([[VOID], word_index, [VOID]]).astype(np.int32)
    return Prompt(tuple(words), (start, *(token for tokens in of_words for token in tokens), end), word_of_token)


@dataclass(frozen=True)
class BoxPhrases:
    """The phrases of n boxes as token ids, their scores in [0, 1], and the boxes' indices; others have no phrase."""

    phrase: tuple[tuple[int, ...], ...]
    score: Float[np.ndarray, " n"]
    box: Int[np.ndarray, " n"]


def box_phrases(
    prompt: Prompt, token_score: Float[np.ndarray, "Q T"], box_threshold: float, text_threshold: float
) -> BoxPhrases:
    """The phrase of every box: the tokens above `text_threshold` in the word of its highest-scoring token.

    A box's score is the highest of its `token_score`, in [0, 1]; boxes of at most `box_threshold` are left out. So a
    box that matches two words takes the better one, and never a phrase of both.
    """
    score = token_score.max(axis=1)
    word = prompt.word_of_token[token_score.argmax(axis=1)]
    is_stop = np.array(prompt.tokens) == token_ids(SEPARATOR)[0]
    in_phrase = (token_score > text_threshold) & (prompt.word_of_token == word[:, None]) & ~is_stop
    boxes = np.flatnonzero((score > box_threshold) & (word != VOID) & in_phrase.any(axis=1))
    tokens = np.array(prompt.tokens)
    return BoxPhrases(tuple(tuple(tokens[in_phrase[box]].tolist()) for box in boxes), score[boxes], boxes)


@dataclass(frozen=True)
class PhraseTable:
    """The class of every phrase; phrases are compared by tokens, so that `t-shirt` matches as it is tokenized."""

    category_of_phrase: dict[tuple[int, ...], int]

    def categories(self, phrases: Sequence[tuple[int, ...]]) -> Int[np.ndarray, " n"]:
        """The class index of every phrase; `VOID` for one that is neither name nor synonym."""
        return np.array([self.category_of_phrase.get(phrase, VOID) for phrase in phrases], dtype=np.int32)


def phrase_table(table: CategoryTable) -> PhraseTable:
    """The classes of all names and synonyms of the table."""
    return PhraseTable({token_ids(word): table.index_of(word) for word in words_of(table)})


def phrase_text(phrase: Sequence[int]) -> str:
    """A phrase of token ids as readable text."""
    return str(tokenizer().decode(list(phrase)))
