"""Solvers in one dimension against exact solutions, with the order that each is said to have."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from mglib.data._fields import (
    advection,
    burgers,
    diffusion_reaction,
    diffusion_sorption,
    initial,
)
from mglib.errors import MglibError

pytestmark = pytest.mark.usefixtures("one_thread")


def orders(errors, ratio=2.0):
    """Observed orders between errors at steps that shrink by a ratio, printed."""
    found = np.log(np.array(errors[:-1]) / np.array(errors[1:])) / np.log(ratio)
    print("errors", [f"{error:.2e}" for error in errors], "orders", found.round(2))
    return found


def one_sine(points):
    return np.sin(2 * np.pi * points)[None]


# --- initial states


def test_initial_states_have_their_law():
    n = 20000
    waves = initial.draw_waves(n, 3)
    unit = 2 * np.pi / (1 - 1 / initial.CELLS)
    counts = waves.wave_numbers / unit / np.arange(1, 5)
    assert np.allclose(counts, np.rint(counts)) and (np.rint(counts).sum(axis=1) == 2).all()
    # of two draws from four: a mode is missing with (3/4)^2, met once with 3/8, twice with 1/16
    for times, share in ((0, 9 / 16), (1, 6 / 16), (2, 1 / 16)):
        assert np.allclose((np.rint(counts) == times).mean(axis=0), share, atol=0.012)
    for values, low, high in (
        (waves.amplitudes, 0, 1),
        (waves.phases, 0, 2 * np.pi),
        (waves.left, 0.1, 0.45),
        (waves.right, 0.55, 0.9),
    ):
        assert low <= values.min() and values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
        assert values.std() == pytest.approx((high - low) / 12**0.5, rel=0.02)
    assert waves.absolute.mean() == pytest.approx(0.1, abs=0.01)
    assert waves.windowed.mean() == pytest.approx(0.1, abs=0.01)
    assert set(waves.signs) == {-1.0, 1.0} and abs(waves.signs.mean()) < 0.03


def test_initial_states_are_the_formula():
    waves = initial.draw_waves(300, 5)
    points = initial.centres(64)
    states = waves.at(points)
    for n in range(300):
        own = sum(
            waves.amplitudes[n, i] * np.sin(waves.wave_numbers[n, i] * points + waves.phases[n, i])
            for i in range(4)
        )
        if waves.absolute[n]:
            own = abs(own)
        own = own * waves.signs[n]
        if waves.windowed[n]:
            up, down = (np.tanh((points - edge[n]) / 0.01) for edge in (waves.left, waves.right))
            own = own * (up - down) / 2
        assert np.allclose(states[n], own, atol=1e-12)
    assert np.array_equal(waves.at(points + 1.0).round(9), states.round(9))


def test_initial_states_hang_on_the_seed_alone():
    points = initial.centres(32)
    states = [initial.draw_waves(10, seed).at(points) for seed in (0, 0, 1)]
    assert np.array_equal(states[0], states[1]) and not np.allclose(states[0], states[2])
    scaled = initial.rescaled(states[0])
    assert (scaled.min(axis=1) == 0).all() and np.allclose(scaled.max(axis=1), 1)
    with pytest.raises(MglibError, match="at least 1"):
        initial.draw_waves(0, 0)
    with pytest.raises(MglibError, match="state 1 is constant"):
        initial.rescaled(np.array([[0.0, 1.0], [2.0, 2.0]]))


# --- advection


def test_advection_moves_the_state_once_around():
    points = initial.centres(64)
    moved = advection.solve(one_sine, points, [0.0, 0.5, 2.5], 0.4)
    assert np.allclose(moved[0, 1], np.sin(2 * np.pi * (points - 0.2)), atol=1e-12)
    assert np.allclose(moved[0, 2], moved[0, 0], atol=1e-12)


def test_an_upwind_scheme_converges_to_the_advected_state():
    errors = []
    for cells in (128, 256, 512):
        points, state = initial.centres(cells), one_sine(initial.centres(cells))
        steps = cells  # to time 1 at speed 0.4
        for _ in range(steps):
            state = state - 0.4 * (state - np.roll(state, 1, axis=1))
        errors.append(abs(state - advection.solve(one_sine, points, [1.0], 0.4)[:, 0]).max())
    assert (abs(orders(errors) - 1) < 0.1).all()


# --- Burgers


def cole_hopf(points, time, viscosity):
    """u(x, t) from sin(2 pi x), by the heat equation of exp(-integral of u / (2 viscosity))."""
    fine = np.arange(512) / 512
    potential = (1 - np.cos(2 * np.pi * fine)) / (2 * np.pi)
    modes = np.fft.fft(np.exp(-potential / (2 * viscosity))) / 512
    waves = 2 * np.pi * np.fft.fftfreq(512, 1 / 512)
    modes = modes * np.exp(-viscosity * waves**2 * time)
    turning = np.exp(1j * np.outer(points, waves))
    phi, slope = (turning @ modes).real, (turning @ (1j * waves * modes)).real
    return -2 * viscosity * slope / phi


def test_burgers_is_the_cole_hopf_solution_and_of_order_four_in_time():
    points, viscosity = initial.centres(128), 0.05
    exact = cole_hopf(points, 0.3, viscosity)
    errors = [
        abs(
            burgers.solve(one_sine(points), viscosity, np.linspace(0, 0.3, steps + 1), [0.3])[0, 0]
            - exact
        ).max()
        for steps in (20, 40, 80)
    ]
    assert (abs(orders(errors) - 4) < 0.4).all() and errors[-1] < 1e-6


def test_burgers_converges_in_space_beyond_every_order():
    exact = cole_hopf(initial.centres(16), 0.3, 0.05)
    errors = []
    for cells in (16, 48, 144):
        state = one_sine(initial.centres(cells))
        found = burgers.solve(state, 0.05, np.linspace(0, 0.3, 601), [0.3])[0, 0]
        kept = found if cells == 16 else found[cells // 32 :: cells // 16]  # the same centres
        errors.append(abs(kept - exact).max())
    print("errors", errors)
    assert errors[0] / errors[1] > 1000 and errors[-1] < 1e-8


def test_burgers_keeps_the_mean_and_forgets_the_waves():
    states = initial.draw_waves(20, 0).at(initial.centres(256))
    found = burgers.solve(states, 1 / np.pi, burgers.graded_steps(2.0), [2.0])[:, 0]
    assert np.allclose(found.mean(axis=1), states.mean(axis=1), atol=1e-12)
    assert np.ptp(found, axis=1).max() < 1e-9


def test_burgers_refuses_what_it_cannot():
    state = one_sine(initial.centres(32))
    with pytest.raises(MglibError, match="none of the 3 times"):
        burgers.solve(state, 0.1, np.array([0, 0.1, 0.2]), [0.15])
    with pytest.raises(MglibError, match="must grow"):
        burgers.solve(state, 0.1, np.array([0, 0.2, 0.1]), [0.1])


# --- diffusion and reaction


def test_diffusion_alone_is_the_heat_kernel():
    points = initial.centres(64)
    found = diffusion_reaction.solve(one_sine(points), 0.5, 0.0, [0.02])[0, 0]
    assert np.allclose(found, np.exp(-0.5 * (2 * np.pi) ** 2 * 0.02) * one_sine(points)[0])


def test_reaction_alone_is_the_logistic_curve():
    states = np.repeat(np.array([[0.0], [0.1], [0.5], [1.0]]), 8, axis=1)
    found = diffusion_reaction.solve(states, 0.5, 1.0, [0.29, 1.0])
    for time, place in ((0.29, 0), (1.0, 1)):
        with np.errstate(divide="ignore"):
            exact = 1 / (1 + np.exp(-time) * (1 - states) / states)
        assert np.allclose(found[:, place], exact, atol=1e-12)


def reference_reaction(states, time):
    """The same modes by an adaptive method of order 8."""
    waves = 2 * np.pi * np.fft.rfftfreq(states.shape[1], 1 / states.shape[1])

    def slope(_, u):
        return np.fft.irfft(-0.05 * waves**2 * np.fft.rfft(u), len(u)) + 2.0 * u * (1 - u)

    return solve_ivp(slope, (0, time), states[0], "DOP853", rtol=1e-11, atol=1e-12).y[:, -1]


def test_splitting_is_of_order_two():
    states = 0.5 + 0.4 * one_sine(initial.centres(32))
    exact = reference_reaction(states, 1.0)
    errors = [
        abs(diffusion_reaction.solve(states, 0.05, 2.0, [1.0], 1 / steps)[0, 0] - exact).max()
        for steps in (5, 10, 20)
    ]
    assert (abs(orders(errors) - 2) < 0.15).all()


def test_diffusion_reaction_goes_on_from_frame_to_frame():
    states = initial.rescaled(initial.draw_waves(3, 1).at(initial.centres(64)))
    both = diffusion_reaction.solve(states, 0.5, 1.0, [0.0, 0.1, 0.2], 0.01)
    assert np.array_equal(both[:, 0], states)
    again = diffusion_reaction.solve(both[:, 1], 0.5, 1.0, [0.1], 0.01)[:, 0]
    assert np.allclose(again, both[:, 2], atol=1e-12)
    with pytest.raises(MglibError, match="in their order"):
        diffusion_reaction.solve(states, 0.5, 1.0, [0.2, 0.1])


# --- diffusion and sorption


def even(level, cells):
    return np.full((1, cells), level)


def test_sorption_stays_in_its_steady_state():
    line = diffusion_sorption.steady_state(64)[None]
    assert abs(diffusion_sorption.slope(line.copy())[0]).max() < 1e-12
    found = diffusion_sorption.solve(even(0.1, 64), [1e7])[0, 0]
    assert np.allclose(found, line[0], atol=1e-6)


def test_sorption_has_the_derivative_that_it_says():
    state = np.random.RandomState(0).uniform(0.05, 1, (2, 12))
    _, (below, on, above) = diffusion_sorption.slope(state.copy())
    for cell in range(12):
        moved = [state.copy(), state.copy()]
        moved[0][:, cell] += 1e-6
        moved[1][:, cell] -= 1e-6
        up, down = (diffusion_sorption.slope(one)[0] for one in moved)
        column = (up - down) / 2e-6
        expected = np.zeros_like(column)
        expected[:, cell] = on[:, cell]
        if cell > 0:
            expected[:, cell - 1] = above[:, cell - 1]
        if cell < 11:
            expected[:, cell + 1] = below[:, cell + 1]
        assert np.allclose(column, expected, atol=1e-6)


def sorption_slope(_, u):
    """PDEBench's right-hand side, written down again in the plainest way."""
    cells, d = len(u), 5e-4
    wide = np.concatenate([[1.0], u, [d * (u[-2] - u[-1]) * cells]])
    retardation = 1 + (1 - 0.29) / 0.29 * 2880 * 3.5e-4 * 0.874 * (u + 1e-6) ** (0.874 - 1)
    return d / retardation * (wide[2:] - 2 * u + wide[:-2]) * cells**2


def test_sorption_is_what_an_adaptive_method_finds():
    state = np.full(64, 0.12)
    found = solve_ivp(sorption_slope, (0, 500), state, "LSODA", rtol=1e-9, atol=1e-11)
    ours = diffusion_sorption.solve(state[None], [100.0, 500.0], 400)
    assert np.allclose(ours[0, 1], found.y[:, -1], atol=1e-5)


def test_sorption_is_of_order_three_in_time():
    exact = diffusion_sorption.solve(even(0.1, 128), [500.0], 3200)
    errors = [
        abs(diffusion_sorption.solve(even(0.1, 128), [500.0], steps) - exact).max()
        for steps in (100, 200, 400)
    ]
    assert (abs(orders(errors) - 3) < 0.4).all()


def test_sorption_is_of_order_one_in_space():
    """The boundary's value lies half a cell outside, which costs one order."""
    found = [
        diffusion_sorption.solve(even(0.1, 3**power * 5), [500.0], 200)[0, 0]
        for power in (1, 2, 3, 4)
    ]
    kept = [own[len(own) // 30 :: len(own) // 15] for own in found]  # the centres of 15 cells
    errors = [abs(own - kept[-1]).max() for own in kept[:-1]]
    seen = orders(errors, 3.0)
    assert (seen > 0.7).all() and (seen < 1.5).all()


def test_sorption_refuses_too_few_steps_and_wrong_times():
    with pytest.raises(MglibError, match="too few"):
        diffusion_sorption.solve(even(0.01, 1024), [500.0], 50, first=0.2)
    for times in ([0.0], [2.0, 1.0], []):
        with pytest.raises(MglibError, match="positive and grow"):
            diffusion_sorption.solve(even(0.1, 16), times)
    with pytest.raises(MglibError, match="X >= 2"):
        diffusion_sorption.solve(np.zeros(16), [1.0])


def test_samples_do_not_hang_on_their_neighbours():
    states = np.repeat(np.linspace(0, 0.2, 20)[:, None], 32, axis=1)
    whole = diffusion_sorption.solve(states, [500.0])
    alone = [diffusion_sorption.solve(states[n : n + 1], [500.0]) for n in (0, 9, 19)]
    assert np.allclose(np.concatenate(alone), whole[[0, 9, 19]], atol=1e-13)
