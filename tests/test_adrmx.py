"""ADRMX against plain PyTorch in double precision, its pairs, its turns and simple limits."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from made_up import MODALITIES, make_bank, make_trial
from published_step import (
    assert_same_mlp,
    double_batch,
    double_build,
    double_training,
    plain_mlp,
    relu_network,
    rows_of_one,
)
from torch import nn
from torch.nn.functional import cross_entropy

from mglib.algorithms.adrmx import ADRMX, contrast
from mglib.trials.counter import bits

pytestmark = pytest.mark.usefixtures("one_thread")


ASKED = {
    "lr": 1e-2,
    "cnt_lambda": 0.6,
    "dclf_lambda": 0.8,
    "disc_lambda": 0.75,
    "rmxd_lambda": 1.3,
    "mlp_width": 12,
    "mlp_depth": 4,
}
PARTS = (
    "label_featurizer",
    "domain_featurizer",
    "discriminator",
    "label_classifier",
    "difference_classifier",
    "domain_classifier",
)


def slow_contrast(z, y, modality):
    """The published loss row by row."""
    total, skipped = 0.0, 0
    for i in range(len(z)):
        positive, everything = [], 1e-5
        for j in range(len(z)):
            if j == i:
                continue
            cosine = torch.dot(z[i], z[j]) / (z[i].norm() * z[j].norm())
            term = (0.5 if modality[i] == modality[j] else 1 - 0.5) * (cosine / 0.07).exp()
            everything = everything + term
            if y[i] == y[j]:
                positive.append(term)
        if not positive:
            skipped += 1
            continue
        total = total - sum((p / everything + 1e-5).log() for p in positive) / len(positive)
    return total / (len(z) - skipped + 1)


def slow_pairs(batch, t, classes, published):
    """For each class two of one trial's rows, modality by modality, or None."""
    modalities, rows = batch.y.shape[1:]
    used = int(batch.used[t, 0].sum())
    kept = [m * rows + b for m in range(modalities) for b in range(used)]
    priority = bits(batch.noise["remix"], [classes, modalities * rows])[t][:, kept]
    y = torch.cat([y for _, y in rows_of_one(batch, t)])
    found = []
    for c in range(classes):
        own = (y == c).nonzero().flatten().tolist()
        among = list(range(len(own))) if published else own
        order = sorted(among, key=lambda r, c=c: priority[c, r].item(), reverse=True)
        rest = [r for r in order[1:] if published or r // used != order[0] // used]
        found.append((order[0], rest[0]) if rest else None)
    return found


class Published:
    """One trial by lists of modalities, after the published description of the update."""

    def __init__(self, model, t, waits):
        self.model, self.t, self.waits, self.count = model, t, waits, 0
        self.layers = {part: plain_mlp(getattr(model, part), t) for part in PARTS}
        self.nets = {part: relu_network(layers) for part, layers in self.layers.items()}
        settings = {"lr": ASKED["lr"], "betas": (0.5, 0.9)}
        judge = self.nets["discriminator"].parameters()
        rest = [p for part in PARTS if part != PARTS[2] for p in self.nets[part].parameters()]
        self.disc_opt = torch.optim.Adam(judge, **settings)
        self.opt = torch.optim.Adam(rest, **settings)

    def losses(self, batch):
        minibatches, nets = rows_of_one(batch, self.t), self.nets
        x = torch.cat([x for x, _ in minibatches])
        y = torch.cat([y for _, y in minibatches])
        place = torch.cat([torch.full_like(y, e) for e, (_, y) in enumerate(minibatches)])
        label, domain = nets["label_featurizer"](x), nets["domain_featurizer"](x)
        v = label - domain
        judged = cross_entropy(nets["discriminator"](v), place)
        remixed, classes = 0.0, self.model.task.classes
        for pair in slow_pairs(batch, self.t, classes, self.model.variant == "as_published"):
            if pair is not None:
                i, j = pair
                logits = nets["label_classifier"](v[i] + domain[j])
                remixed = remixed + cross_entropy(logits[None], y[i : i + 1])
        generator = (
            cross_entropy(nets["label_classifier"](label), y)
            + cross_entropy(nets["difference_classifier"](v), y)
            + ASKED["dclf_lambda"] * cross_entropy(nets["domain_classifier"](domain), place)
            + ASKED["rmxd_lambda"] * remixed / classes
            + ASKED["cnt_lambda"] * (slow_contrast(label, y, place) + slow_contrast(v, y, place))
            - ASKED["disc_lambda"] * judged
        )
        return generator, judged

    def update(self, batch):
        self.count += 1
        generator, judged = self.losses(batch)
        self.opt.zero_grad()
        self.disc_opt.zero_grad()
        if self.count % (1 + self.waits) < self.waits:
            judged.backward()
            self.disc_opt.step()
        else:
            generator.backward()
            self.opt.step()


@pytest.mark.parametrize("variant", ADRMX.variants)
@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_losses_gradients_and_five_steps_are_the_published_ones(modalities, variant):
    bank, train = make_bank(), MODALITIES[:modalities]
    shared = {"steps": 5, "train": train, "variant": variant, **ASKED}
    waits = (1, 2)
    trials = [
        make_trial("adrmx", seed=n, batch_size=5 + n, d_steps_per_g_step=waits[n], **shared)
        for n in range(2)
    ]
    model, batch = double_build(trials, bank), double_batch(bank, trials)
    ours = model.loss(batch), model.discriminator_loss(batch)
    plain = [Published(model, t, waits[t]) for t in range(2)]
    for t, one in enumerate(plain):
        for a, b, part in zip(ours, one.losses(batch), PARTS[1:3], strict=True):
            torch.testing.assert_close(a[t], b, rtol=1e-9, atol=1e-13)
            stacked, mine = getattr(model, part).layers[0].bias, one.layers[part][0].bias
            (found,) = torch.autograd.grad(a[t], stacked, retain_graph=True)
            (expected,) = torch.autograd.grad(b, mine, retain_graph=True)
            torch.testing.assert_close(found[t, 0], expected, rtol=1e-8, atol=1e-12)
    training = double_training(trials, bank)
    training.run()
    for t, one in enumerate(plain):
        for step in range(1, 6):
            one.update(double_batch(bank, trials, step))
        for part in PARTS:
            assert_same_mlp(getattr(training.model, part), one.layers[part], t)


def test_the_two_sides_take_turns():
    training = double_training([make_trial("adrmx", steps=12, **ASKED)], make_bank())
    training.run()
    assert [o.steps.item() for o in training.optimisers] == [8, 4]


def pairs_of(variant, steps=150):
    """Classes, modalities and labels of the rows that a variant remixes in some steps."""
    bank, trial = make_bank(), make_trial("adrmx", variant=variant, batch_size=5)
    model, found = double_build([trial], bank), []
    for step in range(1, steps + 1):
        batch = double_batch(bank, [trial], step)
        first, second, valid = model.pairs(batch)
        rows = batch.y.shape[2]
        for c in valid[0].nonzero().flatten().tolist():
            i, j = first[0, c].item(), second[0, c].item()
            assert i != j and max(i % rows, j % rows) < 5, "no padding"
            labels = batch.y[0].flatten()
            found.append((c, i // rows, j // rows, labels[i].item(), labels[j].item(), i))
    return found


def test_corrected_pairs_are_of_one_class_in_two_modalities_and_published_ones_are_not():
    corrected, published = (pairs_of(variant) for variant in ADRMX.variants)
    assert all(c == a == b and m != n for c, m, n, a, b, _ in corrected)
    counts = torch.bincount(torch.tensor([pair[1] for pair in corrected]), minlength=3)
    assert counts.min() > 0.25 * counts.sum()
    same_class = sum(c == a == b for c, _, _, a, b, _ in published) / len(published)
    assert same_class < 0.2, "chance is 1 in 16"
    # A class has about 4 of 15 rows: the published pairs hardly leave the first modality.
    assert sum(m == 0 == n for _, m, n, *_ in published) / len(published) > 0.8


def test_a_pair_is_drawn_uniformly():
    bank, trial = make_bank(), make_trial("adrmx", batch_size=4)
    model, batch = double_build([trial], bank), double_batch(bank, [trial])
    batch = replace(batch, y=torch.zeros_like(batch.y), noise={"remix": torch.zeros(1).long()})
    counts = torch.zeros(12, 12)
    for seed in range(4000):
        first, second, found = model.pairs(replace(batch, noise={"remix": torch.tensor([seed])}))
        assert found[0].tolist() == [True, False, False, False]
        counts[first[0, 0], second[0, 0]] += 1
    places = torch.arange(12)
    allowed = places[:, None] // 4 != places // 4
    assert not counts[~allowed].any()
    expected = 4000 / allowed.sum()
    chi = ((counts[allowed] - expected) ** 2 / expected).sum().item()
    assert chi < 95 + 5 * math.sqrt(2 * 95)


def test_contrast_without_positives_is_nothing_and_twins_attract():
    z = torch.eye(4, 6).double()[None]
    ones, modality = torch.ones(1, 4), torch.tensor([[0, 0, 1, 1]])
    assert contrast(z, torch.arange(4)[None], modality, ones).item() == 0
    twins = torch.stack([z[0, 0], z[0, 1], z[0, 0], z[0, 1]])[None]
    y = torch.tensor([[0, 1, 0, 1]])
    assert contrast(twins, y, modality, ones) < contrast(z, y, modality, ones)


def test_with_all_weights_at_zero_it_is_two_classifiers():
    bank = make_bank()
    still = {name: 0.0 for name in ASKED if name.endswith("_lambda")}
    trial = make_trial("adrmx", **{**ASKED, **still})
    model, batch = double_build([trial], bank), double_batch(bank, [trial])
    label, domain = model.features(batch.x)
    logits = [model.label_classifier(label), model.difference_classifier(label - domain)]
    expected = sum(cross_entropy(each.flatten(0, 2), batch.y.flatten()) for each in logits)
    torch.testing.assert_close(model.loss(batch)[0], expected, rtol=1e-12, atol=0)
    assert isinstance(model.label_classifier, nn.Module)


def test_padding_changes_no_bit_of_any_gradient():
    bank = make_bank()
    for variant in ADRMX.variants:
        trial = make_trial("adrmx", variant=variant, **ASKED, batch_size=5)
        model, batch = double_build([trial], bank), double_batch(bank, [trial])
        sides = []
        for x, y in ((7.0, 0), (-3.0, 3)):
            batch.x[:, :, 5:], batch.y[:, :, 5:] = x, y
            sides.append(
                [
                    g
                    for phase in model.phases()
                    for g in torch.autograd.grad(phase.loss(batch).sum(), phase.parameters)
                ]
            )
        assert all(torch.equal(a, b) for a, b in zip(*sides, strict=True))
