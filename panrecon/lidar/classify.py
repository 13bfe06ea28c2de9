"""Open-vocabulary classification: a query is of the class whose text embedding is nearest to its own embedding.

A class needs nothing but a name: text embeddings of new ones are given at test time, without training.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from panrecon.errors import InputError
from panrecon.lidar.settings import NetworkSettings
from panrecon.structures import CategoryTable


@dataclass(frozen=True)
class TextEmbeddings:
    """Unit text embeddings of the names of classes, the class of every name, and which classes are things and base.

    A class may have several names (synonyms). Base classes are annotated in training; novel ones are only named.
    """

    embedding: Float[Tensor, "N D"]
    class_of_name: Int[Tensor, " N"]
    is_thing: Bool[np.ndarray, " C"]
    is_base: Bool[np.ndarray, " C"]

    def __len__(self) -> int:
        """The number of classes."""
        return len(self.is_thing)

    def to(self, device: torch.device) -> "TextEmbeddings":
        """The same, with its tensors on a device."""
        return TextEmbeddings(self.embedding.to(device), self.class_of_name.to(device), self.is_thing, self.is_base)

    def select(self, classes: Int[np.ndarray, " c"]) -> "TextEmbeddings":
        """The given classes alone, numbered in the given order."""
        device = self.class_of_name.device
        new_class = torch.full((len(self),), -1, dtype=torch.long, device=device)
        new_class[torch.as_tensor(classes, device=device)] = torch.arange(len(classes), device=device)
        class_of_name = new_class[self.class_of_name]
        is_selected = class_of_name >= 0
        return TextEmbeddings(
            self.embedding[is_selected], class_of_name[is_selected], self.is_thing[classes], self.is_base[classes]
        )

    @property
    def base(self) -> "TextEmbeddings":
        """The base classes alone: all that training may know."""
        return self.select(np.flatnonzero(self.is_base))


def class_text_embeddings(
    table: CategoryTable, embedding_of_name: Mapping[str, Float[np.ndarray, " D"]], novel: Sequence[str] = ()
) -> TextEmbeddings:
    """Text embeddings of all names and synonyms of a table's classes, in the table's order; `novel` classes by name.

    Raises:
        InputError: a name has no embedding, or a novel class is not in the table.
    """
    names = [(index, name) for index, category in enumerate(table) for name in (category.name, *category.synonyms)]
    missing = [name for _, name in names if name not in embedding_of_name]
    if missing:
        raise InputError(
            f"There is no text embedding of {', '.join(map(repr, missing))}; embed all names of the class table."
        )
    novel_class = [table.index_of(name) for name in novel]
    unknown = [name for name, index in zip(novel, novel_class, strict=True) if index < 0]
    if unknown:
        raise InputError(
            f"The novel classes {', '.join(map(repr, unknown))} are not in the class table; name its classes."
        )
    embedding = torch.from_numpy(np.stack([embedding_of_name[name] for _, name in names]).astype(np.float32))
    is_base = np.ones(len(table), dtype=bool)
    is_base[novel_class] = False
    class_of_name = torch.tensor([index for index, _ in names])
    return TextEmbeddings(nn.functional.normalize(embedding, dim=1), class_of_name, table.is_thing, is_base)


def class_cosines(embeddings: Float[Tensor, "Q D"], text_embeddings: TextEmbeddings) -> Float[Tensor, "Q C"]:
    """The greatest cosine to any name of every class, in [-1, 1]; text embeddings receive no gradient."""
    cosine = nn.functional.normalize(embeddings, dim=1) @ text_embeddings.embedding.detach().T
    class_of_name = text_embeddings.class_of_name.expand_as(cosine)
    lowest = cosine.new_full((len(cosine), len(text_embeddings)), -1.0)
    return lowest.scatter_reduce(1, class_of_name, cosine, "amax")


def between_class_cosine(text_embeddings: TextEmbeddings) -> float:
    """The mean cosine between names of a class and the other classes; 0 where there is one class only."""
    cosine = class_cosines(text_embeddings.embedding, text_embeddings)
    classes = torch.arange(len(text_embeddings), device=cosine.device)
    is_other = text_embeddings.class_of_name[:, None] != classes
    return float(cosine[is_other].mean()) if is_other.any() else 0.0


class Classifier(nn.Module):
    """Class embeddings of queries; logits are cosines over a learned temperature, plus a learned bias.

    Cosines of CLIP are nearly all positive, so a sigmoid needs the bias. It starts where a query at the cosine
    `between_class_cosine` from a class has the settings' `initial_probability`. With `appearance` in the settings,
    embeddings also depend on the mean vision feature inside the query's mask.
    """

    def __init__(self, settings: NetworkSettings, between_class_cosine: float = 0.0) -> None:
        super().__init__()
        width = settings.width
        embedding = settings.embedding_width
        probability = settings.initial_probability
        bias = math.log(probability / (1 - probability)) - between_class_cosine / settings.initial_temperature
        inputs = width + embedding if settings.uses_appearance else width
        self.mlp = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, embedding))
        self.skip = nn.Linear(embedding, embedding, bias=False) if settings.uses_appearance else None
        self.log_scale = nn.Parameter(torch.tensor(-math.log(settings.initial_temperature)))
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(
        self, queries: Float[Tensor, "Q C"], appearance: Float[Tensor, "Q D"] | None = None
    ) -> Float[Tensor, "Q D"]:
        """Class embeddings in the space of vision features and text embeddings; not of unit length."""
        if self.skip is None or appearance is None:
            return self.mlp(queries)
        scaled = appearance.shape[1] ** 0.5 * nn.functional.normalize(appearance, dim=1)
        return self.mlp(torch.cat([queries, scaled], dim=1)) + self.skip(scaled)

    def logits(self, embeddings: Float[Tensor, "Q D"], text_embeddings: TextEmbeddings) -> Float[Tensor, "Q C"]:
        """Logits of independent sigmoids, one for every class."""
        return class_cosines(embeddings, text_embeddings) * self.log_scale.exp() + self.bias
