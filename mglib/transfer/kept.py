"""A transferred body that was kept: the model of one trial, for use on new inputs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np
import torch
from torch import Tensor

from mglib.errors import MglibError
from mglib.registry import transfers
from mglib.transfer.body import TargetShape
from mglib.transfer.measuring import ROWS
from mglib.transfer.model import PARTS, TransferModel
from mglib.transfer.named import body_named
from mglib.transfer.target import Units
from mglib.transfer.training import TransferTraining
from mglib.transfer.trial import TransferTrial
from mglib.trials.kept import Kept, write_weights

TRANSFER = "transfer"


@dataclass(frozen=True)
class Transferred:
    """A body after transfer to a target: the trial it is the answer to, and the whole model.

    `model.source_features` still takes what the body was pretrained on.
    """

    trial: TransferTrial
    model: TransferModel
    shape: TargetShape
    units: Units

    def _inputs(self, x: np.ndarray | Tensor) -> Tensor:
        found, wanted = torch.as_tensor(x), [self.shape.channels, *self.shape.size]
        if list(found.shape[1:]) != wanted:
            allowed = ", ".join(map(str, ["N", *wanted]))
            raise MglibError(f"inputs must be [{allowed}], not {list(found.shape)}")
        return found

    def predict(self, x: np.ndarray | Tensor) -> np.ndarray:
        """Logits [N, C], or fields [N, *output] in their own units, of inputs in theirs.

        Inputs are [N, channels, *size], as the trial's dataset and perceptor have them. Raises
        MglibError for another shape.
        """
        with torch.no_grad():
            said = [
                self.model.answer(self.units.standardised(rows))
                for rows in self._inputs(x).split(ROWS)
            ]
        found = torch.cat(said)
        return (found if self.shape.classes else self.units.decoded(found)).numpy()

    def features(self, x: np.ndarray | Tensor) -> np.ndarray:
        """Pooled features [N, D] of inputs as in `predict`."""
        with torch.no_grad():
            passes = [
                self.model.target_features(self.units.standardised(rows))
                for rows in self._inputs(x).split(ROWS)
            ]
        return torch.cat(passes).numpy()


def keep_body(experiment: str, training: TransferTraining) -> None:
    """Write the body of a trial with its embedder and predictor, if its weights were kept."""
    target = training.target
    units = {f"units.{name}": value.numpy() for name, value in vars(target.units).items()}
    write_weights(experiment, training, TRANSFER, [{"shape": asdict(target.shape)}], [units])


def load_body(kept: Kept) -> Transferred:
    """The transferred body of kept weights; raises MglibError if another version made them."""
    trial = kept.question(TransferTrial)
    told = kept.about["shape"]
    shape = TargetShape(
        told["channels"], tuple(told["size"]), told["classes"], tuple(told["output"])
    )
    model = TransferModel(body_named(trial.body)(), shape, transfers.get(trial.method).copied)
    weights = kept.weights()
    for part in PARTS:
        own = getattr(model, part)
        own.load_state_dict({name: weights[f"{part}.{name}"] for name in own.state_dict()})
    units = Units(*(weights[f"units.{own.name}"] for own in fields(Units)))
    return Transferred(trial, model.eval(), shape, units)
