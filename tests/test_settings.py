"""Names with settings: one thing has one name, which store, keys, lineage and lists know."""

from __future__ import annotations

import json
from dataclasses import replace

import _tiny
import pytest
from made_up import make_trial

from mglib import paths
from mglib.cli import main
from mglib.errors import MglibError
from mglib.features import data_identity, load_features, recipe
from mglib.keys.now import verdict
from mglib.lineage import code_of, files_of, part_names, parts_of
from mglib.provenance import digest
from mglib.registry import Registry, Setting, algorithms, perceptors


class Shifted(_tiny.Shifted):
    """Bytes minus their mean, times a number."""

    settings = {"by": Setting(int, 1, 1, 9), "mode": Setting(str, "plain", words=("plain", "odd"))}

    def perceive(self, *arguments):
        return super().perceive(*arguments)[0] * self.values()["by"], None


@pytest.fixture
def scaled(tiny, monkeypatch):
    monkeypatch.setitem(perceptors._found, "shifted", Shifted)
    return tiny


def test_a_name_with_settings_is_a_class_of_its_own():
    base, made = perceptors.get("bound"), perceptors.get("bound@centre=art,noise=0.5")
    assert issubclass(made, base) and made is perceptors.get("bound@centre=art,noise=0.5")
    assert made.name == "bound@centre=art,noise=0.5" and base.name == "bound"
    assert made.version == base.version and made.__doc__ == base.__doc__
    assert made.values() == {"centre": "art", "pairs": "all", "noise": 0.5, "seed": 0}
    assert base.values() == {"centre": "anchor", "pairs": "all", "noise": 0.0, "seed": 0}
    assert made().parameters().items() >= made.values().items()
    assert json.loads(json.dumps(made().parameters())) == made().parameters()
    assert not any("@" in name for name in perceptors.names())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bond@pairs=20", "no perceptor 'bond'; did you mean 'bound'"),
        ("bound@pair=20", "no setting of perceptor 'bound' 'pair'; did you mean 'pairs'"),
        ("bound@pairs=some", "must be a whole number from 1 or 'all', not 'some'"),
        ("bound@pairs=2.5", "must be a whole number from 1 or 'all', not '2.5'"),
        ("bound@pairs=0", "not '0': without a pair .*anchored@method=moments"),
        ("bound@noise=1.5", "must be a number from 0 to 1, not '1.5'"),
        ("bound@noise=nan", "must be a number from 0 to 1, not 'nan'"),
        ("bound@centre=", "must be a name, not ''"),
        ("bound@centre=a/b", "must be a name, not 'a/b'"),
        ("bound@", "not written bound@name=value,name=value"),
        ("bound@pairs", "not written bound@name=value,name=value"),
        ("bound@pairs=2,pairs=3", "at most once"),
        ("bound@pairs=all", "is written 'bound'"),
        ("bound@seed=1,pairs=5", r"is written 'bound@pairs=5,seed=1'"),
        ("bound@pairs=020", "is written 'bound@pairs=20'"),
        ("bound@noise=0.50", "is written 'bound@noise=0.5'"),
        ("contrastive@pairs=1", "no other to be told from"),
        ("relative@pairs=1", "from 2, not '1'"),
        ("anchored@method=procrusts", "did you mean 'procrustes'"),
        ("anchored@method=ridge", "method=ridge,pairs=20"),
        ("anchored@method=moments,pairs=5", "learns from no pairs"),
        ("raw@pairs=5", "perceptor 'raw' has no settings, so there is no 'raw@pairs=5'"),
    ],
)
def test_what_is_wrong_with_a_name_is_one_line(name, words):
    for _ in range(2):  # an error is not remembered as a class
        with pytest.raises(MglibError, match=words) as told:
            perceptors.get(name)
        assert "\n" not in str(told.value)


def test_settings_are_read_as_they_are_written():
    number, share = Setting(int, 3, 0, words=("all",)), Setting(float, 0.0, 0, 1)
    assert [number.read(text) for text in ("0", "12", "all")] == [0, 12, "all"]
    assert share.read("1") == 1.0 and share.read("0.25") == 0.25
    for setting, text in ((number, "-1"), (number, "any"), (share, "all"), (share, "inf")):
        with pytest.raises(ValueError):
            setting.read(text)


def test_other_kinds_have_no_settings_unless_they_declare_some():
    with pytest.raises(MglibError, match="algorithm 'erm' has no settings"):
        algorithms.get("erm@lr=1")
    methods = Registry("method", "mglib.perceptors")
    methods._walked = True

    @methods.register("plain")
    class Plain:
        """A method."""

        settings = {"power": Setting(float, 1.0)}
        check_settings = classmethod(lambda cls: None)

    assert methods.get("plain@power=-0.5").chosen == {"power": -0.5}
    assert methods.about("plain") == "A method. [@power=1]" and methods.names() == ["plain"]


def test_the_list_shows_the_settings(capsys):
    assert main(["list", "perceptors"]) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("  bound "))
    assert line.endswith("[@centre=anchor,pairs=all,noise=0,seed=0]")


def test_the_store_keeps_them_apart(scaled, capsys, monkeypatch):
    command = ["prepare", scaled, "--modality", "word", "--splits", "1", "--perceptor"]
    assert main([*command, "shifted", "--perceptor", "shifted@by=3"]) == 0
    one, three = (load_features(scaled, name, "word", 0) for name in ("shifted", "shifted@by=3"))
    assert (three.values == 3 * one.values).all() and one.values.any()
    folder = paths.cache() / "features" / scaled
    assert (folder / "shifted@by=3" / "word.split0.safetensors").is_file()
    assert three.card["perceptor"] == "shifted@by=3" and three.card["space"].startswith("shifted@")
    assert three.card["parameters"]["shifted@by=3"] == {"by": 3, "mode": "plain"}
    with pytest.raises(
        MglibError, match=f"`mglib prepare {scaled} --perceptor shifted@by=4` makes"
    ):
        load_features(scaled, "shifted@by=4", "word", 0)
    with pytest.raises(MglibError, match="is written 'shifted@by=3'"):
        load_features(scaled, "shifted@by=3,mode=plain", "word", 0)
    monkeypatch.setattr(Shifted, "version", "2")
    with pytest.raises(MglibError, match="outdated .*--perceptor shifted@by=3` rebuilds"):
        load_features(scaled, "shifted@by=3", "word", 0)
    capsys.readouterr()
    assert main([*command, "shifted@by=10"]) == 2
    assert "a whole number from 1 to 9, not '10'" in capsys.readouterr().err


def test_gc_knows_names_with_settings(scaled):
    from mglib.keys.gc import _features

    main(["prepare", scaled, "--modality", "word", "--splits", "1", "--perceptor", "shifted@by=3"])
    store = paths.cache() / "features"
    assert list(_features(store)) == []
    (store / scaled / "shifted@by=3").rename(store / scaled / "shifted@by=30")
    assert {found.reason[:8] for found in _features(store)} == {"unknown:"}


def test_settings_change_the_key_and_nothing_else():
    plain, few = (data_identity("emoji_concepts", name) for name in ("bound", "bound@pairs=20"))
    assert few["versions"]["perceptors"].pop("bound@pairs=20") == "2"
    assert few["parameters"].pop("bound@pairs=20")["pairs"] == 20
    plain["versions"]["perceptors"].pop("bound"), plain["parameters"].pop("bound")
    assert {**few, "perceptor": "bound"} == plain
    with pytest.raises(MglibError, match="did you mean 'art'"):
        recipe("emoji_concepts", "bound@centre=atr", "text", 0)


def test_a_key_stays_current_and_its_code_is_that_of_the_base():
    trial = replace(make_trial(), perceptor="bound@centre=art,pairs=20")
    identity = trial.identity
    assert verdict(digest(identity), identity) == ("current", [])
    assert digest(identity) != make_trial().key
    assert "perceptor/bound" in parts_of(identity)
    assert not any("@" in part for part in [*parts_of(identity), *part_names()])
    assert files_of("perceptor/bound@centre=art,pairs=20") == files_of("perceptor/bound")
    assert code_of("perceptor/anchored@pairs=5") == code_of("perceptor/anchored")
    gone = {**identity, "question": {**identity["question"], "perceptor": "bound@pears=20"}}
    assert verdict(digest(gone), gone)[0] == "outdated"


def test_each_perceptor_stands_for_its_own_files():
    files = {
        name: {path.rpartition("/")[2] for path in files_of(f"perceptor/{name}")}
        for name in ("bound", "contrastive", "self_supervised", "anchored", "relative")
    }
    assert {"bound.py", "_binding.py", "_draws.py", "_linear.py"} == files["bound"]
    assert {"contrastive.py", "_binding.py", "_contrast.py"} < files["contrastive"]
    assert {"anchored.py", "_transport.py"} < files["anchored"]
    assert not {"bound.py", "frozen.py", "self_supervised.py"} & files["anchored"]
