"""The numbers that decide how features are lifted, how objects are relabelled, and how the classifier is trained."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SemanticsParameters:
    """Parameters of semantics, beside the user's settings (`config.SemanticsSettings`).

    All were set by hand on the seven development scenes.
    """

    # Lifting
    visibility_scale: float = 0.5  # in (0, 1]: of the image size at which occlusion is ray-cast
    min_cosine: float = 0.1  # in [0, 1]: of the incidence angle; grazing views keep this weight
    min_distance: float = 0.1  # m, > 0: nearer views weigh no more

    # Relabelling of objects by similarity
    min_own_share: float = 0.2  # in [0, 1]: of an object's own class histogram that a new class needs
    margin: float = 0.3  # >= 0: by which the votes of others must exceed the old class, for an object of many frames
    half_margin_frames: float = 3.0  # frames, > 0: with which an object has half the margin
    prior_pairs: float = 10.0  # pairs, >= 0: of chance agreement, added to those observed at a similarity

    # Training of the classifier
    batch_size: int = 4096  # points of a step
    learning_rate: float = 1e-2  # of Adam, per step
    weight_decay: float = 1e-4  # of Adam (L2)
    held_out_share: float = 0.2  # in (0, 1): of the superfaces, for early stopping and calibration
    check_interval: int = 20  # steps between evaluations on the held-out points
    patience: int = 5  # evaluations without improvement before training stops
