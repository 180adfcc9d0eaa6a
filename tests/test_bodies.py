"""Bodies for transfer: our parts against those of transformers, embedders and predictors."""

from __future__ import annotations

import pytest
import torch
from _bodies import CONFIGS, PICTURES, SERIES, TEXTS, inputs, source
from torch import nn

from mglib.data._base import pack_strings
from mglib.transfer.bodies._text import stride_of
from mglib.transfer.bodies.efficientnet_lite0 import copied_kernel
from mglib.transfer.body import TargetShape

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("kind", [*CONFIGS, "minilm"])
def test_hidden_states_are_those_of_transformers(kind, made, folders):
    import transformers

    body = made(kind)
    batch = source(body)
    with torch.no_grad():
        tokens = body.source_tokens(batch)
        ours = body.encode(body.encoder, tokens)
    if kind == "minilm":
        from mglib.transfer.bodies.minilm import network

        model = network()[0].eval()
        model.set_attn_implementation("sdpa")
    else:
        model = transformers.AutoModel.from_pretrained(folders / kind).eval()
    with torch.no_grad():
        if body.dimensions == 1:
            ids, mask = batch
            assert mask.sum(1).tolist() == [4, 7, 3]
            theirs = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
            ours, theirs = ours[mask], theirs[mask]
        else:
            images = nn.functional.interpolate(
                batch, body.size, mode="bilinear", align_corners=False, antialias=True
            )
            theirs = model(pixel_values=images).last_hidden_state
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", SERIES)
def test_a_text_means_the_same_among_longer_ones(kind, made):
    body = made(kind)
    with torch.no_grad():
        batch = source(body)
        tokens = body.source_tokens(batch)
        together = body.pooled(body.encode(body.encoder, tokens), tokens[1])
        for row, text in enumerate(TEXTS):
            alone = body.source_tokens(body.read_source(*pack_strings([text])))
            wanted = body.pooled(body.encode(body.encoder, alone), None)
            torch.testing.assert_close(together[row : row + 1], wanted, rtol=1e-4, atol=1e-5)
    assert together.shape == (3, body.width)


def test_minilm_knows_that_a_puppy_is_a_dog(made):
    body = made("minilm")
    with torch.no_grad():
        tokens = body.source_tokens(body.read_source(*pack_strings(["dog", "puppy", "invoice"])))
        pooled = body.pooled(body.encode(body.encoder, tokens), tokens[1])
    near, far = torch.cosine_similarity(pooled[:1], pooled[1:]).tolist()
    assert near > 0.6 and far < 0.3


def test_long_texts_are_cut_where_positions_end(made):
    for kind, most in (("bert", 40), ("roberta", 38), ("minilm", 128)):
        ids, mask = made(kind).read_source(*pack_strings(["dog " * 600]))
        assert ids.shape == mask.shape == (1, most)
        made(kind).source_tokens((ids, mask))


@pytest.mark.parametrize("kind", PICTURES)
def test_copied_embedder_of_pictures_is_the_source_embedder(kind, made):
    body = made(kind)
    batch = source(body)
    wanted, _ = body.source_tokens(batch)
    ours = body.embedder(TargetShape(3, (72, 72), classes=2), True)
    with torch.no_grad():
        torch.testing.assert_close(ours(batch), wanted, rtol=1e-5, atol=1e-5)
        grey = batch.mean(1, keepdim=True)
        one = body.embedder(TargetShape(1, (72, 72), classes=2), True)(grey)
        five = body.embedder(TargetShape(6, (72, 72), classes=2), True)(grey.expand(-1, 6, -1, -1))
        three = ours(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(one, three, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(five, three, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", SERIES)
def test_copied_embedder_of_series_takes_places_and_norm(kind, made):
    body = made(kind)
    shape = TargetShape(2, (48,), classes=2)
    ours, own = body.embedder(shape, True), body.source_embedder
    first = 2 if kind == "roberta" else 0
    places = own.position_embeddings.weight[first : first + 24]
    torch.testing.assert_close(ours.places.data, places + own.token_type_embeddings.weight[0])
    torch.testing.assert_close(ours.norm.weight.data, own.LayerNorm.weight.data)
    assert ours.norm.eps == own.LayerNorm.eps and ours.convolution.stride == (2,)
    bound = (6 * 2 / (2 * (2 + body.width))) ** 0.5  # Xavier: sqrt(6 / (in + out)) times sqrt(2)
    assert 0.9 * bound < ours.convolution.weight.abs().max() <= bound
    assert not ours.convolution.bias.any()
    # silence is embedded as what every text has at these places
    silent = ours(torch.zeros(1, 2, 48))
    torch.testing.assert_close(silent[0], own.LayerNorm(ours.places), rtol=1e-5, atol=1e-5)
    new = body.embedder(shape, False)
    assert new.norm.weight.eq(1).all() and new.places.std() < 0.03


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", [*SERIES, *PICTURES])
def test_shapes_of_classes_and_fields(kind, channels, made):
    body = made(kind)
    values, size = inputs(body, channels)
    output = (2, 30) if body.dimensions == 1 else (2, 9, 14)
    for copied in (True, False):
        embedder = body.embedder(TargetShape(channels, size, classes=4), copied)
        assert all(parameter.requires_grad for parameter in embedder.parameters())
        encoded = body.encode(body.encoder, (embedder(values), None))
        assert body.pooled(encoded, None).shape == (2, body.width)
        classes = body.predictor(TargetShape(channels, size, classes=4))
        assert classes(encoded).shape == (2, 4)
        field = body.predictor(TargetShape(channels, size, output=output))
        assert field(encoded).shape == (2, *output)


def test_lengths_are_cut_into_at_most_so_many_tokens():
    assert [stride_of(length, 32) for length in (1, 20, 32, 46, 101, 1000)] == [1, 1, 1, 2, 101, 40]


def test_kernel_of_more_channels_keeps_the_response_to_grey():
    kernel = torch.randn(4, 3, 2, 2)
    for channels in (1, 3, 6, 9):
        torch.testing.assert_close(copied_kernel(kernel, channels).sum(1), kernel.sum(1))


def test_field_of_a_grid_lies_where_its_tokens_do(made):
    body = made("vit")
    field = body.predictor(TargetShape(3, (16, 16), output=(1, 16, 16)))
    encoded = torch.zeros(1, 17, body.width)
    still = field(encoded)
    encoded[0, 1 + 4 * 1 + 2] = 1.0  # second row, third column of 4 x 4 patches of 4 pixels
    changed = (field(encoded) != still)[0, 0]
    assert changed[4:8, 8:12].all() and changed.sum() == 16
