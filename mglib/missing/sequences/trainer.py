"""Trials on sequences under the run loop: the same rows, states and workers."""

from __future__ import annotations

from collections.abc import Sequence

from mglib.missing.sequences.bank import load_bank
from mglib.missing.sequences.question import SequenceQuestion
from mglib.missing.sequences.training import SequenceTraining
from mglib.missing.sequences.virtual_training import VirtualTraining
from mglib.transfer.trainer import make
from mglib.trials.trainer import Trainer


class Sequential(Trainer):
    """Trains any number of temporal encoders of equal shapes as one stack."""

    def __init__(self, training: type[SequenceTraining]):
        self.training = training

    def check(self, trials: Sequence[SequenceQuestion]) -> None:
        """Cut the frames of raw data that are there; MglibError for what is missing or damaged."""
        for dataset, name, modality in sorted(
            {(t.dataset, t.perceptor, m) for t in trials for m in t.modalities}
        ):
            make(dataset, name, modality)

    def weight_bytes(self, trial: SequenceQuestion) -> int:
        """Bytes of one trial's weights."""
        model = self.training([trial], load_bank([trial])).model
        return sum(p.numel() * p.element_size() for p in model.state_dict().values())

    def shared_splits(self, trials: Sequence[SequenceQuestion]) -> dict[object, tuple[int, ...]]:
        """None: frames are read once for all splits."""
        return {}

    def begin(
        self,
        trials: Sequence[SequenceQuestion],
        device: str,
        split_seeds: Sequence[int],
        weights: bool,
    ) -> SequenceTraining:
        """A new stack at its first step."""
        return self.training(trials, load_bank(trials, device), weights)

    def write(self, experiment: str, training: SequenceTraining) -> None:
        """Write nothing: the rows hold all that is asked."""


SEQUENTIAL = Sequential(SequenceTraining)
VIRTUAL = Sequential(VirtualTraining)
