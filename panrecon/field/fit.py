"""Training of the field in three passes: geometry, then the rest on a frozen surface, then everything.

Schedule and weights: PanopticRecon (Yu et al. 2024). On a CPU one seed gives one result, bit for bit, also when
training stops at a checkpoint and goes on from it.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from panrecon.config import FieldSettings
from panrecon.errors import InputError
from panrecon.field import losses
from panrecon.field.batches import BatchStream, TrainingBatch
from panrecon.field.cpu.adam import TableAdam
from panrecon.field.cpu.hash_encoding import CpuHashVolumes
from panrecon.field.field import FieldSample, PanopticField, build_field
from panrecon.field.parameters import FieldParameters, LossWeights
from panrecon.field.rendering import render, render_probability, render_weights, top_k_samples
from panrecon.field.sampling import FieldData, PixelBatch
from panrecon.threads import one_thread

ADAM: Final[dict[str, Any]] = {"betas": (0.9, 0.99), "eps": 1e-15}
TERMS: Final = tuple(LossWeights().by_term())

State = dict[str, Tensor]


@dataclass(frozen=True)
class Pass:
    """A stretch of training with an optimiser of its own."""

    steps: range
    geometry: bool
    heads: bool

    def rate_share(self, step: int, parameters: FieldParameters) -> float:
        """The share of the learning rates at a step."""
        start = parameters.joint_rate_share if self.geometry and self.heads else 1.0
        return float(start * parameters.final_rate_share ** ((step - self.steps.start) / len(self.steps)))


@dataclass(frozen=True)
class FittedField:
    """The trained field and the unweighted value of every loss at every step; NaN where a term was not in use."""

    field: PanopticField
    losses: Mapping[str, Float[np.ndarray, " steps"]]

    @property
    def last_losses(self) -> dict[str, float]:
        """The value at the last step of every loss that was in use then."""
        last = {name: float(values[-1]) for name, values in self.losses.items() if len(values)}
        return {name: value for name, value in last.items() if np.isfinite(value)}


def passes(settings: FieldSettings) -> tuple[Pass, Pass, Pass]:
    """The schedule: geometry alone, the rest with the surface frozen, all together."""
    a = settings.geometry_iterations
    b = a + settings.frozen_iterations
    c = b + settings.joint_iterations
    return Pass(range(a), True, False), Pass(range(a, b), False, True), Pass(range(b, c), True, True)


@one_thread()
def fit(
    data: FieldData,
    settings: FieldSettings,
    parameters: FieldParameters = FieldParameters(),
    resume: Mapping[str, Tensor] | None = None,
    on_step: Callable[[int, Mapping[str, float]], None] | None = None,
    on_checkpoint: Callable[[int, State], None] | None = None,
) -> FittedField:
    """A field trained on the data, from the start or from a checkpoint's state.

    `on_step` takes the index of every finished step and its losses, `on_checkpoint` the number of finished steps and a
    state to resume from: contiguous tensors by name, ready for safetensors. A thread aside calls the latter.

    Raises:
        InputError: `settings.encoding` does not run on the device.
        FloatingPointError: a loss or, at a checkpoint, a parameter is not finite; the message names step, term and the
            last checkpoint, which is.
    """
    training = Training(data, settings, parameters)
    if resume is not None:
        training.load(resume)
    with ThreadPoolExecutor(max_workers=1) as writer:
        for step in training.remaining():
            values = training.step(step)
            if on_step is not None:
                on_step(step, values)
            if on_checkpoint is not None and (step + 1) % settings.checkpoint_every == 0:
                training.require_finite_parameters()
                training.wait_for_checkpoint()
                state = training.state()
                training.writing = writer.submit(_write_checkpoint, training, step + 1, state, on_checkpoint)
        training.wait_for_checkpoint()
    history = training.history.numpy()
    return FittedField(training.field, {term: history[:, column] for column, term in enumerate(TERMS)})


def _write_checkpoint(training: "Training", finished: int, state: State, write: Callable[[int, State], None]) -> None:
    write(finished, state)
    training.saved = finished


class Training:
    """Everything that changes while a field is trained."""

    def __init__(
        self, data: FieldData, settings: FieldSettings, parameters: FieldParameters = FieldParameters()
    ) -> None:
        self.settings = settings
        self.parameters = parameters
        self.device = _device(settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            sizes = (data.categories, data.instances, data.feature_width)
            self.field = build_field(data.box, settings, *sizes, self.device, parameters)
        self.batches = BatchStream(data, settings, parameters, self.device)
        self.instance_weight = self.batches.instance_weight()
        self.finished = 0
        self.saved = 0  # finished steps of the last checkpoint
        self.writing: Future[None] | None = None  # a checkpoint that is being written
        self.history = torch.full((sum(len(part.steps) for part in passes(settings)), len(TERMS)), torch.nan)
        self.optimizer: torch.optim.Adam | None = None

    def remaining(self) -> Iterator[int]:
        return iter(range(self.finished, len(self.history)))

    def step(self, step: int) -> Mapping[str, float]:
        """Trains one batch; the unweighted value of every loss in use."""
        part = self._pass_of(step)
        optimizer = self._optimizer_at(step, part)
        following = self._free_samples(self._pass_of(step + 1)) if step + 1 < len(self.history) else None
        terms = self.terms(self.batches.take(self._free_samples(part), following), part)
        values = dict(zip(terms, torch.stack(list(terms.values())).tolist(), strict=True))
        for name, value in values.items():
            if not np.isfinite(value):
                raise FloatingPointError(f"The loss {name!r} is {value} at step {step}; {self._way_out()}")
        optimizer.zero_grad(set_to_none=True)
        self.field.encoding.clear_gradient()
        weights = self.parameters.loss_weights.by_term()
        torch.autograd.backward(torch.stack([weights[name] * term for name, term in terms.items()]).sum())
        optimizer.step()
        self.history[step] = torch.tensor([values.get(name, torch.nan) for name in TERMS])
        self.finished = step + 1
        return values

    def _pass_of(self, step: int) -> Pass:
        return next(part for part in passes(self.settings) if step in part.steps)

    def _free_samples(self, part: Pass) -> int:
        return self.settings.free_samples if part.geometry else 0

    def require_finite_parameters(self) -> None:
        """No checkpoint holds what training could not go on from."""
        for name, parameter in self.field.named_parameters():
            if not torch.isfinite(parameter).all():
                raise FloatingPointError(f"{name!r} is not finite after step {self.finished - 1}; {self._way_out()}")

    def wait_for_checkpoint(self) -> None:
        """Until what is being written is; raises what kept it from being written."""
        if self.writing is not None:
            self.writing.result()

    def _way_out(self) -> str:
        self.wait_for_checkpoint()
        last = f"the checkpoint of step {self.saved} is whole" if self.saved else "there was no checkpoint yet"
        return f"{last}; look for values that are not finite in the input."

    def terms(self, batch: TrainingBatch, part: Pass) -> dict[str, Float[Tensor, ""]]:
        """The losses of a pass on one batch."""
        pixels = batch.pixels
        depth = batch.depth
        everywhere = self._sample_everywhere(batch, part)
        with torch.set_grad_enabled(part.geometry):
            geometry = self.field.geometry(batch.points) if everywhere is None else everywhere.geometry
            sdf = geometry.sdf.view(depth.shape)
            weights = render_weights(sdf, self.field.sharpness)
        terms: dict[str, Float[Tensor, ""]] = {}
        if part.geometry:
            gradient = geometry.gradient.view(*depth.shape, 3)
            terms |= self._geometry_terms(pixels, depth, sdf, gradient, weights)
        if part.heads:
            top = top_k_samples(weights, self.settings.label_samples)
            directions = _directions(pixels, top.shares.shape[1])
            rows = top.rows
            sample = everywhere or self.field.appearance_and_semantics(
                batch.points.index_select(0, rows), geometry.at(rows), directions
            )
            terms |= self._head_terms(pixels, top.shares, sample)
        return terms

    def _sample_everywhere(self, batch: TrainingBatch, part: Pass) -> FieldSample | None:
        """The field at all samples at once, where a pass reads all its volumes at all of them."""
        samples = batch.depth.shape[1]
        if part.geometry and part.heads and self.settings.label_samples >= samples:
            return self.field(batch.points, _directions(batch.pixels, samples))
        return None

    def _geometry_terms(
        self,
        batch: PixelBatch,
        depth: Float[Tensor, "n S"],
        sdf: Float[Tensor, "n S"],
        gradient: Float[Tensor, "n S 3"],
        weights: Float[Tensor, "n S"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Losses of the surface itself."""
        truncation = self.settings.truncation
        parameters = self.parameters
        band = parameters.surface_band * truncation
        along_ray = losses.distance_along_ray(batch.depth, depth, batch.rays.direction)
        cosine = losses.incidence_cosine(batch.rays.direction, gradient, parameters.min_incidence_cosine)
        return {
            "depth": losses.depth_loss((weights * depth).sum(dim=1), batch.depth),
            "surface": losses.surface_loss(sdf, along_ray, cosine, band),
            "free_space": losses.free_space_loss(sdf, along_ray, band, parameters.free_space_decay / truncation),
            "eikonal": losses.eikonal_loss(sdf, gradient, parameters.eikonal_floor * truncation),
        }

    def _head_terms(
        self, batch: PixelBatch, shares: Float[Tensor, "n k"], sample: FieldSample
    ) -> dict[str, Float[Tensor, ""]]:
        """Losses of what lies on the surface, read only at the top samples of each ray."""
        category = render_probability(shares, sample.category.view(*shares.shape, -1))
        instance = render_probability(shares, sample.instance.view(*shares.shape, -1))
        feature = render(shares.detach(), sample.feature.view(*shares.shape, -1))
        return {
            "color": losses.color_loss(render(shares, sample.color.view(*shares.shape, 3)), batch.color),
            "category": losses.label_loss(category, batch.category, batch.confidence),
            "instance": losses.label_loss(instance, batch.instance, batch.confidence, self.instance_weight),
            "feature": losses.feature_loss(feature, batch.feature),
        }

    def _optimizer_at(self, step: int, part: Pass) -> torch.optim.Adam:
        """The pass's Adam with the step's learning rates; a fresh one where a pass begins.

        Fresh moments are zero, so columns of the table that get no gradient in a pass do not move at all.
        """
        if self.optimizer is None or step == part.steps.start:
            self.optimizer = self._new_optimizer(part)
        rates = self.parameters.table_rate, self.parameters.head_rate
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * part.rate_share(step, self.parameters)
        return self.optimizer

    def _new_optimizer(self, part: Pass) -> torch.optim.Adam:
        surface = {"log_sharpness", "geometry_head"}
        for name, parameter in self.field.named_parameters():
            is_surface = name.split(".")[0] in surface
            parameter.requires_grad_(name.startswith("encoding.") or (part.geometry if is_surface else part.heads))
        heads = [p for n, p in self.field.named_parameters() if p.requires_grad and not n.startswith("encoding.")]
        groups = [{"params": list(self.field.encoding.parameters())}, {"params": heads}]
        if isinstance(self.field.encoding, CpuHashVolumes):
            return TableAdam(self.field.encoding, groups, **ADAM)
        return torch.optim.Adam(groups, **ADAM, fused=True)

    def state(self) -> State:
        """A copy of everything training needs to go on, by name."""
        state = {f"field.{name}": value for name, value in self.field.state_dict().items()}
        state |= {f"adam.{name}.{key}": value for name, key, value in self._moments()}
        state |= {"generator": self.batches.state, "history": self.history, "step": torch.tensor(self.finished)}
        return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes up training where `state` left it; its settings must be the same."""
        self.field.load_state_dict({n.removeprefix("field."): v for n, v in state.items() if n.startswith("field.")})
        self.batches.resume(state["generator"])
        self.history = state["history"].clone()
        self.finished = self.saved = int(state["step"])
        part = self._pass_of(self.finished) if self.finished < len(self.history) else None
        if part is not None and self.finished > part.steps.start:
            self.optimizer = self._new_optimizer(part)
            self._load_moments(state)

    def _moments(self) -> Iterator[tuple[str, str, Tensor]]:
        if self.optimizer is None:
            return
        for name, parameter in self.field.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                yield name, key, value

    def _load_moments(self, state: Mapping[str, Tensor]) -> None:
        assert self.optimizer is not None
        for name, parameter in self.field.named_parameters():
            prefix = f"adam.{name}."
            moments = {n.removeprefix(prefix): v.clone() for n, v in state.items() if n.startswith(prefix)}
            if moments:
                self.optimizer.state[parameter] = {
                    key: value if key == "step" else value.to(self.device) for key, value in moments.items()
                }


def _directions(batch: PixelBatch, samples: int) -> Float[Tensor, "m 3"]:
    """The unit direction of every sample."""
    return nn.functional.normalize(batch.rays.direction, dim=1).repeat_interleave(samples, dim=0)


def _device(settings: FieldSettings) -> torch.device:
    name = settings.device
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else torch.device(name)
    if settings.encoding == "tcnn" and device.type == "cpu":
        raise InputError("field.encoding=tcnn runs on a CUDA device and the field is fitted on the CPU; take auto.")
    return device
