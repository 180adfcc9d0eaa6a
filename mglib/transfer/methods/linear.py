"""A frozen body: only what is put around it is trained."""

from __future__ import annotations

from mglib.registry import transfers
from mglib.transfer.method import Method, Stage, all_names, task_gradients
from mglib.transfer.model import TransferModel


@transfers.register("linear")
class Linear(Method):
    """The encoder stays as it is; the target's predictor, a linear layer, and embedder learn.

    ORCA's and the frozen-pretrained-transformer line's frozen baseline: a new modality needs an
    embedder of its own, so it is trained, too.
    """

    title = "frozen encoder"

    def stages(self, model: TransferModel) -> list[Stage]:
        """One stage."""
        return [Stage("around", 1.0, all_names(model, "embedder", "predictor"), task_gradients)]
