"""ERM++ against plain PyTorch around its two turns, and where it is ERM."""

from __future__ import annotations

import copy

import pytest
import torch
from made_up import MODALITIES, make_bank, make_trial
from plain_domains import PlainERM, follow, weights_after
from published_step import double_training

from mglib.trials.engine import Training

pytestmark = pytest.mark.usefixtures("one_thread")


class PlainERMPlusPlus(PlainERM):
    """Two Adams and a copied network that becomes the mean of the weights."""

    def __init__(self, *args):
        super().__init__(*args)
        self.linear = torch.optim.Adam(
            self.classifier.parameters(),
            lr=self.values["linear_lr"],
            weight_decay=self.values["weight_decay"],
        )
        self.averaged, self.in_mean = copy.deepcopy(self.network), 0

    def optimiser_now(self):
        return self.optimiser if self.count > self.values["linear_steps"] else self.linear

    def update(self, rows):
        found = super().update(rows)
        if self.count >= 600:
            self.in_mean += 1
        with torch.no_grad():
            for mean, own in zip(
                self.averaged.parameters(), self.network.parameters(), strict=True
            ):
                mean.copy_((self.in_mean * mean + own) / (1 + self.in_mean))
        return found


@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("first", [1, 597])
def test_seven_steps_are_those_of_plain_pytorch(modalities, first):
    """Two trials of other batch sizes, one of which turns to the whole network on the way."""
    bank = make_bank(noise=2.0)
    asked = {"train": MODALITIES[:modalities], "steps": first + 6, "linear_lr": 3e-3}
    trials = [
        make_trial("erm_plus_plus", seed=0, batch_size=5, linear_steps=first + 2, **asked),
        make_trial(
            "erm_plus_plus", seed=1, batch_size=6, linear_steps=0, weight_decay=0.1, **asked
        ),
    ]
    training, plain = follow(trials, bank, PlainERMPlusPlus, first)
    x = bank.values[:2, :9].double()
    predicted = training.model.predict(x)
    for t, reference in enumerate(plain):
        expected = reference.averaged(x[t])
        torch.testing.assert_close(predicted[t], expected, rtol=1e-8, atol=1e-10)
        current = reference.network(x[t])
        assert torch.allclose(expected, current, rtol=1e-6) == (first == 1)


def test_the_mean_is_of_the_weights_from_step_599_on():
    bank = make_bank()
    trial = make_trial("erm_plus_plus", steps=604, linear_steps=2)
    training = double_training([trial], bank)
    seen = {}
    training.run(
        pause=lambda: seen.update(
            {training.step: training.model.classifier.weight.detach().clone()}
        )
    )
    expected = torch.stack([seen[step] for step in range(599, 605)]).mean(0)
    found = training.model.get_buffer("mean_classifier_weight")
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)
    assert not torch.allclose(found, seen[604], rtol=1e-6)


def test_the_classifier_goes_first_and_has_an_optimiser_of_its_own():
    bank = make_bank()
    trials = [
        make_trial("erm_plus_plus", seed=s, steps=20, linear_steps=n) for s, n in ((0, 7), (1, 500))
    ]
    training = Training(trials, bank)
    before = [p.detach().clone() for p in training.model.featurizer.parameters()]
    training.run()
    # The counter is compared before it is raised: one step more than the number says.
    assert [o.steps.tolist() for o in training.optimisers] == [[8.0, 20.0], [12.0, 0.0]]
    for old, new in zip(before, training.model.featurizer.parameters(), strict=True):
        assert not torch.equal(old[0], new[0]) and torch.equal(old[1], new[1])


def test_before_averaging_it_predicts_with_the_current_weights():
    training = Training([make_trial("erm_plus_plus", steps=20, linear_steps=3)], make_bank())
    x = torch.randn(1, 5, 16, generator=torch.manual_seed(0))
    for _ in range(2):
        model = training.model
        assert torch.equal(model.predict(x), model.logits(x))
        training.run()


def test_without_a_classifier_phase_it_trains_as_erm():
    bank = make_bank(noise=2.0)
    erm = weights_after(make_trial(steps=30), bank)
    other = weights_after(make_trial("erm_plus_plus", steps=30, linear_steps=-1), bank)
    for a, b in zip(erm, other, strict=True):
        assert torch.equal(a, b)


def test_it_learns_once_the_classifier_phase_is_short():
    bank = make_bank()
    asked = {"steps": 700, "lr": 3e-3, "linear_lr": 3e-3, "linear_steps": 20}
    training = Training([make_trial("erm_plus_plus", **asked)], bank)
    training.run()
    rows = {
        (r["modality"], r["split"]): r["value"]
        for r in training.rows()
        if r["metric"] == "accuracy"
    }
    assert rows["art", "test"] > 0.9 and rows["text", "test"] > 0.9
