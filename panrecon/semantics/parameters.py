"""The numbers that decide how features are lifted, how objects are relabelled, and how the classifier is trained."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SemanticsParameters:
    """Parameters of semantics, beside the user's settings (`config.SemanticsSettings`).

    Where nothing else is stated, a value was set by hand on the seven development scenes.
    """

    # Lifting
    visibility_scale: float = 0.5  # in (0, 1]: of the image size at which occlusion is ray-cast
    min_cosine: float = 0.1  # in [0, 1]: of the incidence angle; grazing views keep this weight
    min_distance: float = 0.1  # m, > 0: nearer views weigh no more

    # Relabelling of objects by similarity, fitted on simulated rooms by `benchmarks/relabelling_parameters.py`
    own_words: float = 0.25  # independent words, >= 0, that all masks of an object together are worth
    word_floor: float = 0.025  # above 0: added to the share of every class in an object's words
    prior_members: float = 0.3  # objects, > 0: of no similarity, added to the members of every class
    prior_pairs: float = 100.0  # pairs, >= 0: of chance agreement, added to those observed at a similarity

    # Training of the classifier
    batch_size: int = 4096  # points of a step
    learning_rate: float = 1e-2  # of Adam, per step
    weight_decay: float = 1e-4  # of Adam (L2)
    held_out_share: float = 0.2  # in (0, 1): of the superfaces, for early stopping and calibration
    check_interval: int = 20  # steps between evaluations on the held-out points
    patience: int = 5  # evaluations without improvement before training stops
