"""Bodies by name: new weights, second derivatives, identities of folders, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from _bodies import CONFIGS, PICTURES, SERIES, copy_of, inputs, source
from torch import nn

from mglib.errors import MglibError
from mglib.registry import bodies
from mglib.transfer.body import TargetShape
from mglib.transfer.named import body_named

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("kind", [*CONFIGS, "minilm", "efficientnet_lite0"])
def test_new_weights_are_new(kind, made, folders):
    body = body_named(str(folders / kind) if kind in CONFIGS else kind)()
    learned = made(kind).encoder.state_dict()
    same = body.encoder.state_dict()
    assert all(torch.equal(learned[name], same[name]) for name in learned)
    shape = TargetShape(2, inputs(body, 2)[1], classes=3)
    twins = [body.embedder(shape, False).state_dict() for _ in range(2)]
    heads = [body.predictor(shape).state_dict() for _ in range(2)]
    kernel = next(name for name in twins[0] if name.endswith("convolution.weight"))
    assert not torch.equal(twins[0][kernel], twins[1][kernel])
    assert not torch.equal(heads[0]["linear.weight"], heads[1]["linear.weight"])
    body.fresh()
    matrices = {name for name, value in body.encoder.named_parameters() if value.ndim > 1}
    assert matrices
    for name, value in body.encoder.named_parameters():
        assert value.requires_grad
        if name in matrices:
            assert not torch.equal(value, learned[name]), name
    norms = dict(body.encoder.named_parameters())
    assert body.norm_names()
    for name in body.norm_names():
        assert norms[name].eq(1.0 if name.endswith("weight") else 0.0).all(), name


@pytest.mark.parametrize("kind", [*CONFIGS, "minilm", "efficientnet_lite0"])
def test_second_derivatives_in_double_precision(kind, folders):
    body = body_named(str(folders / kind) if kind in CONFIGS else kind)().double()
    values, size = inputs(body, 2, count=1)
    embedder = body.embedder(TargetShape(2, size, classes=2), True).double()
    weights = list(body.encoder.parameters())
    hidden = body.encode(body.encoder, (embedder(values.double()), None))
    inner = torch.autograd.grad(
        body.pooled(hidden, None).square().mean(), weights, create_graph=True
    )
    tokens = body.source_tokens(
        tuple(source(body)) if body.dimensions == 1 else source(body).double()
    )
    outer = body.pooled(body.encode(body.encoder, tokens), tokens[1]).square().mean()
    along = torch.autograd.grad(outer, weights)
    product = sum((g * v).sum() for g, v in zip(inner, along, strict=True))
    mixed = torch.autograd.grad(product, list(embedder.parameters()), allow_unused=True)
    found = [each for each in mixed if each is not None]
    assert found and all(each.dtype == torch.float64 for each in found)
    assert all(each.isfinite().all() for each in found) and any(each.any() for each in found)


@pytest.mark.parametrize("kind", [*SERIES, *PICTURES])
def test_one_input_has_one_output_and_buffers_stay(kind, made):
    body = made(kind)
    values, size = inputs(body, 3)
    embedder = body.embedder(TargetShape(3, size, classes=2), True)
    before = {name: value.clone() for name, value in body.named_buffers()}
    with torch.no_grad():
        first, again = (body.encode(body.encoder, (embedder(values), None)) for _ in range(2))
        batch = body.source_tokens(source(body))
        assert torch.equal(body.encode(body.encoder, batch), body.encode(body.encoder, batch))
    assert torch.equal(first, again)
    assert all(torch.equal(value, before[name]) for name, value in body.named_buffers())
    assert not any(each.p for each in body.modules() if isinstance(each, nn.Dropout))
    assert not any(parameter.requires_grad for parameter in body.source_embedder.parameters())


def test_statistics_of_pictures_are_the_folders(made, folders, tmp_path):
    pictures = np.full((1, 4, 4, 3), 255, dtype=np.uint8)
    assert made("vit").read_source(pictures, None).eq(1).all()
    assert made("vit").read_source(pictures[..., 0], None).shape == (1, 3, 4, 4)
    other = copy_of(folders / "vit", tmp_path / "vit")
    told = {"image_mean": [0.0, 0.5, 0.5], "image_std": [0.5, 0.25, 0.5]}
    (other / "preprocessor_config.json").write_text(json.dumps(told))
    white = body_named(str(other))().read_source(pictures, None)
    assert white[0, :, 0, 0].tolist() == [2.0, 2.0, 1.0]


def test_identity_is_what_the_folder_holds(folders, tmp_path):
    old = body_named(str(folders / "bert"))
    assert old.name == str(folders / "bert") and set(old.identity()) == {
        "config",
        "weights",
        "inputs",
    }
    other = copy_of(folders / "bert", tmp_path / "other")
    assert body_named(str(other)).identity() == old.identity()
    weights = other / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    changed = body_named(str(other)).identity()
    assert changed["weights"] != old.identity()["weights"]
    assert changed["config"] == old.identity()["config"]
    assert "version" in body_named("minilm").identity()


def test_dimensions_that_do_not_fit(made):
    for kind in SERIES:
        with pytest.raises(MglibError, match=r"takes series \[channels, length\].*\[8, 8\]"):
            made(kind).embedder(TargetShape(3, (8, 8), classes=2), True)
        with pytest.raises(MglibError, match="gives series"):
            made(kind).predictor(TargetShape(3, (8,), output=(1, 8, 8)))
        with pytest.raises(MglibError, match="text is UTF-8 bytes"):
            made(kind).read_source(np.zeros((2, 3), dtype=np.float32), None)
    for kind in PICTURES:
        with pytest.raises(MglibError, match=r"takes pictures and fields.*\[8\]"):
            made(kind).embedder(TargetShape(3, (8,), classes=2), True)
    for kind in ("vit", "swin"):
        with pytest.raises(MglibError, match="gives fields"):
            made(kind).predictor(TargetShape(3, (8, 8), output=(1, 8)))
        with pytest.raises(MglibError, match="images are uint8"):
            made(kind).read_source(np.zeros((2, 3), dtype=np.uint8), None)


def test_names_that_are_none(folders, tmp_path):
    assert body_named("minilm") is bodies.get("minilm")
    with pytest.raises(MglibError, match="did you mean 'minilm'.*folder"):
        body_named("minlim")
    with pytest.raises(MglibError, match="no folder '.*absent'"):
        body_named(str(tmp_path / "absent"))
    with pytest.raises(MglibError, match="no folder 'nobody/no-such-model', nor a model"):
        body_named("nobody/no-such-model")
    with pytest.raises(MglibError, match="no config.json"):
        body_named(str(tmp_path))


def changed(folder, target, **settings):
    """A copy of a model with other settings in its config.json."""
    other = copy_of(folder, target)
    config = json.loads((other / "config.json").read_text()) | settings
    (other / "config.json").write_text(json.dumps(config))
    return str(other)


def test_folders_that_are_refused(folders, tmp_path):
    with pytest.raises(MglibError, match="model_type.*'distilbert'.*'bert'"):
        body_named(changed(folders / "bert", tmp_path / "a", model_type="distilbert"))
    with pytest.raises(MglibError, match="no encoder with absolute positions"):
        body_named(changed(folders / "bert", tmp_path / "b", is_decoder=True))
    with pytest.raises(MglibError, match="do not fit its config.json"):
        body_named(changed(folders / "bert", tmp_path / "c", num_hidden_layers=3))()
    with pytest.raises(MglibError, match="do not fit its config.json"):
        body_named(changed(folders / "bert", tmp_path / "d", num_hidden_layers=1))()
    with pytest.raises(MglibError, match="cannot read the Bert model"):
        body_named(changed(folders / "bert", tmp_path / "e", hidden_size=8))()
    with pytest.raises(MglibError, match="whole number of square patches"):
        body_named(changed(folders / "swin", tmp_path / "f", image_size=15))()
    with pytest.raises(MglibError, match="no tokenizer.json"):
        other = copy_of(folders / "bert", tmp_path / "g")
        (other / "tokenizer.json").unlink()
        body_named(str(other))
    with pytest.raises(MglibError, match="tokenizer.json is no tokenizer"):
        (other / "tokenizer.json").write_text("{}")
        body_named(str(other))()
    with pytest.raises(MglibError, match="is not JSON"):
        (other / "config.json").write_text("{")
        body_named(str(other))


def test_pickled_weights_are_refused(folders, tmp_path):
    other = copy_of(folders / "vit", tmp_path / "vit")
    (other / "model.safetensors").unlink()
    with pytest.raises(MglibError, match="no model.safetensors"):
        body_named(str(other))
    torch.save({}, other / "pytorch_model.bin")
    with pytest.raises(MglibError, match="pytorch_model.bin is a pickle"):
        body_named(str(other))
    (other / "model.safetensors").write_bytes((other / "pytorch_model.bin").read_bytes())
    with pytest.raises(MglibError, match="cannot read the ViT model"):
        body_named(str(other))()


def test_without_transformers_only_its_bodies_are_missing(folders, monkeypatch):
    for name in ("transformers", "tokenizers"):
        monkeypatch.setitem(sys.modules, name, None)
    assert body_named("efficientnet_lite0")().width == 1280
    assert body_named(str(folders / "vit")).identity()
    for name in ("minilm", str(folders / "vit"), str(folders / "bert")):
        with pytest.raises(MglibError, match="needs transformers and tokenizers"):
            body_named(name)()


def test_a_list_of_bodies_imports_no_transformers():
    code = (
        "import sys; from mglib.registry import bodies; bodies.about('minilm');"
        "sys.exit(any(name in sys.modules for name in ('transformers', 'tokenizers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_smoothness_is_that_of_the_activation(folders, tmp_path):
    assert body_named(str(folders / "bert")).smooth
    assert not body_named(changed(folders / "bert", tmp_path / "relu", hidden_act="relu")).smooth
