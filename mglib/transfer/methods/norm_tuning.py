"""Tuning of normalisations only, around a frozen body."""

from __future__ import annotations

from mglib.registry import transfers
from mglib.transfer.method import Method, Stage, all_names, task_gradients
from mglib.transfer.model import TransferModel


@transfers.register("norm_tuning")
class NormTuning(Method):
    """Embedder, predictor and the scales and shifts of the encoder's normalisations learn.

    After "Pretrained transformers as universal computation engines" (Lu et al., arXiv 2103.05247).
    """

    title = "norm tuning"

    def stages(self, model: TransferModel) -> list[Stage]:
        """One stage."""
        norms = [f"encoder.{name}" for name in model.body.norm_names()]
        around = all_names(model, "embedder", "predictor")
        return [Stage("norms and around", 1.0, [*around, *norms], task_gradients)]
