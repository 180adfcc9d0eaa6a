"""A fusion model that was kept: the model of one trial, for features of some modalities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mglib.errors import MglibError, unknown
from mglib.missing.bank import Scaling
from mglib.missing.measuring import EVALUATION_ROWS
from mglib.missing.method import MissingMethod, MissingTask
from mglib.missing.training import MissingTraining, priors
from mglib.missing.trial import MissingTrial
from mglib.registry import missing_methods
from mglib.trials.algorithm import stack_hparams
from mglib.trials.kept import Kept, write_weights

MISSING = "missing"


@dataclass(frozen=True)
class Fusion:
    """A model that bears missing modalities: the trial it is the answer to, and the model."""

    trial: MissingTrial
    model: MissingMethod
    scalings: Mapping[str, Scaling]

    def _inputs(self, features: Mapping[str, np.ndarray]) -> tuple[list[Tensor], Tensor]:
        """Features by modality, each [1, N, D], zeros where missing, and what is seen [1, N, M]."""
        names = self.trial.modalities
        for name in features:
            if name not in names:
                raise unknown("modality of this model", name, names)
        if not features:
            raise MglibError(f"nothing is seen: give features of at least one of {names}")
        flat = {}
        for name, values in features.items():
            own, width = np.asarray(values, np.float32), len(self.scalings[name].centre)
            if own.ndim < 2 or math.prod(own.shape[1:]) != width:
                raise MglibError(f"{name} must be [N, {width}], not {list(own.shape)}")
            flat[name] = self.scalings[name](own.reshape(len(own), width))
        counts = {name: len(own) for name, own in flat.items()}
        if len(set(counts.values())) > 1:
            raise MglibError(f"the modalities have different numbers of instances: {counts}")
        (count,) = set(counts.values())
        blank = {name: len(own.centre) for name, own in self.scalings.items()}
        whole = {n: np.zeros((count, width), np.float32) for n, width in blank.items()} | flat
        seen = torch.tensor([name in flat for name in names])
        return [torch.from_numpy(whole[name])[None] for name in names], seen.expand(1, count, -1)

    def predict(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Logits [N, C], or the real answer [N, 1], of features [N, D] by modality.

        They are as the trial's perceptor makes them; a modality that is left out is missing. Raises
        MglibError for none, another one, other widths, and different N.
        """
        x, seen = self._inputs(features)
        if not seen.shape[1]:
            return np.zeros((0, self.model.task.outputs), np.float32)
        passes = zip(*(own.split(EVALUATION_ROWS, 1) for own in (*x, seen)), strict=True)
        with torch.no_grad():
            said = [self.model.answer(some[:-1], some[-1])[0] for some in passes]
        return torch.cat(said).numpy()


def keep_fusions(experiment: str, training: MissingTraining) -> None:
    """Write the models of a stack with what they were built for, if their weights were kept."""
    if not training.weights:
        return
    bank, about, beside = training.bank, [], []
    prior = priors(training.trials, bank).cpu().numpy()
    for place, trial in enumerate(training.trials):
        block = bank.block[trial.split_seed]
        about.append({"classes": bank.classes, "shapes": bank.shapes})
        own = {"prior": prior[place]}
        for name, scalings in zip(trial.modalities, bank.scalings, strict=True):
            own[f"centre.{name}"] = scalings[block].centre
            own[f"scale.{name}"] = scalings[block].scale
        beside.append(own)
    write_weights(experiment, training, MISSING, about, beside)


def load_fusion(kept: Kept) -> Fusion:
    """The fusion model of kept weights; raises MglibError if another version made them."""
    trial = kept.question(MissingTrial)
    arrays = kept.weights()
    scalings = {
        name: Scaling(arrays[f"centre.{name}"].numpy(), arrays[f"scale.{name}"].numpy())
        for name in trial.modalities
    }
    task = MissingTask(
        tuple(len(own.centre) for own in scalings.values()),
        kept.about["classes"],
        arrays["prior"][None],
        tuple(torch.from_numpy(own.zeros)[None] for own in scalings.values()),
        trial.steps,
        tuple(tuple(shape) for shape in kept.about["shapes"]),
    )
    kind: type[MissingMethod] = missing_methods.get(trial.method)
    model = kind(task, stack_hparams([trial.values]), [torch.Generator()])
    model.load_state_dict({name: arrays[name][None] for name in model.state_dict()})
    return Fusion(trial, model.eval(), scalings)
