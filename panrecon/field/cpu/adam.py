"""Adam (Kingma and Ba 2015) for a field on the CPU: its table is updated on all cores."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from panrecon.field.cpu import hash_kernels as kernels
from panrecon.field.cpu.hash_encoding import CpuHashVolumes


class TableAdam(torch.optim.Adam):
    """torch's Adam and its state, but a compiled kernel updates the encoding's table and leaves its gradient zero.

    Same bits on any number of cores.
    """

    def __init__(
        self, encoding: CpuHashVolumes, groups: Iterable[dict[str, Any]], betas: tuple[float, float], eps: float
    ) -> None:
        super().__init__(groups, betas=betas, eps=eps, fused=True)
        self._encoding = encoding

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Updates all other parameters, for torch skips what has no gradient, and then the table."""
        table = self._encoding.table
        gradient = table.grad
        table.grad = None
        super().step(closure)
        if gradient is not None:
            self._update_table(table, gradient)
        table.grad = gradient
        self._encoding.gradient_is_zero()

    def _update_table(self, table: nn.Parameter, gradient: Tensor) -> None:
        group = next(group for group in self.param_groups if any(values is table for values in group["params"]))
        if not self.state[table]:
            moments = {key: torch.zeros_like(table) for key in ("exp_avg", "exp_avg_sq")}
            self.state[table] = {"step": torch.tensor(0.0), **moments}
        state = self.state[table]
        state["step"] += 1
        beta1, beta2 = group["betas"]
        steps = int(state["step"])
        rate = group["lr"] / (1 - beta1**steps)
        root = 1 / math.sqrt(1 - beta2**steps)
        changed = [table, gradient, state["exp_avg"], state["exp_avg_sq"]]
        values, grad, *means = (part.detach().view(-1).numpy() for part in changed)
        constants = (values.dtype.type(constant) for constant in (beta1, beta2, rate, root, group["eps"]))
        kernels.adam(values, grad, kernels.Moments(*means), kernels.AdamStep(*constants))
        increment_version(changed)
