"""What encoders learn before fusion, and how what stands in for a modality turns the answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _missing import (
    TRIALS,
    agree,
    encoded,
    learned_by,
    linear,
    made_bank,
    made_batch,
    made_model,
    made_trial,
    mean_of,
    part,
    rows_of,
    same,
    trained,
)

from mglib.errors import MglibError
from mglib.missing import pretraining
from mglib.missing.further import GRADES, OF_ALSO, nearness
from mglib.missing.late import READING
from mglib.missing.training import MissingTraining
from mglib.trials.counter import uniforms

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = pretraining.WORDS[1:]


def unit(vector):
    return vector / max(np.linalg.norm(vector), 1e-12)


def info_nce(one, other):
    """Mean cross-entropy of each row finding its own column among unit vectors, plainly."""
    scores = np.array([[np.dot(unit(a), unit(b)) for b in other] for a in one]) / 0.2
    return np.mean([np.log(np.exp(row).sum()) - row[i] for i, row in enumerate(scores)])


def test_masked_copies_find_their_items():
    model, batch = made_model("ume_mma@pretext=masked"), made_batch()
    terms = []
    for m in range(3):
        kept = uniforms(batch.noise["seed"], batch.x[m].shape[1:], pretraining.STREAM + m) >= 0.3
        found = []
        for trial in range(TRIALS):
            rows = [(r, x[m]) for t, r, x, s, _ in rows_of(batch) if t == trial and s[m]]
            one = [encoded(model.branches, trial, m, x) for _, x in rows]
            two = [encoded(model.branches, trial, m, x * kept[trial, r].numpy()) for r, x in rows]
            found.append((trial, info_nce(one, two)))
        terms.append(mean_of(found))
    agree(model.alone(batch), np.mean(terms, 0))
    assert 0.6 < kept.float().mean() < 0.8


def test_pairs_find_each_other_both_ways():
    model, batch = made_model("ume_mma@pretext=pairs"), made_batch()
    terms = []
    for m, k in ((0, 1), (0, 2), (1, 2)):
        found = []
        for trial in range(TRIALS):
            rows = [x for t, _, x, s, _ in rows_of(batch) if t == trial and s[m] and s[k]]
            one, two = ([encoded(model.branches, trial, p, x[p]) for x in rows] for p in (m, k))
            if rows:
                found.append((trial, (info_nce(one, two) + info_nce(two, one)) / 2))
        terms.append(mean_of(found))
    agree(model.alone(batch), np.mean(terms, 0))


@pytest.mark.parametrize("word", WORDS)
def test_without_labels_encoders_learn_first_and_heads_do_not(word):
    name = f"ume_mma@pretraining=1,pretext={word}"
    start = MissingTraining([made_trial(name)], made_bank([made_trial(name)]))
    begun = {key: value.clone() for key, value in learned_by(start, "branches").items()}
    ended = learned_by(trained([made_trial(name)]), "branches")
    moved = {key.split(".")[1] for key in begun if not torch.equal(begun[key], ended[key])}
    assert moved == {"encoders"}
    plain = made_trial("ume_mma@pretraining=0"), made_trial(f"ume_mma@pretraining=0,pretext={word}")
    assert same(*(learned_by(trained([trial]), "branches") for trial in plain))


@pytest.mark.parametrize("word", WORDS)
def test_company_changes_nothing(word):
    trials = [made_trial(f"ume_mma@pretext={word}", seed) for seed in range(3)]
    together, alone = trained(trials), trained([trials[1]])
    assert np.array_equal(together.found[1].answers, alone.found[0].answers)


def test_the_bias_of_a_branch_is_what_it_says_of_the_mean():
    model, batch = made_model("ume_mma"), made_batch()
    model.fit(*part())
    prior = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    found = model.bias(batch.x, batch.seen).detach()
    for trial, row, _, seen, _ in rows_of(batch):
        for m in range(3):
            mean = getattr(model.substitute, f"mean{m}")[trial, 0].double().numpy()
            said = linear(model.branches.heads[m], trial, encoded(model.branches, trial, m, mean))
            turned = said - np.log(prior[trial])
            wanted = 0.0 if seen[m] else turned.std()
            assert float(found[trial, row, m]) == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    with torch.no_grad():
        for head in model.branches.heads:
            head.weight.zero_()
            head.bias.copy_(torch.from_numpy(np.log(prior)).float()[:, None])
    assert float(model.bias(batch.x, batch.seen).detach().abs().max()) < 1e-5


def test_what_stands_in_is_what_the_answer_is_read_from():
    model, batch = made_model("ume_mma@substitute=another"), made_batch()
    model.fit(*part())
    filled = model.fill(batch.x, batch.seen)
    whole = torch.ones_like(batch.seen)
    said = model.fused(filled, whole, torch.full((TRIALS,), READING))
    torch.testing.assert_close(model.answer(batch.x, batch.seen), said, rtol=0, atol=0)
    assert made_model("ume_mma@substitute=drop").fill(batch.x, batch.seen) is None


def test_bias_and_nearness_are_measured_where_something_is_missing():
    trial = made_trial("ume_mma", also="substitutes")
    found = trained([trial]).found[0]
    own = found.values[found.chosen, :, 1, -3:]  # the last subset is that of everything
    assert np.isfinite(own[:-1]).all() and np.isnan(own[-1]).all()
    assert (own[:-1, 0] > 0).all() and (np.abs(own[:-1, 1]) <= 1).all()
    assert OF_ALSO["substitutes"][0] == "branch_bias"
    both = trained([made_trial("ume_mma", 1, also="substitutes"), trial]).found[1]
    assert np.array_equal(both.values, found.values, equal_nan=True)


def test_a_graded_substitute_goes_from_the_usual_answer_to_that_to_whole_instances():
    trial = made_trial("ume_mma", also="graded")
    found = trained([trial]).found[0]
    own = found.values[found.chosen, :, 1]
    graded = own[:, -len(GRADES) :]
    assert np.isnan(graded[-1]).all()
    np.testing.assert_array_equal(graded[:-1, 0], own[:-1, 0])
    np.testing.assert_array_equal(graded[:-1, -1], np.full(6, own[-1, 0]))
    assert len(np.unique(graded[:3])) > 4
    both = trained([made_trial("ume_mma", 1, also="graded"), trial]).found[1]
    assert np.array_equal(both.values, found.values, equal_nan=True)


def test_zeros_are_near_to_nothing_and_the_real_ones_to_themselves():
    real = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    assert nearness(real, real) == (pytest.approx(1.0), 1.0)
    assert nearness(torch.zeros(40, 5), real) == (0.0, 0.0)
    turned = torch.cat([real[20:], real[:20]])
    cosines = torch.nn.functional.cosine_similarity(turned[:, None], real[None], dim=-1)
    places = cosines.argsort(dim=1, descending=True)[:, :10]
    found = (places == torch.arange(40)[:, None]).any(1).double().mean()
    assert nearness(turned, real)[1] == pytest.approx(float(found))


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("ume_mma@substitute=drop", "no virtual features"),
        ("ume_mma@fusion=mid", "nothing that can"),
    ],
)
def test_what_has_no_bias_is_refused(method, reason):
    with pytest.raises(MglibError, match=reason):
        trained([made_trial(method, also="substitutes")])


def test_what_stands_nothing_in_cannot_be_graded():
    with pytest.raises(MglibError, match="nothing in that could be graded"):
        trained([made_trial("ume_mma@substitute=drop", also="graded")])
    with pytest.raises(MglibError, match="nothing in that could be graded"):
        trained([made_trial("ume_mma", also="graded")], 0)
