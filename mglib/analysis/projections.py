"""Spaces drawn in the plane: t-SNE and UMAP, their coordinates, and what they keep."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mglib.analysis.measured import (
    Answer,
    load_artifact,
    measured,
    save_artifact,
)
from mglib.data.splits import split_indices
from mglib.errors import MglibError, unknown
from mglib.features import load_features, pack_strings, unpack_strings
from mglib.registry import datasets

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1
METHODS = ("original", "t-SNE", "UMAP")
DRAWING = "drawing"  # the column `split` of what holds for one drawing alone
ALL = "all"  # the column `modality` where all modalities are drawn in one space
NEIGHBOURS = 15  # of UMAP, and of trustworthiness
LEAST = 8  # instances of a drawing
PERPLEXITY = 30.0


def _tsne(rows: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    model = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1)
    with threadpool_limits(limits=1):  # reaches what is loaded by now; n_jobs is not for its sums
        return model.fit_transform(rows)


def _umap(rows: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings():
        # Said on import, of parts that are not used: a learned projection, a progress bar.
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        warnings.filterwarnings("ignore", "IProgress not found")
        from umap import UMAP

    count = min(NEIGHBOURS, len(rows) - 1)
    with warnings.catch_warnings(), threadpool_limits(limits=1):
        # Exact neighbours from scikit-learn spare seconds of compiling; new points never come.
        warnings.filterwarnings("ignore", r"precomputed_knn\[2\]", UserWarning)
        distances, places = NearestNeighbors(n_neighbors=count).fit(rows).kneighbors(rows)
        model = UMAP(
            n_neighbors=count,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=(places, distances.astype(np.float32), None),
            force_approximation_algorithm=True,
        )
        return model.fit_transform(rows)


def project(rows: np.ndarray, method: str, seed: int = 0) -> np.ndarray:
    """Rows [N, D], scaled to unit length so that distances follow cosines, in the plane [N, 2].

    "t-SNE" (van der Maaten & Hinton 2008, scikit-learn) or "UMAP" (McInnes et al.,
    arXiv 1802.03426, umap-learn); "original" leaves the unit rows [N, D] as they are. The same seed
    gives the same coordinates on the same machine; axes and distances between clusters mean
    nothing in either. Raises MglibError for an unknown method, fewer than 8 rows, or values that
    are not finite.
    """
    if method not in METHODS:
        raise unknown("projection", method, METHODS)
    if rows.ndim != 2 or len(rows) < 8 or not np.isfinite(rows).all():
        raise MglibError(f"a projection needs finite rows [N, D], at least 8, not {rows.shape}")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    units = (rows / np.where(norms > 0, norms, 1.0)).astype(np.float32)
    if method == "original":
        return units
    return np.asarray({"t-SNE": _tsne, "UMAP": _umap}[method](units, seed), np.float32)


def kept_neighbours(rows: np.ndarray, drawn: np.ndarray, neighbours: int = NEIGHBOURS) -> float:
    """Trustworthiness of a drawing [N, 2] of rows [N, D] (Venna & Kaski 2001), 1 at best.

    How far the nearest neighbours in the drawing are also near by cosine; about 0.5 at random.
    """
    from sklearn.manifold import trustworthiness

    count = min(neighbours, (len(rows) - 1) // 2)
    return float(trustworthiness(project(rows, "original"), drawn, n_neighbors=count))


def davies_bouldin(points: np.ndarray, labels: np.ndarray) -> float:
    """Davies-Bouldin index of points [N, D] under labels [N]: small where labels are clusters.

    The mean over clusters of the worst ratio of two clusters' spreads to the distance of their
    centres (Davies & Bouldin 1979); labels that say nothing give large values. Labels of a single
    point are left out; NaN if fewer than two remain.
    """
    from sklearn.metrics import davies_bouldin_score

    names, counts = np.unique(labels, return_counts=True)
    kept = np.isin(labels, names[counts > 1])
    if (counts > 1).sum() < 2:
        return float("nan")
    return float(davies_bouldin_score(points[kept], labels[kept]))


def _spaces(dataset: str) -> list[tuple[str, str]]:
    """Perceptor and modality of each space that is drawn."""
    return [*(("frozen", m) for m in datasets.get(dataset).core), ("bound", ALL)]


def _space(
    dataset: str, perceptor: str, modality: str, split_seed: int, instances: int | None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Features of test instances, modality after modality, and what is known of each row."""
    core = datasets.get(dataset).core
    modalities = core if modality == ALL else (modality,)
    found = [load_features(dataset, perceptor, m, split_seed) for m in modalities]
    test = split_indices(found[0].groups, split_seed)["test"]
    if instances is not None and instances < len(test):
        test = np.sort(np.random.RandomState(split_seed).permutation(test)[:instances])
    labels = found[0].targets["class"][test]
    known = {
        "class": np.tile(labels, len(modalities)).astype(np.int16),
        "modality": np.repeat([core.index(m) for m in modalities], len(test)).astype(np.int16),
        "instance": np.tile(test, len(modalities)).astype(np.int32),
        "class_names": pack_strings(found[0].card["class_names"]["class"])[0],
    }
    return np.concatenate([own.values[test] for own in found]), known


def projection_rows(
    experiment: str,
    dataset: str,
    split_seeds: Iterable[int],
    *,
    profile: str,
    instances: int | None = None,
    methods: Sequence[str] = METHODS,
) -> pa.Table:
    """Rows of every space and method, on `instances` (None: all) of each split's test part.

    Metrics: `trustworthiness` (of drawings), `davies_bouldin_class` and, where all modalities lie
    in one space (modality "all"), `davies_bouldin_modality`. The coordinates are artifacts. Where
    clusters of a drawing come to lie hangs on the last bits of a processor: its Davies-Bouldin
    indices have the split "drawing", so that nobody compares them between machines. Raises
    MglibError for fewer instances than neighbourhoods can be judged by.
    """
    if instances is not None and instances < LEAST:
        raise MglibError(f"a drawing needs at least {LEAST} instances, not {instances}")

    def answer(question: dict[str, Any]) -> Answer:
        told = json.loads(question["hparams"])
        place = question["perceptor"], question["modality"], question["split_seed"]
        rows, known = _space(dataset, *place, told["instances"])
        drawn = project(rows, told["method"], told["seed"])
        found = {"davies_bouldin_class": davies_bouldin(drawn, known["class"])}
        if question["modality"] == ALL:
            found["davies_bouldin_modality"] = davies_bouldin(drawn, known["modality"])
        part = question["split"]
        if told["method"] != "original":
            part = DRAWING
            save_artifact(experiment, question["key"], {**known, "points": drawn})
        answers = [{"metric": m, "value": v, "split": part} for m, v in found.items()]
        if told["method"] != "original":
            answers.append({"metric": "trustworthiness", "value": kept_neighbours(rows, drawn)})
        return [{**own, "n": len(rows)} for own in answers]

    questions: list[dict[str, Any]] = [
        {
            "task": "projection",
            "dataset": dataset,
            "perceptor": perceptor,
            "split_seed": seed,
            "modality": modality,
            "split": "test",
            "hparams": {
                "method": method,
                "instances": instances,
                "neighbours": NEIGHBOURS,
                "perplexity": PERPLEXITY,
                "seed": 0,
            },
        }
        for seed in split_seeds
        for perceptor, modality in _spaces(dataset)
        for method in methods
    ]

    def rows_of(drawn: bool) -> pa.Table:
        own = [q for q in questions if (q["hparams"]["method"] != "original") == drawn]
        return measured(
            experiment,
            own,
            answer,
            version=VERSION,
            profile=profile,
            label="projections" if drawn else "clusters of the original spaces",
            artifact=drawn,
        )

    return pa.concat_tables([rows_of(drawn=False), rows_of(drawn=True)])


def projection_points(rows: pa.Table, *, profile: str, split_seed: int = 0) -> pd.DataFrame:
    """The stored coordinates of one split: one row per point.

    Columns perceptor, modality (of the point), space (its modality, or "all"), method, class,
    class_name, instance, x, y.
    """
    import pandas as pd

    found = rows.to_pandas().drop_duplicates("key")
    frames = []
    for row in found[found["split_seed"] == split_seed].itertuples():
        method = json.loads(row.hparams)["method"]
        if method == "original":
            continue
        kept = load_artifact(row.experiment, row.key, profile)
        names = np.array(unpack_strings(kept["class_names"]))
        core = np.array(datasets.get(row.dataset).core)
        frames.append(
            pd.DataFrame(
                {
                    "perceptor": row.perceptor,
                    "space": row.modality,
                    "method": method,
                    "modality": core[kept["modality"]],
                    "class": kept["class"],
                    "class_name": names[kept["class"]],
                    "instance": kept["instance"],
                    "x": kept["points"][:, 0],
                    "y": kept["points"][:, 1],
                }
            )
        )
    if not frames:
        raise MglibError(f"no projection of split {split_seed} is among these rows")
    return pd.concat(frames, ignore_index=True)


def projection_values(rows: pa.Table) -> pd.DataFrame:
    """Columns perceptor, space, method, metric, split_seed and value, from the rows."""
    table = rows.to_pandas().rename(columns={"modality": "space"})
    method = [json.loads(text)["method"] for text in table["hparams"]]
    columns = ["perceptor", "space", "method", "metric", "split_seed", "value"]
    return table.assign(method=method)[columns]


def projection_table(values: pd.DataFrame) -> pd.DataFrame:
    """Mean over splits of trustworthiness and Davies-Bouldin indices, per space and method."""
    import pandas as pd

    columns = {
        "Trustworthiness": "trustworthiness",
        "Davies-Bouldin, class": "davies_bouldin_class",
        "Davies-Bouldin, modality": "davies_bouldin_modality",
    }
    rows = []
    for perceptor, space in dict.fromkeys(zip(values["perceptor"], values["space"], strict=True)):
        own = values[(values["perceptor"] == perceptor) & (values["space"] == space)]
        for method in METHODS:
            here = own[own["method"] == method].groupby("metric")["value"].mean()
            cells = {
                title: f"{here[metric]:.2f}" if metric in here else "–"
                for title, metric in columns.items()
            }
            rows.append({"Space": f"{perceptor}, {space}", "Drawn by": method, **cells})
    return pd.DataFrame(rows)
