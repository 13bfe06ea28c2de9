"""Which class a query is: the one whose name means most nearly what the query does. New names need no training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from panrecon.errors import InputError
from panrecon.structures import CategoryTable

TEMPERATURE: Final = 0.07  # CLIP's at its start (Radford et al., ICML 2021)
PRIOR: Final = 0.01  # probability of any class before training, as in focal loss (Lin et al., ICCV 2017)


@dataclass(frozen=True)
class Vocabulary:
    """Classes by their words: unit embeddings, the class of every word, and which classes are things and base.

    Base classes are annotated in training; novel ones are only named.
    """

    embedding: Float[Tensor, "W D"]
    class_of_word: Int[Tensor, " W"]
    is_thing: Bool[np.ndarray, " C"]
    is_base: Bool[np.ndarray, " C"]

    def __len__(self) -> int:
        return len(self.is_thing)

    def to(self, device: torch.device) -> "Vocabulary":
        return Vocabulary(self.embedding.to(device), self.class_of_word.to(device), self.is_thing, self.is_base)

    def only(self, chosen: Int[np.ndarray, " c"]) -> "Vocabulary":
        """The chosen classes, in this order."""
        new = torch.full((len(self),), -1, dtype=torch.long, device=self.class_of_word.device)
        new[torch.as_tensor(chosen, device=new.device)] = torch.arange(len(chosen), device=new.device)
        class_of_word = new[self.class_of_word]
        kept = class_of_word >= 0
        return Vocabulary(self.embedding[kept], class_of_word[kept], self.is_thing[chosen], self.is_base[chosen])

    @property
    def base(self) -> "Vocabulary":
        """All that training may know."""
        return self.only(np.flatnonzero(self.is_base))


def vocabulary(
    table: CategoryTable, embedding_of_word: Mapping[str, Float[np.ndarray, " D"]], novel: Sequence[str] = ()
) -> Vocabulary:
    """The classes of a table, row by row, named by all their words.

    Raises:
        InputError: a word has no embedding, or a novel name is of no class.
    """
    words = [(row, word) for row, category in enumerate(table) for word in (category.name, *category.synonyms)]
    missing = [word for _, word in words if word not in embedding_of_word]
    if missing:
        raise InputError(
            f"There is no text embedding of {', '.join(map(repr, missing))}; embed all words of the table."
        )
    rows = [table.index_of(name) for name in novel]
    unknown = [name for name, row in zip(novel, rows, strict=True) if row < 0]
    if unknown:
        raise InputError(
            f"The novel classes {', '.join(map(repr, unknown))} are not in the class table; name its classes."
        )
    embedding = torch.from_numpy(np.stack([embedding_of_word[word] for _, word in words]).astype(np.float32))
    is_base = np.ones(len(table), dtype=bool)
    is_base[rows] = False
    class_of_word = torch.tensor([row for row, _ in words])
    return Vocabulary(nn.functional.normalize(embedding, dim=1), class_of_word, table.is_thing, is_base)


def class_cosines(embeddings: Float[Tensor, "Q D"], words: Vocabulary) -> Float[Tensor, "Q C"]:
    """The cosine to the nearest word of every class; words are frozen."""
    cosine = nn.functional.normalize(embeddings, dim=1) @ words.embedding.detach().T
    where = words.class_of_word.expand_as(cosine)
    return cosine.new_full((len(cosine), len(words)), -1.0).scatter_reduce(1, where, cosine, "amax")


def typical_cosine(words: Vocabulary) -> float:
    """The mean cosine between classes that differ; 0 where there are no two."""
    cosine = class_cosines(words.embedding, words)
    other = words.class_of_word[:, None] != torch.arange(len(words), device=cosine.device)
    return float(cosine[other].mean()) if other.any() else 0.0


class Classifier(nn.Module):
    """Logits are cosines over a learned temperature, plus a learned bias: cosines of CLIP are nearly all positive.

    The bias starts where a query that is as near to a class as other classes are, at the cosine `typical`, is hardly
    of it. With `looks`, what queries mean also depends on how their masks look: the mean vision feature inside.
    """

    def __init__(self, width: int, embedding: int, typical: float = 0.0, looks: bool = False) -> None:
        super().__init__()
        inputs = width + embedding if looks else width
        self.embed = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, embedding))
        self.copy = nn.Linear(embedding, embedding, bias=False) if looks else None
        self.log_scale = nn.Parameter(torch.tensor(-math.log(TEMPERATURE)))
        self.bias = nn.Parameter(torch.tensor(math.log(PRIOR / (1 - PRIOR)) - typical / TEMPERATURE))

    def forward(self, queries: Float[Tensor, "Q C"], looks: Float[Tensor, "Q D"] | None = None) -> Float[Tensor, "Q D"]:
        """What the queries mean, in the space of vision and text; not of unit length."""
        if self.copy is None or looks is None:
            return self.embed(queries)
        scaled = looks.shape[1] ** 0.5 * nn.functional.normalize(looks, dim=1)
        return self.embed(torch.cat([queries, scaled], dim=1)) + self.copy(scaled)

    def logits(self, embeddings: Float[Tensor, "Q D"], words: Vocabulary) -> Float[Tensor, "Q C"]:
        return class_cosines(embeddings, words) * self.log_scale.exp() + self.bias
