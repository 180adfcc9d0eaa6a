"""URM against plain PyTorch in double precision, its two outputs, and where it is ERM."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up import MODALITIES, make_bank, make_trial
from published_step import (
    assert_same_linear,
    assert_same_mlp,
    double_batch,
    double_build,
    double_training,
    plain_linear,
    plain_mlp,
    relu_network,
    rows_of_one,
)
from torch import nn
from torch.nn.functional import cross_entropy

from mglib.algorithms.urm import RELU, TANH, URM
from mglib.errors import MglibError
from mglib.trials.counter import uniforms
from mglib.trials.hyperparameters import draw_hparams, seed_hash

pytestmark = pytest.mark.usefixtures("one_thread")


ASKED = {
    "lr": 1e-2,
    "weight_decay": 0.01,
    "urm_adv_lambda": 0.4,
    "urm_discriminator_lr": 3e-2,
    "urm_discriminator_hidden_layers": 2,
}


class Published:
    """One trial by lists of modalities, after the published description of the update."""

    def __init__(self, model, t, asked, output):
        self.t, self.weight, self.low = t, asked["urm_adv_lambda"], -1.0 if output == TANH else 0.0
        self.body = plain_mlp(model.featurizer, t)
        ends = [] if model.variant == "as_published" else [[nn.Tanh(), nn.ReLU()][output]]
        self.featurizer = nn.Sequential(relu_network(self.body), *ends)
        self.classifier = plain_linear(model.classifier, t)
        self.judge = plain_mlp(model.discriminator, t)
        parts = [part for layer in self.judge[:-1] for part in (layer, nn.LeakyReLU())]
        self.discriminator = nn.Sequential(*parts, self.judge[-1])
        decay = {"weight_decay": asked["weight_decay"]}
        learner = [*self.featurizer.parameters(), *self.classifier.parameters()]
        self.opt = torch.optim.Adam(learner, lr=asked["lr"], **decay)
        self.disc_opt = torch.optim.Adam(
            self.discriminator.parameters(), lr=asked["urm_discriminator_lr"], **decay
        )
        self.verdict = nn.BCEWithLogitsLoss()

    def losses(self, batch):
        minibatches = rows_of_one(batch, self.t)
        z = self.featurizer(torch.cat([x for x, _ in minibatches]))
        ones = torch.ones(len(z), 1).double()
        y = torch.cat([y for _, y in minibatches])
        fooled = self.verdict(self.discriminator(z), ones)
        drawn = uniforms(batch.noise["uniform"], [*batch.y.shape[1:], z.shape[1]])[self.t]
        own = drawn[:, : len(minibatches[0][1])].flatten(0, 1).double()
        noise = (1 - self.low) * own + self.low
        caught = self.verdict(self.discriminator(noise), ones) + self.weight * self.verdict(
            self.discriminator(z.detach()), 0 * ones
        )
        return cross_entropy(self.classifier(z), y) + self.weight * fooled, caught

    def update(self, batch):
        learner, caught = self.losses(batch)
        self.opt.zero_grad()
        learner.backward()
        self.disc_opt.zero_grad()
        caught.backward()
        self.opt.step()
        self.disc_opt.step()


@pytest.mark.parametrize("variant", URM.variants)
@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_losses_gradients_and_three_steps_are_the_published_ones(modalities, variant):
    bank, train = make_bank(), MODALITIES[:modalities]
    shared = {"steps": 3, "train": train, "variant": variant}
    trials = [
        make_trial("urm", seed=n, batch_size=5 + n, urm_generator_output=n, **shared, **ASKED)
        for n in (TANH, RELU)
    ]
    model, batch = double_build(trials, bank), double_batch(bank, trials)
    ours = model.loss(batch), model.discriminator_loss(batch)
    plain = [Published(model, t, ASKED, t) for t in (TANH, RELU)]
    for t, one in enumerate(plain):
        for a, b, stacked, mine in zip(
            ours,
            one.losses(batch),
            (model.featurizer.layers[0].bias, model.discriminator.layers[0].bias),
            (one.body[0].bias, one.judge[0].bias),
            strict=True,
        ):
            torch.testing.assert_close(a[t], b, rtol=1e-9, atol=0)
            (found,) = torch.autograd.grad(a[t], stacked, retain_graph=True)
            (expected,) = torch.autograd.grad(b, mine)
            torch.testing.assert_close(found[t, 0], expected, rtol=1e-8, atol=1e-12)
    training = double_training(trials, bank)
    training.run()
    for t, one in enumerate(plain):
        for step in range(1, 4):
            one.update(double_batch(bank, trials, step))
        assert_same_mlp(training.model.featurizer, one.body, t)
        assert_same_linear(training.model.classifier, one.classifier, t)
        assert_same_mlp(training.model.discriminator, one.judge, t)


def test_corrected_features_lie_where_the_noise_does_and_published_ones_do_not():
    bank = make_bank()
    for output, low in ((TANH, -1.0), (RELU, 0.0)):
        own = {v: make_trial("urm", variant=v, urm_generator_output=output) for v in URM.variants}
        x = 50 * double_batch(bank, [own["corrected"]]).x
        bounded, free = (double_build([own[v]], bank).features(x) for v in URM.variants)
        assert bounded.min() >= low
        assert free.min() < -1.0
        torch.testing.assert_close(bounded, free.tanh() if output == TANH else free.relu())
    # A negative feature is kept as it is by the published code alone.
    assert "never applied" in URM.defects["as_published"]


def test_published_features_without_the_adversary_are_those_of_erm():
    bank = make_bank()
    urm = make_trial("urm", variant="as_published", steps=10, urm_adv_lambda=0.0)
    erm = make_trial("erm", steps=10)
    sides = [double_training([trial], bank) for trial in (urm, erm)]
    for side in sides:
        side.run()
    for part in ("featurizer", "classifier"):
        ours, theirs = (getattr(side.model, part).state_dict() for side in sides)
        for name in theirs:
            torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-12)


def test_the_adversary_makes_features_pass_for_noise():
    """Against a discriminator that stands still."""
    bank = make_bank()
    shared = {"lr": 1e-3, "urm_discriminator_lr": 0.0, "steps": 100}
    verdicts = []
    for weight in (0.0, 5.0):
        training = double_training([make_trial("urm", urm_adv_lambda=weight, **shared)], bank)
        training.run()
        batch = double_batch(bank, training.trials)
        z = training.model.features(batch.x)
        verdicts.append(training.model.judged(batch, z, real=True).item())
    assert verdicts[1] < verdicts[0] - 0.02


def test_the_discriminator_wants_the_learners_features_of_its_own_minibatch():
    bank, trial = make_bank(), make_trial("urm")
    model = double_build([trial], bank)
    model.loss(double_batch(bank, [trial], 1))
    with pytest.raises(MglibError, match="same minibatch"):
        model.discriminator_loss(double_batch(bank, [trial], 2))


def test_an_unknown_output_is_refused():
    with pytest.raises(MglibError, match="urm_generator_output 2 is not known"):
        double_build([make_trial("urm", urm_generator_output=2)], make_bank())


def test_random_draws_are_those_of_numpys_choice_and_uniform():
    for draw in range(1, 30):
        values = draw_hparams(URM.search, draw, 0)
        streams = {
            name: np.random.RandomState(seed_hash(seed_hash(draw, 0), name)) for name in values
        }
        hidden = streams["urm_discriminator_hidden_layers"].choice([1, 2, 3])
        output = streams["urm_generator_output"].choice(["tanh", "relu"])
        assert values["urm_discriminator_hidden_layers"] == hidden
        assert values["urm_generator_output"] == ["tanh", "relu"].index(output)
        assert values["urm_adv_lambda"] == streams["urm_adv_lambda"].uniform(0, 0.2)
