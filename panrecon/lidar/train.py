"""Training of the network on scans with labels of base classes and vision features of all points.

On a CPU one seed gives one result, bit for bit, also when training stops at a checkpoint and goes on from it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from panrecon.errors import InputError
from panrecon.lidar import losses
from panrecon.lidar.augment import LabelledScan, augmented, laser_mix, pasted, polar_mix
from panrecon.lidar.classify import Vocabulary, typical_cosine
from panrecon.lidar.decoder import Prediction
from panrecon.lidar.matching import match
from panrecon.lidar.network import Output, PanopticNetwork, ScanInput
from panrecon.lidar.settings import NetworkSizes
from panrecon.lidar.sparse import SparseBackend
from panrecon.lidar.targets import Targets, base_labels, targets
from panrecon.structures import VOID, Labels, PointFeatures
from panrecon.threads import one_thread

TERMS: Final = ("class", "mask", "dice", "position", "trespass", "semantic", "lovasz", "object", "voxel")
DICE_WEIGHT: Final = 2.0  # P3Former (Xiao et al., 2023)
POSITION_WEIGHT: Final = 0.4

State = dict[str, Tensor]
Unlabelled = Literal["ignored", "not_stuff", "negative"]
UNHEARD: Final = -30.0  # a logit that no mask loss feels


@dataclass(frozen=True)
class TrainingSettings:
    """How to train. `object_weight` and `voxel_weight` are those of the two distillations.

    The rate falls to a tenth at each share of the steps in `milestones`. `unlabelled` voxels are ignored by masks,
    or are "negative" to all of them as in P3Former, which teaches masks to avoid what is novel, or are "not_stuff":
    negative to fixed queries only, right where everything of a base stuff class is labelled (ours). `mixed`: share of
    scans mixed with another, by PolarMix or LaserMix.
    `trespass_weight`: of keeping queries without a segment off voxels that are labelled, which belong to others (ours).
    `shared`: masks that overlap share a voxel in the second distillation; `balanced`: every mask counts alike in it,
    however small (both ours). `class_focus`: the exponent of the focal loss of classes. `pasted`: share of scans among
    which the labelled objects of another are put.
    """

    steps: int
    scans_per_step: int = 1
    rate: float = 8e-4
    weight_decay: float = 0.01
    milestones: tuple[float, ...] = (0.6, 0.9)
    object_weight: float = 1.0
    voxel_weight: float = 0.1
    distance: losses.Distance = "l1"
    shared: bool = False
    balanced: bool = False
    trespass_weight: float = 0.0
    class_focus: float = losses.CLASS_FOCUS
    unlabelled: Unlabelled = "ignored"
    mixed: float = 0.0
    pasted: float = 0.0
    checkpoint_every: int = 100
    seed: int = 0

    def rate_at(self, step: int) -> float:
        return float(self.rate * 0.1 ** sum(step >= share * self.steps for share in self.milestones))

    @property
    def weights(self) -> dict[str, float]:
        weights = {"dice": DICE_WEIGHT, "position": POSITION_WEIGHT, "object": self.object_weight}
        weights |= {"trespass": self.trespass_weight}
        return dict.fromkeys(TERMS, 1.0) | weights | {"voxel": self.voxel_weight}


def small_training(steps: int, seed: int) -> TrainingSettings:
    """What suits the small network and a handful of scans."""
    return TrainingSettings(
        steps,
        rate=2e-3,
        milestones=(0.7, 0.9),
        voxel_weight=1.0,
        shared=True,
        balanced=True,
        unlabelled="not_stuff",
        trespass_weight=0.3,
        class_focus=2.0,
        pasted=0.5,
        seed=seed,
    )


@dataclass(frozen=True)
class TrainedNetwork:
    """The network, and the unweighted value of every loss at every step."""

    network: PanopticNetwork
    losses: Mapping[str, Float[np.ndarray, " steps"]]


def labelled_scan(
    points: Float[np.ndarray, "n 4"], features: PointFeatures, labels: Labels, words: Vocabulary
) -> LabelledScan:
    """A scan to train on. Labels of novel classes end here: nothing behind this line can know of them."""
    known = base_labels(labels, words.is_base)
    return LabelledScan(scan_input(points, features), *map(torch.from_numpy, (known.category, known.instance)))


def scan_input(points: Float[np.ndarray, "n 4"], features: PointFeatures) -> ScanInput:
    """A scan with the vision features of its points, as the network takes it."""
    if len(points) != len(features.values):
        raise InputError(
            f"The scan has {len(points)} points and its vision features {len(features.values)}; make both anew."
        )
    values = torch.from_numpy(features.values.astype(np.float32))
    return ScanInput(torch.from_numpy(points.astype(np.float32)), values, torch.from_numpy(features.valid))


@one_thread()
def train(
    scans: Sequence[LabelledScan],
    words: Vocabulary,
    sizes: NetworkSizes,
    settings: TrainingSettings,
    resume: Mapping[str, Tensor] | None = None,
    on_step: Callable[[int, Mapping[str, float]], None] | None = None,
    on_checkpoint: Callable[[int, State], None] | None = None,
    device: torch.device | None = None,
    backend: SparseBackend | None = None,
) -> TrainedNetwork:
    """A network trained on the scans, from the start or from a checkpoint's state; in evaluation mode.

    `on_step` hears the number of every finished step and its losses, `on_checkpoint` the number of finished steps and
    a state to resume from. Of `words`, training takes the base classes only.

    Raises:
        InputError: there is no scan, or no base class.
        FloatingPointError: a loss is not finite; the message names step and term.
    """
    training = Training(scans, words, sizes, settings, device, backend)
    if resume is not None:
        training.load(resume)
    for step in training.remaining():
        values = training.step(step)
        if on_step is not None:
            on_step(step, values)
        if on_checkpoint is not None and (step + 1) % settings.checkpoint_every == 0:
            on_checkpoint(step + 1, training.state())
    history = training.history.numpy()
    return TrainedNetwork(training.network.eval(), {term: history[:, i] for i, term in enumerate(TERMS)})


class Training:
    """Everything that changes while a network is trained."""

    def __init__(
        self,
        scans: Sequence[LabelledScan],
        words: Vocabulary,
        sizes: NetworkSizes,
        settings: TrainingSettings,
        device: torch.device | None = None,
        backend: SparseBackend | None = None,
    ) -> None:
        if not scans:
            raise InputError("There is no scan to train on; name at least one.")
        if not words.is_base.any():
            raise InputError("All classes are novel; training needs at least one base class.")
        self.scans, self.settings = scans, settings
        self.device = device or torch.device("cpu")
        self.words = words.base.to(self.device)
        self.generator = torch.Generator().manual_seed(settings.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = (
                PanopticNetwork(sizes, self.words.is_thing, backend, typical_cosine(self.words)).to(self.device).train()
            )
        parameters = self.network.parameters()
        self.optimizer = torch.optim.AdamW(parameters, settings.rate, weight_decay=settings.weight_decay)
        self.finished = 0
        self.history = torch.full((settings.steps, len(TERMS)), torch.nan)

    def remaining(self) -> Iterator[int]:
        return iter(range(self.finished, self.settings.steps))

    def step(self, step: int) -> Mapping[str, float]:
        """Trains on the next scans; the unweighted mean of every loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate_at(step)
        self.optimizer.zero_grad(set_to_none=True)
        weights, values = self.settings.weights, torch.zeros(len(TERMS))
        for _ in range(self.settings.scans_per_step):
            terms = self.terms(self.draw())
            total = torch.stack([weights[name] * term for name, term in terms.items() if weights[name]]).sum()
            torch.autograd.backward(total / self.settings.scans_per_step)
            values += torch.stack([terms[name].detach().cpu() for name in TERMS]) / self.settings.scans_per_step
        for name, value in zip(TERMS, values.tolist(), strict=True):
            if not np.isfinite(value):
                raise FloatingPointError(f"The loss {name!r} is {value} at step {step}; look for what is not finite.")
        self.optimizer.step()
        self.history[step] = values
        self.finished = step + 1
        return dict(zip(TERMS, values.tolist(), strict=True))

    def draw(self) -> LabelledScan:
        """A training scan, augmented."""
        first, second = (int(i) for i in torch.randint(len(self.scans), (2,), generator=self.generator))
        sample = augmented(self.scans[first], self.generator)
        if float(torch.rand(1, generator=self.generator)) < self.settings.mixed:
            mix = laser_mix if float(torch.rand(1, generator=self.generator)) < 0.5 else polar_mix
            sample = mix(sample, augmented(self.scans[second], self.generator), self.generator)
        if float(torch.rand(1, generator=self.generator)) < self.settings.pasted:
            sample = pasted(sample, augmented(self.scans[second], self.generator))
        return sample

    def terms(self, sample: LabelledScan) -> dict[str, Float[Tensor, ""]]:
        """The losses of one scan, those of all layers added."""
        output = self.network(sample.scan.to(self.device))
        wanted = self.wanted(sample, output)
        layers = [self.layer_terms(output, prediction, wanted) for prediction in output.predictions]
        terms = {name: torch.stack([layer[name] for layer in layers]).sum() for name in layers[0]}
        terms["semantic"] = losses.semantic_loss(output.semantic, wanted.category)
        terms["lovasz"] = losses.lovasz_loss(output.semantic, wanted.category)
        return terms

    def wanted(self, sample: LabelledScan, output: Output) -> Targets:
        """What the network should have said of a scan."""
        category, instance = sample.category.to(self.device), sample.instance.to(self.device)
        fixed = self.network.sizes.fixed_queries
        return targets(category, instance, output.voxels, self.words.is_thing, fixed)

    def heard(self, wanted: Targets) -> Bool[Tensor, " V"]:
        """The voxels that teach masks."""
        return torch.ones_like(wanted.known) if self.settings.unlabelled == "negative" else wanted.known

    def assigned(self, prediction: Prediction, wanted: Targets, seed: Int[Tensor, " Q"]) -> "Assigned":
        logits = self.network.class_logits(prediction, self.words)
        fixed_classes = self.network.queries.get_buffer("fixed_classes")
        is_object = torch.from_numpy(self.words.is_thing)[wanted.thing_class.cpu()].to(self.device)
        return assign(logits, prediction.mask, wanted, self.heard(wanted), fixed_classes, seed, is_object)

    def layer_terms(self, output: Output, prediction: Prediction, wanted: Targets) -> dict[str, Float[Tensor, ""]]:
        """The losses of the predictions after one layer."""
        logits = self.network.class_logits(prediction, self.words)
        assigned = self.assigned(prediction, wanted, output.seed)
        truth = assigned.mask
        heard = self.heard(wanted).expand_as(truth)
        if self.settings.unlabelled == "not_stuff":
            heard = heard | (assigned.query < self.network.queries.fixed)[:, None]
        mask, position = (
            torch.where(heard, logits_of[assigned.query], UNHEARD)
            for logits_of in (prediction.mask, prediction.position_mask)
        )
        vision = output.vision
        return {
            "class": losses.class_loss(logits, assigned.query_class, self.settings.class_focus),
            "mask": losses.mask_focal_loss(mask, truth),
            "dice": losses.dice_loss(mask, truth),
            "position": losses.dice_loss(position, truth),
            "trespass": losses.trespass_loss(prediction.mask[assigned.unmatched], wanted.known),
            "object": losses.object_distillation(
                prediction.embedding[assigned.query], prediction.mask[assigned.query], vision.values, vision.valid
            ),
            "voxel": losses.voxel_distillation(
                prediction.mask,
                prediction.embedding,
                vision.values,
                vision.valid,
                self.settings.distance,
                self.settings.shared,
                self.settings.balanced,
            ),
        }

    def state(self) -> State:
        """A copy of everything training needs to go on, by name: contiguous tensors, ready for safetensors."""
        state = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            moments = self.optimizer.state.get(parameter, {})
            state |= {f"adam.{name}.{key}": value for key, value in moments.items()}
        state |= {"generator": self.generator.get_state(), "history": self.history, "step": torch.tensor(self.finished)}
        return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes up training where `state` left it; sizes and settings must be the same."""
        prefix = "network."
        weights = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        self.network.load_state_dict(weights)
        for name, parameter in self.network.named_parameters():
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"adam.{name}.{key}" in state]
            moments = {key: state[f"adam.{name}.{key}"].clone() for key in keys}
            if moments:
                self.optimizer.state[parameter] = {
                    key: value if key == "step" else value.to(self.device) for key, value in moments.items()
                }
        self.generator.set_state(state["generator"])
        self.history = state["history"].clone()
        self.finished = int(state["step"])


@dataclass(frozen=True)
class Assigned:
    """Queries that have a segment with its mask, and the base class of every query, `VOID` for none."""

    query: Int[Tensor, " m"]
    mask: Bool[Tensor, "m V"]
    query_class: Int[Tensor, " Q"]

    @property
    def unmatched(self) -> Int[Tensor, " u"]:
        return (self.query_class == VOID).nonzero().squeeze(1)


def assign(
    logits: Float[Tensor, "Q B"],
    mask: Float[Tensor, "Q V"],
    wanted: Targets,
    heard: Bool[Tensor, " V"],
    fixed_classes: Int[Tensor, " K"],
    seed: Int[Tensor, " Q"],
    is_object: Bool[Tensor, " T"],
) -> Assigned:
    """Which segment every query is to become.

    Fixed queries have their own class where the scan has it. Free ones that start from a voxel of an object are for
    it (ours; Hungarian matching alone lets one of them become it and tells the others, which are as near, that they
    are nothing). Those that start from no voxel are matched with the segments that are left.
    """
    present = wanted.fixed.any(dim=1).nonzero().squeeze(1)
    begun, segment = starting_inside(seed, wanted.things & is_object[:, None])
    left = torch.ones(len(wanted.things), dtype=torch.bool, device=mask.device)
    left[segment] = False
    left_over = left.nonzero().squeeze(1)
    free = torch.arange(len(fixed_classes), len(logits), device=mask.device)
    free = free[seed[free] == VOID]
    found = match(logits[free], mask[free], wanted.things[left_over], wanted.thing_class[left_over], heard)
    segment = torch.cat([segment, left_over[found.segment]])
    of_thing = torch.cat([begun, free[found.query]])
    query_class = torch.full((len(logits),), VOID, dtype=torch.long, device=logits.device)
    query_class[present] = fixed_classes[present]
    query_class[of_thing] = wanted.thing_class[segment]
    masks = torch.cat([wanted.fixed[present], wanted.things[segment]])
    return Assigned(torch.cat([present, of_thing]), masks, query_class)


def starting_inside(
    seed: Int[Tensor, " Q"], segments: Bool[Tensor, "T V"]
) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
    """The queries that start from a voxel of a segment, and which segment it is."""
    of_voxel = torch.full((segments.shape[1] + 1,), VOID, dtype=torch.long, device=segments.device)
    number, voxel = segments.nonzero(as_tuple=True)
    of_voxel[voxel] = number
    segment = of_voxel[seed]  # the last voxel, which is none, stands for VOID
    begun = (segment != VOID).nonzero().squeeze(1)
    return begun, segment[begun]
