"""Early fusion: one encoder over all features side by side, modalities dropped in training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mglib.missing.fusion import early_encoder
from mglib.missing.heads import head
from mglib.missing.late import Filled
from mglib.missing.method import Features, MissingTask
from mglib.registry import Setting, missing_methods
from mglib.trials.networks import Streams


@missing_methods.register("early_fusion")
class EarlyFusion(Filled):
    """One encoder and one head for all modalities together.

    With `probability` one modality of a sample is dropped; what is missing is its training mean.
    Source: common practice (input concatenation). Ours: an encoder as wide as another method's for
    one modality.
    """

    title = "Early fusion"
    settings = {"probability": Setting(float, 0.5, 0.0, 1.0)}

    def __init__(self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams):
        super().__init__(task, hparams, streams)
        hidden = int(hparams["hidden"][0])
        self.encoder = early_encoder(streams, task.widths, hidden)
        self.head = head(streams, hidden, task.outputs)
        self.substitute = self.standing_in(streams)

    def fused(self, x: Features, seen: Tensor, seeds: Tensor) -> Tensor:
        """The answer [T, B, C] of all features, filled."""
        answer: Tensor = self.head(
            self.encoder(torch.cat(self.substitute(x, seen, seeds), -1)).relu()
        )
        return answer
