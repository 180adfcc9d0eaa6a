"""Training from scratch: the body's form without what it learned."""

from __future__ import annotations

from mglib.registry import transfers
from mglib.transfer.method import Method, Stage, all_names, task_gradients
from mglib.transfer.model import TransferModel


@transfers.register("scratch")
class Scratch(Method):
    """The same network with new weights everywhere, trained as long; normalisation is live."""

    title = "from scratch"
    copied = False
    pretrained = False

    def stages(self, model: TransferModel) -> list[Stage]:
        """One stage."""
        return [Stage("training", 1.0, all_names(model), task_gradients)]
