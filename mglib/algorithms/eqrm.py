"""EQRM: a quantile of the modalities' risks, by a smooth estimate of how they are distributed.

Eastwood et al. (2022), https://arxiv.org/abs/2207.09944, algorithm 1, with the burn-in of
DomainBed (https://arxiv.org/abs/2007.01434), as in ModalBed (https://arxiv.org/abs/2412.18277).
`corrected` starts its optimiser anew after any burn-in and takes one modality's risk as its own
quantile; the published code (`as_published`) starts it anew only if the burn-in is a whole number
of steps, and fails on one modality.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.special import ndtr, ndtri

from mglib.algorithms.erm import ERM
from mglib.registry import algorithms
from mglib.trials.algorithm import COMMON_SEARCH, Batch, Phase, cross_entropies
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform, uniform

HALVINGS = 32


def kernel_quantile(risks: Tensor, quantile: Tensor) -> Tensor:
    """The quantile [T] of a Gaussian kernel density over risks [T, M] of two or more modalities.

    Bandwidth 1.06 x unbiased standard deviation x M^(-1/5). Bisection between the quantiles of the
    kernels on the least and the greatest risk, whose share is a constant to the gradient, as
    published: exact for two modalities; the risks between them act through the bandwidth alone.
    """
    modalities = risks.shape[-1]
    # In double precision, as published: 33 halvings are more than single precision can tell apart.
    wide = risks.double()
    variance = wide.var(-1).clamp(min=torch.finfo(risks.dtype).tiny)
    bandwidth = 1.06 * variance.sqrt() * modalities**-0.2
    beyond = bandwidth * ndtri(quantile.double())
    low, high = wide.amin(-1) + beyond, wide.amax(-1) + beyond
    with torch.no_grad():
        left, right = torch.zeros_like(low), torch.ones_like(low)
        for _ in range(HALVINGS):
            share = (left + right) / 2
            point = (low + share * (high - low)).unsqueeze(-1)
            over = ndtr((point - wide) / bandwidth.unsqueeze(-1)).mean(-1) > quantile
            left, right = torch.where(over, left, share), torch.where(over, share, right)
        share = (left + right) / 2
    return (low + share * (high - low)).to(risks)


@algorithms.register("eqrm")
class EQRM(ERM):
    """Mean risk for `eqrm_burnin_iters` steps, then the risks' `eqrm_quantile`.

    With the quantile the optimiser starts anew, at the rate `eqrm_lr`. The quantile of one risk is
    that risk, so one modality alone keeps its plain mean.
    """

    title: ClassVar[str] = "EQRM"
    variants: ClassVar[tuple[str, ...]] = ("corrected", "as_published")
    defects: ClassVar[Mapping[str, str]] = {
        "as_published": (
            "a burn-in that is no whole number never changes the optimiser and its learning rate, "
            "and one training modality has no bandwidth, so that training fails after the burn-in"
        )
    }
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "eqrm_quantile": Hyperparameter(0.75, uniform(0.5, 0.99)),
        "eqrm_burnin_iters": Hyperparameter(2500.0, log10_uniform(2.5, 3.5), "iterations"),
        "eqrm_lr": Hyperparameter(1e-6, log10_uniform(-7, -5), "rate"),
    }

    def _burned_in(self, step: int) -> Tensor:
        """For which trials [T] the quantile counts; ModalBed counts updates from 0."""
        return self.hparams["eqrm_burnin_iters"] <= step - 1

    def _restarts(self, step: int) -> Tensor:
        """For which trials [T] the optimiser starts anew before this step."""
        burnin = self.hparams["eqrm_burnin_iters"]
        return (burnin if self.variant == "as_published" else burnin.ceil()) == step - 1

    def _rates(self, step: int) -> Tensor:
        """The learning rates [T] of a step."""
        changed = self._burned_in(step)
        if self.variant == "as_published":
            changed = changed & (self.hparams["eqrm_burnin_iters"].frac() == 0)
        return torch.where(changed, self.hparams["eqrm_lr"], self.hparams["lr"])

    def loss(self, batch: Batch) -> Tensor:
        """Mean or quantile of the modalities' risks, [T]."""
        risks = batch.means(cross_entropies(self.predict(batch.x), batch.y))
        mean, after = risks.mean(-1), self._burned_in(batch.step)
        if self.task.modalities == 1:
            # NaN as a factor, so that the gradients, and with them the weights, are NaN, too.
            failed = after & (self.variant == "as_published")
            return mean * torch.where(failed, torch.nan, 1.0).to(mean)
        if not after.any():
            return mean
        return torch.where(after, kernel_quantile(risks, self.hparams["eqrm_quantile"]), mean)

    def phases(self) -> list[Phase]:
        """One Adam, which starts anew at another rate when the quantile takes over."""
        return [
            Phase(
                list(self.parameters()),
                self.loss,
                self._rates,
                self.hparams["weight_decay"],
                resets=self._restarts,
            )
        ]
