"""The one error users see: nearest name, and never a wall of names."""

from mglib.errors import unknown


def test_the_nearest_and_all_known_are_named():
    assert str(unknown("dataset", "emojis", ["emoji", "numerals"])) == (
        "no dataset 'emojis'; did you mean 'emoji'? (known: emoji, numerals)"
    )
    assert str(unknown("dataset", "zzz", [])) == "no dataset 'zzz' (known: none)"


def test_of_many_names_only_the_nearest_are_listed():
    text = str(unknown("number", "weak.erm_men", [f"x{i}" for i in range(50)] + ["weak.erm_mean"]))
    assert text == (
        "no number 'weak.erm_men'; did you mean 'weak.erm_mean'? (known: weak.erm_mean and 50 more)"
    )
    assert str(unknown("number", "qqqq", [f"x{i}" for i in range(10, 50)])).endswith(
        "x21 and 28 more)"
    )
