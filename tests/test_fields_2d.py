"""Solvers in two dimensions against exact solutions, with the order that each is said to have."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from mglib.data._fields import darcy, shallow_water
from mglib.data._fields import diffusion_reaction_2d as fitzhugh
from mglib.data._fields.initial import centres
from mglib.errors import MglibError

pytestmark = pytest.mark.usefixtures("one_thread")


def orders(errors, ratio=2.0):
    """Observed orders between errors at widths that shrink by a ratio, printed."""
    found = np.log(np.array(errors[:-1]) / np.array(errors[1:])) / np.log(ratio)
    print("errors", [f"{error:.2e}" for error in errors], "orders", found.round(2))
    return found


# --- Darcy flow


def medium_of(x, y):
    return 2 + np.sin(np.pi * x) * np.cos(2 * np.pi * y)


def source_of(x, y):
    """-div(a grad u) of that medium and u = sin(pi x) sin(2 pi y)."""
    p, u = np.pi, np.sin(np.pi * x) * np.sin(2 * np.pi * y)
    ax = p * np.cos(p * x) * np.cos(2 * p * y)
    ay = -2 * p * np.sin(p * x) * np.sin(2 * p * y)
    ux = p * np.cos(p * x) * np.sin(2 * p * y)
    uy = 2 * p * np.sin(p * x) * np.cos(2 * p * y)
    return 5 * p**2 * medium_of(x, y) * u - ax * ux - ay * uy


def test_flow_between_nodes_is_the_manufactured_one_to_order_two():
    errors = []
    for nodes in (17, 33, 65):
        x, y = np.meshgrid(*[np.linspace(0, 1, nodes)] * 2, indexing="ij")
        flow = darcy.solve_nodes(medium_of(x, y)[None], source_of(x, y))[0]
        errors.append(abs(flow - np.sin(np.pi * x) * np.sin(2 * np.pi * y)).max())
        assert (flow[[0, -1]] == 0).all() and (flow[:, [0, -1]] == 0).all()
    assert (abs(orders(errors) - 2) < 0.1).all()


def test_flow_in_cells_is_of_order_one_as_its_zero_lies_outside():
    errors = []
    for cells in (32, 64, 128):
        x, y = np.meshgrid(*[centres(cells)] * 2, indexing="ij")
        flow = darcy.solve_cells(medium_of(x, y)[None], source_of(x, y))[0]
        errors.append(abs(flow - np.sin(np.pi * x) * np.sin(2 * np.pi * y)).max())
    assert (abs(orders(errors) - 1) < 0.2).all()


def plain_flow(medium, beta):
    """The same cells as a dense matrix, cell by cell."""
    side = len(medium)
    matrix, size = np.zeros((side**2, side**2)), 1 / side**2
    for row in range(side):
        for column in range(side):
            own = row * side + column
            for down, across in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                i, j = row + down, column + across
                inside = 0 <= i < side and 0 <= j < side
                beside = medium[i, j] if inside else medium[row, column]
                face = (medium[row, column] + beside) / 2
                matrix[own, own] += face
                if inside:
                    matrix[own, i * side + j] -= face
    return np.linalg.solve(matrix, np.full(side**2, beta * size)).reshape(side, side)


def test_flow_in_cells_is_the_plain_matrix_solved():
    media = darcy.bump_media(11, 12, 0)
    flows = darcy.solve_cells(media, 0.1)
    for medium, flow in zip(media, flows, strict=True):
        assert np.allclose(flow, plain_flow(medium, 0.1), rtol=1e-6)
    alone = darcy.solve_cells(media[10:], 0.1)[0]
    assert np.allclose(alone, flows[10], rtol=1e-7)


def test_flow_scales_with_source_and_medium():
    media = darcy.gaussian_media(2, 33, 1)
    one = darcy.solve_nodes(media)
    assert np.allclose(darcy.solve_nodes(10 * media, 5.0), one / 2, rtol=1e-6)
    assert (one[:, 1:-1, 1:-1] > 0).all()


def test_media_have_their_law():
    media = darcy.bump_media(200, 32, 4)
    assert set(np.unique(media)) == {0.1, 1.0}
    stream = np.random.RandomState(4)
    middles, spreads = stream.uniform(0, 1, (200, 5, 2)), 0.5 * stream.uniform(0, 1, (200, 5))
    x, y = np.meshgrid(centres(32), centres(32), indexing="ij")
    heights = np.zeros((200, 32, 32))
    for n in range(200):
        for (mx, my), spread in zip(middles[n], spreads[n], strict=True):
            heights[n] += np.exp(-((x - mx) ** 2 + (y - my) ** 2) / spread)
    for part in (slice(0, 100), slice(100, 200)):
        expected = np.where(heights[part] > heights[part].mean(), 1.0, 0.1)
        assert (media[part] != expected).mean() < 1e-4
    assert np.array_equal(media, darcy.bump_media(200, 32, 4))
    assert set(np.unique(darcy.gaussian_media(2, 32, 0))) == {3.0, 12.0}


def test_gaussian_fields_have_their_covariance():
    nodes, draws = 24, 4000
    fields = darcy.gaussian_fields(draws, nodes, 7)
    points = centres(nodes)
    waves = np.cos(np.pi * np.outer(np.arange(nodes), points)) * np.sqrt(2)
    waves[0] = 1
    squares = np.arange(nodes) ** 2
    power = 9 / (np.pi**2 * (squares[:, None] + squares) + 9) ** 2
    power[0, 0] = 0
    for one, other in (((0, 0), (0, 0)), ((5, 9), (5, 9)), ((3, 3), (12, 20))):
        first = waves[:, one[0], None] * waves[:, one[1]]
        second = waves[:, other[0], None] * waves[:, other[1]]
        expected = (power * first * second).sum()
        found = (fields[(slice(None), *one)] * fields[(slice(None), *other)]).mean()
        scale = (power * first**2).sum() + (power * second**2).sum()
        assert found == pytest.approx(expected, abs=4 * scale / np.sqrt(draws))


def test_darcy_refuses_what_is_no_medium():
    for bad in (np.ones((4, 4)), np.zeros((1, 4, 4)), np.ones((1, 2, 2))):
        with pytest.raises(MglibError, match="media are positive"):
            darcy.solve_cells(bad, 1.0)
    wild = np.exp(12 * np.random.RandomState(0).standard_normal((1, 32, 32)))
    with pytest.raises(MglibError, match="too much contrast"):
        darcy.solve_cells(wild, 1.0)


# --- FitzHugh-Nagumo


def test_even_states_follow_the_ordinary_equation():
    start = np.array([0.8, -0.3])

    def slope(_, w):
        return [w[0] - w[0] ** 3 - 5e-3 - w[1], w[0] - w[1]]

    exact = solve_ivp(slope, (0, 2), start, "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    states = np.broadcast_to(start, (1, 4, 4, 2))
    errors = []
    for steps in (10, 20, 40):
        found = fitzhugh.solve(states, np.linspace(0, 2, steps + 1), [2.0])[0, 0]
        assert np.allclose(found, found[0, 0])
        errors.append(abs(found[0, 0] - exact).max())
    assert (abs(orders(errors) - 4) < 0.3).all()


def test_no_flux_and_order_two_in_space():
    field = np.random.RandomState(0).standard_normal((3, 8, 8))
    assert np.allclose(fitzhugh.laplacian(field, 0.3).sum(axis=(1, 2)), 0)
    errors = []
    for cells in (16, 32, 64):
        x = centres(cells, -1, 1)
        wave = np.cos(np.pi * (x[:, None] + 1)) * np.cos(np.pi / 2 * (x + 1))
        found = fitzhugh.laplacian(wave, 2 / cells)
        errors.append(abs(found + 1.25 * np.pi**2 * wave).max())
    assert (abs(orders(errors) - 2) < 0.1).all()


def test_waves_of_fitzhugh_converge_to_order_two():
    found = []
    for cells in (15, 45, 135):
        x = centres(cells, -1, 1)
        wave = np.cos(np.pi * (x[:, None] + 1)) * np.cos(np.pi / 2 * (x + 1))
        states = np.stack([wave, -0.5 * wave], axis=-1)[None]
        own = fitzhugh.solve(states, np.linspace(0, 0.5, 51), [0.5])[0, 0]
        every = cells // 15
        found.append(own[every // 2 :: every, every // 2 :: every])
    # against the finest, whose own error is a ninth of the second's: log3(80 / 8) = 2.10
    errors = [abs(own - found[-1]).max() for own in found[:-1]]
    assert (abs(orders(errors, 3.0) - 2.1) < 0.25).all()


def test_steps_for_noise_are_short_enough():
    states = np.random.RandomState(0).standard_normal((2, 64, 64, 2))
    usual = fitzhugh.solve(states, fitzhugh.graded_steps(5.0), [0.0, 5.0])
    short = fitzhugh.solve(states, fitzhugh.graded_steps(5.0, 0.00625), [5.0])
    assert np.array_equal(usual[:, 0], states)
    assert abs(usual[:, 1] - short[:, 0]).max() < 2e-4
    alone = fitzhugh.solve(states[1:], fitzhugh.graded_steps(5.0), [5.0])
    assert np.array_equal(alone[0, 0], usual[1, 1])


def test_fitzhugh_refuses_what_it_cannot():
    states = np.zeros((1, 64, 64, 2))
    with pytest.raises(MglibError, match="for stability"):
        fitzhugh.solve(states, np.array([0.0, 0.1]), [0.1])
    with pytest.raises(MglibError, match="not all among"):
        fitzhugh.solve(states, np.array([0.0, 0.01]), [0.005])
    with pytest.raises(MglibError, match="H, H, 2"):
        fitzhugh.solve(states[..., :1], np.array([0.0, 0.01]), [0.01])


# --- shallow water


def stoker(places, time, left=2.0, right=1.0):
    """Exact depth of a dam break on a wet bed, g = 1, the dam at 0 (Stoker 1957)."""

    def gap(h):
        behind = 2 * (np.sqrt(left) - np.sqrt(h))
        return behind - (h - right) * np.sqrt((h + right) / (2 * h * right))

    middle = brentq(gap, right, left, xtol=1e-14)
    speed = 2 * (np.sqrt(left) - np.sqrt(middle))
    shock = middle * speed / (middle - right)
    ratio = places / time
    fan = (2 * np.sqrt(left) - ratio) ** 2 / 9
    return np.select(
        [ratio < -np.sqrt(left), ratio < speed - np.sqrt(middle), ratio < shock],
        [left, fan, middle],
        right,
    )


@pytest.mark.parametrize("along", [1, 2])
def test_a_plane_dam_breaks_as_stoker_says(along):
    errors = []
    for cells in (50, 100, 200):
        x = centres(cells, -2, 2)
        states = np.zeros((1, cells, 3, 3))
        states[..., 0] = np.where(x < 0, 2.0, 1.0)[None, :, None]
        turned = states if along == 1 else states.swapaxes(1, 2)
        found = shallow_water.solve(turned, 4 / cells, [0.8])[0, 0]
        found = found if along == 1 else found.swapaxes(0, 1)
        assert np.allclose(found[:, 0], found[:, 1], atol=1e-12)
        assert abs(found[..., 3 - along]).max() == 0
        errors.append(abs(found[:, 1, 0] - stoker(x, 0.8)).mean())
    seen = orders(errors)
    assert (seen > 0.75).all() and (seen < 1.2).all() and errors[-1] < 5e-3


def test_a_smooth_wave_is_of_order_two():
    """A simple wave before it breaks, by its characteristics."""

    def celerity(x):
        return 1 + 0.1 * np.exp(-8 * x**2)

    def exact(place, time):
        def miss(x):
            return x + (3 * celerity(x) - 2) * time - place

        return celerity(brentq(miss, -6, 6, xtol=1e-13)) ** 2

    errors = []
    for cells in (80, 160, 320):
        x = centres(cells, -2, 2)
        states = np.zeros((1, cells, 3, 3))
        states[..., 0] = celerity(x)[None, :, None] ** 2
        states[..., 1] = states[..., 0] * 2 * (celerity(x) - 1)[None, :, None]
        found = shallow_water.solve(states, 4 / cells, [0.4])[0, 0, :, 1, 0]
        errors.append(abs(found - [exact(place, 0.4) for place in x]).mean())
    assert (abs(orders(errors) - 2) < 0.25).all()


def test_a_round_dam_keeps_its_water_and_its_symmetry():
    quarters = shallow_water.dam_break(np.array([0.4, 0.6]), 24)
    states = shallow_water.whole(quarters)
    found = shallow_water.solve(states, 2.5 / 24, [0.0, 0.5])
    assert np.array_equal(found[:, 0], states)
    water = found[..., 0].sum(axis=(2, 3))
    assert np.allclose(water[:, 0], water[:, 1], rtol=1e-12)
    last = found[:, 1]
    assert np.allclose(last[..., 0], last[:, ::-1, :, 0], atol=1e-12)
    assert np.allclose(last[..., 1], -last[:, ::-1, :, 1], atol=1e-12)
    assert np.allclose(last[..., 0], last[..., 0].swapaxes(1, 2), atol=1e-12)
    assert np.allclose(last[..., 1], last[..., 2].swapaxes(1, 2), atol=1e-12)
    mirrored = shallow_water.solve(quarters, 2.5 / 24, [0.5], mirrored=True)
    assert np.allclose(shallow_water.whole(mirrored)[:, 0], last, atol=1e-12)
    alone = shallow_water.solve(quarters[1:], 2.5 / 24, [0.5], mirrored=True)
    assert np.array_equal(alone[0], mirrored[1])


def test_water_at_rest_stays_and_waves_leave():
    rest = np.zeros((1, 8, 8, 3))
    rest[..., 0] = 1.5
    assert np.array_equal(shallow_water.solve(rest, 0.1, [1.0])[:, 0], rest)
    broken = shallow_water.whole(shallow_water.dam_break(np.array([0.5]), 12))
    late = shallow_water.solve(broken, 2.5 / 12, [20.0])[0, 0]
    assert abs(late[..., 0] - 1).max() < 0.01


def test_shallow_water_refuses_what_it_cannot():
    states = np.ones((1, 4, 4, 3))
    with pytest.raises(MglibError, match="above 0"):
        shallow_water.solve(0 * states, 0.1, [1.0])
    with pytest.raises(MglibError, match="not decrease"):
        shallow_water.solve(states, 0.1, [1.0, 0.5])
    with pytest.raises(MglibError, match="N, X, Y, 3"):
        shallow_water.solve(states[..., :2], 0.1, [1.0])
