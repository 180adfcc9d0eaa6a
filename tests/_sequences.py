"""What tests of lost frames share: made-up sequences of two modalities, trials, trainings."""

from __future__ import annotations

import json

import numpy as np

from mglib.missing.answers import Answered
from mglib.missing.sequences.bank import make_bank
from mglib.missing.sequences.training import SequenceTraining
from mglib.missing.sequences.trial import SequenceTrial
from mglib.missing.sequences.virtual_training import VirtualTraining
from mglib.missing.sequences.virtual_trial import VirtualTrial

NAMES = ("accelerometer", "gyroscope")
FRAMES, WIDTHS, CLASSES = (7, 5), (3, 2), 3
HPARAMS = {"batch_size": 8, "hidden": 32, "lr": 0.02, "weight_decay": 1e-4}


def made_answers(instances=150):
    """Sequences whose order tells the class: a bump that comes early, in the middle or late."""
    random = np.random.RandomState(0)
    answers = np.arange(instances) % CLASSES
    features = []
    for frames, width in zip(FRAMES, WIDTHS, strict=True):
        x = 0.4 * random.randn(instances, frames, width).astype(np.float32) + 2
        x[np.arange(instances), answers * (frames - 1) // (CLASSES - 1)] += 2
        features.append(x)
    lengths = (random.randint(4, FRAMES[0] + 1, instances), None)
    return Answered(tuple(features), answers, np.arange(instances), {}, CLASSES, lengths)


def made_trial(way="zeros", seed=0, law="bernoulli", rate=0.3, split=0, steps=24, **hparams):
    told = json.dumps({**HPARAMS, **hparams}, sort_keys=True)
    return SequenceTrial(
        *("smartwatch", "frames", NAMES, "class", way, law, rate, seed, split, steps, 12, told),
        ("bernoulli", "last"),
        (0.4, 0.8),
    )


def made_training(trials):
    return SequenceTraining(
        trials, make_bank(NAMES, made_answers(), sorted({t.split_seed for t in trials}))
    )


def trained(trials):
    training = made_training(trials)
    training.run()
    return training


def made_virtual(
    stand_in="frames", matching="none", seed=0, rate=0.5, split=0, steps=24, **hparams
):
    more = {"weight": 1.0, "temperature": 0.2, **hparams}
    stop = bool(more.pop("stop", True))
    told = json.dumps({**HPARAMS, **more}, sort_keys=True)
    return VirtualTrial(
        *("smartwatch", "frames", NAMES, "class", stand_in, matching, stop, rate, seed, split),
        *(steps, 12, told),
    )


def virtual_training(trials):
    return VirtualTraining(
        trials, make_bank(NAMES, made_answers(), sorted({t.split_seed for t in trials}))
    )
