"""Projections against scikit-learn and known answers; never their coordinates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import davies_bouldin_score, pairwise_distances

from mglib.analysis.projections import (
    davies_bouldin,
    kept_neighbours,
    project,
    projection_points,
    projection_rows,
    projection_table,
    projection_values,
)
from mglib.errors import MglibError
from mglib.figures.projections import draw_projections, middle


@pytest.fixture(scope="module")
def blobs():
    """Three far clusters of 30 unit vectors in 20 dimensions, and their labels."""
    random = np.random.RandomState(0)
    labels = np.repeat(np.arange(3), 30)
    rows = 6 * np.eye(20)[labels] + 0.4 * random.randn(90, 20)
    return rows, labels


@pytest.fixture(scope="module")
def drawings(blobs):
    return {method: project(blobs[0], method, seed=1) for method in ("t-SNE", "UMAP")}


@pytest.mark.parametrize("method", ["t-SNE", "UMAP"])
def test_far_clusters_stay_clusters(blobs, drawings, method):
    rows, labels = blobs
    drawn = drawings[method]
    assert drawn.shape == (90, 2) and drawn.dtype == np.float32 and np.isfinite(drawn).all()
    nearest = pairwise_distances(drawn) + np.diag(np.full(90, np.inf))
    assert (labels[nearest.argmin(axis=1)] == labels).mean() > 0.95
    assert davies_bouldin(drawn, labels) < 0.5
    shuffled = np.random.RandomState(2).permutation(labels)
    assert davies_bouldin(drawn, shuffled) > 3
    assert kept_neighbours(rows, drawn) > 0.8


@pytest.mark.parametrize("method", ["t-SNE", "UMAP"])
def test_the_same_seed_gives_the_same_coordinates(blobs, drawings, method):
    assert (project(blobs[0], method, seed=1) == drawings[method]).all()


def slow_trustworthiness(rows, drawn, k):
    """Venna & Kaski (2001), eq. 1, by ranks."""
    n = len(rows)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    before, after = pairwise_distances(units), pairwise_distances(drawn)
    penalty = 0
    for i in range(n):
        near = [j for j in np.argsort(after[i]) if j != i][:k]
        ranks = {j: r for r, j in enumerate((j for j in np.argsort(before[i]) if j != i), 1)}
        penalty += sum(max(0, ranks[j] - k) for j in near)
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * penalty


def test_trustworthiness_is_that_of_its_definition():
    random = np.random.RandomState(3)
    rows, drawn = random.randn(40, 6), random.randn(40, 2)
    assert kept_neighbours(rows, drawn, 7) == pytest.approx(slow_trustworthiness(rows, drawn, 7))
    plane = np.c_[np.cos(np.arange(40) / 9), np.sin(np.arange(40) / 9)]
    assert kept_neighbours(5 * plane, plane, 7) > 0.99


def test_davies_bouldin_of_two_pairs():
    points = np.array([[0.0, 0], [2, 0], [10, 0], [14, 0]])
    assert davies_bouldin(points, np.array([0, 0, 1, 1])) == pytest.approx((1 + 2) / 11)
    lonely = np.vstack([points, [[99.0, 99.0]]])
    assert davies_bouldin(lonely, np.array([0, 0, 1, 1, 2])) == pytest.approx(3 / 11)
    assert np.isnan(davies_bouldin(points, np.array([0, 0, 0, 0])))
    random = np.random.RandomState(4)
    rows, labels = random.randn(50, 3), random.randint(0, 4, 50)
    assert davies_bouldin(rows, labels) == pytest.approx(davies_bouldin_score(rows, labels))


def test_what_cannot_be_drawn_is_refused(blobs):
    with pytest.raises(MglibError, match="did you mean 't-SNE'"):
        project(blobs[0], "tSNE")
    for rows in (blobs[0][:7], np.full((20, 3), np.nan), np.ones(20)):
        with pytest.raises(MglibError, match="at least 8"):
            project(rows, "t-SNE")


def test_drawn_from_stored_coordinates(emoji_concepts, tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))
    asked = {"profile": "quick", "instances": 12, "methods": ("original", "t-SNE")}
    rows = projection_rows("x", emoji_concepts, [0], **asked)
    points = projection_points(rows, profile="quick")
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "nothing prepared"))
    again = projection_points(projection_rows("x", emoji_concepts, [0], **asked), profile="quick")
    pd.testing.assert_frame_equal(points, again)
    assert points.groupby("space").size().to_dict() == {
        "art": 12,
        "glyph": 12,
        "speech": 12,
        "text": 12,
        "all": 48,
    }
    per_instance = points[points["space"] == "all"].groupby("instance")
    assert (per_instance["class"].nunique() == 1).all() and len(per_instance) == 12
    table = projection_table(projection_values(rows))
    assert table["Trustworthiness"].tolist()[0] == "–"
    assert table.iloc[-2:]["Davies-Bouldin, modality"].ne("–").any()
    with pytest.raises(MglibError, match="split 7"):
        projection_points(rows, profile="quick", split_seed=7)


def test_the_figure_shows_every_space_and_names_classes_and_modalities():
    random = np.random.RandomState(0)
    points = pd.DataFrame(
        [
            {
                "perceptor": "frozen" if space != "all" else "bound",
                "space": space,
                "method": method,
                "modality": modality,
                "class": i % 3,
                "class_name": ["A", "B", "C"][i % 3],
                "instance": i,
                "x": random.rand(),
                "y": random.rand(),
            }
            for method in ("t-SNE", "UMAP")
            for space, modalities in (
                ("art", ["art"]),
                ("text", ["text"]),
                ("all", ["art", "text"]),
            )
            for modality in modalities
            for i in range(9)
        ]
    )
    figure = draw_projections(points, mark=4)
    assert len(figure.axes) == 6
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == ["1", "2", "3"]
    told = [t.get_text() for legend in _legends(figure) for t in legend.get_texts()]
    assert told == ["1 A", "2 B", "3 C", "art", "text"]
    ringed = [axes.collections[-1].get_offsets() for axes in figure.axes]
    assert [len(rings) for rings in ringed] == [1, 1, 1, 1, 2, 2]


def _legends(figure):
    return [legend for part in (figure, *figure.subfigs) for legend in part.legends]


def test_the_middle_lies_among_the_points():
    points = np.vstack([np.random.RandomState(0).randn(30, 2), [[100.0, 100.0]]])
    assert np.linalg.norm(middle(points)) < 1.5
    taken = middle(points)[None]
    assert np.linalg.norm(middle(points, taken, 0.3) - taken[0]) >= 0.3
    assert (middle(points, taken, 1e6) == taken[0]).all()
