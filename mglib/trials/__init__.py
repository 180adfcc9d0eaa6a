"""The engine: stacked trials, their keys, training, measuring, selection."""

from mglib.trials.grid import corrected_learners, learners, make_trials, without
from mglib.trials.run import run_trials
from mglib.trials.trial import Trial

__all__ = [
    "Trial",
    "corrected_learners",
    "learners",
    "make_trials",
    "run_trials",
    "without",
]
