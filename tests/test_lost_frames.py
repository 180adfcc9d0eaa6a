"""Temporal encoders against torch's own and numpy, laws by name, frames, and what the rows say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from _sequences import NAMES, made_trial, trained

from mglib.analysis.pairs import corrected_t_test, holm
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.figures.missing import draw_grid
from mglib.missing.results.lost_frames import area_table, areas, contrasts, curves
from mglib.missing.results.values import intervals
from mglib.missing.sequences.gru import StackedGRU
from mglib.missing.sequences.laws import check_law
from mglib.missing.sequences.trial import sequence_trials
from mglib.missing.sequences.ways import WAYS, interpolated, pooled, told, zeros
from mglib.perceptors._speech import HOP, SEEN, over_frames
from mglib.perceptors.frames import Frames, cut
from mglib.perceptors.speech_frames import SpeechFrames
from mglib.registry import datasets

T, B, F, D, H = 2, 9, 6, 3, 4


def streams():
    return [torch.Generator().manual_seed(trial) for trial in range(T)]


@pytest.fixture
def stacked():
    """A stack of two in double precision, and torch's own with the same weights."""
    ours = StackedGRU(streams(), D, H).double()
    theirs = []
    for trial in range(T):
        one = torch.nn.GRU(D, H, batch_first=True).double()
        with torch.no_grad():
            one.weight_ih_l0.copy_(ours.reads.weight[trial].T)
            one.weight_hh_l0.copy_(ours.keeps.weight[trial].T)
            one.bias_ih_l0.copy_(ours.reads.bias[trial, 0])
            one.bias_hh_l0.copy_(ours.keeps.bias[trial, 0])
        theirs.append(one)
    return ours, theirs


def made(seed=0):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(T, B, F, D, generator=random, dtype=torch.float64)
    seen = torch.rand(T, B, F, generator=random) < 0.5
    seen[0, 0] = False
    return x, seen, torch.ones_like(seen)


def test_states_and_gradients_are_those_of_torch(stacked):
    ours, theirs = stacked
    x, _, whole = made()
    states = ours(x, whole)
    (states**2).sum().backward()
    for trial, one in enumerate(theirs):
        wanted, _ = one(x[trial])
        torch.testing.assert_close(states[trial], wanted)
        (wanted**2).sum().backward()
        torch.testing.assert_close(ours.reads.weight.grad[trial].T, one.weight_ih_l0.grad)
        torch.testing.assert_close(ours.keeps.weight.grad[trial].T, one.weight_hh_l0.grad)
        torch.testing.assert_close(ours.keeps.bias.grad[trial, 0], one.bias_hh_l0.grad)


def test_a_skipped_frame_is_as_if_it_had_never_been(stacked):
    ours, theirs = stacked
    x, seen, whole = made()
    last = ours(*WAYS["skipped"](x, seen, whole))[:, :, -1]
    for trial in range(T):
        for row in range(B):
            short = x[trial, row][seen[trial, row]]
            wanted = theirs[trial](short[None])[0][0, -1] if len(short) else torch.zeros(H).double()
            torch.testing.assert_close(last[trial, row], wanted)
    assert (ours(*WAYS["zeros"](x, seen, whole))[:, :, -1] - last).abs().max() > 0.01


@pytest.mark.parametrize("way", ["zeros", "skipped", "interpolated"])
def test_with_nothing_lost_all_are_the_plain_unit(stacked, way):
    ours, _ = stacked
    x, _, whole = made()
    torch.testing.assert_close(ours(*WAYS[way](x, whole, whole)), ours(x, whole), rtol=0, atol=0)


def test_interpolation_is_that_of_numpy():
    x, seen, whole = made(1)
    filled, moved = interpolated(x, seen, whole)
    assert moved.all()
    for place in np.ndindex(T, B, D):
        own, there = x[place[0], place[1], :, place[2]].numpy(), seen[place[:2]].numpy()
        at = np.arange(F)
        wanted = np.interp(at, at[there], own[there]) if there.any() else np.zeros(F)
        own = filled[place[0], place[1], :, place[2]].numpy()
        np.testing.assert_allclose(own, wanted, rtol=1e-5)


def test_zeros_bits_and_means():
    x, seen, whole = made(2)
    bare, _ = zeros(x, seen, whole)
    assert torch.equal(bare[seen], x[seen]) and not bare[~seen].any()
    with_bit, _ = told(x, seen, whole)
    assert torch.equal(with_bit[..., :-1], bare) and torch.equal(with_bit[..., -1] == 1, seen)
    mean, moved = pooled(x, seen, whole)
    for place in np.ndindex(T, B):
        own = x[place][seen[place]]
        wanted = own.mean(0) if len(own) else torch.zeros(D).double()
        torch.testing.assert_close(mean[place][0], wanted)
        assert moved[place].item() == bool(len(own))


GRID = dict(
    dataset="smartwatch",
    perceptor="frames",
    modalities=NAMES,
    ways=["zeros"],
    trained=[("none", 0.0)],
    laws=["burst"],
    rates=[0.5],
    seeds=[0],
    split_seeds=[0],
    steps=10,
    every=5,
)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"ways": ["skiped"]}, "no way with lost frames 'skiped'; did you mean 'skipped'"),
        ({"laws": ["bursts"]}, "no law of lost frames 'bursts'; did you mean 'burst'"),
        ({"rates": [1.0]}, "from 0 to below 1, not 1.0"),
        ({"rates": [0.0]}, "at rate 0 by law 'none', not at 0.0 by 'burst'"),
        ({"rates": [0.5, 0.5]}, "rates of loss at test must be one or more different ones"),
        ({"trained": [("none", 0.5)]}, "at rate 0 by law 'none', not at 0.5 by 'none'"),
        ({"trained": []}, "laws of loss in training must be one or more"),
        ({"modalities": ["giroscope"]}, "did you mean 'gyroscope'"),
        ({"target": "clas"}, "did you mean 'class'"),
        ({"perceptor": "bound"}, "perceptor 'bound' is fitted per split"),
        ({"hparams": {"hidden": 48}}, "hidden must be a multiple of 32, not 48"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_asked_is_one_line(more, line):
    with pytest.raises(MglibError, match=line) as caught:
        sequence_trials(**{**GRID, **more})
    assert "\n" not in str(caught.value)
    assert len(sequence_trials(**GRID)) == 1


def test_a_rate_is_a_number():
    with pytest.raises(MglibError, match="not nan"):
        check_law("burst", float("nan"))


def features(values, lengths=None):
    return FeatureSet(values, lengths, {}, [], np.arange(len(values)), {})


def test_frames_are_pieces_in_their_order():
    random = np.random.RandomState(0)
    series = random.randn(4, 23, 3).astype(np.float32)
    found, lengths = Frames().perceive(
        datasets.get("smartwatch")(), "gyroscope", [features(series)], None, lambda share: None
    )
    assert found.shape == (4, 4, 15) and lengths is None
    for row, frame, step, axis in np.ndindex(4, 4, 5, 3):
        assert found[row, frame, 3 * step + axis] == series[row, 5 * frame + step, axis]
    pictures = random.randn(2, 64, 100).astype(np.float32)
    sound, _ = Frames().perceive(
        datasets.get("numerals")(), "speech", [features(pictures)], None, lambda share: None
    )
    assert sound.shape == (2, 20, 64) and sound.dtype == np.float32
    for row, frame in np.ndindex(2, 20):
        wanted = pictures[row, :, 5 * frame : 5 * frame + 5].mean(1)
        np.testing.assert_allclose(sound[row, frame], wanted, atol=1e-6)
    with pytest.raises(MglibError, match=r"frames of 5 need \[N, time, D\], not \[2, 4, 3\]"):
        cut(np.zeros((2, 4, 3)))


def test_a_frame_of_speech_hears_the_sound_up_to_its_end():
    random = np.random.RandomState(0)
    sound = random.randint(-9000, 9000, (3, 2, 16000)).astype(np.int16)
    lengths = np.array([[16000, 16000], [16000, 16000], [5 * HOP + 7, 16000]])
    data = datasets.get("numerals")()

    def heard(values):
        inputs = [features(values, lengths)]
        return SpeechFrames().perceive(data, "speech", inputs, None, lambda share: None)

    frames, inside = heard(sound)
    assert frames.shape == (3, 12, 96) and inside.tolist() == [12, 12, 5]
    other = sound.copy()
    other[:, 1] = 0  # the second take
    other[:, 0, 4 * HOP :] = 0  # what comes after frame 3
    other[2, 0, 5 * HOP + 7 :] = 99  # beyond the length
    again, _ = heard(other)
    np.testing.assert_allclose(again[:, :4], frames[:, :4], atol=1e-3)
    assert np.abs(again[0, 4:8] - frames[0, 4:8]).max() > 0.1
    # the last frame is the model's answer to the 0.775 s that end with it
    last = over_frames(sound[:1, 0, 12 * HOP - SEEN : 12 * HOP], lambda own: own)
    np.testing.assert_allclose(last[0, 0], frames[0, 11], atol=1e-3)
    with pytest.raises(MglibError, match="takes 16000 samples per second, not None"):
        data = datasets.get("smartwatch")()
        heard(sound)


@pytest.fixture(scope="module")
def said():
    trials = [
        made_trial(way, law=law, rate=rate, split=split)
        for way in ("zeros", "pooled")
        for law, rate in (("none", 0.0), ("bernoulli", 0.3))
        for split in range(3)
    ]
    rows = [
        row
        for way in ("zeros", "pooled")
        for row in trained([t for t in trials if t.way == way]).rows()
    ]
    return pd.DataFrame(rows), {trial.key: trial for trial in trials}


def test_curves_are_of_the_chosen_checkpoint_and_begin_whole(said):
    frame, trials = said
    found = curves(frame, trials)
    assert len(found) == 12 * 2 * 3 and set(found["trained"]) == {"whole", "bernoulli 0.3"}
    for key, own in found.groupby("key"):
        rows = frame[frame["key"] == key]
        held = rows[(rows["split"] == "validation") & (rows["metric"] == "accuracy")]
        assert set(own["step"]) == {held.loc[held["value"].idxmax(), "step"]}
        whole = own[own["rate"] == 0]
        assert [*whole["law"]] == ["bernoulli", "last"] and whole["accuracy"].nunique() == 1
    cell = found[(found["law"] == "last") & (found["rate"] == 0.8)].iloc[0]
    (value,) = frame[
        (frame["key"] == cell["key"])
        & (frame["step"] == cell["step"])
        & (frame["test_pattern"] == "last")
        & (frame["test_rate"] == 0.8)
        & (frame["metric"] == "accuracy")
    ]["value"]
    assert cell["accuracy"] == value


def test_an_area_is_the_mean_of_its_curve(said):
    found = curves(*said)
    summed = areas(found)
    assert len(summed) == 12 * 2
    for own in summed.itertuples():
        line = found[(found["key"] == own.key) & (found["law"] == own.law)].sort_values("rate")
        a, b, c = line["accuracy"]
        assert own.accuracy == pytest.approx((0.4 * (a + b) / 2 + 0.4 * (b + c) / 2) / 0.8)
    whole = summed[summed["trained"] == "whole"]
    table = area_table(whole, {"zeros": "Z", "told": "T"}, ["bernoulli", "last"], 0.2)
    assert [*table.columns] == ["Lost frames", "bernoulli", "last"]
    assert table.iloc[1].tolist() == ["T", "–", "–"] and "±" in table.iloc[0, 1]


def test_contrasts_are_paired_by_split_and_corrected_together(said):
    summed = areas(curves(*said))
    found = contrasts(summed, "way", "zeros", ["trained", "law"], 0.2)
    assert len(found) == 4 and set(found["way"]) == {"pooled"} and set(found["n"]) == {3}
    one = found[(found["trained"] == "whole") & (found["law"] == "last")].iloc[0]
    own = summed[(summed["trained"] == "whole") & (summed["law"] == "last")]
    table = own.pivot_table(index="split_seed", columns="way", values="accuracy")
    assert one["mean"] == pytest.approx((table["pooled"] - table["zeros"]).mean())
    raw = []
    for by_cell in summed.groupby(["trained", "law"], sort=False):
        cells = by_cell[1].pivot_table(index="split_seed", columns="way", values="accuracy")
        raw.append(corrected_t_test((cells["pooled"] - cells["zeros"]).tolist(), 0.2).p)
    assert sorted(found["p"]) == pytest.approx(sorted(holm(raw)))
    assert contrasts(own[own["split_seed"] == 0], "way", "zeros", ["law"], 0.2).empty


def test_a_grid_of_panels_names_rows_columns_and_units(said):
    found = curves(*said)
    rows = {
        training: {
            law: intervals(own, ["way", "rate"], 0.2).rename(columns={"way": "line"})
            for law, own in by_law.groupby("law")
        }
        for training, by_law in found.groupby("trained")
    }
    del rows["whole"]["last"]
    figure = draw_grid(rows, {"zeros": "zeros", "pooled": "mean"}, "rate", "Share of frames lost")
    axes = figure.axes
    assert len(axes) == 4 and {"bernoulli", "last"} == {a.get_title(loc="left") for a in axes[:2]}
    assert {a.get_ylabel() for a in (axes[0], axes[2])} == {
        "bernoulli 0.3\nAccuracy [%]",
        "whole\nAccuracy [%]",
    }
    assert figure.get_supxlabel() == "Share of frames lost"
    own = rows["bernoulli 0.3"]["bernoulli"]
    drawn = axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(drawn, 100 * own[own["line"] == "zeros"]["mean"])
    assert not axes[3].lines
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["zeros", "mean"]
