"""Pictures on the sphere against loops, known answers and the published law of rotations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mglib.errors import MglibError
from mglib.features import FeatureSet, load_features
from mglib.perceptors.prepare import prepare
from mglib.perceptors.spherical_projection import (
    SIDE,
    SphericalProjection,
    draw_rotation,
    places,
    project,
    sampled,
    sphere,
    stretched,
)
from mglib.registry import perceptors

UPRIGHT = np.eye(3)


def seen(pictures, name="spherical_projection", modality="picture"):
    pictures = np.asarray(pictures)
    own = FeatureSet(pictures, None, {}, [], np.arange(len(pictures)), {})
    values, lengths = perceptors.get(name)().perceive(
        None, modality, [own], None, lambda share: None
    )
    assert lengths is None
    return values


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (3, 72, 48, 3)).astype(np.uint8)


def slow_value(picture, rotation, j, k):
    """One point of one colourless picture: the ray from the eye to the plane, then four pixels."""
    polar, azimuth = math.pi * j / 60, math.pi * k / 30
    point = [
        math.sin(polar) * math.cos(azimuth),
        math.sin(polar) * math.sin(azimuth),
        math.cos(polar),
    ]
    x, y, z = (sum(rotation[i][m] * point[m] for m in range(3)) for i in range(3))
    z += 1
    t = -z / (z - 2.001)
    spot = [
        (t * part + part + 1.5) / 3 * size for part, size in zip((x, y), picture.shape, strict=True)
    ]
    total = 0.0
    for near_row in (True, False):
        for near_column in (True, False):
            row = int(spot[0]) + (-1 if near_row else 1)
            column = int(spot[1]) + (-1 if near_column else 1)
            if 0 <= row < picture.shape[0] and 0 <= column < picture.shape[1]:
                by_row = int(spot[0]) + 1 - spot[0] if near_row else spot[0] - int(spot[0]) + 1
                by_column = (
                    int(spot[1]) + 1 - spot[1] if near_column else spot[1] - int(spot[1]) + 1
                )
                total += by_row * by_column * float(picture[row, column])
    return total


def test_every_point_against_a_loop(pictures):
    rotation = draw_rotation(np.random.RandomState(3))
    for picture in (pictures[0, ..., 0], pictures[1, :, :, 2]):
        slow = np.array(
            [[slow_value(picture, rotation, j, k) for k in range(60)] for j in range(60)]
        )
        spots = places(sphere() @ rotation.T) * picture.shape
        np.testing.assert_allclose(sampled(picture[None], spots)[0], slow, rtol=1e-9, atol=1e-6)
        expected = (slow - slow.min()) / (slow.max() - slow.min()) * 255
        ours = project(picture[None], rotation)[0].astype(float)
        assert np.abs(ours - expected).max() <= 0.5 + 1e-6 and (slow > 0).mean() > 0.2


def test_the_eye_sees_the_sphere_as_light_would():
    points = sphere()[1:].reshape(-1, 3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1)
    on_plane = np.column_stack([(places(points) - 0.5) * 3, np.full(len(points), -1.0)])
    eye = np.array([0.0, 0.0, 1.001])  # the sphere's centre is the origin here
    rays = np.cross(points - eye, on_plane - eye)
    assert np.abs(rays).max() < 1e-9  # eye, point and spot on one line
    south, equator = np.array([0.0, 0.0, -1.0]), np.array([0.0, 1.0, 0.0])
    np.testing.assert_allclose(places(south), [0.5, 0.5])
    np.testing.assert_allclose(places(equator), [0.5, 0.5 + 2.001 / 1.001 / 3])


def test_the_south_pole_stays_at_the_centre():
    pictures = np.zeros((1, 60, 60), np.uint8)
    pictures[0, 27:34, 27:34] = 200
    upright = project(pictures, UPRIGHT)[0]
    assert (upright[-1] == 255).all()  # 3 degrees from the pole, all around
    assert not upright[1:-6].any()
    assert (upright[0] == 255).all()  # the north pole itself is right under the eye
    tilted = project(pictures, np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]))[0]
    bright = np.argwhere(tilted == 255)  # the pole is now seen from the side: the equator's x
    assert len(bright) and abs(bright.mean(axis=0)[0] - SIDE / 2) < 1 and not tilted[-1].any()


def test_a_turn_about_the_axis_shifts_the_columns(pictures):
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    still, turned = project(pictures, UPRIGHT), project(pictures, quarter)
    # the pole of the grid and spots on a border hang on the last digit of an angle
    same = turned[:, 1:] == np.roll(still, -SIDE // 4, axis=2)[:, 1:]
    assert same.mean() > 0.98


@pytest.mark.parametrize("seed", range(3))
def test_a_constant_picture_is_white_where_it_is_and_black_elsewhere(seed):
    rotation = draw_rotation(np.random.RandomState(seed))
    found = project(np.full((2, 40, 40, 3), 90, np.uint8), rotation)
    spots = places(sphere() @ rotation.T) * 40
    inside = ((spots >= 1) & (spots < 39)).all(axis=-1)
    outside = ((spots <= -2) | (spots >= 41)).any(axis=-1)  # integer parts are towards 0
    assert inside.sum() > 900 and outside.sum() > 900
    assert (found[:, inside] == 255).all() and not found[:, outside].any()
    assert not project(np.zeros((2, 40, 40), np.uint8), rotation).any()


def test_stretching_is_by_picture_over_all_colours():
    values = np.zeros((2, 2, 2, 3))
    values[0, 0, 0], values[1] = (10, 20, 40), 7.0
    assert stretched(values)[0, 0, 0].tolist() == [64, 128, 255]
    assert not stretched(values)[1].any()


def test_rotations_are_uniform():
    random = np.random.RandomState(0)
    drawn = np.stack([draw_rotation(random) for _ in range(4000)])
    np.testing.assert_allclose(
        drawn @ drawn.transpose(0, 2, 1), np.tile(UPRIGHT, (4000, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(drawn), 1)
    # the direct moments of the uniform law: E R = 0, E R_ij^2 = 1/3, E (trace R)^2 = 1
    assert np.abs(drawn.mean(axis=0)).max() < 0.04
    assert np.abs(np.square(drawn).mean(axis=0) - 1 / 3).max() < 0.03
    assert abs(np.square(np.trace(drawn, axis1=1, axis2=2)).mean() - 1) < 0.1


def test_a_chunk_shares_a_rotation_and_is_drawn_over_all_instances():
    white = np.full((40, 20, 20), 255, np.uint8)
    found = seen(white, "spherical_projection@chunk=10")
    _, chunk, sizes = np.unique(
        found.reshape(40, -1), axis=0, return_inverse=True, return_counts=True
    )
    assert sizes.tolist() == [10] * 4
    assert (np.diff(chunk.ravel()) != 0).sum() > 15  # neighbours, often of one class, are parted
    assert len(np.unique(seen(white).reshape(40, -1), axis=0)) == 1
    assert len(np.unique(seen(white, "spherical_projection@chunk=1").reshape(40, -1), axis=0)) == 40


def test_features_are_drawn_by_modality_and_never_otherwise(pictures):
    assert np.array_equal(seen(pictures), seen(pictures))
    assert not np.array_equal(seen(pictures), seen(pictures, modality="art"))
    assert seen(pictures).shape == (3, SIDE, SIDE, 3) and seen(pictures).dtype == np.uint8
    # one colour after another, but for the common stretch
    grey = np.repeat(pictures[..., :1], 3, axis=-1)
    assert np.array_equal(seen(grey)[..., 2], seen(grey[..., 0]))
    many = np.concatenate([pictures] * 40)
    assert np.array_equal(project(many, UPRIGHT)[-3:], project(pictures, UPRIGHT))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.zeros((2, 4, 4)), "uint8 .* not float64 .2, 4, 4."),
        (np.zeros((4, 4), np.uint8), "not uint8 .4, 4."),
        (np.zeros((2, 4, 4, 2), np.uint8), "not uint8 .2, 4, 4, 2."),
    ],
)
def test_what_is_no_picture_is_refused(wrong, said):
    with pytest.raises(MglibError, match=said):
        seen(wrong)


def test_the_store_holds_pictures(tiny):
    prepare(tiny, ("spherical_projection",), ["picture"])
    features = load_features(tiny, "spherical_projection", "picture")
    raw = load_features(tiny, "raw", "picture").values
    assert features.values.shape == (12, SIDE, SIDE) and features.values.dtype == np.uint8
    assert features.card["parameters"]["spherical_projection"] == {"chunk": 500, "bandwidth": 30}
    assert np.array_equal(features.values, seen(raw)) and not SphericalProjection.unit_norm
    with pytest.raises(MglibError, match="takes image"):
        prepare(tiny, ("spherical_projection",), ["word"])
