"""Training of the network on scans with labels of base classes and vision features of all points.

On a CPU one seed gives one result, bit for bit, also when training stops at a checkpoint and resumes from it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from panrecon.errors import InputError
from panrecon.lidar import losses
from panrecon.lidar.augment import LabelledScan, augment, copy_paste, laser_mix, polar_mix
from panrecon.lidar.classify import TextEmbeddings, between_class_cosine
from panrecon.lidar.decoder import Prediction
from panrecon.lidar.matching import match
from panrecon.lidar.network import NetworkOutput, PanopticNetwork, ScanInput
from panrecon.lidar.settings import DEFAULT_MATCHING, LOSS_NAMES, MatchingSettings, NetworkSettings, TrainingSettings
from panrecon.lidar.sparse import SparseBackend
from panrecon.lidar.targets import Targets, base_labels, voxel_targets
from panrecon.structures import VOID, Labels, PointFeatures
from panrecon.threads import one_thread

State = dict[str, Tensor]
IGNORED_LOGIT = -30.0  # of a voxel that does not supervise a mask: gradient and loss of its target 0 vanish


@dataclass(frozen=True)
class Execution:
    """Where the network is trained, and by which sparse convolutions; plain torch without a backend."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    backend: SparseBackend | None = None


@dataclass(frozen=True)
class TrainedNetwork:
    """A network in evaluation mode, and the unweighted value of every loss at every step by its name."""

    network: PanopticNetwork
    losses: Mapping[str, Float[np.ndarray, " steps"]]


def labelled_scan(
    points: Float[np.ndarray, "n 4"], features: PointFeatures, labels: Labels, text_embeddings: TextEmbeddings
) -> LabelledScan:
    """A training scan. Labels of novel classes are removed here, so that nothing in training can depend on them.

    Raises:
        InputError: points and features are not as many.
    """
    base = base_labels(labels, text_embeddings.is_base)
    scan = scan_input(points, features)
    return LabelledScan(scan, torch.from_numpy(base.category), torch.from_numpy(base.instance))


def scan_input(points: Float[np.ndarray, "n 4"], features: PointFeatures) -> ScanInput:
    """A scan (x, y, z in metres in the sensor's frame, and intensity) with its vision features as the network's input.

    Raises:
        InputError: points and features are not as many.
    """
    if len(points) != len(features.values):
        raise InputError(
            f"The scan has {len(points)} points and its vision features {len(features.values)}; make both anew."
        )
    values = torch.from_numpy(features.values.astype(np.float32))
    return ScanInput(torch.from_numpy(points.astype(np.float32)), values, torch.from_numpy(features.valid))


@one_thread()
def train(
    scans: Sequence[LabelledScan],
    text_embeddings: TextEmbeddings,
    network: NetworkSettings,
    settings: TrainingSettings,
    resume: Mapping[str, Tensor] | None = None,
    on_step: Callable[[int, Mapping[str, float]], None] | None = None,
    on_checkpoint: Callable[[int, State], None] | None = None,
    execution: Execution = Execution(),
) -> TrainedNetwork:
    """A network trained on the scans, from scratch or from a checkpoint's state.

    `on_step` takes the index of every finished step and its losses by name, `on_checkpoint` the number of finished
    steps and a state to resume from. Only the base classes of `text_embeddings` are used.

    Raises:
        InputError: there is no scan, or no base class.
        FloatingPointError: a loss is not finite; the message names step and loss.
    """
    trainer = Trainer(scans, text_embeddings, network, settings, execution)
    if resume is not None:
        trainer.load(resume)
    for step in trainer.remaining():
        values = trainer.step(step)
        if on_step is not None:
            on_step(step, values)
        if on_checkpoint is not None and (step + 1) % settings.checkpoint_every == 0:
            on_checkpoint(step + 1, trainer.state())
    history = trainer.history.numpy()
    return TrainedNetwork(trainer.network.eval(), {name: history[:, i] for i, name in enumerate(LOSS_NAMES)})


class Trainer:
    """The state of a training: network, optimizer, random generator and history of losses.

    Raises:
        InputError: there is no scan, or no base class.
    """

    def __init__(
        self,
        scans: Sequence[LabelledScan],
        text_embeddings: TextEmbeddings,
        network: NetworkSettings,
        settings: TrainingSettings,
        execution: Execution = Execution(),
    ) -> None:
        if not scans:
            raise InputError("There is no scan to train on; name at least one.")
        if not text_embeddings.is_base.any():
            raise InputError("All classes are novel; training needs at least one base class.")
        self.scans = scans
        self.settings = settings
        self.device = execution.device
        self.text_embeddings = text_embeddings.base.to(self.device)
        self.generator = torch.Generator().manual_seed(settings.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            cosine = between_class_cosine(self.text_embeddings)
            untrained = PanopticNetwork(network, self.text_embeddings.is_thing, execution.backend, cosine)
        self.network = untrained.to(self.device).train()
        parameters = self.network.parameters()
        self.optimizer = torch.optim.AdamW(parameters, settings.rate, weight_decay=settings.weight_decay)
        self.finished = 0
        self.history = torch.full((settings.steps, len(LOSS_NAMES)), torch.nan)

    def remaining(self) -> Iterator[int]:
        """Indices of the steps that are not done."""
        return iter(range(self.finished, self.settings.steps))

    def step(self, step: int) -> Mapping[str, float]:
        """One optimizer step on `scans_per_step` random scans; the unweighted mean of every loss by its name.

        Raises:
            FloatingPointError: a loss is not finite; the weights are left as they were.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate_at(step)
        self.optimizer.zero_grad(set_to_none=True)
        weights = self.settings.weights
        values = torch.zeros(len(LOSS_NAMES))
        for _ in range(self.settings.scans_per_step):
            loss = self.losses(self.draw_scan())
            total = torch.stack([weights[name] * value for name, value in loss.items() if weights[name]]).sum()
            torch.autograd.backward(total / self.settings.scans_per_step)
            values += torch.stack([loss[name].detach().cpu() for name in LOSS_NAMES]) / self.settings.scans_per_step
        for name, value in zip(LOSS_NAMES, values.tolist(), strict=True):
            if not np.isfinite(value):
                raise FloatingPointError(f"The loss {name!r} is {value} at step {step}; look for what is not finite.")
        self.optimizer.step()
        self.history[step] = values
        self.finished = step + 1
        return dict(zip(LOSS_NAMES, values.tolist(), strict=True))

    def draw_scan(self) -> LabelledScan:
        """A random training scan, augmented."""
        settings = self.settings.augmentation
        first, second = (int(i) for i in torch.randint(len(self.scans), (2,), generator=self.generator))
        labelled = augment(self.scans[first], self.generator, settings)
        if self._random() < settings.mix_probability:
            is_laser_mix = self._random() < 0.5
            other = augment(self.scans[second], self.generator, settings)
            if is_laser_mix:
                labelled = laser_mix(labelled, other, self.generator, settings)
            else:
                labelled = polar_mix(labelled, other, self.generator)
        if self._random() < settings.copy_paste_probability:
            labelled = copy_paste(labelled, augment(self.scans[second], self.generator, settings))
        return labelled

    def _random(self) -> float:
        return float(torch.rand(1, generator=self.generator))

    def losses(self, labelled: LabelledScan) -> dict[str, Float[Tensor, ""]]:
        """The unweighted losses of one scan by name, summed over the layers of the decoder."""
        output = self.network(labelled.scan.to(self.device))
        targets = self.targets(labelled, output)
        of_layers = [self.layer_losses(output, prediction, targets) for prediction in output.predictions]
        loss = {name: torch.stack([of_layer[name] for of_layer in of_layers]).sum() for name in of_layers[0]}
        loss["semantic"] = losses.semantic_loss(output.semantic, targets.category)
        loss["lovasz"] = losses.lovasz_loss(output.semantic, targets.category)
        return loss

    def targets(self, labelled: LabelledScan, output: NetworkOutput) -> Targets:
        """Targets of a scan's voxels."""
        category = labelled.category.to(self.device)
        instance = labelled.instance.to(self.device)
        fixed_queries = self.network.settings.fixed_queries
        return voxel_targets(category, instance, output.voxels, self.text_embeddings.is_thing, fixed_queries)

    def supervised(self, targets: Targets) -> Bool[Tensor, " V"]:
        """Voxels that supervise the masks of free queries: labelled ones, or all with `unlabelled="negative"`."""
        return torch.ones_like(targets.labelled) if self.settings.unlabelled == "negative" else targets.labelled

    def assign(self, prediction: Prediction, targets: Targets, anchor: Int[Tensor, " Q"]) -> "Assignment":
        """The target mask and class of every query, by one layer's predictions."""
        logits = self.network.class_logits(prediction, self.text_embeddings)
        fixed_classes = self.network.queries.get_buffer("fixed_classes")
        is_object = torch.from_numpy(self.text_embeddings.is_thing)[targets.free_class.cpu()].to(self.device)
        supervised = self.supervised(targets)
        matching = self.settings.matching
        return assign(logits, prediction.mask, targets, supervised, fixed_classes, anchor, is_object, matching)

    def layer_losses(
        self, output: NetworkOutput, prediction: Prediction, targets: Targets
    ) -> dict[str, Float[Tensor, ""]]:
        """The unweighted losses, by name, of the predictions at one layer."""
        settings = self.settings
        logits = self.network.class_logits(prediction, self.text_embeddings)
        assignment = self.assign(prediction, targets, output.anchor)
        query = assignment.query
        truth = assignment.mask
        supervised = self.supervised(targets).expand_as(truth)
        if settings.unlabelled == "not_stuff":
            supervised = supervised | (query < self.network.queries.fixed)[:, None]
        mask = torch.where(supervised, prediction.mask[query], IGNORED_LOGIT)
        position_mask = torch.where(supervised, prediction.position_mask[query], IGNORED_LOGIT)
        vision = output.vision
        return {
            "class": losses.class_loss(logits, assignment.query_class, settings.class_focus),
            "mask": losses.mask_focal_loss(mask, truth, settings.mask_focus),
            "dice": losses.dice_loss(mask, truth),
            "position": losses.dice_loss(position_mask, truth),
            "false_mask": losses.false_mask_loss(prediction.mask[assignment.unmatched], targets.labelled),
            "object": losses.object_distillation(
                prediction.embedding[query], prediction.mask[query], vision.values, vision.valid
            ),
            "voxel": losses.voxel_distillation(
                prediction.mask,
                prediction.embedding,
                vision.values,
                vision.valid,
                settings.distance,
                settings.normalize_masks,
                settings.balance_masks,
            ),
        }

    def state(self) -> State:
        """A copy of everything needed to resume, by name: contiguous CPU tensors, ready for safetensors."""
        state = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            moments = self.optimizer.state.get(parameter, {})
            state |= {f"adam.{name}.{key}": value for key, value in moments.items()}
        state |= {"generator": self.generator.get_state(), "history": self.history, "step": torch.tensor(self.finished)}
        return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Resumes from a state of a training with the same settings, scans and classes.

        Raises:
            InputError: an older version wrote it, with other tensors.
        """
        prefix = "network."
        expected = {f"{prefix}{name}" for name in self.network.state_dict()} | {"generator", "history", "step"}
        differing = expected ^ {name for name in state if not name.startswith("adam.")}
        if differing:
            raise InputError(
                f"The half-finished training is of another version (one of the two lacks {min(differing)!r}); remove "
                "its checkpoint to train anew, or write to another folder."
            )
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
class Assignment:
    """Queries with a target and their target masks, and the base class of every query, `VOID` for none.

    Several queries may have the same target.
    """

    query: Int[Tensor, " m"]
    mask: Bool[Tensor, "m V"]
    query_class: Int[Tensor, " Q"]

    @property
    def unmatched(self) -> Int[Tensor, " u"]:
        """Queries without a target."""
        return (self.query_class == VOID).nonzero().squeeze(1)


def assign(
    logits: Float[Tensor, "Q B"],
    mask: Float[Tensor, "Q V"],
    targets: Targets,
    supervised: Bool[Tensor, " V"],
    fixed_classes: Int[Tensor, " K"],
    anchor: Int[Tensor, " Q"],
    is_object: Bool[Tensor, " T"],
    matching: MatchingSettings = DEFAULT_MATCHING,
) -> Assignment:
    """The target of every query.

    Fixed queries have that of their own class where the scan has the class. Free queries anchored in an object have
    that object (ours: Hungarian matching alone gives it to one of them and makes negatives of others just as near).
    Free queries without an anchor are matched with the targets that are left; all others have none.
    """
    present = targets.fixed_masks.any(dim=1).nonzero().squeeze(1)
    anchored_query, anchored_target = anchored_inside(anchor, targets.free_masks & is_object[:, None])
    is_left = torch.ones(len(targets.free_masks), dtype=torch.bool, device=mask.device)
    is_left[anchored_target] = False
    left = is_left.nonzero().squeeze(1)
    free = torch.arange(len(fixed_classes), len(logits), device=mask.device)
    free = free[anchor[free] == VOID]
    matched = match(logits[free], mask[free], targets.free_masks[left], targets.free_class[left], supervised, matching)
    target = torch.cat([anchored_target, left[matched.segment]])
    query = torch.cat([anchored_query, free[matched.query]])
    query_class = torch.full((len(logits),), VOID, dtype=torch.long, device=logits.device)
    query_class[present] = fixed_classes[present]
    query_class[query] = targets.free_class[target]
    masks = torch.cat([targets.fixed_masks[present], targets.free_masks[target]])
    return Assignment(torch.cat([present, query]), masks, query_class)


def anchored_inside(
    anchor: Int[Tensor, " Q"], segments: Bool[Tensor, "T V"]
) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
    """The queries anchored at a voxel of a segment, and the segment of each."""
    segment_of_voxel = torch.full((segments.shape[1] + 1,), VOID, dtype=torch.long, device=segments.device)
    segment_index, voxel = segments.nonzero(as_tuple=True)
    segment_of_voxel[voxel] = segment_index
    segment = segment_of_voxel[anchor]  # the last entry, of no voxel, is read by VOID
    query = (segment != VOID).nonzero().squeeze(1)
    return query, segment[query]
