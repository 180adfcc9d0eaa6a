"""Perceptors of foundation models against transformers' own calls, closed forms, and refusals."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from _bodies import copy_of
from _foundations import (
    CONFIGS,
    END,
    FRAMES,
    SOUNDS,
    START,
    TEXTS,
    WORDS,
    Scenes,
    pixels_of,
    tokenizer,
    write_model,
)
from torch.nn.functional import normalize

from mglib import paths
from mglib.data._base import pack_strings
from mglib.errors import MglibError
from mglib.features import FeatureSet, data_identity, load_features, recipe, state
from mglib.perceptors import _folders, _foundation
from mglib.perceptors._foundation import RawBatch
from mglib.perceptors.clap import middle, resampled
from mglib.perceptors.prepare import prepare
from mglib.registry import datasets, perceptors

pytestmark = pytest.mark.usefixtures("one_thread")
KINDS = ("clip", "clap", "xclip")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with a small model of each kind."""
    root = tmp_path_factory.mktemp("models")
    for kind in KINDS:
        write_model(root, kind)
    return root


@pytest.fixture
def models(written, tmp_path, monkeypatch):
    """The same for one test, which has room for models and a cache of its own."""
    root = tmp_path / "models"
    root.mkdir()
    for kind in KINDS:
        (root / kind).symlink_to(written / kind)
    monkeypatch.setenv("MGLIB_MODELS", str(root))
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "cache"))
    datasets.names(), perceptors.names()
    monkeypatch.setitem(datasets._found, "scenes", Scenes)
    return root


def raw(modality):
    return Scenes().raw(modality, lambda share: None)


def features(perceptor, modality):
    prepare("scenes", (perceptor,), [modality])
    return load_features("scenes", perceptor, modality)


def theirs(folder, family):
    import transformers

    return getattr(transformers, f"{family}Model").from_pretrained(folder).eval()


def token_rows():
    """Ids of every text by hand, each by itself."""
    known = {word: place for place, word in enumerate(["<unk>", *WORDS])}
    return [[START, *(known.get(word, 0) for word in text.split()), END] for text in TEXTS]


def agree(found, wanted):
    np.testing.assert_allclose(found, normalize(wanted, dim=-1).detach(), atol=2e-6)


@pytest.mark.parametrize(
    ("kind", "family"), [("clip", "CLIP"), ("xclip", "XCLIP"), ("clap", "Clap")]
)
def test_texts_are_those_of_transformers(kind, family, models):
    """One text at a time and without padding, by transformers' own call."""
    model = theirs(models / kind, family)
    cut = 8 if kind != "clap" else 12 - 1 - 1
    rows = [own if len(own) <= cut else [*own[: cut - 1], END] for own in token_rows()]
    wanted = [model.get_text_features(torch.tensor([own])).pooler_output[0] for own in rows]
    found = features(kind, "words")
    agree(found.values, torch.stack(wanted))
    assert found.card["unit_norm"] and found.values.dtype == np.float32
    assert found.values.std(0).min() > 1e-3, "texts differ"


def test_pictures_are_those_of_transformers(models):
    model, pictures = theirs(models / "clip", "CLIP"), raw("picture")[0]
    pixels = pixels_of(models / "clip", pictures)
    agree(features("clip", "picture").values, model.get_image_features(pixels).pooler_output)


def test_a_film_of_clip_is_the_mean_of_its_frames(models):
    model, (films, lengths) = theirs(models / "clip", "CLIP"), raw("film")
    wanted = []
    for film, length in zip(films, lengths, strict=True):
        own = model.get_image_features(pixels_of(models / "clip", film[:length])).pooler_output
        wanted.append(normalize(own, dim=-1).mean(0))
    agree(features("clip", "film").values, torch.stack(wanted))


def test_films_of_xclip_are_those_of_transformers(models):
    model, (films, lengths) = theirs(models / "xclip", "XCLIP"), raw("film")
    # Three frames from the middles of thirds, of 1 to 5 frames.
    places = {1: [0, 0, 0], 2: [0, 1, 1], 3: [0, 1, 2], 4: [0, 2, 3], 5: [0, 2, 4]}
    chosen = np.stack([film[places[n]] for film, n in zip(films, lengths.tolist(), strict=True)])
    pixels = pixels_of(models / "xclip", chosen.reshape(-1, 24, 24)).view(
        len(films), FRAMES, 3, 16, 16
    )
    agree(features("xclip", "film").values, model.get_video_features(pixels).pooler_output)
    still = pixels_of(models / "xclip", raw("picture")[0])
    repeated = torch.stack([still] * FRAMES, 1)
    found = features("xclip", "picture").values
    agree(found, model.get_video_features(repeated).pooler_output)


def spectrogram(sound, settings):
    """Decibels [frames, bands] in plain loops: Hann windows, triangles even in Slaney's mel."""
    size, hop = settings["fft_window_size"], settings["hop_length"]
    padded = np.pad(sound, size // 2, mode="reflect")
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    starts = range(0, len(padded) - size + 1, hop)
    power = np.array([np.abs(np.fft.rfft(padded[s : s + size] * taper)) ** 2 for s in starts])

    def mel(f):
        return 3 * f / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)

    def hertz(m):
        return 200 * m / 3 if m < 15 else 1000 * np.exp((m - 15) * np.log(6.4) / 27)

    bands = settings["feature_size"]
    edges = [hertz(m) for m in np.linspace(0, mel(settings["frequency_max"]), bands + 2)]
    bins = np.arange(size // 2 + 1) * settings["sampling_rate"] / size
    levels = []
    for low, centre, high in zip(edges[:-2], edges[1:-1], edges[2:], strict=True):
        up, down = (bins - low) / (centre - low), (high - bins) / (high - centre)
        levels.append(power @ np.clip(np.minimum(up, down), 0, None) * 2 / (high - low))
    return 10 * np.log10(np.maximum(np.array(levels).T, 1e-10))


def test_sounds_are_those_of_a_plain_spectrogram(models):
    """Each take cut at its end, resampled, repeated or cut to one second; then the mean."""
    model, (sounds, lengths) = theirs(models / "clap", "Clap"), raw("sound")
    rate, wanted = SOUNDS["sampling_rate"], []
    for takes, ends in zip(sounds, lengths, strict=True):
        found = []
        for take, end in zip(takes, ends, strict=True):
            clip = resampled(take[:end] / 32768, Scenes.sample_rate, rate)
            spare = max(0, len(clip) - rate) // 2
            clip = clip[spare : spare + rate]
            clip = np.tile(clip, rate // len(clip))
            clip = np.pad(clip, (0, rate - len(clip)))
            seen = torch.tensor(spectrogram(clip, SOUNDS), dtype=torch.float32)
            found.append(model.get_audio_features(seen[None, None]).pooler_output[0])
        wanted.append(torch.stack(found).mean(0))
    assert (lengths * rate > Scenes.sample_rate * rate).any(), "some are longer than a second"
    found = features("clap", "sound").values
    np.testing.assert_allclose(found, normalize(torch.stack(wanted), dim=-1).detach(), atol=2e-5)
    assert found.std(0).max() > 1e-3


def test_nothing_of_a_sound_is_drawn(models, monkeypatch):
    """Transformers' own call cuts a long sound at random."""

    def refuse(*told):
        raise AssertionError("drawn")

    monkeypatch.setattr(np.random, "randint", refuse)
    sense = perceptors.get("clap")()
    long = np.ones((1, 1, 40000), np.int16)
    heard = sense.other("audio", sense.network())
    assert torch.isfinite(heard(RawBatch(long, None, 8000))).all()


def test_a_model_of_fused_crops_sees_four_of_the_same(models, monkeypatch):
    audio = {"enable_fusion": True, "fusion_type": "aff_2d"}
    own = {**CONFIGS["clap"], "audio_config": {**CONFIGS["clap"]["audio_config"], **audio}}
    monkeypatch.setitem(CONFIGS, "clap", own)
    folder = write_model(models, "clap", "fused", truncation="fusion")
    import transformers

    extractor = transformers.ClapFeatureExtractor.from_pretrained(folder)
    sounds, lengths = raw("sound")
    clip = middle(resampled(sounds[0, 0, : lengths[0, 0]] / 32768, 8000, 12000), 12000)
    mel = extractor(clip, sampling_rate=12000, return_tensors="pt")["input_features"]
    assert mel.shape[1] == 4 and torch.equal(mel[:, 0], mel[:, 3])
    model = theirs(folder, "Clap")
    heard = perceptors.get("clap@model=fused")().other("audio", model)
    found = heard(RawBatch(sounds[:1, :1], lengths[:1, :1], 8000))
    shorter = torch.zeros(1, 1, dtype=torch.bool)
    torch.testing.assert_close(found, model.get_audio_features(mel.float(), shorter).pooler_output)


@pytest.mark.parametrize("change", [{"truncation": "fusion"}, {"sampling_rate": None}])
def test_settings_of_sounds_fit_the_model(change, models):
    folder = copy_of(models / "clap", models / "strange")
    told = {key: value for key, value in {**SOUNDS, **change}.items() if value is not None}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    with pytest.raises(MglibError, match="must tell sampling_rate, and truncation 'fusion' only"):
        prepare("scenes", ("clap@model=strange",), ["sound"])


@pytest.mark.parametrize("name", KINDS)
def test_all_modalities_of_a_model_share_a_space(name, models):
    sense = perceptors.get(name)()
    taken = [m for m, kind in Scenes.kinds.items() if kind in sense.kinds]
    assert len(taken) > 1
    assert {sense.space(Scenes(), m) for m in taken} == {f"{name}/joint"}
    cards = [recipe("scenes", name, m, None) for m in taken]
    assert len({card["space"] for card in cards}) == 1
    write_model(models, name, "other", seed=8)
    assert perceptors.get(f"{name}@model=other")().space(Scenes(), "words") != f"{name}/joint"


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"]
)
def test_keys_hang_on_the_content_of_every_file(name, models):
    """Two folders of equal content differ in name only; a changed file makes features stale."""
    other = copy_of(models / "clip", models / "other")
    mine, same = (perceptors.get(own)().parameters() for own in ("clip", "clip@model=other"))
    assert {**mine, "model": "other"} == same
    features("clip@model=other", "words")
    wanted = recipe("scenes", "clip@model=other", "words", None)
    assert state(wanted) == "ready"
    content = bytearray((other / name).read_bytes())
    if name.endswith("json"):
        content += b" "
    else:
        content[-1] ^= 1
    (other / name).write_bytes(content)
    assert perceptors.get("clip@model=other")().parameters() != same
    assert state(recipe("scenes", "clip@model=other", "words", None)) == "stale"
    assert data_identity("scenes", "clip@model=other") != data_identity("scenes", "clip")


def test_other_weights_give_other_features(models):
    before = features("clip", "words").values
    (models / "clip").unlink()
    write_model(models, "clip", seed=9)
    assert [own.outcome for own in prepare("scenes", ("clip",), ["words"])][0] == "rebuilt"
    assert not np.allclose(load_features("scenes", "clip", "words").values, before, atol=0.1)


def test_what_is_not_there_is_one_line(models, tmp_path, monkeypatch):
    (models / "vit_b_32").symlink_to(models / "clip")
    with pytest.raises(
        MglibError, match="no foundation model 'vit_b_23'; did you mean 'vit_b_32'.*MGLIB_MODELS"
    ):
        prepare("scenes", ("clip@model=vit_b_23",))
    with pytest.raises(MglibError, match="model_type 'clip', but that of .* is 'clap'"):
        prepare("scenes", ("clip@model=clap",))
    with pytest.raises(MglibError, match="must be a name, not '../clip'"):
        perceptors.get("clip@model=../clip")
    monkeypatch.setenv("MGLIB_MODELS", str(tmp_path / "absent"))
    with pytest.raises(MglibError, match="no foundation model 'clap' .*none.*absent") as told:
        prepare("scenes", ("clap",))
    assert "\n" not in str(told.value)


def broken(models, kind, name, change):
    """A copy of a model with a JSON file changed; the perceptor's name."""
    folder = copy_of(models / kind, models / "broken")
    settings = json.loads((folder / name).read_text())
    change(settings)
    (folder / name).write_text(json.dumps(settings))
    return f"{kind}@model=broken"


def test_features_do_not_hang_on_the_number_of_cores(models, monkeypatch):
    monkeypatch.setattr(_foundation, "BATCH", 2)
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(paths, "cores", lambda cores=cores: cores)
        sense, inputs = perceptors.get("clip")(), FeatureSet(*raw("film"), {}, [], np.empty(0), {})
        found.append(sense.perceive(Scenes(), "film", [inputs], None, lambda share: None)[0])
    assert np.array_equal(*found) and torch.get_num_threads() == 1


def test_pickles_and_misfits_are_refused(models):
    folder = copy_of(models / "clip", models / "pickled")
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(MglibError, match="pytorch_model.bin is a pickle, which may run code"):
        prepare("scenes", ("clip@model=pickled",))

    def layers(settings):
        settings["text_config"]["num_hidden_layers"] = 3

    with pytest.raises(MglibError, match="do not fit its config.json"):
        prepare("scenes", (broken(models, "clip", "config.json", layers),), ["words"])


def test_a_text_must_end_where_the_model_reads_it(models):
    folder = copy_of(models / "clip", models / "endless")
    own = tokenizer()
    from tokenizers import processors

    own.post_processor = processors.TemplateProcessing(
        single="<start> $A", special_tokens=[("<start>", START)]
    )
    own.save(str(folder / "tokenizer.json"))
    with pytest.raises(MglibError, match="does not end a text with the token"):
        prepare("scenes", ("clip@model=endless",), ["words"])


def test_settings_may_lie_in_a_processors_file(models):
    before = features("clip", "picture").values
    folder = copy_of(models / "clip", models / "newer")
    told = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(MglibError, match="no preprocessor_config.json"):
        prepare("scenes", ("clip@model=newer",), ["picture"])
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": told}))
    assert np.array_equal(features("clip@model=newer", "picture").values, before)
    (folder / "processor_config.json").write_text("{}")
    with pytest.raises(MglibError, match="processor_config.json has no image_processor"):
        prepare("scenes", ("clip@model=newer",), ["picture"])


def test_wrong_arrays_are_refused(models):
    sense = perceptors.get("clip")()
    model = sense.network()
    with pytest.raises(MglibError, match="frames are uint8"):
        sense.other("frames", model)(RawBatch(np.zeros((2, 3), np.uint8), None, None))
    with pytest.raises(MglibError, match=r"lengths of frames are \[N\] from 1 to 2"):
        films = np.zeros((1, 2, 8, 8), np.uint8)
        sense.other("frames", model)(RawBatch(films, np.array([0]), None))
    with pytest.raises(MglibError, match="text is UTF-8 bytes"):
        sense.texts(model)(RawBatch(np.zeros((2, 3), np.float32), None, None))
    ear = perceptors.get("clap")()
    heard = ear.other("audio", ear.network())
    with pytest.raises(MglibError, match=r"audio is int16 \[N, takes, samples\]"):
        heard(RawBatch(np.zeros((2, 3), np.int16), None, 8000))
    with pytest.raises(MglibError, match="needs the sample rate"):
        heard(RawBatch(np.zeros((1, 1, 3), np.int16), None, None))


def test_long_texts_are_cut_and_unknown_words_are_read(models):
    sense = perceptors.get("clip")()
    model = sense.network()
    packed, _ = pack_strings(["dog " * 40, "dog " * 6, "zebra"])
    found = sense.texts(model)(RawBatch(packed, None, None))
    torch.testing.assert_close(found[0], found[1])
    assert torch.isfinite(found).all()


def test_without_transformers_one_line_tells_it(models, monkeypatch):
    for name in ("transformers", "tokenizers"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MglibError, match="perceptor 'clip' needs transformers and tokenizers"):
        prepare("scenes", ("clip",), ["words"])
    assert "clip" in perceptors.names() and "@model=clip" in perceptors.about("clip")


def test_digests_are_taken_again_when_a_file_changes(tmp_path):
    path = tmp_path / "a"
    path.write_text("one")
    before = _folders.digest(path)
    path.write_text("other")
    assert _folders.digest(path) != before
