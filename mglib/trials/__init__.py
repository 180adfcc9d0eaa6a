"""The engine: stacked trials, their keys, training, measuring, selection."""

from mglib.trials.run import run_trials
from mglib.trials.trial import Trial, make_trials

__all__ = ["Trial", "make_trials", "run_trials"]
