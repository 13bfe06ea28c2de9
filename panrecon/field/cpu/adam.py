"""Adam (Kingma and Ba 2015) for a field on the CPU: its table of millions of numbers moves on all cores."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from panrecon.field.cpu import hash_kernels as kernels
from panrecon.field.cpu.hash_encoding import FastHashVolumes


class TableAdam(torch.optim.Adam):
    """torch's Adam and its state, but a compiled kernel moves the encoding's table and leaves its gradient zero.

    Same bits on any number of cores.
    """

    def __init__(
        self, encoding: FastHashVolumes, groups: Iterable[dict[str, Any]], betas: tuple[float, float], eps: float
    ) -> None:
        super().__init__(groups, betas=betas, eps=eps, fused=True)
        self._encoding = encoding

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Moves the rest, for torch leaves alone what has no gradient, and then the table."""
        table = self._encoding.table
        gradient, table.grad = table.grad, None
        super().step(closure)
        if gradient is not None:
            self._move(table, gradient)
        table.grad = gradient
        self._encoding.gradient_is_zero()

    def _move(self, table: nn.Parameter, gradient: Tensor) -> None:
        group = next(group for group in self.param_groups if any(values is table for values in group["params"]))
        if not self.state[table]:
            moments = {key: torch.zeros_like(table) for key in ("exp_avg", "exp_avg_sq")}
            self.state[table] = {"step": torch.tensor(0.0), **moments}
        state = self.state[table]
        state["step"] += 1
        (keep_mean, keep_square), steps = group["betas"], int(state["step"])
        rate, root = group["lr"] / (1 - keep_mean**steps), 1 / math.sqrt(1 - keep_square**steps)
        changed = [table, gradient, state["exp_avg"], state["exp_avg_sq"]]
        values, slope, *means = (part.detach().view(-1).numpy() for part in changed)
        numbers = (values.dtype.type(number) for number in (keep_mean, keep_square, rate, root, group["eps"]))
        kernels.adam(values, slope, kernels.Moments(*means), kernels.AdamStep(*numbers))
        increment_version(changed)
