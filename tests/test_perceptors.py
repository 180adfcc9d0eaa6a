"""Encoders against slow formulas and known answers; the bound space against closed forms."""

from __future__ import annotations

import json
from dataclasses import replace

import _foundations
import numpy as np
import pytest

from mglib.analysis.retrieval import recall_at_k
from mglib.data._base import unpack_strings
from mglib.data.emoji_concepts import EmojiConcepts
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import STANDARD_PERCEPTORS, FeatureSet, load_features
from mglib.perceptors._linear import fit_ridge
from mglib.perceptors.bound import PENALTIES, Bound
from mglib.perceptors.efficientnet_lite import EfficientNetLite0, network, normalised
from mglib.perceptors.prepare import prepare
from mglib.perceptors.speech_embedding import SpeechEmbedding
from mglib.perceptors.universal_sentence_encoder import SentenceEncoder, UniversalSentenceEncoder
from mglib.registry import perceptors

IMAGENET = {
    "zebra": 340,
    "tiger": 292,
    "lion": 291,
    "panda": 388,
    "koala": 105,
    "strawberry": 949,
    "banana": 954,
    "pineapple": 953,
    "lemon": 951,
    "pizza": 963,
    "guitar": 402,
    "basketball": 430,
    "soccer ball": 805,
    "umbrella": 879,
    "violin": 889,
    "mushroom": 947,
    "snail": 113,
    "hammer": 587,
    "bell pepper": 945,
    "broccoli": 937,
    "pretzel": 932,
    "hourglass": 604,
    "ladybug": 301,
    "volcano": 980,
}


SHARED = {
    "bound": "bound",
    "contrastive": "contrastive",
    "anchored": "bound",
    "swapped": "swapped",
    "relative": "relative",
    **{kind: kind for kind in _foundations.CONFIGS},
}


@pytest.fixture(scope="module")
def names(emoji_concepts) -> list[str]:
    return unpack_strings(load_features(emoji_concepts, "raw", "text").values)


@pytest.mark.parametrize("name", perceptors.names())
def test_contract(name, emoji_concepts, tmp_path, monkeypatch):
    if name in _foundations.CONFIGS:
        monkeypatch.setenv("MGLIB_MODELS", str(tmp_path))
        _foundations.write_model(tmp_path, name)
    sense = perceptors.get(name)()
    assert sense.version and sense.kinds
    assert json.loads(json.dumps(sense.parameters())) == sense.parameters()
    modalities = [m for m in EmojiConcepts.core if EmojiConcepts.kinds[m] in sense.kinds]
    spaces = {m: sense.space(EmojiConcepts(), m) for m in modalities}
    assert all(space.startswith(f"{SHARED.get(name, name)}/") for space in spaces.values())
    assert len(set(spaces.values())) == (1 if name in SHARED else len(modalities))
    assert sense.values() == {key: own.default for key, own in sense.settings.items()}
    # A setting that came later may be left out while it is as by default: no key changes with it.
    told = sense.parameters()
    assert all(told.get(key, value) == value for key, value in sense.values().items())
    for modality in modalities:
        if name not in STANDARD_PERCEPTORS:
            continue
        features = load_features(emoji_concepts, name, modality, 0)
        assert len(features.values) == 1629 and features.card["space"] == spaces[modality]
        if name != "raw":
            assert features.values.dtype == np.float32 and features.values.ndim == 2
            assert np.isfinite(features.values).all() and features.values.std(axis=0).max() > 0
        if features.card["unit_norm"]:
            assert np.allclose(np.linalg.norm(features.values, axis=1), 1, atol=1e-5)


def test_an_encoder_alone_gives_what_frozen_gives(emoji_concepts):
    prepare(emoji_concepts, ("universal_sentence_encoder",), ["text"])
    alone = load_features(emoji_concepts, "universal_sentence_encoder", "text")
    assert np.array_equal(alone.values, load_features(emoji_concepts, "frozen", "text").values)


def slow_convolution(image, weight, stride, groups=1):
    """[C, H, W] with TensorFlow's SAME padding, one output at a time."""
    outer, inner, kernel, _ = weight.shape
    height, width = (-(-size // stride) for size in image.shape[1:])
    before = [
        max((out - 1) * stride + kernel - size, 0) // 2
        for out, size in zip((height, width), image.shape[1:], strict=True)
    ]
    result = np.zeros((outer, height, width))
    for out, row, column in np.ndindex(result.shape):
        first = out // (outer // groups) * inner
        for depth, down, right in np.ndindex(inner, kernel, kernel):
            y, x = row * stride + down - before[0], column * stride + right - before[1]
            if 0 <= y < image.shape[1] and 0 <= x < image.shape[2]:
                pixel = image[first + depth, y, x]
                result[out, row, column] += weight[out, depth, down, right] * pixel
    return result


def test_first_blocks_against_loops():
    import torch

    model = network()
    state = {key: value.double().numpy() for key, value in model.state_dict().items()}

    def normed(hidden, key):
        mean, variance, weight, bias = (
            state[f"{key}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (hidden - mean) / np.sqrt(variance + 1e-3) * weight + bias

    pixels = np.random.RandomState(0).randint(0, 256, (5, 6, 3)).astype(np.uint8)
    image = (pixels.transpose(2, 0, 1) - 127.0) / 128
    hidden = slow_convolution(image, state["_conv_stem.weight"], 2)
    hidden = np.clip(normed(hidden, "_bn0"), 0, 6)
    for block, stride in ((0, 1), (1, 2)):
        key = f"_blocks.{block}"
        if block:
            hidden = slow_convolution(hidden, state[f"{key}._expand_conv.weight"], 1)
            hidden = np.clip(normed(hidden, f"{key}._bn0"), 0, 6)
        depthwise = state[f"{key}._depthwise_conv.weight"]
        hidden = slow_convolution(hidden, depthwise, stride, len(hidden))
        hidden = np.clip(normed(hidden, f"{key}._bn1"), 0, 6)
        hidden = slow_convolution(hidden, state[f"{key}._project_conv.weight"], 1)
        hidden = normed(hidden, f"{key}._bn2")
    with torch.no_grad():
        start = torch.clamp(model._bn0(model._conv_stem(normalised(pixels[None]))), 0, 6)
        ours = model._blocks[1](model._blocks[0](start))[0].numpy()
    assert ours.shape == hidden.shape == (24, 2, 2)
    np.testing.assert_allclose(ours, hidden, rtol=1e-4, atol=1e-4)


def test_imagenet_classes_are_recognised_in_art(emoji_concepts, names):
    import torch
    from PIL import Image

    art = load_features(emoji_concepts, "raw", "art").values
    known = {name: place for name, place in IMAGENET.items() if name in names}
    pictures = np.stack(
        [np.asarray(Image.fromarray(art[names.index(name)]).resize((224, 224))) for name in known]
    )
    with torch.no_grad():
        best = network()(normalised(pictures)).topk(5).indices.numpy()
    hits = [place in row for place, row in zip(known.values(), best, strict=True)]
    assert len(known) >= 18 and np.mean(hits) > 0.2  # drawings, not photographs; chance .005


def test_a_photographed_flower_is_a_daisy():
    import torch
    from PIL import Image
    from sklearn.datasets import load_sample_image

    photograph = load_sample_image("flower.jpg")[:, 106:533]
    pixels = np.asarray(Image.fromarray(photograph).resize((224, 224)))
    with torch.no_grad():
        assert int(network()(normalised(pixels[None])).argmax()) == 985


def test_images_are_checked_and_grey_is_colour_thrice():
    grey = np.random.RandomState(0).randint(0, 256, (2, 40, 40)).astype(np.uint8)
    encoder = EfficientNetLite0()
    features = encoder.encode(grey)
    assert features.shape == (2, 1280) and features.dtype == np.float32
    assert np.array_equal(features, encoder.encode(np.repeat(grey[..., None], 3, axis=-1)))
    with pytest.raises(MglibError, match="uint8"):
        encoder.encode(grey.astype(np.float32))


def test_sentences_of_equal_meaning_are_near_across_languages():
    encoder = UniversalSentenceEncoder()
    vectors = encoder.sentences(
        [
            "The cat sleeps on the sofa.",
            "Die Katze schläft auf dem Sofa.",
            "猫がソファーで寝ている。",
            "Shares fell sharply today.",
            "Die Aktien sind heute stark gefallen.",
            "今日、株価が急落した。",
        ]
    )
    alike = vectors @ vectors.T
    assert np.allclose(np.diagonal(alike), 1, atol=1e-5)
    same = np.kron(np.eye(2, dtype=bool), np.ones((3, 3), dtype=bool))
    assert alike[same].min() > 0.6 and alike[~same].max() < 0.35


def test_names_find_their_translation(emoji_concepts):
    from mglib.data.emoji_concepts import _names

    english, german, japanese = _names("en"), _names("de"), _names("ja")
    kept = load_features(emoji_concepts, "raw", "text").instance_ids[::8]
    emoji = ["".join(chr(int(code, 16)) for code in name.split("-")) for name in kept]
    encoder = UniversalSentenceEncoder()
    vectors = [
        encoder.sentences([table[sequence] for sequence in emoji])
        for table in (english, german, japanese)
    ]
    assert recall_at_k(vectors[0], vectors[1], 1) > 0.6  # chance .005
    assert recall_at_k(vectors[0], vectors[2], 1) > 0.6


def test_n_gram_branch_against_loops():
    encoder = SentenceEncoder()
    w = {
        name: value.astype(np.float64)
        for name, value in encoder.weights.items()
        if not name.startswith("q")
    }
    words = np.random.RandomState(0).randn(4, 512).astype(np.float32)
    for width, left in ((2, 0), (3, 1), (5, 2)):
        hidden = words.astype(np.float64) @ w[f"proj{width}"] + w[f"proj_b{width}"]
        hidden = hidden - hidden.mean(1, keepdims=True)
        hidden = hidden / np.sqrt(np.square(hidden).mean(1, keepdims=True) + w["eps"])
        hidden = hidden * w[f"ln_g{width}"] + w[f"ln_b{width}"]
        for layer in (1, 2):
            taps = w[f"w{layer}_{width}"].reshape(width, 256, 256)
            fresh = hidden.copy()
            for word in range(4):
                total = w[f"b{layer}_{width}"].copy()
                for tap in range(width):
                    if 0 <= word + tap - left < 4:
                        total += hidden[word + tap - left] @ taps[tap]
                fresh[word] += np.maximum(total, 0)
            hidden = fresh
        ours = encoder._branch(words, width, left)
        np.testing.assert_allclose(ours, hidden, rtol=1e-3, atol=1e-3)


def test_same_word_in_two_voices_is_nearer_than_other_words(emoji_concepts):
    speech = load_features(emoji_concepts, "raw", "speech")
    takes = SpeechEmbedding().takes(speech.values[::20])
    centred = takes - takes.mean(axis=0)
    assert recall_at_k(centred[:, 0], centred[:, 1], 1) > 0.6  # chance .012
    frozen = load_features(emoji_concepts, "frozen", "speech").values[::20]
    np.testing.assert_allclose(takes.mean(axis=1), frozen, rtol=1e-5, atol=1e-5)
    with pytest.raises(MglibError, match="int16"):
        SpeechEmbedding().encode(speech.values[:1, 0])


@pytest.mark.parametrize("shape", [(40, 5), (20, 60), (2, 7)])
def test_ridge_map_against_sklearn_and_brute_force(shape):
    from sklearn.linear_model import Ridge

    random = np.random.RandomState(0)
    x = random.randn(*shape) * random.uniform(0.1, 10, shape[1])
    y = x[:, :2] @ random.randn(2, 3) + random.randn(len(x), 3)
    penalties = PENALTIES[::4]
    ours = fit_ridge(x, y, penalties)
    reference = Ridge(ours.penalty, fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(ours(x), reference.predict(x), rtol=1e-6, atol=1e-8)
    errors = []
    for penalty in penalties:
        total = 0.0
        for out in range(len(x)):
            rest = np.arange(len(x)) != out
            model = Ridge(penalty, fit_intercept=False).fit(x[rest], y[rest])
            total += np.square(model.predict(x[[out]]) - y[out]).sum()
        errors.append(total)
    assert ours.penalty == penalties[int(np.argmin(errors))]


def test_the_penalties_tried_are_those_on_the_card(monkeypatch):
    import mglib.perceptors.bound as module

    tried = []

    def fit(features, anchor, penalties):
        tried.append(penalties)
        return fit_ridge(features, anchor, penalties)

    monkeypatch.setattr(module, "fit_ridge", fit)
    monkeypatch.setattr(module, "PENALTIES", np.array([3.0]))
    random = np.random.RandomState(0)
    inputs = [
        FeatureSet(random.randn(20, 3), None, {}, [str(n) for n in range(20)], np.arange(20), {})
        for _ in range(2)
    ]
    Bound().perceive(EmojiConcepts(), "speech", inputs, 0, lambda share: None)
    assert [list(penalties) for penalties in tried] == [[3.0]]
    assert Bound().parameters() == {**Bound.values(), "penalties": [3.0]}


def test_binding_sees_neither_labels_nor_other_instances(emoji_concepts):
    random = np.random.RandomState(0)
    inputs = [load_features(emoji_concepts, "frozen", modality) for modality in ("speech", "text")]
    pairs = split_indices(inputs[0].groups, 2)["binding"]
    blind = []
    for features in inputs:
        values = random.randn(*features.values.shape).astype(np.float32)
        values[pairs] = features.values[pairs]
        blind.append(replace(features, values=values, targets={}))
    stored = load_features(emoji_concepts, "bound", "speech", 2).values
    seen, _ = Bound().perceive(EmojiConcepts(), "speech", inputs, 2, lambda share: None)
    unseen, _ = Bound().perceive(EmojiConcepts(), "speech", blind, 2, lambda share: None)
    assert np.array_equal(seen, stored)
    assert np.array_equal(unseen[pairs], stored[pairs]) and not np.array_equal(unseen, stored)


@pytest.mark.parametrize(("modality", "least"), [("art", 0.25), ("glyph", 0.2), ("speech", 0.25)])
def test_held_out_pairs_are_found_in_the_bound_space(emoji_concepts, modality, least):
    recalls = []
    for seed in range(3):
        bound = [load_features(emoji_concepts, "bound", m, seed) for m in (modality, "text")]
        test = split_indices(bound[0].groups, seed)["test"]
        recalls.append(recall_at_k(bound[0].values[test], bound[1].values[test], 10))
    assert np.mean(recalls) > least  # chance .03
