"""Plain fine-tuning: every weight, from the start."""

from __future__ import annotations

from mglib.registry import transfers
from mglib.transfer.method import Method, Stage, all_names, task_gradients
from mglib.transfer.model import TransferModel


@transfers.register("fine_tuning")
class FineTuning(Method):
    """All weights of embedder, encoder and predictor on the target's loss, from the first step."""

    title = "fine-tuning"

    def stages(self, model: TransferModel) -> list[Stage]:
        """One stage."""
        return [Stage("fine-tuning", 1.0, all_names(model), task_gradients)]
