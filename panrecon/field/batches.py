"""Batches for training, drawn a step ahead on a thread of their own: they depend on no parameter of the field."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from panrecon.config import FieldSettings
from panrecon.field.parameters import FieldParameters
from panrecon.field.sampling import FieldData, PixelBatch, PixelSampler, guided_depths


@dataclass(frozen=True)
class TrainingBatch:
    """Pixels of n rays, S rising sample depths of each (m), and the m = n * S points there, in the field's box."""

    pixels: PixelBatch
    depth: Float[Tensor, "n S"]
    points: Float[Tensor, "m 3"]


class BatchStream:
    """Random batches of a scene, the same for the same seed however far ahead they are drawn."""

    def __init__(
        self, data: FieldData, settings: FieldSettings, parameters: FieldParameters, device: torch.device
    ) -> None:
        self._settings = settings
        self._parameters = parameters
        self._device = device
        self._sampler = PixelSampler(data)
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._ahead: tuple[int, Future[tuple[TrainingBatch, Tensor]]] | None = None  # with its free samples a ray
        self._state = self._generator.get_state()

    @property
    def state(self) -> Tensor:
        """The state of the random numbers after the batch that was taken last."""
        return self._state

    def resume(self, state: Tensor) -> None:
        """Goes on after a batch, by the state of then."""
        if self._ahead is not None:
            self._ahead[1].result()
            self._ahead = None
        self._generator.set_state(state)
        self._state = state.clone()

    def take(self, free_samples: int, next_free_samples: int | None = None) -> TrainingBatch:
        """The next batch, with so many samples a ray in free space; the one after it is begun, unless that is None."""
        if self._ahead is not None and self._ahead[0] != free_samples:
            self.resume(self._state)
        drawing = self._drawing(free_samples) if self._ahead is None else self._ahead[1]
        batch, self._state = drawing.result()
        self._ahead = None if next_free_samples is None else (next_free_samples, self._drawing(next_free_samples))
        return batch

    def instance_weight(self) -> Float[Tensor, " I1"]:
        """`balanced_weight` of every instance row among the labelled pixels."""
        return self._sampler.instance_weight().to(self._device)

    def _drawing(self, free_samples: int) -> Future[tuple[TrainingBatch, Tensor]]:
        return self._thread.submit(self._draw, free_samples)

    def _draw(self, free_samples: int) -> tuple[TrainingBatch, Tensor]:
        """A batch, and the state of the random numbers after it."""
        settings = self._settings
        parameters = self._parameters
        pixels = self._sampler.draw(settings.rays, self._generator, parameters.labelled_share).to(self._device)
        depth = guided_depths(
            pixels.depth,
            settings.truncation,
            settings.near_samples,
            free_samples,
            parameters.min_depth,
            self._generator,
        )
        return TrainingBatch(pixels, depth, pixels.rays.at(depth).flatten(0, 1)), self._generator.get_state()
