"""Laws of open-vocabulary classification."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from panrecon.errors import InputError
from panrecon.lidar.classify import (
    Classifier,
    TextEmbeddings,
    between_class_cosine,
    class_cosines,
    class_text_embeddings,
)

from .conftest import EMBEDDING, TABLE, embedding_of_name, narrow


def classifier() -> Classifier:
    return Classifier(narrow(16))


def test_before_training_every_class_is_improbable(text: TextEmbeddings) -> None:
    head = classifier()
    probability = head.logits(torch.zeros(4, EMBEDDING), text).sigmoid()
    torch.testing.assert_close(probability, torch.full((4, len(text)), 0.01))


def test_before_training_other_classes_are_improbable(text: TextEmbeddings) -> None:
    between = between_class_cosine(text)
    assert between == pytest.approx(0.2, abs=0.01)  # 0.5^2 / (1 + 0.5^2), as the toy embeddings are made
    head = Classifier(narrow(16), between)
    probability = head.logits(text.embedding, text).sigmoid()
    own = text.class_of_name[:, None] == torch.arange(len(text))
    torch.testing.assert_close(probability[~own].mean(), torch.tensor(0.01), atol=1e-4, rtol=0.0)
    assert (probability[own] > 0.9).all()


def test_a_class_is_as_near_as_its_nearest_name(text: TextEmbeddings) -> None:
    car, auto = (torch.from_numpy(embedding_of_name()[name])[None] for name in ("car", "auto"))
    for vector in (car, 5.0 * auto):
        assert float(class_cosines(vector, text)[0, 0]) == pytest.approx(1.0, abs=1e-5)


def test_the_order_of_names_does_not_matter(text: TextEmbeddings) -> None:
    head = classifier()
    embeddings = torch.randn(6, EMBEDDING)
    order = np.array([3, 0, 4, 2, 1])
    torch.testing.assert_close(head.logits(embeddings, text.select(order)), head.logits(embeddings, text)[:, order])


def test_another_name_leaves_the_logits_of_the_others_as_they_are(text: TextEmbeddings) -> None:
    head = classifier()
    embeddings = torch.randn(6, EMBEDDING)
    fewer = text.select(np.array([0, 1, 2, 3]))
    torch.testing.assert_close(head.logits(embeddings, text)[:, :4], head.logits(embeddings, fewer))


def test_base_names_are_those_of_base_classes(text: TextEmbeddings) -> None:
    assert text.is_base.tolist() == [True, True, False, False, True]
    assert text.base.class_of_name.tolist() == [0, 0, 1, 2]
    assert text.base.is_thing.tolist() == [True, False, False]


def test_the_text_receives_no_gradient(text: TextEmbeddings) -> None:
    head = classifier()
    learnable = replace(text, embedding=text.embedding.clone().requires_grad_())
    torch.autograd.backward(head.logits(head(torch.randn(3, 16)), learnable).sum())
    assert head.bias.grad is not None
    assert learnable.embedding.grad is None


def test_names_without_embedding_and_unknown_novel_classes_are_refused() -> None:
    embeddings = embedding_of_name()
    with pytest.raises(InputError, match="'zebra'"):
        class_text_embeddings(TABLE, embeddings, ["zebra"])
    del embeddings["auto"]
    with pytest.raises(InputError, match="'auto'"):
        class_text_embeddings(TABLE, embeddings)
