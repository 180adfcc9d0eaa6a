"""MoNA: an embedder meta-learned so that fine-tuning on the target keeps the source's structure.

Source: Ma et al., "Learning Modality Knowledge Alignment for Cross-Modality Transfer", ICML 2024
(arXiv 2406.18864), section 4 and figure 5. Its code is not public and parts of its recipe could not
be found; ours are: the predictor learns beside the embedder in stage 1, on the target's loss alone,
and is kept for stage 2; the inner rate, the number of inner steps and stage 1's length; same-class
pairs as the positive pairs of the alignment; the weight of the outer loss, of which values of 0.3
to 0.5 are reported at second hand.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mglib.registry import Setting, transfers
from mglib.transfer.body import Body
from mglib.transfer.meta_gradient import FORMS, REFUSED, check_form, meta_gradient
from mglib.transfer.method import (
    Method,
    Stage,
    TransferBatch,
    all_names,
    source_of,
    task_gradients,
)
from mglib.transfer.methods.warm_up import RATE, SHARE
from mglib.transfer.model import TransferModel
from mglib.transfer.objectives import source_loss
from mglib.transfer.target import Target

VIRTUAL = ("all", "encoder", "norms")


@transfers.register("mona")
class MoNA(Method):
    """Stage 1 learns the embedder by L_inner + weight * L_outer(theta after virtual steps).

    L_inner is the target's loss, L_outer alignment and uniformity of source features through the
    virtually updated encoder. Stage 2 is plain fine-tuning from the embedder learned. `virtual`
    says which parameters the virtual step moves: encoder and predictor, the encoder, or its norms.
    """

    title = "MoNA"
    settings = {
        "form": Setting(str, "two_phase", words=(*FORMS, *REFUSED)),
        "share": SHARE,
        "rate": RATE,
        "weight": Setting(float, 0.5, 0.0, 100.0),
        "inner_rate": Setting(float, 0.01, 0.0, 10.0),
        "inner_steps": Setting(int, 1, 1, 10),
        "virtual": Setting(str, "all", words=VIRTUAL),
        "align": Setting(float, 1.0, 0.0, 100.0),
        "uniform": Setting(float, 1.0, 0.0, 100.0),
        "surrogate": Setting(float, 1.0, 0.001, 1.0),  # share of the source set it learns from
    }

    @classmethod
    def check_settings(cls) -> None:
        """Raise MglibError for a first-order form, which has no gradient."""
        check_form(cls.values()["form"], True, "")

    @classmethod
    def check_body(cls, body: type[Body]) -> None:
        """Raise MglibError for finite differences on a body with kinks."""
        check_form(cls.values()["form"], body.smooth, body.name)

    def virtual_names(self, model: TransferModel) -> list[str]:
        """Names of the parameters that the virtual steps move."""
        chosen = self.values()["virtual"]
        if chosen == "norms":
            return [f"encoder.{name}" for name in model.body.norm_names()]
        return all_names(model, *(("encoder", "predictor") if chosen == "all" else ("encoder",)))

    def stages(self, model: TransferModel) -> list[Stage]:
        """The embedder's stage and fine-tuning."""
        own = self.values()
        around = all_names(model, "embedder", "predictor")
        return [
            Stage("embedder", own["share"], around, self.stage_one, own["rate"], own["surrogate"]),
            Stage("fine-tuning", 1 - own["share"], all_names(model), task_gradients),
        ]

    def stage_one(
        self, model: TransferModel, target: Target, batch: TransferBatch, own: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The gradient of the bi-level objective for the embedder, of L_inner for the predictor."""
        values = self.values()
        source, labels = source_of(batch)
        moved = self.virtual_names(model)
        learned = [name for name in own if name not in moved]
        present = model.named("embedder", "encoder", "predictor")

        def inner(theta: Sequence[Tensor], phi: Sequence[Tensor]) -> Tensor:
            weights = dict(zip([*moved, *learned], [*theta, *phi], strict=True))
            return target.loss(model.answer(batch.inputs, weights), batch.answers)

        def outer(theta: Sequence[Tensor]) -> Tensor:
            weights = dict(zip(moved, theta, strict=True))
            features = model.source_features(source, weights)
            return source_loss(features, labels, values["align"], values["uniform"])

        found = meta_gradient(
            values["form"],
            inner,
            outer,
            [present[name] for name in moved],
            [own[name] for name in learned],
            rate=values["inner_rate"],
            steps=values["inner_steps"],
        )
        gradients = dict(
            zip([*moved, *learned], [*found.inner_theta, *found.inner_phi], strict=True)
        )
        for name, gradient in zip(learned, found.gradients, strict=True):
            if name.startswith("embedder."):
                gradients[name] = gradients[name] + values["weight"] * gradient
        return {name: gradients[name] for name in own}
