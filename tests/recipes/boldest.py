"""The most certain of the modalities that are seen answers alone."""

from __future__ import annotations

import torch

from mglib.errors import MglibError
from mglib.missing.late import LateFusion
from mglib.registry import missing_methods


@missing_methods.register("boldest")
class Boldest(LateFusion):
    """A model for each modality; the seen one whose most likely class is the likeliest answers.

    Source: ours, to show what a method is.
    """

    title = "Boldest modality"
    fixed = {"fusion": "mean", "substitute": "drop", "pretraining": 1.0}

    def fused(self, x, seen, seeds):  # features by modality, each [T, B, D], seen [T, B, M]
        """The boldest seen modality's log-probabilities, [T, B, C]."""
        said = self.branches.read(self.branches.encode(x)).log_softmax(-1)
        bold = said.amax(-1).masked_fill(~seen, -torch.inf).argmax(-1)
        return said.take_along_dim(bold[..., None, None], 2).squeeze(2)

    @classmethod
    def check_task(cls, modalities, classes):
        """Certainty is of classes."""
        if not classes:
            raise MglibError("the boldest modality needs classes, not real answers")
