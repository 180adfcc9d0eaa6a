"""What is in the box, in a few numbers and verdicts: for the text of the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglib.analysis.held_out import percent
from mglib.analysis.leaks import NEAR
from mglib.analysis.probes import probe_interval
from mglib.analysis.projections import NEIGHBOURS

if TYPE_CHECKING:
    import pandas as pd


def _class_probes(probes: pd.DataFrame, share: float) -> pd.DataFrame:
    """The Interval of each class probe: one line per modality, one column per perceptor."""
    own = probes[probes["target"] == "class"]
    pairs = own[["modality", "perceptor"]].drop_duplicates()
    found = pairs.assign(
        interval=[
            probe_interval(own, share, modality=m, perceptor=p)
            for m, p in pairs.itertuples(index=False)
        ]
    )
    return found.pivot(index="modality", columns="perceptor", values="interval")


def _cka(aligned: pd.DataFrame) -> pd.Series:
    """Mean debiased CKA by perceptor and pair."""
    own = aligned[aligned["metric"] == "cka_debiased"]
    return own.groupby(["perceptor", "first", "second"])["value"].mean()


def _leaked(leaks: pd.DataFrame) -> pd.Series:
    """Mean shares by metric, way of splitting, perceptor and modality."""
    return leaks.groupby(["metric", "by", "perceptor", "modality"])["value"].mean()


def _clusters(projections: pd.DataFrame, labels: str) -> float:
    """Mean Davies-Bouldin index of the bound space itself by "class" or "modality"."""
    own = projections[
        (projections["metric"] == f"davies_bouldin_{labels}")
        & (projections["perceptor"] == "bound")
        & (projections["method"] == "original")
    ]
    return float(own["value"].mean())


def box_numbers(
    leaks: pd.DataFrame,
    probes: pd.DataFrame,
    aligned: pd.DataFrame,
    projections: pd.DataFrame,
    share: float,
) -> dict[str, str]:
    """Formatted values by name, from the frames `*_values`; `share` of the instances is tested."""
    probed, cka, near = _class_probes(probes, share), _cka(aligned), _leaked(leaks)["near"]
    means = probed["frozen"].map(lambda interval: interval.mean)
    kept = projections.loc[projections["metric"] == "trustworthiness", "value"]
    majority = probe_interval(probes, share, metric="majority", target="class")
    numbers = {
        "best": str(means.idxmax()),
        "least": str(means.idxmin()),
        "majority_class": percent(majority),
        "near": f"{NEAR:g}",
        "cka_most": " and ".join(cka["frozen"].idxmax()),
        "cka_least": " and ".join(cka["frozen"].idxmin()),
        "cka_frozen": f"{cka['frozen'].mean():.2f}",
        "cka_bound": f"{cka['bound'].mean():.2f}",
        "trust_low": f"{kept.min():.2f}",
        "trust_high": f"{kept.max():.2f}",
        "neighbours": str(NEIGHBOURS),
        "clusters_class": f"{_clusters(projections, 'class'):.1f}",
        "clusters_modality": f"{_clusters(projections, 'modality'):.1f}",
    }
    for modality in probed.index:
        for perceptor in probed.columns:
            numbers[f"{modality}_{perceptor}"] = percent(probed.loc[modality, perceptor])
        numbers[f"{modality}_near"] = percent(float(near["group", "frozen", modality]))
        split = float(near["instance", "frozen", modality])
        numbers[f"{modality}_near_by_instance"] = percent(split)
    return numbers


def box_claims(
    faults: pd.Series,
    leaks: pd.DataFrame,
    probes: pd.DataFrame,
    aligned: pd.DataFrame,
    projections: pd.DataFrame,
    share: float,
) -> dict[str, bool]:
    """The verdicts that the text rests on; `faults` counts what must be 0."""
    probed, cka, leaked = _class_probes(probes, share), _cka(aligned), _leaked(leaks)
    majority = probe_interval(probes, share, metric="majority", target="class").mean
    near = leaked["near"]
    return {
        "no group straddles two parts and no instance is lost or shared": not faults.any(),
        "no test item equals a seen one": leaked["equal", "group"].max() == 0,
        "near-duplicates are rarer when groups stay together": near["group", "frozen"].mean()
        < near["instance", "frozen"].mean(),
        "every modality tells more of the class than the majority class": all(
            interval.mean > majority for interval in probed.to_numpy().ravel()
        ),
        "the frozen spaces of every two modalities are alike to some degree": cka["frozen"].min()
        > 0,
        "binding changes the mean CKA of the modalities by less than 0.1": abs(
            cka["bound"].mean() - cka["frozen"].mean()
        )
        < 0.1,
        "modalities are less of a cluster than classes in the bound space": _clusters(
            projections, "class"
        )
        < _clusters(projections, "modality"),
    }
