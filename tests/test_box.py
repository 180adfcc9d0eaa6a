"""The numbers and verdicts of the box, on frames whose answer is known."""

from __future__ import annotations

import pandas as pd
import pytest

from mglib.analysis.box import box_claims, box_numbers

MODALITIES = {"art": 0.6, "text": 0.8}


@pytest.fixture
def frames():
    """Keyword arguments for both functions: two modalities, three splits."""
    splits, perceptors = range(3), ("frozen", "bound")
    probes = [
        (
            metric,
            target,
            p,
            m,
            s,
            0.2 if metric == "majority" else value - 0.3 * (target != "class"),
        )
        for metric in ("accuracy", "majority")
        for target in ("class", "subgroup")
        for p in perceptors
        for m, value in MODALITIES.items()
        for s in splits
    ]
    aligned = [
        ("art", "text", p, metric, s, value + 0.5 * (metric == "cka"))
        for p, value in zip(perceptors, (0.2, 0.25), strict=True)
        for metric in ("cka", "cka_debiased")
        for s in splits
    ]
    leaks = [
        (m, p, by, metric, s, {"equal": 0.0, "near": share}[metric])
        for m in MODALITIES
        for p in ("raw", "frozen")
        for by, share in (("group", 0.05), ("instance", 0.1))
        for metric in ("equal", "near")
        for s in splits
        if (p, metric) != ("frozen", "equal")
    ]
    projections = [
        ("bound", "all", "original", "davies_bouldin_class", 0, 4.0),
        ("bound", "all", "original", "davies_bouldin_modality", 0, 20.0),
        ("bound", "all", "UMAP", "davies_bouldin_modality", 0, 1.0),
        ("bound", "all", "UMAP", "trustworthiness", 0, 0.91),
        ("frozen", "art", "UMAP", "trustworthiness", 0, 0.82),
    ]
    return {
        "leaks": pd.DataFrame(
            leaks, columns=["modality", "perceptor", "by", "metric", "split_seed", "value"]
        ),
        "probes": pd.DataFrame(
            probes, columns=["metric", "target", "perceptor", "modality", "split_seed", "value"]
        ),
        "aligned": pd.DataFrame(
            aligned, columns=["first", "second", "perceptor", "metric", "split_seed", "value"]
        ),
        "projections": pd.DataFrame(
            projections, columns=["perceptor", "space", "method", "metric", "split_seed", "value"]
        ),
        "share": 0.2,
    }


def test_numbers_are_the_means_of_what_was_measured(frames):
    numbers = box_numbers(**frames)
    assert (numbers["best"], numbers["least"]) == ("text", "art")
    assert numbers["text_bound"] == "80.0\xa0±\xa00.0" and numbers["majority_class"][:4] == "20.0"
    assert (numbers["art_near"], numbers["art_near_by_instance"]) == ("5.0", "10.0")
    assert (numbers["cka_most"], numbers["cka_frozen"], numbers["cka_bound"]) == (
        "art and text",
        "0.20",
        "0.25",
    )
    assert (numbers["trust_low"], numbers["trust_high"]) == ("0.82", "0.91")
    assert (numbers["clusters_class"], numbers["clusters_modality"]) == ("4.0", "20.0")


def broken(name, frames):
    """The frames with one thing changed that a verdict must not survive."""
    changed = {k: v if k == "share" else v.copy() for k, v in frames.items()}
    leaks, probes = changed["leaks"], changed["probes"]
    if name == "no test item equals":
        leaks.loc[(leaks["metric"] == "equal") & (leaks["by"] == "group"), "value"] = 0.01
    elif name == "near-duplicates are rarer":
        leaks.loc[(leaks["metric"] == "near") & (leaks["by"] == "group"), "value"] = 0.2
    elif name == "every modality":
        bad = (probes["modality"] == "art") & (probes["metric"] == "accuracy")
        probes.loc[bad & (probes["target"] == "class"), "value"] = 0.1
    elif name == "the frozen spaces":
        changed["aligned"]["value"] -= 0.22
    elif name == "binding changes":
        own = changed["aligned"]
        own.loc[own["perceptor"] == "bound", "value"] += 0.2
    else:
        changed["projections"].loc[1, "value"] = 3.0
    return changed


def test_each_verdict_falls_with_what_it_rests_on(frames):
    none = pd.Series({"straddling_groups": 0.0, "shared_instances": 0.0})
    claims = box_claims(none, **frames)
    assert len(claims) == 7 and all(claims.values())
    fallen = [name for name, holds in box_claims(none + 1, **frames).items() if not holds]
    assert len(fallen) == 1 and fallen[0].startswith("no group straddles")
    for claim in claims:
        if claim != fallen[0]:
            name = next(n for n in NAMES if claim.startswith(n))
            after = box_claims(none, **broken(name, frames))
            assert [c for c, holds in after.items() if not holds] == [claim]


NAMES = [
    "no test item equals",
    "near-duplicates are rarer",
    "every modality",
    "the frozen spaces",
    "binding changes",
    "modalities are less",
]
