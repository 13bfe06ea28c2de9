"""Laws of what every foreign network needs."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.errors import InputError, OutOfMemoryError
from panrecon.networks.inference import (
    Batches,
    ahead,
    as_pixels,
    autocast,
    first_undone,
    fitting_memory,
    in_batches,
    require_finite,
    resized,
    torch_device,
)

CPU = torch.device("cpu")


def test_the_device_of_a_setting() -> None:
    assert torch_device("cpu") == CPU
    assert torch_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_cuda_where_there_is_none_is_one_sentence() -> None:
    with pytest.raises(InputError, match="no CUDA device"):
        torch_device("cuda")


def test_half_precision_is_what_is_asked_for() -> None:
    product = torch.ones(2, 2)
    with autocast(CPU, "float32"):
        assert (product @ product).dtype == torch.float32
    with autocast(CPU, "bfloat16"):
        assert (product @ product).dtype == torch.bfloat16
    with pytest.raises(InputError, match="float16 needs a CUDA device"):
        autocast(CPU, "float16")


def test_overflow_of_half_precision_says_what_to_set() -> None:
    with pytest.raises(InputError, match=r"SAM overflows in float16; set the stage's precision=float32"):
        require_finite(torch.tensor([1.0, torch.inf]), "SAM", "float16")
    with pytest.raises(ValueError, match="SAM gave inf or nan"):
        require_finite(torch.tensor([torch.nan]), "SAM", "float32")
    require_finite(torch.ones(3), "SAM", "float16")


def test_images_are_normalised_over_imagenet_channel_by_channel() -> None:
    image = np.array([[[124, 116, 104], [0, 255, 0]]], np.uint8)
    pixels = as_pixels([image], CPU)
    assert pixels.shape == (1, 3, 1, 2) and pixels.dtype == torch.float32
    assert_allclose(pixels[0, :, 0, 0].numpy(), 0, atol=0.01)
    expected = (np.array([0, 255, 0]) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert_allclose(pixels[0, :, 0, 1].numpy(), expected, atol=1e-5)


def test_images_are_padded_with_zeros_at_the_right_and_at_the_bottom() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 5, 3)).astype(np.uint8)
    whole = as_pixels([image, image], CPU, 6)
    assert whole.shape == (2, 3, 6, 6)
    assert_array_equal(whole[..., :3, :5].numpy(), as_pixels([image, image], CPU).numpy())
    assert not whole[..., 3:, :].any() and not whole[..., 5:].any()


def test_resizing_averages_where_it_shrinks_and_keeps_what_fits() -> None:
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, ::2] = 200
    assert_allclose(resized(stripes, 2, 2)[:, 0], 100, atol=15)
    assert resized(stripes, 8, 8) is stripes
    assert resized(stripes, 16, 4).shape == (16, 4, 3)


@settings(deadline=None)
@given(count=st.integers(0, 20), size=st.integers(1, 7), depth=st.integers(1, 5))
def test_items_come_in_order_through_threads_and_batches(count: int, size: int, depth: int) -> None:
    batches = list(in_batches(ahead(lambda item: item**2, range(count), depth), size))
    assert [item for batch in batches for item in batch] == [number**2 for number in range(count)]
    assert all(len(batch) == size for batch in batches[:-1])


def test_no_more_than_the_depth_is_made_ahead() -> None:
    made: list[int] = []
    lock = threading.Lock()

    def make(item: int) -> int:
        with lock:
            made.append(item)
        return item

    for number, _ in enumerate(ahead(make, range(20), 3)):
        with lock:
            assert len(made) <= number + 1 + 3
    assert made == list(range(20))


def test_what_fails_ahead_fails_at_its_turn() -> None:
    items = ahead(lambda item: 1 // item, [2, 1, 0, 1], 4)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(items)


class Network:
    """Doubles numbers; a batch of more than `memory` of them does not fit."""

    def __init__(self, memory: int, error: Exception) -> None:
        self.memory, self.error = memory, error
        self.sizes: list[int] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.sizes.append(len(items))
        if len(items) > self.memory:
            raise self.error
        return [2 * item for item in items]


OUT = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
LIBRARY_OUT = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
CPU_OUT = RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried")


@pytest.mark.parametrize("error", [OUT, CPU_OUT, LIBRARY_OUT, MemoryError()])
def test_out_of_memory_halves_the_batch_for_good_and_says_so(error: Exception) -> None:
    said: list[str] = []
    network, batches = Network(2, error), Batches(8, said.append)
    assert batches.run(network, range(11)) == [2 * number for number in range(11)]
    assert batches.run(network, range(3)) == [0, 2, 4]
    assert network.sizes == [8, 4, 2, 2, 2, 2, 2, 1, 2, 1]
    assert said == ["out of memory with 8 at once: goes on with 4", "out of memory with 4 at once: goes on with 2"]


def test_what_does_not_even_fit_alone_is_one_sentence() -> None:
    with pytest.raises(InputError, match="Not even one image fits into memory"):
        Batches(4, print).run(Network(0, OUT), range(4))


def test_want_of_memory_while_loading_is_one_sentence() -> None:
    with pytest.raises(OutOfMemoryError, match="weights of SAM do not fit into memory"), fitting_memory("SAM"):
        raise CPU_OUT
    with pytest.raises(RuntimeError, match="shape"), fitting_memory("SAM"):
        raise RuntimeError("shape '[2]' is invalid")


CASES = [("", 0), ("0", 0), ("1", 1), ("1110", 2), ("11110", 4), ("1011", 0), ("111", 3)]


@pytest.mark.parametrize(("done", "first"), CASES)
def test_a_killed_run_goes_on_at_the_batch_of_the_first_that_is_not_done(done: str, first: int) -> None:
    assert first_undone([one == "1" for one in done], 2) == first


def test_other_errors_are_not_taken_for_want_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shape"):
        Batches(4, print).run(Network(0, RuntimeError("shape '[2]' is invalid")), range(4))


def test_nothing_in_nothing_out() -> None:
    assert_array_equal(Batches(4, print).run(Network(1, OUT), []), [])
