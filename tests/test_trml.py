"""TRML: matching in plain loops, generators that find a linear law, losses row by row, limits."""

from __future__ import annotations

from dataclasses import replace

import _missing
import numpy as np
import pytest
import torch
from _missing import (
    PARTS,
    WIDTHS,
    cost,
    linear,
    made_bank,
    made_batch,
    made_model,
    made_trial,
    trained,
)

from mglib.errors import MglibError
from mglib.missing import generators, matching
from mglib.missing.branches import uniform_subsets
from mglib.missing.generating import attend
from mglib.missing.method import hide
from mglib.missing.subsets import subsets
from mglib.missing.training import MissingTraining
from mglib.registry import missing_methods

pytestmark = pytest.mark.usefixtures("one_thread")
KINDS = ("", "@generator=hub", "@generator=set", "@generator=set,depth=1,directions=one")
OTHERS = (
    "trml@generator=hub",
    "trml@generator=set,depth=3",
    "trml@depth=1,inner=width,matching=both_mse,soft=yes",
    "trml@matching=cosine,directions=one,fusion=sum",
    "trml@matching=columns,stop=no,encoder=linear",
    "trml@generator=copy,encoder=linear",
)


def plain_matching(made, real, rows, word, temperature, weigh=None):
    """The loss of one trial, by loops over its rows; `weigh` (i, j) of soft targets."""
    here = [i for i in range(len(rows)) if rows[i]]
    if word == "none" or not here:
        return 0.0
    squares = np.mean([np.mean((made[i] - real[i]) ** 2) for i in here])

    def cosine(i, j):
        return made[i] @ real[j] / np.linalg.norm(made[i]) / np.linalg.norm(real[j])

    if word == "mse":
        return squares
    if word == "cosine":
        return np.mean([1 - cosine(i, i) for i in here])

    def direction(score):
        total = 0.0
        for i in here:
            shares = np.exp([score(i, j) / temperature for j in here])
            shares /= shares.sum()
            wanted = np.array([float(i == j) if weigh is None else weigh(i, j) for j in here])
            total -= (wanted / wanted.sum()) @ np.log(shares)
        return total / len(here)

    rowwise, columnwise = direction(cosine), direction(lambda i, j: cosine(j, i))
    both = (rowwise + columnwise) / 2
    words = {"rows": rowwise, "columns": columnwise, "both": both, "both_mse": both + squares}
    return words[word]


def three(seed=0, width=5):
    random = np.random.RandomState(seed)
    made, real = random.randn(2, 3, 9, width)
    rows = random.rand(3, 9) < 0.6
    rows[2] = False
    return made, real, rows, random.randint(3, size=(3, 9))


def tensors(*arrays):
    return (torch.from_numpy(own) for own in arrays)


@pytest.mark.parametrize("soft", ["no", "classes", "real"])
@pytest.mark.parametrize("word", matching.WORDS)
def test_matching_is_its_formula(word, soft):
    made, real, rows, y = three()
    y = y if soft == "classes" else y / 20
    temperature = np.array([0.07, 0.5, 1.0])
    targets, weighs = None, [None] * 3
    if soft != "no":
        targets = matching.alike(torch.from_numpy(y), 3 if soft == "classes" else 0).double()
        weighs = [
            lambda i, j, own=own: (
                float(own[i] == own[j])
                if soft == "classes"
                else np.exp(-((own[i] - own[j]) ** 2) / (2 * 0.1**2))
            )
            for own in y
        ]
    found = matching.matching(*tensors(made, real, rows), word, torch.tensor(temperature), targets)
    wanted = [
        plain_matching(made[t], real[t], rows[t], word, temperature[t], weighs[t]) for t in range(3)
    ]
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6, atol=1e-9)
    assert found[2] == 0


@pytest.mark.parametrize("word", ["rows", "columns", "both"])
def test_a_large_temperature_tells_nothing_apart(word):
    made, real, rows, _ = three()
    hot = torch.full((3,), 1e6, dtype=torch.float64)
    found = matching.matching(*tensors(made, real, rows), word, hot)
    np.testing.assert_allclose(found[:2].numpy(), np.log(rows[:2].sum(1)), atol=1e-5)


@pytest.mark.parametrize("word", matching.WORDS[1:])
def test_matching_has_finite_slopes_and_none_where_a_row_takes_no_part(word):
    made, real, rows, _ = three()
    made[:, 0], rows[:, 0] = 0, False  # a row with nothing to make it from
    made, real, rows = tensors(made, real, rows)
    made.requires_grad_()
    matching.matching(made, real, rows, word, torch.ones(3).double()).sum().backward()
    assert torch.isfinite(made.grad).all()
    assert (made.grad[~rows] == 0).all() and (made.grad[rows] != 0).any()


def test_no_weight_is_no_matching():
    def answers(name):
        return trained([made_trial(name)]).found[0].answers

    assert np.array_equal(answers("trml@weight=0"), answers("trml@matching=none"))
    assert not np.array_equal(answers("trml"), answers("trml@matching=none"))


def bent_bank(trials):
    """The second modality is a linear map of the first."""
    own = made_bank(trials)
    law = torch.randn(WIDTHS[0], WIDTHS[1], generator=torch.Generator().manual_seed(5))
    first, _, third = own.values
    return replace(own, values=(first, first @ law / WIDTHS[0] ** 0.5, third))


@pytest.mark.parametrize("generator", generators.LEARNED)
@pytest.mark.parametrize("word", ["mse", "both"])
def test_generators_find_a_linear_law(generator, word, monkeypatch):
    monkeypatch.setattr(_missing, "PARTS", {**PARTS, "train": 400})
    name = "trml@weight=10" + f",generator={generator}" * (generator != "pairwise")
    name += f",matching={word}" * (word != "both")
    hparams = '{"batch_size": 32, "hidden": 32, "lr": 0.01, "weight_decay": 0.0}'
    trials = [made_trial(name, steps=240, rate=0.0, hparams=hparams)]
    training = MissingTraining(trials, bent_bank(trials))
    training.run()
    x, seen, _ = training.part(trials, "test")
    only = torch.tensor([True, False, False]).expand_as(seen)
    with torch.no_grad():
        made = training.model.generator(hide(x, only), only)[1][0]
    real = x[1][0]
    apart = ((made - real) ** 2).mean() / real.var()
    alike = torch.nn.functional.cosine_similarity(made, real).mean()
    if word == "mse":
        assert apart < 0.02
    assert alike > 0.85  # cosines leave lengths free and push rows apart, so not 1


@pytest.mark.parametrize("settings", KINDS)
def test_where_nothing_is_missing_generators_do_not_matter(settings):
    model, batch = made_model("trml" + settings), made_batch(whole=True)
    before = model.answer(batch.x, batch.seen)
    for parameter in model.generator.parameters():
        parameter.data.fill_(3.0)
    assert torch.equal(before, model.answer(batch.x, batch.seen))
    missing = batch.seen & torch.tensor([True, False, True])
    assert not torch.equal(before, model.answer(batch.x, missing))


def gelu(x):
    from scipy.special import erf

    return x * (1 + erf(x / 2**0.5)) / 2


def perceptron(own, trial, x):
    for number, layer in enumerate(own.layers):
        x = linear(layer, trial, gelu(x) if number else x)
    return x


def generated(model, trial, x, seen, m):
    """What the seen modalities other than m make of it, for one row of one trial."""
    own, others = model.generator, [j for j in range(len(x)) if j != m and seen[j]]
    if isinstance(own, generators.Pairwise):
        return np.mean([perceptron(own.maps[f"{j}to{m}"], trial, x[j]) for j in others], 0)
    if isinstance(own, generators.Hub):
        code = np.mean([perceptron(own.encoders[j], trial, x[j]) for j in others], 0)
        return perceptron(own.decoders[m], trial, code)
    names, queries = (p[trial].detach().double().numpy() for p in (own.names, own.queries))
    tokens = [linear(own.tokens[j], trial, x[j]) + names[j] for j in others]
    keys, values = ([linear(layer, trial, t) for t in tokens] for layer in (own.key, own.value))
    shares = np.exp([key @ queries[m] / len(key) ** 0.5 for key in keys])
    read = queries[m] + (shares / shares.sum()) @ np.array(values)
    return perceptron(own.decoders[m], trial, read)


def early(model, trial, x):
    first, last = model.reader.perceptron.layers
    return linear(last, trial, np.maximum(linear(first, trial, np.concatenate(x)), 0))


@pytest.mark.parametrize("settings", KINDS)
@pytest.mark.parametrize("classes", [3, 0])
def test_its_loss_row_by_row(settings, classes):
    model, batch = made_model("trml" + settings, classes, weight=0.7), made_batch(classes)
    batch.seen[:, :4] = True  # some rows are complete
    random = torch.Generator().manual_seed(8)
    values = [torch.randn(2, 9, width, generator=random) for width in WIDTHS]
    batch = replace(batch, x=hide(values, batch.seen))
    one = uniform_subsets(batch.seen, batch.noise["seed"], proper=True).numpy()
    wanted = []
    for t in range(2):
        full, lacking, pairs = [], [], {}
        for r in range(9):
            if not batch.used[t, r]:
                continue
            x, y = [own[t, r].double().numpy() for own in batch.x], batch.y[t, r]
            seen = batch.seen[t, r].tolist()

            def said(left, x=x, t=t, y=y):
                own = [x[m] if left[m] else generated(model, t, x, left, m) for m in range(3)]
                return cost(early(model, t, own), y, classes)

            views = [[s >> m & 1 for m in range(3)] for s in range(1, 7)]
            if "one" in settings:
                views = [one[t, r].tolist()]
            if all(seen):
                full.append(said(seen))
                lacking.append(np.mean([said(left) for left in views]))
            else:  # it has only what is generated
                full.append(0.0)
                lacking.append(said(seen))
            for left in views:
                for m in range(3):
                    key = m if "one" in settings else (*left, m)
                    pairs.setdefault(key, ([], [])) if not left[m] or "one" in settings else None
                    if seen[m] and not left[m] and all(np.array(seen) >= left):
                        pairs[key][0].append(generated(model, t, x, left, m))
                        pairs[key][1].append(x[m])
        matched = [
            plain_matching(*own, [True] * len(own[0]), "both", 0.07) for own in pairs.values()
        ]
        assert len(matched) == (3 if "one" in settings else 9)
        wanted.append(np.mean(full) + np.mean(lacking) + 0.7 * np.mean(matched))
    np.testing.assert_allclose(model.loss(batch).detach().numpy(), wanted, rtol=2e-5)


def test_attention_does_not_know_the_order_of_tokens():
    random = torch.Generator().manual_seed(2)
    may, order = made_batch().seen, [2, 0, 1]
    query = torch.randn(2, 1, 5, generator=random)
    keys, values = torch.randn(2, 2, 9, 3, 5, generator=random)
    read = attend(query, keys, values, may)
    again = attend(query, keys[:, :, order], values[:, :, order], may[:, :, order])
    torch.testing.assert_close(read, again, rtol=1e-5, atol=1e-6)
    keys[~may], values[~may] = 9.0, 9.0
    assert torch.equal(read, attend(query, keys, values, may))
    assert (attend(query, keys, values, may & False) == 0).all()


def test_only_an_encoder_lets_a_gradient_through_real_features():
    batch, through = made_batch(), {}
    for word in ("", "stop=no,"):
        model = made_model(f"trml@{word}encoder=linear")
        real = model.behind(batch.x)[0]
        loss = model.matched(batch, torch.ones_like(real), real, batch.seen[..., 0])
        through[word] = loss.requires_grad
    assert through == {"": False, "stop=no,": True}


@pytest.mark.parametrize("method", OTHERS)
@pytest.mark.parametrize("classes", [3, 0])
def test_its_other_ways_do_not_hang_on_company_or_on_what_is_not_seen(method, classes):
    trials = [made_trial(method, seed) for seed in range(2)]
    whole, single = trained(trials, classes), trained(trials[1:], classes)
    assert np.array_equal(whole.found[1].answers, single.found[0].answers)
    x, _, _ = whole.part(trials, "test")
    for pattern in subsets(3):
        seen = torch.tensor(pattern).expand(*x[0].shape[:2], -1)
        noisy = [own + 7 * ~seen[..., m, None] for m, own in enumerate(hide(x, seen))]
        assert torch.equal(whole.model.answer(hide(x, seen), seen), whole.model.answer(noisy, seen))


@pytest.mark.parametrize("method", OTHERS)
def test_its_other_ways_learn(method):
    found = trained([made_trial(method, steps=120, rate=0.0)]).found[0]
    assert found.values[found.chosen, -1, 1, 0] > 0.6


def test_what_would_have_no_effect_is_refused():
    with pytest.raises(MglibError, match="needs encoder 'linear'"):
        missing_methods.get("trml@stop=no")
    with pytest.raises(MglibError, match="no targets to soften"):
        missing_methods.get("trml@matching=mse,soft=yes")
    with pytest.raises(MglibError, match="needs matching 'none', or encoder 'linear'"):
        missing_methods.get("trml@generator=copy")
    with pytest.raises(MglibError, match="has no layers: leave depth and inner as it is"):
        missing_methods.get("trml@generator=copy,depth=3,inner=width,matching=none")
    with pytest.raises(MglibError, match="two or more"):
        missing_methods.get("trml").check_task(1, 3)


def test_a_copy_is_the_mean_of_what_is_seen_and_learns_nothing():
    name, widths = "trml@generator=copy,matching=none", (4, 4, 4)
    model, batch = made_model(name, widths=widths), made_batch(widths=widths)
    assert not [*model.generator.parameters()]
    made = model.fill(batch.x, batch.seen)
    for trial, row in np.ndindex(*batch.y.shape):
        seen = batch.seen[trial, row].tolist()
        real = [own[trial, row] for own in batch.x]
        mean = torch.stack([own for own, there in zip(real, seen, strict=True) if there]).mean(0)
        for m in range(3):
            torch.testing.assert_close(made[m][trial, row], real[m] if seen[m] else mean)
    with pytest.raises(MglibError, match="one width, not 6, 4, 5; use a perceptor that binds"):
        made_model(name)


def test_what_it_encodes_by_modality():
    x = made_batch(whole=True).x
    assert made_model("trml").encode(x) is None
    late, linear_encoder = made_model("trml@fusion=sum"), made_model("trml@encoder=linear")
    assert [z.shape[-1] for z in late.encode(x)] == [5, 5, 5]
    for m, own in enumerate(linear_encoder.encode(x)):
        wanted = linear(linear_encoder.encoders[m], 1, x[m][1].numpy())
        np.testing.assert_allclose(own[1].detach().numpy(), wanted, rtol=1e-4, atol=1e-6)
