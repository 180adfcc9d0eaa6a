"""Warm-up of embedder and predictor before fine-tuning: MoNA without its bi-level term."""

from __future__ import annotations

from mglib.registry import Setting, transfers
from mglib.transfer.method import Method, Stage, all_names, task_gradients
from mglib.transfer.model import TransferModel

SHARE = Setting(float, 0.2, 0.0, 0.9, why="the rest of the steps is fine-tuning")
RATE = Setting(float, 10.0, 0.01, 1000.0)  # ORCA's factor of the embedder's stage


@transfers.register("warm_up")
class WarmUp(Method):
    """First embedder and predictor alone on the target's loss, then everything.

    The stage has MoNA's share of the steps and its rate, so that what MoNA adds is its outer loss.
    """

    title = "warm-up"
    settings = {"share": SHARE, "rate": RATE}

    def stages(self, model: TransferModel) -> list[Stage]:
        """Warm-up and fine-tuning."""
        own = self.values()
        around = all_names(model, "embedder", "predictor")
        return [
            Stage("warm-up", own["share"], around, task_gradients, own["rate"]),
            Stage("fine-tuning", 1 - own["share"], all_names(model), task_gradients),
        ]
