"""What is measured of sequences: the validation part under one law, the test part under all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mglib.missing.measuring import scores
from mglib.missing.sequences.bank import SequenceBank
from mglib.missing.sequences.model import SequenceModel
from mglib.missing.sequences.question import SequenceQuestion

# Rows of one evaluation pass; fixed, so that no answer hangs on what is beside it.
PASS = 64
METRICS = ("accuracy", "cross_entropy")


@dataclass
class Shown:
    """What one trial has shown so far, at K checkpoints.

    `validation` [K, metrics] is under the law held for it; `test` [K, laws and rates, metrics] is
    NaN but at checkpoints that were the best until then, and the last; `chosen` is the first with
    the best validation accuracy (-1: none yet).
    """

    validation: np.ndarray
    test: np.ndarray
    chosen: int = -1
    score: float = -np.inf

    @classmethod
    def empty(cls, trial: SequenceQuestion) -> Shown:
        """Room for all checkpoints of a trial, none taken yet."""
        shape = (len(trial.checkpoints), len(trial.tested), len(METRICS))
        return cls(np.full(shape[::2], np.nan), np.full(shape, np.nan))

    def arrays(self) -> dict[str, np.ndarray]:
        """What a saved state keeps, by name."""
        return {"validation": self.validation, "test": self.test}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go back to what `arrays` gave."""
        self.validation, self.test = (arrays[name] for name in self.arrays())

    def artifact_bytes(self) -> int:
        """Nothing stands beside the rows."""
        return 0


def measured(
    model: SequenceModel,
    bank: SequenceBank,
    trials: Sequence[SequenceQuestion],
    part: str,
    laws: Sequence[tuple[str, float]],
) -> np.ndarray:
    """The metrics [T, metrics] of a part of which each trial's law has lost frames; NaN: diverged.

    All trials are asked in passes of equal size, so that no answer hangs on what is beside it.
    """
    rows = [bank.parts[t.split_seed][part] for t in trials]
    padded = -(-max(map(len, rows)) // PASS) * PASS
    index = np.stack([np.resize(own, padded) for own in rows])
    tables = [bank.kept(t.split_seed, part, *own) for t, own in zip(trials, laws, strict=True)]
    answers = []
    for start in range(0, padded, PASS):
        here = index[:, start : start + PASS]
        at = torch.from_numpy(here).to(bank.device)
        seen = [
            torch.from_numpy(
                np.stack([table[m][own] for table, own in zip(tables, here, strict=True)])
            ).to(bank.device)
            for m in range(len(bank.values))
        ]
        answers.append(model.logits(bank.rows(trials, at), seen, bank.inside(at)).cpu())
    truth = bank.answers.cpu().numpy()
    found = np.full((len(trials), len(METRICS)), np.nan)
    for place, (own, said) in enumerate(zip(rows, torch.cat(answers, 1).numpy(), strict=True)):
        values = said[: len(own)]
        if np.isfinite(values).all():
            told = scores(values, truth[own], bank.classes)
            found[place] = [told[metric] for metric in METRICS]
    return found


def measure(
    model: SequenceModel,
    bank: SequenceBank,
    trials: Sequence[SequenceQuestion],
    found: Sequence[Shown],
    number: int,
) -> list[bool]:
    """Measure trials at checkpoint `number`; which of them are better than ever before.

    Only those are measured on the test part, under every law and rate, and all at the last.
    """
    own = measured(model, bank, trials, "validation", [t.held for t in trials])
    better = []
    for shown, values in zip(found, own, strict=True):
        shown.validation[number] = values
        better.append(bool(values[0] > shown.score))  # never for NaN
        if better[-1]:
            shown.chosen, shown.score = number, float(values[0])
    asked = [own or number == len(trials[0].checkpoints) - 1 for own in better]
    if any(asked):
        for place, law in enumerate(trials[0].tested):
            own = measured(model, bank, trials, "test", [law] * len(trials))
            for trial, shown in enumerate(found):
                if asked[trial]:
                    shown.test[number, place] = own[trial]
    return better


def rows_of(trial: SequenceQuestion, bank: SequenceBank, found: Shown) -> Iterator[dict[str, Any]]:
    """The rows of a finished trial: the validation part at every checkpoint, the test at two.

    Those are the chosen one and the last. The test part has a row for each law, rate and metric.
    """
    last = len(trial.checkpoints) - 1
    held = (trial.held,)
    measures = [
        *((number, "validation", held, [own]) for number, own in enumerate(found.validation)),
        *(
            (n, "test", trial.tested, found.test[n])
            for n in sorted({found.chosen % (last + 1), last})
        ),
    ]
    for number, part, laws, by_law in measures:
        for (law, rate), by_metric in zip(laws, by_law, strict=True):
            for metric, value in zip(METRICS, by_metric, strict=True):
                sound = bool(np.isfinite(value))
                yield {
                    **trial.columns(),
                    "step": trial.checkpoints[number],
                    "split": part,
                    "test_pattern": law,
                    "test_rate": rate,
                    "metric": metric,
                    "value": float(value) if sound else None,
                    "n": len(bank.parts[trial.split_seed][part]),
                    "status": "ok" if sound else "diverged",
                }
