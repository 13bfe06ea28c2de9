"""Laws of naming."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from panrecon.errors import InputError
from panrecon.lidar.classify import Classifier, Vocabulary, class_cosines, typical_cosine, vocabulary

from .conftest import EMBEDDING, TABLE, embedding_of_word


def classifier() -> Classifier:
    return Classifier(16, EMBEDDING)


def test_before_training_every_class_is_improbable(words: Vocabulary) -> None:
    head = classifier()
    probability = head.logits(torch.zeros(4, EMBEDDING), words).sigmoid()
    torch.testing.assert_close(probability, torch.full((4, len(words)), 0.01))


def test_before_training_other_classes_are_improbable(words: Vocabulary) -> None:
    typical = typical_cosine(words)
    assert typical == pytest.approx(0.2, abs=0.01)  # 0.5^2 / (1 + 0.5^2), as the toy words are made
    head = Classifier(16, EMBEDDING, typical)
    probability = head.logits(words.embedding, words).sigmoid()
    own = words.class_of_word[:, None] == torch.arange(len(words))
    torch.testing.assert_close(probability[~own].mean(), torch.tensor(0.01), atol=1e-4, rtol=0.0)
    assert (probability[own] > 0.9).all()


def test_a_class_is_as_near_as_its_nearest_word(words: Vocabulary) -> None:
    car, auto = (torch.from_numpy(embedding_of_word()[word])[None] for word in ("car", "auto"))
    for vector in (car, 5.0 * auto):
        assert float(class_cosines(vector, words)[0, 0]) == pytest.approx(1.0, abs=1e-5)


def test_the_order_of_names_does_not_matter(words: Vocabulary) -> None:
    head, embeddings = classifier(), torch.randn(6, EMBEDDING)
    order = np.array([3, 0, 4, 2, 1])
    torch.testing.assert_close(head.logits(embeddings, words.only(order)), head.logits(embeddings, words)[:, order])


def test_another_name_leaves_the_logits_of_the_others_as_they_are(words: Vocabulary) -> None:
    head, embeddings = classifier(), torch.randn(6, EMBEDDING)
    fewer = words.only(np.array([0, 1, 2, 3]))
    torch.testing.assert_close(head.logits(embeddings, words)[:, :4], head.logits(embeddings, fewer))


def test_base_words_are_those_of_base_classes(words: Vocabulary) -> None:
    assert words.is_base.tolist() == [True, True, False, False, True]
    assert words.base.class_of_word.tolist() == [0, 0, 1, 2]
    assert words.base.is_thing.tolist() == [True, False, False]


def test_the_text_receives_no_gradient(words: Vocabulary) -> None:
    head, asked = Classifier(16, EMBEDDING), replace(words, embedding=words.embedding.clone().requires_grad_())
    torch.autograd.backward(head.logits(head(torch.randn(3, 16)), asked).sum())
    assert head.bias.grad is not None
    assert asked.embedding.grad is None


def test_words_without_embedding_and_unknown_novel_classes_are_refused() -> None:
    embeddings = embedding_of_word()
    with pytest.raises(InputError, match="'zebra'"):
        vocabulary(TABLE, embeddings, ["zebra"])
    del embeddings["auto"]
    with pytest.raises(InputError, match="'auto'"):
        vocabulary(TABLE, embeddings)
