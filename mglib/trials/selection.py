"""Model selection: which checkpoint of which draw is reported, by rules blind to the report.

The three rules of DomainBed (Gulrajani & Lopez-Paz 2021, section 3) under ModalBed's names. Each
takes rows (columns of mglib.rows.SCHEMA) and returns those of the chosen (draw, step) of every run:
one choice per dataset, perceptor, algorithm, variant, training set, seed and split. `Parts` says
which part of the instances is scored: ours, where nothing reported is looked at, or the published.
Modalities tested alone are what is scored; rows of a `test_pattern` follow the choice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mglib.errors import MglibError

if TYPE_CHECKING:
    import pandas as pd

_METHOD = ["dataset", "perceptor", "algorithm", "variant"]
_GROUP = [*_METHOD, "seed", "split_seed"]
_RUN = [*_GROUP, "train"]
_CHECKPOINT = ["draw", "step"]


@dataclass(frozen=True)
class Parts:
    """Which part (column `split`) each rule scores, and which one is reported.

    `own`: of the training modalities (first rule); `crossed`: of the modality held out besides the
    test modality (second); `oracle`: of the test modality (third). `later_draw`: of draws with
    equal scores the later is chosen, not the earlier; of steps it is always the earlier.
    """

    own: str = "validation"
    crossed: str = "validation"
    oracle: str = "validation"
    reported: str = "test"
    later_draw: bool = False


OURS = Parts()


def published_parts(in_split: str = "in", out_split: str = "out") -> Parts:
    """The parts as DomainBed and ModalBed use them: 80 % of a modality is "in", 20 % is "out".

    Cross-validation scores the "in" part of what it holds out, and the reported number is the "in"
    part of the test modality, whose instances were trained on in the other modalities. Ties between
    draws go to the later one, since the published code sorts upwards and reverses. On rows with our
    own parts the nearest is published_parts("train", "validation").
    """
    return Parts(out_split, in_split, out_split, in_split, later_draw=True)


def held_out(rows: pd.DataFrame, modalities: Sequence[str] | None = None) -> pd.Series:
    """For each row the tuple of modalities, sorted, that its run did not train on.

    All modalities are those given, or those that occur in rows of the same dataset and perceptor.
    Raises MglibError for a run trained on a modality that is not among them.
    """
    import pandas as pd

    number = rows.groupby(["dataset", "perceptor", "train"], sort=False).ngroup()
    known = alone(rows).groupby(["dataset", "perceptor"])["modality"].agg(set)
    found = []
    runs = rows[["dataset", "perceptor", "train"]].drop_duplicates()
    for dataset, perceptor, train in runs.itertuples(index=False):
        every = set(modalities or known[dataset, perceptor])
        if unknown := set(train.split("+")) - every:
            raise MglibError(
                f"{dataset} has runs trained on {sorted(unknown)}, but its modalities are "
                f"{sorted(every)}"
            )
        found.append(tuple(sorted(every - set(train.split("+")))))
    return pd.Series([found[i] for i in number], index=rows.index, dtype=object)


def alone(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of modalities tested alone: those without a test pattern."""
    return rows[rows["test_pattern"].isna()] if "test_pattern" in rows else rows


def _check_once(rows: pd.DataFrame, columns: list[str], what: str) -> None:
    if (twice := rows.duplicated(columns)).any():
        first = rows.loc[twice, columns].iloc[0].to_dict()
        raise MglibError(f"{what} occurs twice in the rows: {first}")


def _among(modality: pd.Series, names: pd.Series) -> np.ndarray:
    return np.array([m in some for m, some in zip(modality, names, strict=True)], bool)


def _in_training_set(rows: pd.DataFrame) -> np.ndarray:
    return _among(rows["modality"], rows["train"].str.split("+"))


def _mean_scores(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Columns, value (mean; -inf if any value is null) and how many values it is the mean of."""
    # Rounded: sums of the same numbers in another order must tie.
    means = (
        rows.assign(lost=rows["value"].isna(), value=rows["value"].fillna(0.0))
        .groupby(columns, as_index=False)
        .agg(value=("value", "mean"), count=("value", "size"), lost=("lost", "max"))
    )
    value = means["value"].round(12).where(~means["lost"].astype(bool), -np.inf)
    return means.assign(value=value)


def _best(rows: pd.DataFrame, candidates: pd.DataFrame, parts: Parts) -> pd.DataFrame:
    """The rows of each run's best candidate: columns of the run, draw, step and value."""
    order = candidates.sort_values(
        ["value", "draw", "step"], ascending=[False, not parts.later_draw, True], kind="stable"
    )
    chosen = order.drop_duplicates(_RUN)[[*_RUN, *_CHECKPOINT]]
    return rows.merge(chosen, on=[*_RUN, *_CHECKPOINT])


def training_modality_validation(
    rows: pd.DataFrame, metric: str = "accuracy", parts: Parts = OURS
) -> pd.DataFrame:
    """Rows of the (draw, step) with the best mean validation score over the training modalities.

    For runs with any training set. Looks only at part `parts.own` of the modalities in `train`; a
    checkpoint without a score of each of them is no candidate, a diverged one is chosen only if
    there is no other. Raises MglibError for a score that occurs twice.
    """
    part = alone(rows[(rows["split"] == parts.own) & (rows["metric"] == metric)])
    own = part[_in_training_set(part)]
    _check_once(own, [*_RUN, *_CHECKPOINT, "modality"], "a validation score")
    scores = _mean_scores(own, [*_RUN, *_CHECKPOINT])
    return _best(rows, scores[scores["count"] == scores["train"].str.count(r"\+") + 1], parts)


def leave_one_modality_out(
    rows: pd.DataFrame,
    metric: str = "accuracy",
    parts: Parts = OURS,
    modalities: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Rows of the (draw, step) best at modalities left out besides the test modality t.

    For runs that leave out t alone. The score is the mean over e != t of the score on e, part
    `parts.crossed`, in the run that leaves out {t, e}. Candidates are the (draw, step) that all
    these runs and the run itself have; without one the run is not in the result (a dash in a table;
    `missing_runs` names what lacks). A checkpoint that diverged in one of these runs, or (seen at
    its own training modalities) itself, is chosen only if there is no other. Neither the modality t
    nor the reported part is looked at. Raises MglibError for a score or run that occurs twice.
    """
    right = alone(rows.assign(left=held_out(rows, modalities))[rows["metric"] == metric])
    several = right[(right["left"].str.len() == 2) & (right["split"] == parts.crossed)]
    crossed = several[_among(several["modality"], several["left"])]
    # t as seen from the row's modality e is the other one of the two left out; of the modalities
    # other than t all but e are trained on here.
    target = [
        left[left[0] == m] for m, left in zip(crossed["modality"], crossed["left"], strict=True)
    ]
    crossed = crossed.assign(
        target=np.array(target, object), others=crossed["train"].str.count(r"\+") + 2
    )
    key = [*_GROUP, "target", *_CHECKPOINT]
    _check_once(crossed, [*key, "modality"], "a score of cross-validation")
    scores = _mean_scores(crossed, [*key, "others"])
    single = right[right["left"].str.len() == 1]
    own = (single["split"] == parts.own) & _in_training_set(single)
    runs = (
        single.assign(
            target=single["left"].str[0].astype(object), diverged=own & single["value"].isna()
        )
        .groupby([*key, "train"], as_index=False)["diverged"]
        .max()
    )
    _check_once(runs, key, "a run that leaves one modality out")
    candidates = runs.merge(scores[scores["count"] == scores["others"]], on=key)
    diverged = candidates["diverged"].astype(bool)
    value = candidates["value"].where(~diverged, -np.inf)
    return _best(rows, candidates.assign(value=value), parts)


def oracle_validation(
    rows: pd.DataFrame,
    metric: str = "accuracy",
    parts: Parts = OURS,
    modalities: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Rows of the draw whose last step scores best on the test modality itself: an oracle.

    For runs that leave out one modality. Looks only at part `parts.oracle` of that modality, at the
    last checkpoint of each draw (no early stopping, to limit what the oracle tells). It uses labels
    of the unseen modality, though never a reported instance of it. A diverged draw is chosen only
    if there is no other. Raises MglibError for a score that occurs twice.
    """
    right = alone(rows.assign(left=held_out(rows, modalities))[rows["metric"] == metric])
    single = right[right["left"].str.len() == 1]
    last = single["step"] == single.groupby([*_RUN, "draw"])["step"].transform("max")
    target = single["modality"] == single["left"].str[0]
    scored = single[last & target & (single["split"] == parts.oracle)]
    _check_once(scored, [*_RUN, *_CHECKPOINT], "a validation score of the test modality")
    return _best(rows, _mean_scores(scored, [*_RUN, *_CHECKPOINT]), parts)


def missing_runs(
    rows: pd.DataFrame, sizes: Sequence[int] = (1, 2), modalities: Sequence[str] | None = None
) -> pd.DataFrame:
    """Runs, or some of their steps, that are needed to choose among all draws, but lack in `rows`.

    `sizes` are the numbers of modalities left out that a rule needs. Asked for are, per dataset,
    perceptor, algorithm and variant, all (draw, step) and all test modalities of which any run has
    rows, in every seed and split. One row per run: its columns with the training set that it lacks
    ("" if none is left to train on), `draw` and the tuple `steps`. Empty if nothing is missing.
    """
    import pandas as pd

    left = held_out(rows, modalities)
    table = rows.assign(left=left)[left.str.len().isin(sizes)]
    found = []
    for method, own in table.groupby(_METHOD):
        every = {*own["train"].iloc[0].split("+"), *own["left"].iloc[0]}
        targets = {m for names in own["left"] for m in names}
        wanted = {
            tuple(sorted({t, *more}))
            for size in sizes
            for t in targets
            for more in itertools.combinations(sorted(every - {t}), size - 1)
        }
        columns = ["seed", "split_seed", "left", *_CHECKPOINT]
        present = set(own[columns].drop_duplicates().itertuples(index=False, name=None))
        steps = own.groupby("draw")["step"].unique()
        groups = own[["seed", "split_seed"]].drop_duplicates().itertuples(index=False, name=None)
        for group, names, draw in itertools.product(sorted(groups), sorted(wanted), steps.index):
            lacking = sorted(s for s in steps[draw] if (*group, names, draw, s) not in present)
            if lacking:
                train = "+".join(sorted(every - set(names)))
                found.append((*method, *group, train, draw, tuple(map(int, lacking))))
    return pd.DataFrame(found, columns=[*_RUN, "draw", "steps"])


def reported(
    chosen: pd.DataFrame, parts: Parts = OURS, modalities: Sequence[str] | None = None
) -> pd.DataFrame:
    """Of chosen rows those that a table prints: the modalities left out, in the reported part."""
    unseen = _among(chosen["modality"], held_out(chosen, modalities))
    return alone(chosen[unseen & (chosen["split"] == parts.reported)])


def _training_modality_single(
    rows: pd.DataFrame, metric: str, parts: Parts, modalities: Sequence[str] | None
) -> pd.DataFrame:
    single = held_out(rows, modalities).str.len() == 1
    return training_modality_validation(rows[single], metric, parts)


@dataclass(frozen=True)
class Rule:
    """A selection rule with its `title` in tables, what it `looks_at`, and the runs it needs.

    `sizes`: how many modalities the runs leave out that it reads; only those with one are chosen.
    """

    title: str
    looks_at: str
    sizes: tuple[int, ...]
    function: Callable[[pd.DataFrame, str, Parts, Sequence[str] | None], pd.DataFrame]

    def choose(
        self,
        rows: pd.DataFrame,
        metric: str = "accuracy",
        parts: Parts = OURS,
        modalities: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Rows of the chosen checkpoint of every run that leaves out exactly one modality."""
        return self.function(rows, metric, parts, modalities)

    def missing(self, rows: pd.DataFrame, modalities: Sequence[str] | None = None) -> pd.DataFrame:
        """What `missing_runs` finds among the runs that this rule needs."""
        return missing_runs(rows, self.sizes, modalities)


RULES = {
    "training-modality": Rule(
        "training-modality validation",
        "the validation part of the modalities trained on, at every checkpoint",
        (1,),
        _training_modality_single,
    ),
    "leave-one-modality-out": Rule(
        "leave-one-modality-out cross-validation",
        "a second modality held out, at every checkpoint of runs trained on one modality less",
        (1, 2),
        leave_one_modality_out,
    ),
    "test-modality": Rule(
        "test-modality validation (oracle)",
        "the validation part of the test modality, at the last checkpoint only",
        (1,),
        oracle_validation,
    ),
}
