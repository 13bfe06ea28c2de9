"""The numbers that decide which masks and superfaces form one object, and how certain an object is."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

DEFAULT_DIRECTION: Final = float(np.deg2rad(0.5))


@dataclass(frozen=True)
class ObjectModel:
    """Weights of a logistic model of an object, all in logits; fitted by `benchmarks/object_models.py`."""

    bias: float
    class_agreement: float  # per unit of the share of the winning class, in [0, 1]
    mask_iou: float  # per unit of the mean IoU of its masks, in [0, 1]
    log_frames: float  # per unit of log(1 + frames that detect it)
    called_stuff: float  # per unit of the log odds of frames that have stuff there against those that detect it
    called_things: float  # the same of frames that have other things there

    @property
    def weights(self) -> Float[np.ndarray, "5"]:
        """Those of the features, in the order of `objects.object_features`."""
        return np.array([self.class_agreement, self.mask_iou, self.log_frames, self.called_stuff, self.called_things])


# That an object is one of the scene's, of the right class and with an IoU above 0.5: its confidence.
CONFIDENCE: Final = ObjectModel(-11.37, 7.03, 2.08, 2.1, -1.01, 1.09)
# That it is one of the scene's with an IoU above 0.5, whatever its class.
EXISTENCE: Final = ObjectModel(-6.57, 0.0, 3.46, 2.92, -1.4, 1.43)


@dataclass(frozen=True)
class GraphParameters:
    """Parameters of the association of masks, beside the user's settings (`config.GraphSettings`).

    Frames are counted by weight, that is, frames from one pose count as one. Where nothing else is stated, a value was
    set by hand on the seven development scenes; `benchmarks/association_ablation.py` tells what those marked (ablation)
    are worth there. Shares, affinities and IoUs lie in [0, 1].
    """

    # Observation
    same_position: float = 0.01  # m, >= 0; frames nearer and of one direction share the weight of one (ablation)
    same_direction: float = DEFAULT_DIRECTION  # rad, >= 0: half a degree
    min_visible_vertices: int = 4  # vertices, >= 1: a frame that views fewer of a superface has no vote on it

    # Agglomeration of superfaces, after the view consensus of Yan et al. (MaskClustering, CVPR 2024)
    merge_affinity: float = 0.5  # clusters of a greater affinity merge; 0.35 and 0.65 are in the ablation
    prior_frames: float = 0.3  # frames, >= 0: added to the denominator of the affinity (ablation)
    stuff_weight: float = 1.0  # >= 0: of a frame with one of a pair in a thing and the other in stuff (ablation)
    unlabelled_weight: float = 0.3  # >= 0: of a frame with one in a thing and the other in no mask (ablation)
    min_thing_frames: float = 2.0  # frames, >= 0: a superface in thing masks of fewer seeds no object
    min_thing_share: float = 0.4  # of the labels of a seed are things; keeps leaking walls out (ablation)

    # Assignment of masks to objects
    min_seed_iou: float = 0.2  # a mask is assigned to the agglomerated object of the greatest IoU above this
    min_mask_iou: float = 0.25  # the same after refinement
    class_penalty: float = 0.3  # share of its IoU that a mask loses with an object of other classes (ablation)
    unassigned_iou: float = 0.4  # masks of a lower IoU with every object are grouped by themselves
    same_group_iou: float = 0.5  # groups of unassigned masks of a greater IoU merge
    min_unassigned_frames: float = 4.0  # frames, >= 0: a group in fewer gives no object; infinity: none (ablation)
    min_detection_rate: float = 0.12  # of the frames that view an object well must detect it (ablation)
    refinement_rounds: int = 2  # >= 0: alternations of masks and superfaces; more change little (ablation)

    # Objects that claim the same surface: chosen on simulated rooms of seeds 100 to 103, 110 and 111, where the mean PQ
    # changes by at most 0.2 between 0.1 and 0.25, and 0.2 and 0.5, by an earlier form of
    # `benchmarks/association_parameters.py`
    min_duplicate_iou: float = 0.15  # of the surface that two objects of a class claim, for them to be one
    max_duplicate_frames: float = 0.35  # of the frames that detect the rarer one, detect both; below 0: none merge

    # Merging of fragments that no frame views together
    max_smooth_weight: float = 0.05  # of the dihedral weight, in [0, 4]: 18 degrees concave, 39 convex
    min_smooth_share: float = 0.5  # of the edges between two fragments are smooth; infinity: none merge (ablation)

    # Labels of superfaces and vertices
    min_object_share: float = 0.4  # of its views in an object's masks, for a superface or vertex to belong to it
    superface_prior_frames: float = 10.0  # frames, > 0: weight of a superface's evidence at a vertex (ablation)

    # Evidence of objects
    well_viewed_share: float = 0.2  # of the most vertices in any frame, for a frame to view an object well
    contradicting_share: float = 0.5  # of the object's vertices in other masks, for a frame to contradict it
    confidence: ObjectModel = CONFIDENCE
    existence: ObjectModel = EXISTENCE
    min_existence: float = 0.1  # in [0, 1]: an object of less is none, chosen by `benchmarks/object_models.py`
