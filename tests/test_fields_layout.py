"""PDEBench's files: read as others wrote them, written as others read them, refused in one line."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import yaml
from scipy.io import loadmat, savemat

from mglib.data._fields import layout
from mglib.data._fields.trajectories import Trajectories, frames_at
from mglib.errors import MglibError
from mglib.features import load_features
from mglib.perceptors.prepare import prepare
from mglib.registry import datasets

pytestmark = pytest.mark.usefixtures("one_thread")

SERIES = ("advection", "burgers", "diffusion_reaction", "diffusion_sorption")
MEDIA = ("darcy", "darcy_flow")
FIELDS = (*MEDIA, "diffusion_reaction_2d", "shallow_water")
FEW = 12


def noise(*shape):
    return np.random.RandomState(len(shape)).standard_normal(shape).astype(np.float32)


@pytest.fixture
def scalar(tmp_path):
    """Written as PDEBench's merging script leaves a scalar set: one time more than frames."""
    path = tmp_path / "1D_Advection_Sols_beta0.4.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("tensor", data=noise(20, 201, 64))
        file.create_dataset("x-coordinate", data=((np.arange(64) + 0.5) / 64).astype("f"))
        file.create_dataset("t-coordinate", data=(0.01 * np.arange(202)).astype("f"))
        file.attrs["beta"] = 0.4
    return path


@pytest.fixture
def medium(tmp_path):
    path = tmp_path / "2D_DarcyFlow_beta0.1_Train.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("tensor", data=noise(20, 1, 16, 16))
        file.create_dataset("nu", data=np.where(noise(20, 16, 16) > 0, 1, 0.1).astype("f"))
        for axis in "xy":
            file.create_dataset(f"{axis}-coordinate", data=((np.arange(16) + 0.5) / 16).astype("f"))
        file.attrs["beta"] = 0.1
    return path


@pytest.fixture
def groups(tmp_path):
    path = tmp_path / "2D_diff-react_NA_NA.h5"
    with h5py.File(path, "w") as file:
        for number in range(20):
            one = file.create_group(f"{number:04}")
            data = noise(20, 101, 8, 8, 2)[number]
            one.create_dataset("data", data=data, dtype="f", compression="lzf")
            for axis, size in (("x", 8), ("y", 8)):
                one.create_dataset(f"grid/{axis}", data=np.linspace(-1, 1, size), dtype="f")
            one.create_dataset("grid/t", data=np.linspace(0, 5, 101), dtype="f")
            one.attrs["config"] = yaml.safe_dump({"sim": {"seed": number, "Du": 1e-3}})
    return path


def test_scalar_sets_are_read(scalar):
    found = layout.read(scalar)
    assert found.values.shape == (20, 201, 64, 1) and found.parameters == {"beta": 0.4}
    assert np.array_equal(found.values[..., 0], noise(20, 201, 64))
    assert found.coordinates["t"][-1] == pytest.approx(2.0) and len(found.coordinates["t"]) == 201
    some = layout.read(scalar, times=[0.0, 2.0], samples=5, stride=4)
    assert np.array_equal(some.values, found.values[:5, [0, 200], ::4])
    assert np.array_equal(some.coordinates["x"], found.coordinates["x"][::4])


def test_darcy_files_are_read(medium):
    found = layout.read(medium, stride=2)
    assert np.array_equal(found.values[..., 0], noise(20, 1, 16, 16)[:, :, ::2, ::2])
    assert found.parameters["nu"].shape == (20, 8, 8) and found.parameters["beta"] == 0.1
    inputs, outputs = datasets.get("darcy").from_file(medium)
    assert np.array_equal(inputs[..., 0], found.parameters["nu"])
    assert np.array_equal(outputs, found.values[:, 0])


def test_groups_are_read(groups):
    found = layout.read(groups)
    assert np.array_equal(found.values, noise(20, 101, 8, 8, 2))
    configs = [yaml.safe_load(text)["sim"]["seed"] for text in found.parameters["config"]]
    assert configs == list(range(20)) and list(found.coordinates) == ["t", "x", "y"]


def test_official_files_give_the_maps_of_orca(scalar, groups):
    inputs, outputs = datasets.get("advection").from_file(scalar)
    expected = noise(20, 201, 64)
    assert np.array_equal(inputs[..., 0], expected[:, 0, ::4])
    assert np.array_equal(outputs[..., 0], expected[:, -1, ::4])
    whole = datasets.get("diffusion_reaction").from_file(scalar)[1]
    assert np.array_equal(whole[..., 0], expected[:, 29])
    activator, inhibitor = datasets.get("diffusion_reaction_2d").from_file(groups)
    data = noise(20, 101, 8, 8, 2)
    assert np.array_equal(activator[..., 0], data[:, 0, ..., 0])
    assert np.array_equal(inhibitor[..., 0], data[:, -1, ..., 1])
    first = datasets.get("advection").published_split(20)
    last = datasets.get("diffusion_reaction_2d").published_split(20)
    assert first["test"].tolist() == [0, 1] and first["train"].tolist() == list(range(2, 20))
    assert last["test"].tolist() == [18, 19] and last["train"].tolist() == list(range(18))
    with pytest.raises(MglibError, match="9 instances are too few"):
        datasets.get("darcy").published_split(9)


@pytest.mark.parametrize("kind", ["scalar", "medium", "groups"])
def test_what_was_read_is_written_and_read_back(kind, request, tmp_path):
    official = request.getfixturevalue(kind)
    found = layout.read(official)
    name = {"medium": "darcy"}.get(kind, kind)
    again = layout.read(layout.write(tmp_path / "again.h5", found, name))
    assert np.array_equal(found.values, again.values) and again.values.dtype == np.float32
    for one, other in (
        (found.coordinates, again.coordinates),
        (found.parameters, again.parameters),
    ):
        assert list(one) == list(other)
        assert all(np.array_equal(one[key], other[key]) for key in one)
    with h5py.File(official) as first, h5py.File(tmp_path / "again.h5") as second:
        shapes: list[dict] = [{}, {}]
        for file, own in zip((first, second), shapes, strict=True):
            file.visititems(lambda name, item, own=own: own.update({name: _about(item)}))
        assert shapes[0] == shapes[1]


def _about(item):
    return (item.shape, str(item.dtype)) if isinstance(item, h5py.Dataset) else dict(item.attrs)


def test_files_of_another_kind_are_refused(tmp_path, scalar):
    with pytest.raises(MglibError, match=r"no file '.*absent.h5'; allowed .*'tensor'"):
        layout.read(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(MglibError, match=r"'.*text.h5' is no HDF5 file .*allowed is .*: scalar"):
        layout.read(tmp_path / "text.h5")
    ill: dict[str, dict[str, np.ndarray]] = {
        "it holds nothing": {},
        "it holds 'density', 'pressure'": {"density": noise(2, 3, 4), "pressure": noise(2, 3, 4)},
        r"its 'tensor' is \(2, 3\)": {"tensor": noise(2, 3)},
        "beside 'tensor' it holds": {"tensor": noise(2, 3, 4), "t-coordinate": np.arange(4)},
        "coordinates do not fit": {
            "tensor": noise(2, 3, 4),
            "t-coordinate": np.arange(2),
            "x-coordinate": np.arange(4),
        },
        "'nu' .* does not fit": {"tensor": noise(2, 1, 4, 4), "nu": noise(2, 3, 3)},
        "'data' is missing in '/0000'": {"0000/grid/t": np.arange(3)},
        "'grid/t' is missing": {"0000/data": noise(3, 4, 1)},
        "'0001' is": {
            **{f"000{n}/data": noise(3, 4 + n, 1) for n in range(2)},
            **{f"000{n}/grid/{axis}": np.arange(3) for n in range(2) for axis in "tx"},
        },
    }
    for number, (message, content) in enumerate(ill.items()):
        path = tmp_path / f"ill{number}.h5"
        with h5py.File(path, "w") as file:
            for name, values in content.items():
                file[name] = values
        with pytest.raises(MglibError, match=f"ill{number}.h5' .*{message}.*; allowed: scalar"):
            layout.read(path)
    with pytest.raises(MglibError, match=r"beta0.4.hdf5': no frame at time 500: there are 201"):
        layout.read(scalar, times=[500.0])
    with pytest.raises(MglibError, match="at least 1"):
        layout.read(scalar, stride=0)


def test_nothing_outside_a_file_is_read(scalar, groups, tmp_path):
    """Links and values of other files are refused, in groups, too."""
    for name, link in (
        ("soft", h5py.SoftLink("/tensor")),
        ("external", h5py.ExternalLink(str(scalar), "/tensor")),
    ):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["tensor"] = link
            file["x-coordinate"], file["t-coordinate"] = np.zeros(64), np.zeros(202)
        with pytest.raises(MglibError, match=r"'tensor' in .* is a link to elsewhere: refused"):
            layout.read(tmp_path / f"{name}.h5")
    with h5py.File(groups, "r+") as file:
        del file["0003/data"]
        file["0003/data"] = h5py.SoftLink("/0002/data")
    with pytest.raises(MglibError, match=r"'0003/data' in .* is a link to elsewhere: refused"):
        layout.read(groups)
    with h5py.File(groups, "r+") as file:
        del file["0003/data"]
        shape, outside = file["0002/data"].shape, (str(tmp_path / "raw"), 0, 20 * 101 * 64 * 2 * 4)
        file.create_dataset("0003/data", shape, "f", external=[outside])
    with pytest.raises(MglibError, match=r"'0003/data' in .* lies in another file: refused"):
        layout.read(groups)


def test_what_a_layout_cannot_hold_is_refused(tmp_path):
    two = Trajectories(noise(2, 3, 4, 2), {"t": np.arange(3.0), "x": np.arange(4.0)})
    flat = Trajectories(noise(2, 1, 4, 4, 1), {"t": np.zeros(1)})
    for content, name, message in (
        (two, "scalar", "one channel"),
        (flat, "scalar", "one axis of space"),
        (flat, "darcy", "needs two axes of space and the parameter 'nu'"),
        (flat, "scaler", "did you mean 'scalar'"),
    ):
        with pytest.raises(MglibError, match=message):
            layout.write(tmp_path / "x.h5", content, name)
    assert list(tmp_path.iterdir()) == []


def test_frames_are_found_by_their_times():
    known = np.linspace(0, 5, 101, dtype=np.float32)
    assert frames_at(known, [0.0, 5.0, 0.35]) == [0, 100, 7]
    with pytest.raises(MglibError, match="no frame at time 0.27"):
        frames_at(known, [0.27])


# --- the datasets


@pytest.mark.parametrize("name", [*SERIES, *FIELDS])
def test_generated_and_official_files_are_interchangeable(name, tmp_path):
    kind = datasets.get(name)
    solved = kind().trajectories(3, 5)
    again, other = kind().trajectories(3, 5), kind().trajectories(3, 6)
    assert np.array_equal(solved.values, again.values)
    assert not np.array_equal(solved.values, other.values)
    inputs, outputs = kind.pairs(solved)
    side = 85 if name == "darcy_flow" else 64
    shape = (3, 256, 1) if name in SERIES else (3, side, side, 1)
    assert inputs.shape == outputs.shape == shape
    assert inputs.dtype == outputs.dtype == np.float32
    assert np.isfinite(outputs).all() and outputs.std() > 0
    if name == "darcy_flow":
        savemat(tmp_path / "own.mat", {"coeff": inputs[..., 0], "sol": outputs[..., 0]})
        found = kind.from_file(tmp_path / "own.mat", stride=1)
    else:
        path = layout.write(tmp_path / "own.h5", solved, kind.layout)
        found = kind.from_file(path, stride=1)
    assert np.array_equal(found[0], inputs) and np.array_equal(found[1], outputs)


def test_the_files_of_fno_are_read_and_others_refused(tmp_path):
    kind = datasets.get("darcy_flow")
    path = tmp_path / "piececonst_r421_N1024_smooth1.mat"
    savemat(path, {"coeff": noise(2, 21, 21), "sol": noise(2, 21, 21)})
    inputs, outputs = kind.from_file(path)
    assert np.array_equal(inputs[..., 0], loadmat(path)["coeff"][:, ::5, ::5])
    assert outputs.shape == (2, 5, 5, 1)
    with pytest.raises(MglibError, match=r"no file '.*absent.mat'; allowed is a MATLAB 5 file"):
        kind.from_file(tmp_path / "absent.mat")
    (tmp_path / "text.mat").write_text("nothing of the kind, but long enough " * 10)
    savemat(tmp_path / "one.mat", {"coeff": noise(2, 3, 3)})
    savemat(tmp_path / "two.mat", {"coeff": noise(2, 3, 3), "sol": noise(2, 4, 4)})
    for name in ("text", "one", "two"):
        with pytest.raises(MglibError, match=f"{name}.mat' .*not a MATLAB 5 file with 'coeff'"):
            kind.from_file(tmp_path / f"{name}.mat")


@pytest.mark.parametrize("name", ["diffusion_reaction", "shallow_water"])
def test_fields_are_prepared_with_their_targets(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "cache"))
    kind = datasets.get(name)
    monkeypatch.setattr(kind, "samples", FEW)
    assert [outcome.stage for outcome in prepare(name)] == ["raw/input"]
    found = load_features(name, "raw", "input")
    inputs, outputs = kind.pairs(kind().trajectories(FEW, kind.seed))
    assert np.array_equal(found.values, inputs)
    assert np.array_equal(found.targets["output"], outputs)
    assert found.card["class_names"] == {} and found.card["kind"] == kind.kinds["input"]
    for one, group in zip(found.values, found.groups, strict=True):
        same = (found.values == one).all(axis=tuple(range(1, found.values.ndim)))
        assert np.array_equal(same, found.groups == group)
    with pytest.raises(MglibError, match="no modality of"):
        kind().raw("output", lambda share: None)


def test_equal_radii_are_one_group():
    kind = datasets.get("shallow_water")
    dataset = kind()
    inputs = np.repeat(noise(3, 4, 4, 1), 2, axis=0)
    dataset._pairs = (inputs, inputs)
    assert dataset.index().groups.tolist()[:6] == [0, 0, 1, 1, 2, 2]
