"""GroundingDINO's prompt, and the class that a box's tokens speak for (Liu et al., ECCV 2024)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.errors import InputError
from panrecon.structures import VOID, CategoryTable, normalised

# The words that BERT-base-uncased knows (Devlin et al., 2019; Apache-2.0), which every GroundingDINO reads with.
VOCABULARY: Final = Path(__file__).with_name("bert_base_uncased_vocab.txt")
MAX_TOKENS: Final = 256  # of a prompt, its two special tokens included: the width of GroundingDINO's logits
SEPARATOR: Final = "."
UNKNOWN: Final = 100  # BERT's number for what it does not know, [UNK]


@dataclass(frozen=True)
class Prompt:
    """What one pass asks for: `chair . arm chair . table .`

    `tokens` are BERT's numbers, [CLS] and [SEP] included. `word_of_token` says to which of the words a token belongs,
    `VOID` where to none; the full stop behind a word belongs to it.
    """

    words: tuple[str, ...]
    tokens: tuple[int, ...]
    word_of_token: Int[np.ndarray, " T"]

    @property
    def text(self) -> str:
        return "".join(f"{word} {SEPARATOR} " for word in self.words).rstrip()


@cache
def tokenizer() -> Any:
    """BERT's word pieces, lower case."""
    from tokenizers.implementations import BertWordPieceTokenizer

    return BertWordPieceTokenizer.from_file(str(VOCABULARY), lowercase=True)


def pieces(word: str) -> tuple[int, ...]:
    """The numbers of a word's tokens, no special ones."""
    return tuple(tokenizer().encode(word, add_special_tokens=False).ids)


def words_of(table: CategoryTable) -> tuple[str, ...]:
    """All names and synonyms in the table's order, each once.

    Raises:
        InputError: one of them parts the prompt or is not in BERT's vocabulary, or two classes share one.
    """
    words = dict.fromkeys(normalised(word) for category in table for word in (category.name, *category.synonyms))
    word_of_phrase: dict[tuple[int, ...], str] = {}
    for word in words:
        phrase = pieces(word)
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
    """The words, in order, in as few prompts of at most `limit` tokens as possible, of about the same length.

    Raises:
        InputError: a word alone is longer than a prompt.
    """
    lengths = [len(pieces(word)) + 1 for word in words]
    too_long = next((word for word, length in zip(words, lengths, strict=True) if length > limit - 2), None)
    if too_long is not None:
        raise InputError(
            f"The class word {too_long[:40]!r}... is longer than a prompt ({limit - 2} tokens); shorten it."
        )
    fewest = len(_groups(lengths, limit - 2))
    room = max(lengths, default=0)
    while len(_groups(lengths, room)) > fewest:
        room += 1
    return tuple(_prompt([words[number] for number in group]) for group in _groups(lengths, room))


def _groups(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Numbers of consecutive items whose lengths add up to at most `room`."""
    groups: list[list[int]] = []
    used = 0
    for number, length in enumerate(lengths):
        if not groups or used + length > room:
            groups.append([])
            used = 0
        groups[-1].append(number)
        used += length
    return groups


def _prompt(words: Sequence[str]) -> Prompt:
    stop = pieces(SEPARATOR)
    of_words = [(*pieces(word), *stop) for word in words]
    (start,), (end,) = (tokenizer().encode(special, add_special_tokens=False).ids for special in ("[CLS]", "[SEP]"))
    numbers = np.repeat(np.arange(len(words)), [len(tokens) for tokens in of_words])
    word_of_token = np.concatenate([[VOID], numbers, [VOID]]).astype(np.int32)
    return Prompt(tuple(words), (start, *(token for tokens in of_words for token in tokens), end), word_of_token)


@dataclass(frozen=True)
class Phrases:
    """Phrases as numbers of tokens, how sure they are, and which boxes they are of; boxes without one are left out."""

    phrase: tuple[tuple[int, ...], ...]
    score: Float[np.ndarray, " n"]
    box: Int[np.ndarray, " n"]


def phrases(
    prompt: Prompt, token_score: Float[np.ndarray, "Q T"], box_threshold: float, text_threshold: float
) -> Phrases:
    """What every box speaks for: the tokens above `text_threshold` of the word that its strongest token belongs to.

    `token_score` is how well box and token agree, in [0, 1]; a box's score is its greatest. So a box that answers to
    two words keeps the stronger one whole, and never becomes a phrase of both.
    """
    score = token_score.max(axis=1)
    word = prompt.word_of_token[token_score.argmax(axis=1)]
    is_stop = np.array(prompt.tokens) == pieces(SEPARATOR)[0]
    spoken = (token_score > text_threshold) & (prompt.word_of_token == word[:, None]) & ~is_stop
    kept = np.flatnonzero((score > box_threshold) & (word != VOID) & spoken.any(axis=1))
    tokens = np.array(prompt.tokens)
    return Phrases(tuple(tuple(tokens[spoken[box]].tolist()) for box in kept), score[kept], kept)


@dataclass(frozen=True)
class Vocabulary:
    """Which class a phrase stands for; phrases are compared by tokens, so that `t-shirt` is found as it is read."""

    row_of_phrase: dict[tuple[int, ...], int]

    def rows(self, found: Sequence[tuple[int, ...]]) -> Int[np.ndarray, " n"]:
        """The row of every phrase; `VOID` for one that is neither name nor synonym."""
        return np.array([self.row_of_phrase.get(phrase, VOID) for phrase in found], dtype=np.int32)


def vocabulary(table: CategoryTable) -> Vocabulary:
    """All names and synonyms of the table."""
    return Vocabulary({pieces(word): table.index_of(word) for word in words_of(table)})


def readable(phrase: Sequence[int]) -> str:
    """A phrase as text, for people."""
    return str(tokenizer().decode(list(phrase)))
