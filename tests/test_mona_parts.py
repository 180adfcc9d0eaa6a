"""Variants of MoNA beside it: their parts, differences, tables, correlations and figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mglib.analysis.pairs import corrected_t_test, holm
from mglib.analysis.statistics import resampled_interval
from mglib.errors import MglibError
from mglib.figures.mona_parts import draw_mona_parts
from mglib.figures.style import as_svg
from mglib.registry import transfers
from mglib.transfer.results.mona_parts import (
    METHODS,
    MONA,
    PARTS,
    SAME,
    correlation_texts,
    extreme_texts,
    gap_table,
    gap_texts,
    kept_with_error,
    level_table,
    part_gaps,
    places,
    reach,
    told,
)
from mglib.transfer.results.values import compare_to, differences

SHARES = {"glyphs": 0.2, "speech": 0.25}
TITLES = {"glyphs": "line glyphs", "speech": "speech spectrograms"}
NORMS = "mona@virtual=norms"


def chosen_values(runs):
    """As `chosen` gives them: {(target, method, split): (error, probe)}."""
    frame = pd.DataFrame(
        [
            {"target": t, "method": m, "split_seed": s, "seed": 0, "key": f"{t}{m}{s}", "step": 96}
            | {"own": error, "probe_accuracy": probe}
            for (t, m, s), (error, probe) in runs.items()
        ]
    )
    frame["target"] = pd.Categorical(frame["target"], [*SHARES], ordered=True)
    return frame


@pytest.fixture
def values():
    """Three splits of two targets: norms alone cost on glyphs and keep more; a warm-up is a tie."""
    runs = {}
    for target, level in (("glyphs", 0.3), ("speech", 0.6)):
        for split in range(3):
            at = level + 0.05 * split
            norms = 0.2 + 0.001 * split if target == "glyphs" else 0.01 * (split - 1)
            runs[target, MONA, split] = (at, 0.5)
            runs[target, NORMS, split] = (at + norms, 0.6 + 0.001 * split)
            runs[target, "warm_up", split] = (at - 0.02 * split, 0.5 - 0.02 * split)
    return chosen_values(runs)


def test_every_variant_changes_one_setting_to_what_its_words_say():
    assert METHODS[0] == MONA and len(set(METHODS)) == len(METHODS)
    words = {"uniform": "alignment alone", "align": "uniformity alone"}
    for part in PARTS:
        for name, said in part.instead.items():
            method = transfers.get(name)
            if not method.chosen:  # another method, without the part
                assert said == "none" and name in ("fine_tuning", "warm_up")
                continue
            ((setting, value),) = method.chosen.items()
            if isinstance(value, str):
                assert value in said
            elif setting in words:
                assert value == 0 and said == words[setting]
            else:
                assert said == f"{value:g}" and part.own == f"{method.settings[setting].default:g}"


def test_methods_keep_the_order_of_the_parts_and_others_come_last():
    found = places(["mona@share=0.3", NORMS, MONA, "scratch", "fine_tuning"])
    assert found == {
        "fine_tuning": ("stage 1", "none"),
        NORMS: ("virtual step of", "its norms"),
        "mona@share=0.3": ("other", "MoNA (share=0.3)"),
        "scratch": ("other", "from scratch"),
    }
    with pytest.raises(MglibError, match="did you mean 'mona'"):
        places(["monna"])


def test_differences_are_by_split_and_only_where_both_have_runs(values):
    gaps = differences(values, "own", MONA)
    own = gaps[(gaps["target"] == "glyphs") & (gaps["method"] == NORMS)]
    assert own["split_seed"].tolist() == [0, 1, 2]
    assert own["value"].tolist() == pytest.approx([0.2, 0.201, 0.202])
    lone = values[(values["method"] != MONA) | (values["split_seed"] == 1)]
    assert set(differences(lone, "own", MONA)["split_seed"]) == {1}
    assert differences(lone[lone["method"] != MONA], "own", MONA).empty
    assert compare_to(lone, SHARES, reference=MONA).empty


def test_verdicts_are_of_one_family_for_each_quantity(values):
    gaps = part_gaps(values, SHARES, METHODS)
    assert gaps["quantity"].tolist() == ["own"] * 4 + ["probe_accuracy"] * 4
    assert gaps["method"].tolist()[:4] == ["warm_up", "warm_up", NORMS, NORMS]
    own = gaps.set_index(["quantity", "method", "target"])
    at = own.loc[("own", NORMS, "glyphs")]
    expected = resampled_interval([0.2, 0.201, 0.202], SHARES["glyphs"])
    assert (at["mean"], at["low"], at["high"]) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )
    assert at["verdict"] == "higher" and at["n"] == 3
    assert own.loc[("own", NORMS, "speech")]["verdict"] == "a tie"
    tests = compare_to(values, SHARES, "probe_accuracy", MONA, one_family=True)
    raw = [
        corrected_t_test(found.tolist(), SHARES[target]).p
        for (target, _), found in differences(values, "probe_accuracy", MONA).groupby(
            ["target", "method"], observed=True
        )["value"]
    ]
    assert tests["p"].tolist() == holm(raw) and len(raw) == 4
    assert own.loc[("probe_accuracy", NORMS, "speech")]["verdict"] == "higher"


def test_the_variant_that_is_mona_itself_is_in_no_family(values):
    same = values[values["method"] == MONA].assign(method=SAME)
    assert SAME in METHODS
    with_it = part_gaps(pd.concat([values, same]), SHARES, METHODS)
    pd.testing.assert_frame_equal(with_it, part_gaps(values, SHARES, METHODS))
    levels = level_table(pd.concat([values, same]), SHARES, [MONA, SAME])
    assert levels.iloc[0, 3:].tolist() == levels.iloc[1, 3:].tolist()


def test_tables_have_levels_and_signed_differences_with_a_mark(values):
    levels = level_table(values, SHARES, [MONA, "warm_up", NORMS])
    assert list(levels.columns[:3]) == ["Part", "MoNA's", "Variant's"]
    assert levels["Part"].tolist() == ["MoNA", "outer loss", "virtual step of"]
    assert levels["line glyphs: error"][0].startswith("35.0")
    assert levels["speech spectrograms: source"][2].startswith("60.1")
    assert levels.iloc[2, :3].tolist() == ["virtual step of", "all", "its norms"]
    assert set(level_table(values, SHARES, [MONA, "scratch"]).iloc[1, 3:]) == {"–"}
    gaps = part_gaps(values, SHARES, METHODS)
    table = gap_table(values, gaps)
    assert table.columns[2:].tolist() == [
        f"{title}: {word}" for word in ("error", "source") for title in TITLES.values()
    ]
    cell = table["line glyphs: error"][1]
    assert cell.startswith("+20.1") and cell.endswith("†") and "±" in cell
    assert table["line glyphs: error"][0].startswith("−2.0") and "†" not in table.iloc[0, 2]
    fewer = gaps[(gaps["method"] != NORMS) | (gaps["target"] != "speech")]
    assert gap_table(values, fewer)["speech spectrograms: error"][1] == "–"


def test_a_single_split_has_differences_without_intervals(values):
    one = values[values["split_seed"] == 1]
    gaps = part_gaps(one, SHARES, METHODS)
    assert set(gaps["verdict"]) == {"untested"} and gaps["low"].isna().all()
    assert gap_table(one, gaps)["line glyphs: error"].tolist() == ["−2.0", "+20.1"]
    assert reach(gaps) == "Of a single split nothing can be tested"
    assert told(gaps, "higher") == told(gaps, "a tie") == "none"
    draw_mona_parts(gaps, TITLES, {"own": "Error"})
    alone = part_gaps(one[one["method"] == MONA], SHARES, [MONA])
    assert alone.empty and reach(alone) == reach(gaps)
    assert gap_table(one, alone).empty
    draw_mona_parts(alone, TITLES, {"own": "Error"})


def test_sentences_name_part_words_and_target(values):
    gaps = part_gaps(values, SHARES, METHODS)
    error = gaps[gaps["quantity"] == "own"]
    assert told(error, "higher") == "virtual step of: its norms (line glyphs)"
    assert told(error, "lower") == "none"
    first, second = gap_texts(error, "warm_up").split("; ")
    assert first.startswith("−2.0\xa0±") and first.endswith(" (line glyphs)")
    assert second.startswith("−2.0\xa0±") and second.endswith(" (speech spectrograms)")
    assert gap_texts(error, "fine_tuning") == "none"
    lowest = extreme_texts(error, "lowest").split("; ")
    assert lowest[0].startswith("outer loss: none, −2.0")
    assert extreme_texts(error, "highest").startswith("virtual step of: its norms, +20.1")
    halves = [
        sorted((own["high"] - own["low"]) / 2)[1:3]
        for own in (error, gaps[gaps["quantity"] == "probe_accuracy"])
    ]
    own, probe = (f"{100 * sum(middle) / 2:.1f}" for middle in halves)
    assert reach(gaps).startswith(f"Half an interval is {own} points of error in the median and ")
    assert f" and {probe} of the probe" in reach(gaps) and own != probe


def test_the_correlation_is_within_target_and_split():
    """Levels of targets and splits are far apart, which a correlation over all would see."""
    runs = {}
    for place, target in enumerate(SHARES):
        for split in range(2):
            for rank, method in enumerate(("mona", "warm_up", "fine_tuning", NORMS)):
                sign = -1 if target == "glyphs" else 1
                level = 0.3 * place + 0.1 * split
                runs[target, method, split] = (level + 0.01 * rank, level + 0.01 * sign * rank**2)
    found = kept_with_error(chosen_values(runs))
    assert found["methods"].tolist() == [4] * 4
    assert found["correlation"].tolist() == pytest.approx([-1, -1, 1, 1])
    apart = found.assign(correlation=[-1, -0.5, 1, 1])
    assert correlation_texts(apart) == (
        "−0.75, −1.00 to −0.50 (line glyphs); +1.00, +1.00 to +1.00 (speech spectrograms)"
    )
    one = found[found["split_seed"] == 0]
    assert correlation_texts(one) == "−1.00 (line glyphs); +1.00 (speech spectrograms)"
    two = {at: value for at, value in runs.items() if at[1] in ("mona", "warm_up")}
    assert kept_with_error(chosen_values(two)).empty, "two points always correlate"
    alike = {at: (value, 0.5) for at, (value, _) in runs.items()}
    assert correlation_texts(kept_with_error(chosen_values(alike))) == "none"


def test_the_figure_shows_every_difference_and_fills_what_is_no_tie(values):
    gaps = part_gaps(values, SHARES, METHODS)
    panels = {"own": "Error", "probe_accuracy": "Source"}
    figure = draw_mona_parts(gaps, TITLES, panels)
    assert [axes.get_xlabel() for axes in figure.axes] == ["Error", "Source"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["outer loss: none", "virtual step of: its norms"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [*TITLES.values()]
    for axes, quantity in zip(figure.axes, panels, strict=True):
        own = gaps[gaps["quantity"] == quantity]
        marks = [line for line in axes.lines if line.get_marker() not in ("None", "", None)]
        drawn, filled = [], 0
        for line in marks:
            drawn += [*zip(line.get_xdata(), np.round(line.get_ydata()), strict=True)]
            filled += len(line.get_xdata()) * (line.get_markerfacecolor() != "white")
        rows = own["method"].map({"warm_up": 0, NORMS: 1})
        expected = sorted(zip(100 * own["mean"], rows, strict=True))
        np.testing.assert_allclose(sorted(drawn), expected, atol=1e-9)
        assert filled == (own["verdict"] != "a tie").sum() > 0
        across = [
            line for line in axes.lines if np.isnan(np.asarray(line.get_xdata(), float)).any()
        ]
        ends = np.concatenate([line.get_xdata() for line in across])
        assert sorted(ends[np.isfinite(ends)]) == pytest.approx(
            sorted(100 * np.concatenate([own["low"], own["high"]]))
        )
    assert as_svg(figure) == as_svg(draw_mona_parts(gaps, TITLES, panels))


def test_a_part_is_named_once_where_it_has_several_variants(values):
    more = values[values["method"] == "warm_up"].assign(method="mona@align=0")
    gaps = part_gaps(pd.concat([values, more]), SHARES, METHODS)
    axes = draw_mona_parts(gaps, TITLES, {"own": "Error"}).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["outer loss: none", "uniformity alone", "virtual step of: its norms"]
