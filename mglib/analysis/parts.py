"""Which part of a method pays? Every method against itself with one part switched off.

Ours; the parts are those that a hyper-parameter of ModalBed (arXiv 2412.18277) or DomainBed
(arXiv 2007.01434) can switch off or on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mglib.analysis.held_out import held_out_values, method_name, percent, verdict
from mglib.analysis.pairs import by_split, corrected_t_test, holm, p_value
from mglib.analysis.statistics import LEVEL, Interval, resampled_interval
from mglib.analysis.worlds import World, world_trials
from mglib.errors import MglibError, check_different, unknown
from mglib.registry import algorithms
from mglib.trials.hyperparameters import pace_of
from mglib.trials.selection import alone, reported, training_modality_validation
from mglib.trials.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

NEVER = 10**9  # steps that no run has


@dataclass(frozen=True)
class Side:
    """An algorithm with some hyper-parameters other than its defaults."""

    algorithm: str
    values: tuple[tuple[str, float], ...] = ()

    @property
    def title(self) -> str:
        """What values and tables call it; the values as published runs would have them."""
        own = ", ".join(
            f"{name} {'never' if value == NEVER else f'{value:g}'}" for name, value in self.values
        )
        return method_name(self.algorithm, "corrected") + (f" ({own})" if own else "")


@dataclass(frozen=True)
class Part:
    """A part of an algorithm, and the hyper-parameters `without` it and, if not defaults, `having`.

    `instead`: the algorithm that is what the method is without it, where no hyper-parameter does
    that. Steps and learning rates are those of a published run (5,001 steps at 5e-5).
    """

    algorithm: str
    part: str
    without: Mapping[str, float] = field(default_factory=dict)
    having: Mapping[str, float] = field(default_factory=dict)
    instead: str = ""

    @property
    def sides(self) -> tuple[Side, Side]:
        """The method with the part, and without."""
        return (
            Side(self.algorithm, tuple(sorted(self.having.items()))),
            Side(self.instead or self.algorithm, tuple(sorted(self.without.items()))),
        )


# A penalty with a weight of 1 before it sets in is switched off from the first step on, so that
# what is left is ERM.
PARTS = (
    Part("irm", "penalty", {"irm_lambda": 0, "irm_penalty_anneal_iters": 0}),
    Part("irm", "late start of the penalty", {"irm_penalty_anneal_iters": 0}),
    Part("irm", "rise of the weight from 1 to 100", {"irm_lambda": 1}),
    Part("ib_erm", "penalty", {"ib_lambda": 0}),
    Part("ib_erm", "late start of the penalty", {"ib_penalty_anneal_iters": 0}),
    Part(
        "ib_erm",
        "restart of the optimiser alone",
        {"ib_lambda": 0, "ib_penalty_anneal_iters": NEVER},
        {"ib_lambda": 0},
    ),
    Part("vrex", "penalty", {"vrex_lambda": 0, "vrex_penalty_anneal_iters": 0}),
    Part("vrex", "late start of the penalty", {"vrex_penalty_anneal_iters": 0}),
    Part("coral", "penalty", {"mmd_gamma": 0}),
    Part("fishr", "penalty", {"lambda": 0}),
    Part("fishr", "late start of the penalty", {"penalty_anneal_iters": 0}),
    Part("fishr", "moving average of the variances", {"ema": 0}),
    Part("condcad", "bottleneck", {"lmbda": 0}),
    Part("groupdro", "weights that follow the risks", {"groupdro_eta": 0}),
    Part("cdann", "adversary", {"lambda": 0}),
    Part("cdann", "adversary and its steps", {"lambda": 0, "d_steps_per_g_step": 0}),
    Part("cdann", "gradient penalty of weight 1", {}, {"grad_penalty": 1}),
    Part("sagnet", "adversary (its Adam still moves)", {"sag_w_adv": 0}),
    Part("mixup", "blending (alpha 0.2 against 0.01)", {"mixup_alpha": 0.01}),
    Part("mixup", "stronger blending (alpha 10 against 0.2)", {}, {"mixup_alpha": 10}),
    Part(
        "eqrm", "quantile, smaller rate and restart after the burn-in", {"eqrm_burnin_iters": NEVER}
    ),
    Part("eqrm", "smaller rate after the burn-in", {"eqrm_lr": 5e-5}),
    Part("erm_plus_plus", "averaged weights", {"averaging_from": NEVER}),
    Part("erm_plus_plus", "classifier first (against one step)", {"linear_steps": 0}),
    Part("urm", "adversary", {"urm_adv_lambda": 0}),
    Part("adrmx", "contrastive losses", {"cnt_lambda": 0}),
    Part("adrmx", "adversary", {"disc_lambda": 0}),
    Part("adrmx", "remixed rows", {"rmxd_lambda": 0}),
    Part("ogm", "modulation", {"alpha": 0}),
    Part("ogm_ge", "noise on the gradient", instead="ogm"),
    Part("umt", "imitation of the teachers", {"umt_lambda": 0}),
    Part("dlmg", "gap between modalities, and its schedule", {"alpha": 0}, instead="ogm"),
)


def parts_of(names: Sequence[str] | None) -> tuple[Part, ...]:
    """The parts of some algorithms, or of all; MglibError for one without parts or repeated."""
    known = dict.fromkeys(part.algorithm for part in PARTS)
    for name in names or ():
        if name not in known:
            raise unknown("algorithm with parts", name, known)
    if names is not None:
        check_different("algorithms", names)
    return tuple(part for part in PARTS if names is None or part.algorithm in names)


def sides_of(parts: Iterable[Part]) -> list[Side]:
    """The different sides of some parts, in their order."""
    return list(dict.fromkeys(side for part in parts for side in part.sides))


def part_trials(
    world: World, parts: Iterable[Part], *, steps: int, lr: float, **common: Any
) -> dict[Side, list[Trial]]:
    """The trials of every side, each modality left out in turn; `common` as in `world_trials`.

    What a side fixes goes at the pace of the run, as defaults do. Raises MglibError for a
    hyper-parameter that the algorithm does not have.
    """
    pace = pace_of(steps, lr)
    found = {}
    for side in sides_of(parts):
        search = algorithms.get(side.algorithm).search
        fixed = {"weight_decay": 0.0}
        for name, value in side.values:
            if name not in search:
                raise unknown(f"hyper-parameter of {side.algorithm}", name, search)
            fixed[name] = pace.of(search[name], type(search[name].default)(value))
        method = [(side.algorithm, "corrected")]
        found[side] = world_trials(
            world, method, bounds=False, steps=steps, lr=lr, fixed=fixed, **common
        )
    return found


def side_values(
    rows: pd.DataFrame, trials: Mapping[Side, Sequence[Trial]]
) -> tuple[pd.DataFrame, list[Side]]:
    """Held-out values of every side under training-modality validation, and those that diverged.

    Columns modality, method (the side's title), split_seed, value; a side of which some run has no
    finite checkpoint has none.
    """
    import pandas as pd

    found, diverged = [], []
    for side, own in trials.items():
        mine = rows[rows["key"].isin([trial.key for trial in own])]
        chosen = training_modality_validation(alone(mine))
        if reported(chosen)["value"].isna().any():
            diverged.append(side)
        else:
            found.append(held_out_values(chosen, supervised="").assign(method=side.title))
    return pd.concat(found, ignore_index=True), diverged


def differences(values: pd.DataFrame, parts: Iterable[Part]) -> pd.DataFrame:
    """With a part minus without it in every split, means over held-out modalities.

    Columns method, part, split_seed, value; parts with a side that diverged are left out. Raises
    MglibError if the sides of a part lack each other's splits or modalities.
    """
    import pandas as pd

    known = set(values["method"])
    found = []
    for part in parts:
        having, without = (side.title for side in part.sides)
        if {having, without} <= known:
            table = by_split(values[values["method"].isin([having, without])])
            own = (table[having] - table[without]).rename("value").reset_index()
            title = method_name(part.algorithm, "corrected")
            found.append(own.assign(method=title, part=part.part))
    if not found:
        raise MglibError("no part has two sides that did not diverge; lower the learning rate")
    return pd.concat(found, ignore_index=True)[["method", "part", "split_seed", "value"]]


def compare_parts(gaps: pd.DataFrame, test_share: float) -> pd.DataFrame:
    """Of `differences` the mean of every part, tested; one family for Holm's correction.

    Columns method, part, mean, low, high, t, p, p_holm, n and verdict: higher (the part pays),
    lower, or a tie unless p_holm is below 0.05. The interval is not corrected for the family.
    """
    import pandas as pd

    cells = list(gaps.groupby(["method", "part"], sort=False))
    tests = [corrected_t_test(own["value"].tolist(), test_share) for _, own in cells]
    corrected = holm([test.p for test in tests])
    lines = []
    for ((method, part), _), test, adjusted in zip(cells, tests, corrected, strict=True):
        interval = test.interval
        lines.append(
            {
                "method": method,
                "part": part,
                "mean": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "t": test.t,
                "p": test.p,
                "p_holm": adjusted,
                "n": interval.n,
                "verdict": verdict(interval) if adjusted < 1 - LEVEL else "a tie",
            }
        )
    return pd.DataFrame(lines)


def part_table(
    values: pd.DataFrame, compared: pd.DataFrame, parts: Iterable[Part], test_share: float
) -> pd.DataFrame:
    """Method, part, accuracy [%] with and without it, difference [points], p, and a verdict.

    A side that diverged says so, and its difference is a dash.
    """
    import pandas as pd

    tests = compared.set_index(["method", "part"])
    lines = []
    for part in parts:
        cells = []
        for side in part.sides:
            own = values[values["method"] == side.title].groupby("split_seed")["value"].mean()
            interval = resampled_interval(own.tolist(), test_share) if len(own) else None
            cells.append("diverged" if interval is None else percent(interval))
        title = method_name(part.algorithm, "corrected")
        line = {"Method": title, "Part": part.part, "With it": cells[0], "Without": cells[1]}
        line |= {"Difference [points]": "–", "p (Holm)": "–", "Verdict": "–"}
        if (title, part.part) in tests.index:
            test = tests.loc[(title, part.part)]
            gap = Interval(test["mean"], test["low"], test["high"], int(test["n"]))
            line |= {
                "Difference [points]": percent(gap, signed=True),
                "p (Holm)": p_value(float(test["p_holm"])),
                "Verdict": str(test["verdict"]),
            }
        lines.append(line)
    return pd.DataFrame(lines)
