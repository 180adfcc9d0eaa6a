"""Encoders of pictures against torch's own, stacked and alone; pictures against plain means."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _missing import STEPS, TRIALS, learned_by, made_bank, made_batch, made_trial, same
from _pausing import resumed
from torch import nn

from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.missing import bank as banks
from mglib.missing import trainer
from mglib.missing.answers import Answered
from mglib.missing.convolution import (
    CHANNELS,
    ConvolutionalEncoder,
    StackedConvolution,
    check_pictures,
)
from mglib.missing.method import MissingTask
from mglib.missing.training import MissingTraining
from mglib.perceptors.pictures import Pictures, pooled
from mglib.registry import missing_methods
from mglib.trials.networks import StackedLinear

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPES = ((4, 6), (2, 5, 4), (5,))  # a spectrogram, a picture of two channels, a vector
WIDTHS = (24, 40, 5)
RAW = "network=convolution"
METHODS = [
    name
    for name in missing_methods.names()
    if "network" in missing_methods.get(name).settings and name != "ume_mma"
]


def streams(trials):
    return [torch.Generator().manual_seed(trial) for trial in range(trials)]


def plain(encoder, trial):
    """The same network of one trial as torch writes it, with the weights of the stack."""
    layers, series = [], encoder.shape[1] == 1
    for own in encoder.layers:
        out, inner = own.weight.shape[1:3]
        layer = (nn.Conv1d if series else nn.Conv2d)(inner, out, 3, 2, 1)
        weight = own.weight[trial].squeeze(-2) if series else own.weight[trial]
        layer.load_state_dict({"weight": weight, "bias": own.bias[trial]})
        layers += [layer, nn.ReLU()]
    shape = (encoder.shape[0], encoder.shape[2]) if series else encoder.shape
    last = nn.Linear(*encoder.last.weight.shape[1:])
    last.load_state_dict(
        {"weight": encoder.last.weight[trial].T, "bias": encoder.last.bias[trial, 0]}
    )
    return nn.Sequential(nn.Unflatten(1, shape), *layers, nn.Flatten(), last)


@pytest.mark.parametrize("shape", [(4, 6), (7, 9), (3, 16, 5), (3, 1, 21)])
def test_a_stack_is_torch_of_each_trial_forward_and_back(shape):
    encoder = ConvolutionalEncoder(streams(3), shape, 6).double()
    random = torch.Generator().manual_seed(7)
    x = torch.randn(3, 5, int(np.prod(shape)), generator=random, dtype=torch.float64)
    weight = torch.randn(3, 5, 6, generator=random, dtype=torch.float64)
    x.requires_grad_()
    (encoder(x) * weight).sum().backward()
    for trial in range(3):
        model = plain(encoder, trial).double()
        own = x[trial].detach().requires_grad_()
        said = model(own)
        torch.testing.assert_close(said, encoder(x)[trial], rtol=0, atol=1e-10)
        (said * weight[trial]).sum().backward()
        torch.testing.assert_close(own.grad, x.grad[trial], rtol=0, atol=1e-10)
        for place, layer in enumerate(encoder.layers):
            for name in ("weight", "bias"):
                found = getattr(layer, name).grad[trial]
                wanted = getattr(model[1 + 2 * place], name).grad
                torch.testing.assert_close(found.view_as(wanted), wanted, rtol=0, atol=1e-10)
        torch.testing.assert_close(
            encoder.last.weight.grad[trial].T, model[-1].weight.grad, rtol=0, atol=1e-10
        )


def test_a_convolution_is_drawn_as_torch_draws_and_by_its_own_stream():
    ours = StackedConvolution(streams(40), 3, 8)
    theirs = [nn.Conv2d(3, 8, 3) for _ in range(40)]
    for name in ("weight", "bias"):
        drawn = getattr(ours, name).detach().flatten()
        wanted = torch.cat([getattr(own, name).detach().flatten() for own in theirs])
        assert drawn.abs().max() <= 27**-0.5
        assert float(drawn.std()) == pytest.approx(float(wanted.std()), rel=0.1)
        assert float(drawn.std()) == pytest.approx((27 * 3) ** -0.5, rel=0.1)
    alone = StackedConvolution(streams(40)[7:8], 3, 8)
    assert torch.equal(alone.weight[0], ours.weight[7]) and torch.equal(alone.bias[0], ours.bias[7])
    along = StackedConvolution(streams(40), 3, 8, rows=1)
    assert along.weight.shape == (40, 8, 3, 1, 3)
    widest = float(along.weight.detach().abs().max())
    assert 0.98 * 9**-0.5 < widest <= 9**-0.5, "as torch.nn.Conv1d draws"


def made_model(name, shapes=SHAPES):
    """A model of two trials on flat pictures."""
    kind = missing_methods.get(name)
    values = {"lr": 0.01, "weight_decay": 0.0, "hidden": 6, **kind.numbers()}
    hparams = {name: torch.full((TRIALS,), float(value)) for name, value in values.items()}
    prior = torch.full((TRIALS, 3), 1 / 3)
    zeros = tuple(torch.zeros(TRIALS, width) for width in WIDTHS)
    return kind(MissingTask(WIDTHS, 3, prior, zeros, STEPS, shapes), hparams, streams(TRIALS))


def test_pictures_have_convolutions_and_vectors_a_layer():
    kinds = [type(own) for own in made_model(f"ume_mma@{RAW}").branches.encoders]
    assert kinds == [ConvolutionalEncoder, ConvolutionalEncoder, StackedLinear]
    assert {type(own) for own in made_model("ume_mma").branches.encoders} == {StackedLinear}
    vectors = made_model(f"ume_mma@{RAW}", tuple((width,) for width in WIDTHS))
    assert same(vectors.state_dict(), made_model("ume_mma").state_dict())


@pytest.mark.parametrize("method", METHODS)
def test_methods_that_share_branches_have_the_same_encoders(method):
    def encoders(name):
        model = made_model(f"{name}@{RAW}")
        model = model.models[-1] if name == "oracle" else model
        return dict(model.branches.encoders.named_parameters())

    assert same(encoders(method), encoders("ume_mma"))


def test_biases_are_those_of_all_layers():
    model = made_model(f"ume_mma@encoders=biases,{RAW}")
    names = {id(p): name for name, p in model.named_parameters()}
    tuned = [names[id(p)] for p in model.phases()[1].parameters]
    own = [name for name in tuned if "encoders" in name]
    assert len(own) == 2 * (len(CHANNELS) + 1) + 1 and all(name.endswith("bias") for name in own)


def pictured(trials):
    """The made-up instances with pictures, in which each class is bright at another place."""
    bank, random = made_bank(trials), np.random.RandomState(1)
    values = []
    for shape in SHAPES:
        places = random.randn(3, int(np.prod(shape)))
        noise = random.randn(len(bank.answers[0]), int(np.prod(shape)))
        made = places[bank.answers[0].numpy()] + noise
        values.append(torch.tensor(made, dtype=torch.float32)[None])
    zeros = tuple(torch.zeros(1, width) for width in WIDTHS)
    return replace(bank, values=tuple(values), zeros=zeros, shapes=SHAPES)


def trained(trials):
    training = MissingTraining(trials, pictured(trials))
    training.run()
    return training


WAYS = [
    f"ume_mma@{RAW}",
    f"ume_mma@pretext=masked,encoders=biases,{RAW}",
    f"ume_mma@pretext=pairs,encoders=frozen,{RAW}",
    f"ensemble@{RAW}",
    f"oracle@{RAW}",
]


@pytest.mark.parametrize("method", WAYS)
def test_company_and_a_pause_change_nothing(method):
    trials = [made_trial(method, 0), made_trial(method, 1, share=0.37), made_trial(method, 2)]
    whole, single = trained(trials), trained([trials[1]])
    assert np.array_equal(whole.found[1].answers, single.found[0].answers)
    assert np.array_equal(whole.found[1].values, single.found[0].values, equal_nan=True)

    second = resumed(lambda: MissingTraining(trials, pictured(trials)))
    for name, value in whole.moving().items():
        torch.testing.assert_close(second.moving()[name], value, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("encoders", "moved"), [("full", {"weight", "bias"}), ("biases", {"bias"}), ("frozen", set())]
)
def test_what_learns_on_after_fusion_is_what_was_asked(encoders, moved):
    name = "ume_mma@pretext=masked" + ("" if encoders == "full" else f",encoders={encoders}")
    trials = [made_trial(f"{name},{RAW}")]
    training = MissingTraining(trials, pictured(trials))
    half = {}

    def pause():
        if training.step == 12:
            half.update({k: v.clone() for k, v in learned_by(training, "branches").items()})

    training.run(pause=pause)
    ended = learned_by(training, "branches")
    changed = {name for name in half if not torch.equal(half[name], ended[name])}
    own = {name.split(".")[-1] for name in changed if ".encoders." in f".{name}"}
    assert half and own == moved


def test_it_learns_from_pictures_from_nothing():
    found = trained([made_trial(f"ume_mma@pretraining=0,{RAW}", steps=120, rate=0.0)]).found[0]
    full = found.values[found.chosen, -1, 1, 0]
    assert full > 0.6, f"{full} with everything seen; chance is 1/3"


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"sound": (1, 16000)}, r"sound has shape \[1, 16000\]; .* at least 4 pixels a side"),
        ({"words": (5,), "film": (3, 8, 8, 3)}, r"film has shape \[3, 8, 8, 3\]"),
        ({"watch": (3, 1, 3)}, r"watch has shape \[3, 1, 3\]; .* of as many steps"),
        (
            {"words": (5,), "names": (7,)},
            "needs a picture or a series, but words, names are vectors",
        ),
    ],
)
def test_what_is_no_picture_is_refused(shapes, words):
    with pytest.raises(MglibError, match=words):
        check_pictures(shapes)
    check_pictures({"words": (5,), "small": (4, 4), "colour": (3, 9, 8), "watch": (3, 1, 100)})


def test_the_shape_comes_from_the_features(monkeypatch, tmp_path):
    labels = np.arange(40) % 2
    parts = {"train": np.arange(20), "binding": np.arange(0), "validation": np.arange(20, 30)}
    parts["test"] = np.arange(30, 40)
    random = np.random.RandomState(0)
    features = (random.rand(40, 6, 4).astype(np.float32), random.rand(40, 3).astype(np.float32))
    own = Answered(features, labels, labels, parts, 2)
    taken = []
    monkeypatch.setattr(banks, "load_answers", lambda *asked: taken.append(asked[-1]) or own)
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path))
    trial = replace(made_trial(f"ume_mma@{RAW}"), modalities=("handwriting", "words"), law="none")
    bank = banks.load_bank([replace(trial, rate=0.0)])
    assert taken == ["pictures"] and bank.shapes == ((6, 4), (3,))
    assert bank.values[0].shape == (1, 40, 24) and bank.narrow([0]).shapes == bank.shapes
    learn = features[0][:20].reshape(20, 24)
    wanted = (features[0].reshape(40, 24) - learn.mean(0)) / learn.std(0)
    np.testing.assert_allclose(bank.values[0][0].numpy(), wanted, rtol=1e-4, atol=1e-5)


def perceived(values, kind, side=16):
    own = FeatureSet(values, None, {}, [], np.arange(len(values)), {})
    dataset = SimpleNamespace(kinds={"it": kind})
    sense = Pictures() if side == 16 else trainer.perceptors.get(f"pictures@side={side}")()
    return sense.perceive(dataset, "it", [own], None, lambda share: None)[0]


def test_pixels_are_means_of_squares():
    picture = np.random.RandomState(0).randint(0, 256, (2, 9, 13, 3)).astype(np.uint8)
    found = perceived(picture, "image", 4)
    assert found.shape == (2, 3, 4, 6) and found.dtype == np.float32
    for n, c, row, column in np.ndindex(found.shape):
        square = picture[n, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2, c] / 255
        assert found[n, c, row, column] == pytest.approx(square.mean(), abs=1e-6)
    sound = np.random.RandomState(1).randn(2, 64, 100).astype(np.float32)
    assert perceived(sound, "audio").shape == (2, 16, 25)
    np.testing.assert_allclose(
        perceived(sound, "audio").mean((1, 2)), sound.mean((1, 2)), atol=1e-6
    )
    words = np.ones((2, 7), np.float32)
    assert perceived(words, "text") is words
    watch = np.random.RandomState(2).randn(4, 50, 3).astype(np.float32)
    along = perceived(watch, "series")
    assert along.shape == (4, 3, 1, 50) and np.array_equal(along[1, 2, 0], watch[1, :, 2])
    assert np.array_equal(pooled(sound[:, :8, :8], 16), sound[:, :8, :8])
    with pytest.raises(MglibError, match="images are uint8, not float32"):
        perceived(sound, "image")
    with pytest.raises(MglibError, match=r"pictures are \[N, height, width\(, 3\)\], not \[2, 7\]"):
        perceived(words, "audio")


def test_only_views_of_what_is_prepared_are_made(monkeypatch):
    ready = {"raw/speech", "raw/handwriting", "frozen/words"}
    monkeypatch.setattr(trainer, "recipe", lambda data, name, modality, split: f"{name}/{modality}")
    monkeypatch.setattr(trainer, "state", lambda asked: "ready" if asked in ready else "missing")
    for modality in ("speech", "handwriting", "words"):
        assert trainer.is_view("numerals", "pictures", modality)
        assert not trainer.is_view("numerals", "frozen", modality)
    assert not trainer.is_view("numerals", "raw", "speech")
    assert not trainer.is_view("numerals", "pictures", "handwriting_clean")
    ready.remove("frozen/words")
    assert not trainer.is_view("numerals", "pictures", "words")


@pytest.mark.parametrize("word", ["labels", "masked", "pairs"])
def test_every_pretext_teaches_the_convolutions(word):
    name = f"ume_mma@{RAW}" if word == "labels" else f"ume_mma@pretext={word},{RAW}"
    model = made_model(name)
    model.alone(made_batch(widths=WIDTHS)).sum().backward()
    slopes = {name: own.grad for name, own in model.branches.encoders.named_parameters()}
    assert all(own is not None and own.abs().amax() > 0 for own in slopes.values())
