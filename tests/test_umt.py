"""UMT against plain PyTorch, before and after its teachers are frozen, and where it is Concat."""

from __future__ import annotations

import pytest
import torch
from made_up import make_bank, make_trial
from published_multimodal import TRAIN, Plain, assert_same_training, two_trials
from published_step import double_batch, double_build, double_training, rows_of_one
from torch.nn.functional import cross_entropy, mse_loss

from mglib.trials.engine import Training, train

pytestmark = pytest.mark.usefixtures("one_thread")


class TwoStages(Plain):
    """Uni-modal teachers, frozen after a number of steps; a late fusion that imitates them then."""

    def build(self, model):
        each = range(self.modalities)
        self.encoders = [self.take(model, f"featurizers.{m}") for m in each]
        self.w = self.take(model, "classifier")
        self.taught = [self.take(model, f"teachers.featurizers.{m}") for m in each]
        self.heads = [self.take(model, f"teachers.heads.{m}") for m in each]
        self.learner = self.adam(self.parameters(*self.encoders, self.w))
        self.teacher = self.adam(self.parameters(*self.taught, *self.heads))

    def step(self, batch, step):
        rows = rows_of_one(batch, self.t)
        frozen = step > self.asked["umt_teacher_steps"]
        if not frozen:
            self.teacher.zero_grad()
            for (x, y), f, w in zip(rows, self.taught, self.heads, strict=True):
                cross_entropy(w(f(x)), y).backward()
            self.teacher.step()
            self.teacher.zero_grad()
        self.learner.zero_grad()
        z = [f(x) for (x, _), f in zip(rows, self.encoders, strict=True)]
        loss = cross_entropy(self.w(torch.cat(z, 1)), rows[0][1])
        if frozen:
            for own, (x, _), f in zip(z, rows, self.taught, strict=True):
                loss = loss + self.asked["umt_lambda"] * mse_loss(own, f(x).detach())
        loss.backward()
        self.learner.step()
        return loss.detach()


@pytest.mark.parametrize("train", TRAIN)
def test_steps_of_both_stages(train):
    """One trial learns from its teachers in the last three steps of five, one from the first."""
    asked = {"umt_teacher_steps": (2, 0), "umt_lambda": (10.0, 3.0)}
    assert_same_training(two_trials("umt", train=train, steps=5, **asked), TwoStages)


def test_teachers_learn_then_stand_still_in_each_trial():
    bank = make_bank()
    trials = [
        make_trial("umt", seed=s, steps=20, umt_teacher_steps=n) for s, n in enumerate((5, 12, 99))
    ]
    training = Training(trials, bank)
    training.run()
    assert training.optimisers[0].steps.tolist() == [5, 12, 20]
    assert training.optimisers[1].steps.tolist() == [20, 20, 20]
    short = Training([make_trial("umt", seed=0, steps=5, umt_teacher_steps=5)], bank)
    short.run()
    for ours, theirs in zip(
        training.model.teachers.parameters(), short.model.teachers.parameters(), strict=True
    ):
        assert torch.equal(ours[0], theirs[0])


def test_frozen_teachers_are_imitated_and_learning_ones_are_not():
    bank = make_bank()
    trials = [
        make_trial("umt", seed=s, umt_teacher_steps=4, umt_lambda=v) for s, v in ((0, 10), (0, 0))
    ]
    model = double_build(trials, bank)
    for step, apart in ((4, False), (5, True)):
        losses = model.loss(double_batch(bank, trials, step))
        assert (losses[0] > losses[1] + 1e-6).item() == apart
        assert apart or torch.equal(losses[0], losses[1])


def test_imitation_brings_the_features_near_the_teachers():
    bank = make_bank()
    trials = [
        make_trial("umt", seed=0, steps=150, umt_teacher_steps=50, umt_lambda=v) for v in (10, 0)
    ]
    training = double_training(trials, bank)
    training.run()
    model, batch = training.model, double_batch(bank, trials, 200)
    model.hparams["umt_lambda"] = torch.ones(2, dtype=torch.float64)
    far = model.loss(batch)
    model.hparams["umt_lambda"] = torch.zeros(2, dtype=torch.float64)
    distance = far - model.loss(batch)
    assert distance[0] < distance[1] / 2


def test_without_imitation_one_modality_is_concat_to_the_bit():
    bank = make_bank()
    asked = {"train": ("glyph",), "steps": 30, "umt_lambda": 0.0, "umt_teacher_steps": 10}
    rows = {
        name: [
            (r["modality"], r["split"], r["metric"], r["value"])
            for r in train([make_trial(name, **asked)], bank)
        ]
        for name in ("concat", "umt")
    }
    assert rows["concat"] == rows["umt"]
