"""Worlds of the generalization benchmark: a dataset, the space it is seen in, and what is asked.

Ours: the counterparts of ModalBed's datasets (MSR-VTT, NYUDv2, VGGSound) and perceptors (ImageBind,
LanguageBind, UniBind), from data that are embedded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mglib.analysis.held_out import (
    held_out_values,
    method_interval,
    method_name,
    paired_difference,
    percent,
    verdict,
)
from mglib.analysis.statistics import Interval, resampled_interval
from mglib.errors import MglibError, check_different, unknown
from mglib.registry import algorithms, datasets
from mglib.trials import make_trials, without
from mglib.trials.hyperparameters import pace_of
from mglib.trials.multimodal import Multimodal
from mglib.trials.selection import alone, held_out, training_modality_validation
from mglib.trials.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

Method = tuple[str, str]  # algorithm, variant


@dataclass(frozen=True)
class World:
    """A dataset, the space it is seen in, its target and its modalities (none: the core ones)."""

    title: str
    dataset: str
    perceptor: str = "bound"
    target: str = "class"
    modalities: tuple[str, ...] = ()

    @property
    def seen(self) -> tuple[str, ...]:
        """The modalities, each of which is held out in turn."""
        core: tuple[str, ...] = datasets.get(self.dataset).core
        return self.modalities or core


# ModalBed's own worlds, of features that `mglib import-features` brings.
IMPORTED_DATASETS = {"msr_vtt": "MSR-VTT", "nyu_depth_v2": "NYUDv2", "vggsound_s": "VGGSound-S"}
IMPORTED_SPACES = {"imagebind": "ImageBind", "languagebind": "LanguageBind", "unibind": "UniBind"}
WORLDS = {
    "text_centred": World("Emoji, text-centred", "emoji_concepts"),
    "art_centred": World("Emoji, art-centred", "emoji_concepts", "bound@centre=art"),
    "contrastive": World("Emoji, contrastive", "emoji_concepts", "contrastive"),
    "subgroups": World("Emoji, 96 subgroups", "emoji_concepts", target="subgroup"),
    "languages": World(
        "Emoji, two more languages",
        "emoji_concepts",
        modalities=("art", "glyph", "speech", "text", "text_de", "text_ja"),
    ),
    "numerals": World("Numerals", "numerals"),
    "smartwatch": World("Smartwatch", "smartwatch"),
    **{
        f"{dataset}_{space}": World(f"{title}, {name}", dataset, space)
        for dataset, title in IMPORTED_DATASETS.items()
        for space, name in IMPORTED_SPACES.items()
    },
}


def worlds_of(names: Sequence[str]) -> dict[str, World]:
    """The worlds of some names, in their order; MglibError for an unknown or repeated one."""
    for name in names:
        if name not in WORLDS:
            raise unknown("world", name, WORLDS)
    check_different("worlds", names)
    return {name: WORLDS[name] for name in names}


def world_trials(
    world: World,
    methods: Sequence[Method],
    *,
    splits: int,
    seeds: int,
    steps: int,
    checkpoints: int,
    lr: float,
    held_out: Sequence[int] = (1,),
    bounds: bool = True,
    **more: Any,
) -> list[Trial]:
    """Every method trained without each modality, in every split and seed, and the two bounds.

    `held_out` are the numbers of modalities left out at once; `lr` is that of ERM, the others keep
    their published ratio to it, but multimodal learners by Adam their published 1e-3; what a method
    begins after so many steps begins at the published share of `steps`. The bounds: the majority
    class, and ERM trained on each modality alone. Raises MglibError for a negative `lr`, and as
    `make_trials` does.
    """
    if not lr >= 0:
        raise MglibError(f"'lr' must be at least 0, not {lr:g}")
    question = {
        "dataset": world.dataset,
        "perceptor": world.perceptor,
        "target": world.target,
        "evaluate": world.seen,
        "seeds": range(seeds),
        "split_seeds": range(splits),
        "steps": steps,
        "every": max(1, steps // checkpoints),
        "pace": pace_of(steps, lr),
        "fixed": {"weight_decay": 0.0},
        **more,
    }
    sets = [left for number in held_out for left in without(world.seen, number)]
    trials = [
        trial
        for name, variant in methods
        for trial in make_trials(algorithm=name, variant=variant, train=sets, **question)
    ]
    if bounds:
        once = {**question, "seeds": [0], "draws": [0]}
        trials += make_trials(algorithm="majority", train=without(world.seen, 1), **once)
        question["draws"] = [0]
        trials += make_trials(algorithm="erm", train=[[m] for m in world.seen], **question)
    return list({trial.key: trial for trial in trials}.values())


def family(method: Method) -> str:
    """Whether a method is a multimodal learner or one of domain generalization."""
    multimodal = issubclass(algorithms.get(method[0]), Multimodal)
    return "multimodal" if multimodal else "generalization"


def world_values(rows: pd.DataFrame) -> pd.DataFrame:
    """Values of `held_out_values` under training-modality validation, modalities tested alone."""
    return held_out_values(training_modality_validation(alone(rows)), supervised="erm")


def by_slot(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of multimodal learners read by the mean over slots, in place of copying.

    The checkpoint is chosen as it was; the variant "corrected" becomes "by_slot".
    """
    chosen = training_modality_validation(rows)
    other = chosen[chosen["test_pattern"] == "by_slot"]
    variant = other["variant"].str.replace("corrected", "by_slot")
    return other.assign(test_pattern=None, variant=variant)


def together(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of the training modalities together, without and with the unseen one, by split.

    Columns method, pattern ("seen", "all"), split_seed and value, means over what is held out and
    over seeds, of the runs that leave out one modality.
    """
    chosen = training_modality_validation(rows[held_out(rows).str.len() == 1])
    own = chosen[
        chosen["test_pattern"].isin(["seen", "all"])
        & (chosen["split"] == "test")
        & (chosen["metric"] == "accuracy")
    ]
    names = [method_name(*pair) for pair in zip(own["algorithm"], own["variant"], strict=True)]
    return (
        own.assign(method=names, pattern=own["test_pattern"])
        .groupby(["method", "pattern", "split_seed"], as_index=False)["value"]
        .mean()
    )


def mean_intervals(values: pd.DataFrame, test_share: float) -> pd.DataFrame:
    """Of each method the mean over modalities, with its interval over splits.

    Columns method, mean, low, high, splits; `values` as from `held_out_values`.
    """
    import pandas as pd

    table = values.groupby(["method", "split_seed"])["value"].mean().unstack("split_seed")
    found = []
    for method, own in table.iterrows():
        interval = resampled_interval(own.tolist(), test_share)
        found.append((method, interval.mean, interval.low, interval.high, interval.n))
    return pd.DataFrame(found, columns=["method", "mean", "low", "high", "splits"])


def world_table(panels: Mapping[str, pd.DataFrame], methods: Sequence[str]) -> pd.DataFrame:
    """Mean accuracy [%] with half its interval: a line per method, a column per world."""
    import pandas as pd

    lines = []
    for method in methods:
        line = {"Method": method}
        for title, table in panels.items():
            own = table.set_index("method").loc[method]
            line[title] = percent(Interval(own["mean"], own["low"], own["high"], own["splits"]))
        lines.append(line)
    return pd.DataFrame(lines)


def reading_table(rows: pd.DataFrame, values: pd.DataFrame, test_share: float) -> pd.DataFrame:
    """Accuracy [%] of learners with slots on the unseen modality: copied, and by slot means.

    `rows` of one world with the pattern "by_slot", `values` its `world_values`.
    """
    import pandas as pd

    other = by_slot(rows)
    lines = []
    for algorithm in dict.fromkeys(other["algorithm"]):
        copied = method_name(algorithm, "corrected")
        read = held_out_values(other[other["algorithm"] == algorithm], supervised="")
        both = pd.concat([values[values["method"] == copied], read])
        slots = read["method"].iloc[0]
        gap = paired_difference(both, None, slots, copied, test_share)
        lines.append(
            {
                "Method": copied,
                "Copied into every slot": percent(method_interval(both, None, copied, test_share)),
                "Mean over slots": percent(method_interval(both, None, slots, test_share)),
                "Difference": percent(gap, signed=True),
                "Verdict": "the same" if gap.low == gap.high == 0 else verdict(gap),
            }
        )
    return pd.DataFrame(
        lines,
        columns=["Method", "Copied into every slot", "Mean over slots", "Difference", "Verdict"],
    )


def together_table(
    joint: pd.DataFrame, values: pd.DataFrame, methods: Iterable[str], test_share: float
) -> pd.DataFrame:
    """Accuracy [%] of the unseen modality alone, the seen ones together, and all; what it adds.

    `joint` as from `together`, `values` of the same world as from `world_values`.
    """
    import pandas as pd

    lines = []
    for method in methods:
        own = joint[joint["method"] == method].pivot(
            index="split_seed", columns="pattern", values="value"
        )
        gain = resampled_interval((own["all"] - own["seen"]).tolist(), test_share)
        seen, every = (
            resampled_interval(own[pattern].tolist(), test_share) for pattern in ("seen", "all")
        )
        lines.append(
            {
                "Method": method,
                "Unseen alone": percent(method_interval(values, None, method, test_share)),
                "Seen together": percent(seen),
                "All together": percent(every),
                "What the unseen adds": percent(gain, signed=True),
                "Verdict": verdict(gain),
            }
        )
    return pd.DataFrame(lines)
