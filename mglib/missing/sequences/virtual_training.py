"""Trials with one of two sequences missing on their way: what of them is there in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mglib.missing.masks import mask_table
from mglib.missing.sequences.laws import NONE
from mglib.missing.sequences.training import SequenceTraining
from mglib.missing.sequences.virtual import VirtualModel
from mglib.missing.sequences.virtual_trial import LAW


class VirtualTraining(SequenceTraining):
    """Trials of one stack on the sequences of a bank, the present one first; see `Stack`."""

    def build(self, trials: Sequence[Any]) -> VirtualModel:
        """The stacked model of some trials with their initial weights."""
        bank, first = self.bank, trials[0]
        shape = bank.widths, bank.classes, first.stand_in, first.matching, first.stop, first.hidden
        return VirtualModel(*shape, *self.drawn(trials)).to(bank.device)

    def left(self, trial: Any, index: np.ndarray, first: int) -> list[np.ndarray]:
        """Which frames are seen of instances `index` [..., B], by modality, each [..., B, F].

        The second sequence of an incomplete instance is never seen: which these are was drawn once.
        """
        bank, rows = self.bank, self.bank.parts[trial.split_seed]["train"]
        table = mask_table(
            LAW,
            trial.rate,
            modalities=2,
            rows=len(rows),
            seed=trial.seed,
            split_seed=trial.split_seed,
            part="train",
        )
        there = np.zeros((len(bank.answers), 2), bool)
        there[rows] = table
        whole = bank.kept(trial.split_seed, "train", NONE, 0.0)
        return [own[index] & there[index, place, None] for place, own in enumerate(whole)]
