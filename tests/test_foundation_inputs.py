"""How pictures, films and sounds are read for foundation models, before any model sees them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from _foundations import PICTURES, pixels_of

from mglib.errors import MglibError
from mglib.perceptors._pictures import Pictures
from mglib.perceptors.clap import middle, resampled
from mglib.perceptors.xclip import middles

pytestmark = pytest.mark.usefixtures("one_thread")


def test_middles_of_equal_parts():
    assert middles(8, 8).tolist() == [*range(8)]
    assert middles(80, 8).tolist() == [5, 15, 25, 35, 45, 55, 65, 75]
    assert middles(1, 4).tolist() == [0] * 4


def test_resampling_keeps_a_tone_and_the_middle_is_cut():
    at = np.arange(1600) / 8000
    tone = resampled(np.sin(2 * np.pi * 440 * at), 8000, 48000)
    assert len(tone) == 9600
    inner = slice(600, -600)  # the filter is cut short at both ends
    wanted = np.sin(2 * np.pi * 440 * np.arange(9600) / 48000)
    np.testing.assert_allclose(tone[inner], wanted[inner], atol=3e-3)
    assert resampled(at, 8000, 8000) is at
    assert middle(np.arange(10), 4).tolist() == [3, 4, 5, 6]
    assert middle(np.arange(3), 4).tolist() == [0, 1, 2]


def test_settings_of_pictures(tmp_path):
    """A checked board by hand: the middle of what has its shorter edge at four pixels."""
    board = (np.indices((4, 8)).sum(0) % 2 * 255).astype(np.uint8)
    plain = {**PICTURES, "size": 4, "crop_size": 2, "do_normalize": False}
    found = Pictures.told(tmp_path, plain).read(board[None])
    assert found.shape == (1, 3, 2, 2)
    assert torch.equal(found[0, 0], torch.from_numpy(board[1:3, 3:5] / 255).float())
    half = {**plain, "do_center_crop": False, "size": {"height": 2, "width": 2}, "resample": 4}
    # Pillow's box filter: means of equal parts.
    assert torch.allclose(Pictures.told(tmp_path, half).read(board[None]), torch.tensor(128 / 255))
    raw = {"do_resize": False, "do_center_crop": False, "do_rescale": False}
    shifted = {**raw, "image_mean": [1, 2, 3], "image_std": [1, 1, 2]}
    assert Pictures.told(tmp_path, shifted).read(board[None])[0, :, 0, 1].tolist() == [
        254,
        253,
        126,
    ]
    for name in ("size", "resample", "crop_size", "image_mean", "image_std"):
        silent = {key: value for key, value in PICTURES.items() if key != name}
        with pytest.raises(MglibError, match=f"do not tell {name}"):
            Pictures.told(tmp_path, silent)
    with pytest.raises(MglibError, match="shortest_edge, or height and width"):
        Pictures.told(tmp_path, {**PICTURES, "size": {"longest_edge": 3}})
    with pytest.raises(MglibError, match=r"has no middle of \[16, 16\]"):
        Pictures.told(tmp_path, {**PICTURES, "do_resize": False}).read(board[None])
    with pytest.raises(MglibError, match="images are uint8"):
        Pictures.told(tmp_path, PICTURES).read(board[None].astype(np.float32))


@pytest.mark.parametrize("shape", [(30, 17, 3), (16, 41, 3), (20, 20, 3), (7, 9, 3)])
@pytest.mark.parametrize("resample", [2, 3])
def test_pictures_of_any_shape_are_read_as_by_transformers(shape, resample, tmp_path):
    told = {**PICTURES, "resample": resample}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    pictures = np.random.RandomState(1).randint(0, 256, (2, *shape)).astype(np.uint8)
    found = Pictures.told(tmp_path, told).read(pictures)
    torch.testing.assert_close(found, pixels_of(tmp_path, pictures), rtol=0, atol=2e-6)
