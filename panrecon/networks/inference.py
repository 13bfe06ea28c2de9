"""Inference with foreign networks: devices, images as tensors, batches that fit, frames decoded ahead."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from panrecon.errors import InputError, OutOfMemoryError

if TYPE_CHECKING:
    from torch import Tensor, device

Precision = Literal["float32", "float16", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]
IMAGENET_MEAN: Final = (123.675, 116.28, 103.53)  # of RGB in 0..255, as every network here but CLIP was trained on
IMAGENET_DEVIATION: Final = (58.395, 57.12, 57.375)
OUT_OF_MEMORY_MESSAGES: Final = (  # of errors by which torch and CUDA report it without a type of its own
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)

T = TypeVar("T")
R = TypeVar("R")


def torch_device(setting: Device) -> "device":
    """The device of a setting; `auto` is CUDA where there is one.

    Raises:
        InputError: CUDA is asked for and there is none.
    """
    import torch

    if setting == "cuda" and not torch.cuda.is_available():
        raise InputError("There is no CUDA device that torch can use; set the stage's device=cpu, or auto.")
    return torch.device("cuda" if setting != "cpu" and torch.cuda.is_available() else "cpu")


def autocast(where: "device", precision: Precision) -> AbstractContextManager[object]:
    """The context in which a network computes in `precision`; its weights stay float32.

    Raises:
        InputError: float16 is asked for on a CPU, which has too few operators for it.
    """
    import torch

    if precision == "float32":
        return nullcontext()
    if precision == "float16" and where.type == "cpu":
        raise InputError("The precision float16 needs a CUDA device; on a CPU set precision=float32 or bfloat16.")
    return torch.autocast(where.type, dtype=getattr(torch, precision))


def batch_on(where: "device", size: int) -> int:
    """Images that a network gets at once where up to `size` are wanted: a CPU gains nothing from more than one."""
    return size if where.type == "cuda" else 1


def require_finite(values: "Tensor", model: str, precision: Precision) -> None:
    """Raises InputError where half precision has overflowed, ValueError where full precision has."""
    if not bool(values.isfinite().all()):
        if precision == "float32":
            raise ValueError(f"{model} gave inf or nan.")
        raise InputError(f"{model} overflows in {precision}; set the stage's precision=float32.")


def resized(rgb: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "H W 3"]:
    """Bilinear as PIL has it, which averages where it shrinks: what these networks were trained and released with."""
    if rgb.shape[:2] == (height, width):
        return rgb
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))


def as_pixels(
    images: Sequence[UInt8[np.ndarray, "h w 3"]],
    where: "device",
    side: int | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    deviation: Sequence[float] = IMAGENET_DEVIATION,
) -> 'Float[Tensor, "b 3 H W"]':
    """RGB in 0..255 as the networks take it: channels first, mean 0 and deviation 1 over what they were trained on.

    With `side`, on a square of this edge, zeros at the right and at the bottom of the image.
    """
    import torch

    shift = torch.tensor(mean, device=where).view(3, 1, 1)
    scale = torch.tensor(deviation, device=where).view(3, 1, 1)
    pixels = torch.from_numpy(np.stack(images)).to(where).permute(0, 3, 1, 2)
    batch, channels, height, width = pixels.shape
    if side is None:
        whole = torch.empty((batch, channels, height, width), device=where)
    else:
        whole = torch.zeros((batch, channels, side, side), device=where)
    whole[..., :height, :width].copy_(pixels).sub_(shift).div_(scale)
    return whole


def ahead(work: Callable[[T], R], items: Iterable[T], depth: int) -> Iterator[R]:
    """What `work` makes of every item, in order, up to `depth` of them made ahead in a thread beside the caller."""
    remaining = iter(items)
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: list[Future[R]] = [pool.submit(work, item) for item in islice(remaining, depth)]
        while waiting:
            done = waiting.pop(0).result()
            waiting += [pool.submit(work, item) for item in islice(remaining, 1)]
            yield done


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Consecutive items, `size` at a time."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


class Batches:
    """Runs a network on batches; where memory runs out the size of batches is halved for good, and logged.

    `size` is the current size, `what` names an item, `log` takes the message.
    """

    def __init__(self, size: int, log: Callable[[str], None], what: str = "image") -> None:
        self.size = size
        self._log = log
        self._what = what

    def run(self, network: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R]:
        """What `network` gives for every item, in order.

        Raises:
            OutOfMemoryError: not even one item fits into memory.
        """
        results: list[R] = []
        while len(results) < len(items):
            batch = items[len(results) : len(results) + self.size]
            try:
                results += network(batch)
                continue
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            release_memory()  # out of the block: the error holds what the network had made
            if len(batch) == 1:
                raise OutOfMemoryError(
                    f"Not even one {self._what} fits into memory beside the network; free memory and run again, which "
                    "goes on where it stopped, or choose a smaller model, or device=cpu where CUDA ran out."
                )
            self.size = len(batch) // 2
            self._log(f"out of memory with {len(batch)} at once: goes on with {self.size}")
        return results


@contextmanager
def fitting_memory(network: str) -> Iterator[None]:
    """Turns want of memory while a network is loaded into one sentence."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"The weights of {network} do not fit into memory; free some, choose a smaller model, or set device=cpu."
        ) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether torch, CUDA or its libraries say that memory has run out."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in OUT_OF_MEMORY_MESSAGES)


def release_memory() -> None:
    """Gives back what torch keeps of a CUDA device's memory for later."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def first_undone(done: Sequence[bool], batch: int) -> int:
    """Where a killed run goes on: at the first item that is not done, or rather at the first of its batch.

    So it computes the same batches as a run that was not killed: how many images a network gets at once may decide the
    last bit of what it gives.
    """
    first = next((index for index, is_done in enumerate(done) if not is_done), len(done))
    return first if first == len(done) else first - first % batch
