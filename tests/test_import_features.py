"""Features that others extracted: what lies in ModalBed's files is what learners are given."""

from __future__ import annotations

import json

import _modalbed
import h5py
import numpy as np
import pytest

from mglib.analysis.worlds import WORLDS, world_trials
from mglib.cli import main
from mglib.data._imported import ImportedDataset
from mglib.errors import MglibError
from mglib.features import data_identity, load_features
from mglib.keys.now import verdict
from mglib.perceptors._imported import Imported, record_path
from mglib.perceptors.import_features import import_features
from mglib.perceptors.prepare import prepare
from mglib.registry import datasets, perceptors
from mglib.report.check import check
from mglib.trials import make_trials, run_trials

SETS = [n for n in datasets.names() if issubclass(datasets.get(n), ImportedDataset)]
SENSES = [n for n in perceptors.names() if issubclass(perceptors.get(n), Imported)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Nothing imported, and rows of its own."""
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "rows"))
    return tmp_path / "cache"


@pytest.fixture
def files(tmp_path):
    return tmp_path / "files"


def test_the_worlds_of_modalbed_are_there():
    assert SETS == ["msr_vtt", "nyu_depth_v2", "vggsound_s"]
    assert SENSES == ["imagebind", "languagebind", "strong_mg", "unibind"]
    for name in SETS:
        for space in datasets.get(name).perceptors:
            world = WORLDS[f"{name}_{space}"]
            assert (world.dataset, world.perceptor) == (name, space)
            assert world.seen == datasets.get(name).core


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("sense", SENSES)
def test_what_lies_in_the_file_is_what_learners_are_given(name, sense, files):
    data, kind = datasets.get(name), perceptors.get(sense)
    path = _modalbed.write(files, data.published, kind.published)
    done = import_features(path)
    index = _modalbed.entries(data.published, 60)
    raw = _modalbed.vectors(index)
    kept = [e["id"] for e, _ in index["audio"]] if "audio" in index else None
    kept = kept or [e["id"] for e, _ in index[data.anchor]]
    assert (done.dataset, done.perceptor) == (name, sense)
    assert (done.instances, done.classes, done.width) == (len(kept), 3, _modalbed.WIDTH)
    assert sum(done.left_out.values()) == 60 - len(kept)
    number = {e["id"]: n for e, n in index[data.anchor]}
    spaces = set()
    for modality in data.core:
        found = load_features(name, sense, modality)
        assert found.instance_ids == kept
        expected = np.stack([raw[f"{modality}_{i}"] for i in kept])
        expected = expected / np.sqrt((expected**2).sum(1, keepdims=True))
        assert found.values.dtype == np.float32 and np.allclose(found.values, expected, atol=1e-6)
        assert found.targets["class"].tolist() == [number[i] for i in kept]
        assert found.card["unit_norm"] and found.card["licence"]
        spaces.add(found.card["space"])
    assert len(spaces) == (3 if sense == "strong_mg" else 1)


def test_groups_are_scenes_films_and_clips(files):
    for name, group in (
        ("nyu_depth_v2", lambda i: i.rpartition("_")[0][:-1]),
        ("vggsound_s", lambda i: i.rpartition("_")[0]),
        ("msr_vtt", lambda i: i),
    ):
        data = datasets.get(name)
        import_features(_modalbed.write(files / name, data.published))
        found = load_features(name, "imagebind", data.anchor)
        of_group: dict[str, set[int]] = {}
        for one, number in zip(found.instance_ids, found.groups, strict=True):
            of_group.setdefault(group(one), set()).add(int(number))
        assert all(len(numbers) == 1 for numbers in of_group.values())
        assert len(set(found.groups)) == len(of_group)
    assert len(set(found.groups)) == len(found.groups)


def test_classes_keep_the_order_of_their_numbers_and_empty_ones_fall_out(files):
    path = _modalbed.write(files)
    index = json.loads((files / "modalities.json").read_text())
    for items in index.values():
        for item in items:  # categories 4, 5, 6 get numbers 9, 8, 7
            item[1] = 13 - item[0]["label"]
    sound = index["audio"]
    index["audio"] = [item for item in sound if item[0]["label"] != 5]
    (files / "modalities.json").write_text(json.dumps(index))
    done = import_features(path)
    assert (done.classes, done.left_out["audio"]) == (2, 60 - len(index["audio"]))
    found = load_features("msr_vtt", "imagebind", "text")
    assert found.card["class_names"]["class"] == ["6", "4"]
    label = {e["id"]: e["label"] for e, _ in index["text"]}
    assert found.targets["class"].tolist() == [{6: 0, 4: 1}[label[i]] for i in found.instance_ids]


def test_learners_generalize_over_imported_features(files):
    import_features(_modalbed.write(files, count=240))
    trials = world_trials(
        WORLDS["msr_vtt_imagebind"],
        [("erm", "corrected"), ("concat", "corrected")],
        splits=1,
        seeds=1,
        steps=400,
        checkpoints=1,
        lr=1e-3,
    )
    rows = run_trials("imported", "test", trials, profile="quick").to_pandas()
    assert set(rows["key"]) == {trial.key for trial in trials}
    own = rows[(rows["split"] == "test") & (rows["metric"] == "accuracy") & (rows["step"] == 400)]
    unseen = own[
        [m not in t.split("+") for m, t in zip(own["modality"], own["train"], strict=True)]
    ]
    level = unseen[unseen["algorithm"] == "erm"]["value"].min()
    assert level > 0.9, "classes are far apart in the made-up space"
    constant = rows[(rows["algorithm"] == "majority") & (rows["metric"] == "accuracy")]
    assert constant["value"].max() < 0.6


def test_a_notebook_runs_on_an_imported_world(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MGLIB_REPORT", str(tmp_path / "report"))
    import_features(_modalbed.write(files, count=240))
    asked = ["run", "20_weak_generalization", "--no-notebook", "-p", "worlds"]
    assert main([*asked, '["msr_vtt_imagebind"]']) == 0
    assert "Hardest to carry over to" in capsys.readouterr().out


def test_preparing_asks_for_what_was_imported(files):
    import_features(_modalbed.write(files))
    assert {done.outcome for done in prepare("msr_vtt")} == {"kept"}


def trial(**more):
    return make_trials(
        dataset="msr_vtt",
        perceptor="imagebind",
        algorithm="erm",
        train=[["video", "audio"]],
        evaluate=["text"],
        seeds=[0],
        split_seeds=[0],
        steps=1,
        every=1,
        **more,
    )[0]


def test_other_files_give_other_keys_and_outdate_the_old(files):
    path = _modalbed.write(files)
    import_features(path)
    before = trial()
    assert set(data_identity("msr_vtt", "imagebind")["sources"]) == {path.name, "modalities.json"}
    assert verdict(before.key, before.identity)[0] == "current"
    with h5py.File(path, "a") as file:
        file["text_video3"][...] = -file["text_video3"][...]
    import_features(path)
    after = trial()
    assert after.key != before.key
    assert verdict(before.key, before.identity)[0] == "outdated"


@pytest.mark.parametrize("for_all", [False, True])  # True: as published
def test_unseen_in_encoders_of_their_own(files, for_all):
    for sense in ("imagebind", "strongMG"):
        import_features(_modalbed.write(files, perceptor=sense))
    asked = world_trials(
        WORLDS["msr_vtt_imagebind"],
        [("erm", "corrected")],
        **{"unseen": "strong_mg", "unseen_for_all": for_all, "bounds": False},
        **{"splits": 1, "seeds": 1, "steps": 4, "checkpoints": 1, "lr": 1e-3},
    )
    rows = run_trials("imported", "test", asked, profile="quick").to_pandas()
    assert len(asked) == 3 and set(rows["key"]) == {trial.key for trial in asked}


def test_what_was_made_of_an_import_is_not_left_over_when_it_is_elsewhere(files, cache, capsys):
    import_features(_modalbed.write(files))
    own = trial()
    run_trials("imported", "test", [own], profile="quick")
    record_path("msr_vtt", "imagebind").unlink()
    assert verdict(own.key, own.identity)[0] == "unclear"
    assert main(["gc"]) == 0
    told = capsys.readouterr().out
    assert "nothing is left over" in told and "no features of msr_vtt through imagebind" in told


def test_nothing_imported_is_one_clear_error():
    with pytest.raises(MglibError, match=r"no features of msr_vtt through imagebind.*MSR_VTT_imag"):
        load_features("msr_vtt", "imagebind", "video")
    with pytest.raises(MglibError, match="import-features"):
        prepare("msr_vtt")
    with pytest.raises(MglibError, match="'raw' takes .* none of video"):
        prepare("msr_vtt", ("raw",))
    for call in (
        datasets.get("msr_vtt")().index,
        lambda: datasets.get("msr_vtt")().raw("video", 0),
    ):
        with pytest.raises(MglibError, match="msr_vtt has no .*import-features"):
            call()
    told = {item["name"]: item for item in check()}
    assert not told["msr_vtt"]["needed"] and "nothing imported" in told["msr_vtt"]["detail"]


def test_damage_is_found_and_importing_again_mends_it(files, cache, capsys):
    path = _modalbed.write(files)
    import_features(path)
    told = {item["name"]: item for item in check()}
    assert told["msr_vtt"]["ok"] and "imagebind" in told["msr_vtt"]["detail"]
    stored = next(cache.glob("features/msr_vtt/imagebind/audio.safetensors"))
    stored.write_bytes(stored.read_bytes()[:-4] + b"oops")
    with pytest.raises(MglibError, match="damaged .*mglib import-features FILE` rebuilds"):
        load_features("msr_vtt", "imagebind", "audio")
    assert not {item["name"]: item for item in check()}["msr_vtt"]["ok"]
    import_features(path)
    load_features("msr_vtt", "imagebind", "audio")
    record_path("msr_vtt", "imagebind").write_text("{")
    with pytest.raises(MglibError, match="damaged file .*imagebind.json"):
        load_features("msr_vtt", "imagebind", "audio")


def test_command(files, capsys):
    path = _modalbed.write(files / "features")
    assert main(["import-features", str(path)]) == 0
    told = capsys.readouterr().out
    assert "msr_vtt/imagebind: 58 instances in 3 classes, vectors of 12" in told
    assert "left out: 2 without audio" in told
    index = (files / "features" / "modalities.json").rename(files / "index.json")
    odd = path.rename(files / "features" / "mine.h5")
    assert main(["import-features", str(odd), "--index", str(index)]) == 2
    assert "--dataset (msr_vtt" in capsys.readouterr().err
    own = ["--dataset", "msr_vtt", "--perceptor", "unibind", "--index", str(index)]
    assert main(["import-features", str(odd), *own]) == 0
    assert "msr_vtt/unibind" in capsys.readouterr().out
    assert main(["import-features", str(odd), "--perceptor", "unbind"]) == 2
    assert main(["import-features", str(odd), "--dataset", "emoji_concepts"]) == 2
    assert "no imported dataset 'emoji_concepts'" in capsys.readouterr().err


def change(files, **edits):
    """A file with its index, and with keys replaced (None: taken out)."""
    path = _modalbed.write(files)
    with h5py.File(path, "a") as file:
        for key, own in edits.items():
            del file[key]
            if own is not None:
                file[key] = own
    return path


WRONG = np.full(_modalbed.WIDTH, np.nan, dtype=np.float32)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"text_video7": WRONG}, "1 vectors of text .* not finite, the first 'text_video7'"),
        ({"text_video7": 0 * WRONG.clip(0, 0)}, "zero or not finite"),
        ({"audio_video7": np.zeros(5, np.float32)}, r"'audio_video7' in .* \(5,\), not 12 floats"),
        ({"audio_video7": np.zeros(12, int)}, "'audio_video7' .* int64"),
        ({"video_video0": np.float32(1)}, r"'video_video0' .* \(\), not 0 floats"),
        ({"video_video0": h5py.SoftLink("/text_video0")}, "'video_video0' .* link .*: refused"),
        ({"audio_video3": h5py.ExternalLink("other.h5", "/x")}, "link to elsewhere: refused"),
    ],
)
def test_wrong_features_are_refused_and_leave_what_was_there(edits, message, files):
    import_features(_modalbed.write(files / "good"))
    before = load_features("msr_vtt", "imagebind", "text").values
    with pytest.raises(MglibError, match=message):
        import_features(change(files / "bad", **edits))
    assert np.array_equal(load_features("msr_vtt", "imagebind", "text").values, before)


def test_values_in_another_file_are_refused(files):
    path = change(files, text_video7=None)
    with h5py.File(path, "a") as file:
        file.create_dataset(
            "text_video7", (12,), np.float32, external=[("secret.bin", 0, h5py.h5f.UNLIMITED)]
        )
    with pytest.raises(MglibError, match="'text_video7' .* lies in another file: refused"):
        import_features(path)


def edited(files, edit):
    path = _modalbed.write(files)
    index = json.loads((files / "modalities.json").read_text())
    changed = edit(index)
    (files / "modalities.json").write_text(json.dumps(index if changed is None else changed))
    return path


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda index: [1], "no object of modalities"),
        (lambda index: index.pop("audio") and None, "no modality in .* 'audio'"),
        (lambda index: {**index, "video": None}, "'video' in .* is no list of instances"),
        (lambda index: {**index, "audio": 5}, "'audio' in .* is no list of instances"),
        (lambda index: index["text"].append([{"id": 3}, 0]), r"text\[60\] is no .*KeyError"),
        (lambda index: index["text"].append(["x"]), r"text\[60\] is no "),
        (
            lambda index: index["text"][0].__setitem__(1, 2),
            r"'video0' in .* is of class \('4', 0\) and of \('4', 2\)",
        ),
        (
            lambda index: index["video"].append([{"label": 4, "id": "new", "data": ""}, 8]),
            "class '4' in .* has two numbers",
        ),
        (
            lambda index: index["video"].append([{"label": "other", "id": "new", "data": ""}, 0]),
            "two classes in .* share a number",
        ),
        (lambda index: {m: [] for m in index}, "has no instance of .* in all of video, audio, tex"),
    ],
)
def test_a_wrong_index_is_refused(edit, message, files):
    with pytest.raises(MglibError, match=message):
        import_features(edited(files, edit))
    assert not record_path("msr_vtt", "imagebind").exists()


def test_paths_that_tell_no_group_are_refused(files):
    for name, edit in (
        ("NYUDv2", lambda item: item[0].update(data="rgb.png")),
        ("VGGSound_S", lambda item: item[0].update(data="video/plain.mp4")),
    ):
        path = _modalbed.write(files / name, name)
        index = json.loads((path.parent / "modalities.json").read_text())
        edit(index["vision" if name == "NYUDv2" else "video"][0])
        (path.parent / "modalities.json").write_text(json.dumps(index))
        with pytest.raises(MglibError, match="must be a path such as"):
            import_features(path)


def test_files_that_are_not_there_or_of_another_kind(files):
    with pytest.raises(MglibError, match="no file .* a feature file of ModalBed's"):
        import_features(files / "MSR_VTT_imagebind.h5")
    path = _modalbed.write(files)
    (files / "modalities.json").write_text("{")
    with pytest.raises(MglibError, match="is not JSON"):
        import_features(path)
    (files / "modalities.json").unlink()
    with pytest.raises(MglibError, match="no file .*modalities.json.*--index FILE"):
        import_features(path)
    path.write_text("text")
    with pytest.raises(MglibError, match="is no HDF5 file"):
        import_features(path)
    with pytest.raises(MglibError, match="did you mean 'imagebind'"):
        import_features(path.rename(files / "MSR_VTT_imagebin.h5"))
