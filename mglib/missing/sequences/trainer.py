"""Trials with lost frames under the run loop: the same rows, states and workers."""

from __future__ import annotations

from collections.abc import Sequence

from mglib.missing.sequences.bank import load_bank
from mglib.missing.sequences.training import SequenceTraining, build
from mglib.missing.sequences.trial import SequenceTrial
from mglib.transfer.trainer import make
from mglib.trials.trainer import Trainer


class Sequential(Trainer):
    """Trains any number of temporal encoders of equal shapes as one stack."""

    def check(self, trials: Sequence[SequenceTrial]) -> None:
        """Cut the frames of raw data that are there; MglibError for what is missing or damaged."""
        for dataset, name, modality in sorted(
            {(t.dataset, t.perceptor, m) for t in trials for m in t.modalities}
        ):
            make(dataset, name, modality)

    def weight_bytes(self, trial: SequenceTrial) -> int:
        """Bytes of one trial's weights."""
        model = build([trial], load_bank([trial]))
        return sum(p.numel() * p.element_size() for p in model.state_dict().values())

    def shared_splits(self, trials: Sequence[SequenceTrial]) -> dict[object, tuple[int, ...]]:
        """None: frames are read once for all splits."""
        return {}

    def begin(
        self,
        trials: Sequence[SequenceTrial],
        device: str,
        split_seeds: Sequence[int],
        weights: bool,
    ) -> SequenceTraining:
        """A new stack at its first step."""
        return SequenceTraining(trials, load_bank(trials, device), weights)

    def write(self, experiment: str, training: SequenceTraining) -> None:
        """Write nothing: the rows hold all that is asked."""


SEQUENTIAL = Sequential()
