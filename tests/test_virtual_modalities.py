"""The benchmark of virtual modalities: both sides compute what they are said to."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from _missing import linear, perceptron
from scipy.special import erf

from mglib.cli import main
from mglib.missing.generators import LEARNED
from mglib.report import bench

virtual_modalities = bench.load("virtual_modalities")
_virtual, _memory = (sys.modules[f"benchmarks.{name}"] for name in ("_virtual", "_memory"))
WIDTHS = (6, 4, 5)
TINY = _virtual.Sizes(widths=WIDTHS, calls=3, rows=3)
pytestmark = pytest.mark.usefixtures("one_thread")


def gelu(x):
    return x * (1 + erf(x / 2**0.5)) / 2


@pytest.mark.parametrize("word", LEARNED)
@torch.no_grad()
def test_sides_share_a_network_and_differ_in_what_is_missing(word):
    model = _virtual.model_of(word, WIDTHS)
    features = _virtual.utterances(3, 6)
    assert features.norm(dim=-1).tolist() == pytest.approx([1, 1, 1])
    blank = [np.zeros((3, width)) for width in WIDTHS[1:]]

    def answers(others):
        beside = np.concatenate([features.numpy(), *others], 1)
        return perceptron(model.reader.perceptron.layers, 0, beside)

    zeros = _virtual.filling(model.reader, WIDTHS)(features)
    np.testing.assert_allclose(zeros, answers(blank), atol=1e-6)
    real, seen = _virtual._seen(features, WIDTHS)
    made = [own[0].numpy() for own in model.generator(real, seen)[1:]]
    ours = _virtual.generating(model)(features)
    np.testing.assert_allclose(ours, answers(made), atol=1e-5)
    assert not torch.allclose(ours, zeros, atol=1e-3)
    assert ours.shape == (3, _virtual.CLASSES)


@torch.no_grad()
def test_a_pairwise_generator_reads_the_seen_modality_alone():
    model = _virtual.model_of("pairwise", WIDTHS)
    features = _virtual.utterances(3, 6)
    real, seen = _virtual._seen(features, WIDTHS)
    for place in (1, 2):
        inner, outer = model.generator.maps[f"0to{place}"].layers
        wanted = linear(outer, 0, gelu(linear(inner, 0, features)))
        np.testing.assert_allclose(model.generator(real, seen)[place][0], wanted, atol=1e-6)


@torch.no_grad()
def test_the_modality_alone_is_read_by_a_network_as_wide():
    features = _virtual.utterances(3, 6)
    reader = _virtual.reader_of((6,))
    assert reader.perceptron.layers[0].weight.shape == (1, 6, _virtual.HIDDEN)
    wanted = perceptron(reader.perceptron.layers, 0, features)
    np.testing.assert_allclose(_virtual.alone(6)(features), wanted, atol=1e-6)


def test_a_stream_answers_from_the_mean_of_its_frames_so_far():
    frames = torch.randn(4, 2, 6, generator=torch.Generator().manual_seed(0))
    following = _virtual.Following(lambda mean: 2 * mean, 2, 6)
    for number, frame in enumerate(frames, 1):
        torch.testing.assert_close(following.frame(frame), 2 * frames[:number].mean(0))


def test_streams_by_the_time_of_a_frame(monkeypatch):
    """A frame takes 3 ms alone: 13.3 of 25 fps; 1 ms each together: 40 in its 40 ms."""
    taken = {"streams": 0}

    def seconds(once, calls):
        once()
        return [0.001 * taken["streams"]] * calls

    def answer(mean):
        taken["streams"] = len(mean)
        return mean

    monkeypatch.setattr(_virtual, "_seconds", seconds)
    assert _virtual.streams_together(answer, 6, 25, 2**10)() == pytest.approx(40)
    assert _virtual.streams_together(answer, 6, 25, 16)() == 16
    once = _virtual.one_by_one(lambda mean: answer(mean.expand(3, -1)), lambda: torch.ones(1, 6))
    assert _virtual.streams_alone(once, 5, 25)() == pytest.approx(1 / (25 * 0.003))


@torch.no_grad()
def test_encoders_give_features_of_their_widths():
    picture, text = _virtual.picture_encoder()(), _virtual.text_encoder()()
    assert picture.shape == (1, 1280) and text.shape == (1, 512)
    assert _virtual.clip_encoder()().shape == (1, 512)
    assert picture.std() > 0 and text.norm().item() == pytest.approx(1, abs=1e-5)


def test_fusions_train_at_the_sizes_of_the_notebook():
    found = {word: _virtual.training_of(word, 200) for word in _virtual.FUSIONS}
    for training in found.values():
        (trial, *_) = training.trials
        assert trial.rows == 64 and trial.values["hidden"] == 128
        assert [own.shape[-1] for own in training.bank.values] == [1280, 288, 512]
        assert len(training.trials) >= 4
        learning = training.phases[-1].parameters  # mid fusion has no use for heads of branches
        before = [p.detach().clone() for p in learning]
        assert virtual_modalities.seconds_of(training, 1)() > 0
        assert training.step == virtual_modalities.BLOCK + 1
        assert not any(torch.equal(a, b) for a, b in zip(before, learning, strict=True))
    assert {word: found[word].model.fusion.word for word in ("late", "mid")} == {
        "late": "sum",
        "mid": "mid",
    }
    assert found["early"].model.encoder.weight.shape[1:] == (1280 + 288 + 512, 128)
    for word in ("late", "mid", "early"):
        assert found[word].model.hparams["probability"].eq(0).all()


def test_memory_is_that_of_the_weights_at_the_least():
    """Six perceptrons 512 -> 128 -> 512: 3.1 MB; the fusion network, 0.8 MB, has none of them."""
    sizes = _virtual.Sizes(rows=1)
    ours, zeros = (_memory.taken(_virtual.building, word, sizes) for word in ("pairwise", ""))
    assert 3.0 < ours < 30 and zeros < ours - 2


def test_json_has_the_promised_form(capsys, monkeypatch):
    monkeypatch.setattr(virtual_modalities, "QUICK", TINY)
    cheap = {name: virtual_modalities.PARTS[name] for name in ("utterance", "batch", "stream")}
    monkeypatch.setattr(virtual_modalities, "PARTS", cheap)
    assert main(["bench", "virtual_modalities", "--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 5 * len(LEARNED)
    for one in found:
        assert set(one) == set(bench.Entry.__annotations__)
        assert one["ratio"] > 0 and one["unit"] and one["limit"] is None
