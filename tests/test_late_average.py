"""Late average: independent learners, checked one by one against plain PyTorch and against ERM."""

from __future__ import annotations

import pytest
import torch
from made_up import MODALITIES, batch_of, make_bank, make_trial
from published_multimodal import TRAIN, Plain, assert_same_training, two_trials
from published_step import rows_of_one
from torch.nn.functional import cross_entropy

from mglib.trials.engine import Training, build, train

pytestmark = pytest.mark.usefixtures("one_thread")


class Independent(Plain):
    """A network and an Adam for each modality, which know of no other."""

    def build(self, model):
        self.learners, self.optimisers = [], []
        for m in range(self.modalities):
            parts = [self.take(model, f"learners.{name}.{m}") for name in ("featurizers", "heads")]
            self.learners.append(torch.nn.Sequential(*parts))
            self.optimisers.append(self.adam(self.parameters(*parts)))

    def step(self, batch, step):
        losses = []
        for (x, y), learner, optimiser in zip(
            rows_of_one(batch, self.t), self.learners, self.optimisers, strict=True
        ):
            optimiser.zero_grad()
            losses.append(cross_entropy(learner(x), y))
            losses[-1].backward()
            optimiser.step()
        return sum(losses).detach()


@pytest.mark.parametrize("train", TRAIN)
def test_every_learner_is_stepped_as_if_alone(train):
    assert_same_training(two_trials("late_average", train=train), Independent)


def test_of_one_modality_it_is_erm_to_the_bit():
    bank = make_bank()
    rows = {
        name: [
            (r["modality"], r["split"], r["value"])
            for r in train(
                [make_trial(name, train=("glyph",), steps=30, weight_decay=0.01, wc=0.01)], bank
            )
        ]
        for name in ("erm", "late_average")
    }
    assert rows["erm"] == rows["late_average"]


def test_a_learner_never_sees_another_modality():
    """With another modality in slot 2 the learners of slots 0 and 1 end the same to the bit."""
    bank = make_bank()
    sides = []
    for third in ("speech", "text"):
        trial = make_trial("late_average", train=(*MODALITIES[:2], third), steps=15)
        training = Training([trial], bank)
        training.run()
        sides.append(dict(training.model.named_parameters()))
    same = {key: torch.equal(value, sides[1][key]) for key, value in sides[0].items()}
    assert {key for key, equal in same.items() if not equal} == {
        k for k in same if "featurizers.2." in k or "heads.2." in k
    }


def test_logits_are_averaged_over_the_slots_in_use():
    bank = make_bank()
    trials = [make_trial("late_average", seed=s) for s in range(2)]
    model, batch = build(trials, bank), batch_of(bank, trials)
    own = model.learners(batch.x)
    present = torch.tensor([[True, True, False], [False, False, True]])
    found = model.predict_slots(batch.x, present)
    torch.testing.assert_close(found[0], (own[0, 0] + own[0, 1]) / 2)
    torch.testing.assert_close(found[1], own[1, 2])
    torch.testing.assert_close(model.predict(batch.x[:, 0]), model.predict_by_slot(batch.x[:, 0]))


def test_minibatches_of_different_modalities_show_different_instances():
    batch = batch_of(make_bank(), [make_trial("late_average")])
    assert not torch.equal(batch.y[:, 0], batch.y[:, 1])
