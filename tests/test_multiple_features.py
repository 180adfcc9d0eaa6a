"""The views are those of the package's files, belong to one numeral, and tell what they should."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mglib.data._multiple_features import FEATURES, FOLDER, VIEWS
from mglib.data.carriers import opened, read_member
from mglib.data.multiple_features import MultipleFeatures
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import load_features
from mglib.perceptors.prepare import prepare

# widths as the collection's description has them
WIDTHS = {"fourier": 76, "profile": 216, "karhunen": 64, "pixels": 240}
WIDTHS |= {"zernike": 47, "morphology": 6}


@pytest.fixture(scope="module")
def views():
    prepare("multiple_features", ("raw",), tuple(VIEWS))
    return {name: load_features("multiple_features", "raw", name) for name in VIEWS}


def written(name):
    """The lines of a file as numbers, digit last, read line by line."""
    with opened(FEATURES) as archive:
        text = read_member(archive, f"{FOLDER}/mfeat-{VIEWS[name]}.csv").decode()
    return [[float(value) for value in line] for line in list(csv.reader(io.StringIO(text)))[1:]]


def test_views_are_lines_of_their_files_and_of_one_numeral(views):
    lines = {name: written(name) for name in VIEWS}
    first = {tuple(line): at for at, line in reversed([*enumerate(lines["pixels"])])}
    pixels, digits = views["pixels"].values, views["pixels"].targets["class"]
    places = [
        first[(*map(float, values), float(digit))]
        for values, digit in zip(pixels, digits, strict=True)
    ]
    assert len(set(places)) == len(places) == 1994
    for name, features in views.items():
        assert features.values.shape == (1994, WIDTHS[name])
        for row in range(0, 1994, 97):
            wanted = lines[name][places[row]]
            assert np.allclose(features.values[row], wanted[:-1], rtol=1e-6)
            assert features.targets["class"][row] == wanted[-1]


def test_groups_are_blocks_of_the_files_order_and_share_no_picture(views):
    pixels, groups = views["pixels"].values, views["pixels"].groups
    assert len(np.unique(pixels, axis=0)) == len(pixels)
    counts = np.unique(
        np.stack([groups, views["pixels"].targets["class"]]), axis=1, return_counts=True
    )
    assert len(np.unique(groups)) == 20 and counts[1].max() == 10 and counts[1].min() >= 4
    ids = views["pixels"].instance_ids
    assert all(
        int(name.partition("-")[2]) // 10 == group for name, group in zip(ids, groups, strict=True)
    )


@pytest.mark.parametrize(
    ("name", "told"), [("fourier", 0.815), ("zernike", 0.814), ("morphology", 0.712)]
)
def test_a_view_tells_what_is_known_of_it(views, name, told):
    """Linear test accuracies, measured before on a random split."""
    x, y = views[name].values, views[name].targets["class"]
    parts = split_indices(views[name].groups, 0)
    learned = np.concatenate([parts["binding"], parts["train"]])
    scale = StandardScaler().fit(x[learned])
    model = LogisticRegression(C=1.0, max_iter=2000).fit(scale.transform(x[learned]), y[learned])
    assert model.score(scale.transform(x[parts["test"]]), y[parts["test"]]) == pytest.approx(
        told, abs=0.05
    )


def test_another_view_is_one_line():
    with pytest.raises(MglibError, match="modality of multiple_features 'zernicke'.*zernike"):
        MultipleFeatures().raw("zernicke", lambda share: None)
