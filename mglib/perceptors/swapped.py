"""What learned in one shared space meets another at test: a foundation model is swapped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.perceptors._base import Input, Perceptor
from mglib.perceptors._linear import fit_ridge, fit_scaling, unit_rows
from mglib.perceptors.bound import PENALTIES
from mglib.perceptors.frozen import ENCODERS
from mglib.registry import Setting, perceptors

OLD = "bound"
NEW = {"contrastive": "contrastive", "art": "bound@centre=art"}


@perceptors.register("swapped")
class Swapped(Perceptor):
    """Unit vectors of the space `bound`; those of the test part come from another space.

    So nothing but the encoders is changed after training. `new` is the other space: bound by
    contrast, or with art in the centre. `by` is how it is brought into the old one: a ridge
    regression for each modality, from the items of the binding part as both spaces have them, no
    label and no pair of modalities seen; or nothing. Source: ours, for what TRML's figure 4 swaps
    (arXiv 2401.13697) without retraining the rest.
    """

    version = "1"
    kinds = frozenset(ENCODERS)
    unit_norm = True
    fitted = True
    settings = {
        "new": Setting(str, "contrastive", words=tuple(NEW)),
        "by": Setting(str, "ridge", words=("ridge", "nothing")),
    }

    def space(self, dataset: Dataset, modality: str) -> str:
        """One for all modalities: the old one, as far as the map holds."""
        return f"{self.name}/{dataset.anchor}"

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The modality in the old space and in the new one."""
        return [(OLD, modality), (NEW[self.values()["new"]], modality)]

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Unit vectors [N, WIDTH] under the map of one split."""
        from threadpoolctl import threadpool_limits

        old, new = inputs
        if split_seed is None or old.instance_ids != new.instance_ids:
            raise MglibError(f"swapping the space of {modality} needs a split and equal instances")
        split = split_indices(old.groups, split_seed)
        binding, test = split["binding"], split["test"]
        mapped = new.values
        if self.values()["by"] == "ridge":
            with threadpool_limits(limits=1):  # sums must not hang on the number of cores
                centre = old.values[binding].astype(np.float64).mean(axis=0)
                scaled = fit_scaling(new.values[binding])(new.values)
                ridge = fit_ridge(scaled[binding], old.values[binding] - centre, PENALTIES)
                mapped = unit_rows(ridge(scaled) + centre)
        found = old.values.copy()
        found[test] = mapped[test]
        return found, None
