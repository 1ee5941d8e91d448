r"""Moments behind the infinite-width limit: orthant probabilities and the fixed point.

Notation of :mod:`sk_implicit.limit`: (p, p') and (h, h') are independent pairs of standard normals
with correlations ρ = cos θ and c = cos ψ, and g = a h + σ(p), g' = a h' + σ(p'), a = γ √K(1).
Three functions of (ρ, c) are needed,

    F = E[σ(g) σ(g')],    κ = P(g > 0, g' > 0),    κ₊₊ = P(g > 0, g' > 0, p > 0, p' > 0).

**No two-dimensional quadrature is needed.** For jointly normal variables the derivative with
respect to a covariance is the expected mixed second derivative (Price 1958, Plackett 1954), so

    ∂F/∂c = a² κ,      ∂F/∂ρ = κ₊₊,
    ∂κ/∂c = a² (J₊₊ + 2 J₊₋ + J₋₋),      ∂κ/∂ρ = J₊₊,
    ∂κ₊₊/∂c = a² J₊₊,      ∂κ₊₊/∂ρ = I + 2 H + J₊₊,

where every term is a normal density at zero times the probability that two conditionally normal
variables lie in one quadrant, which is an angle (δ is Dirac's function):

    J₊₊ = E[δ(g) δ(g'); p > 0, p' > 0]  = χ₊₊ / (4π² √(m₋ m₊)),
          m∓ = a² (1 ∓ c) + (1 ∓ ρ),      tan(χ₊₊/2) = cot(θ/2) cot(ψ/2) √(m₋/m₊)
    J₊₋ = E[δ(g) δ(a h'); p > 0, p' < 0] = χ₊₋ / (4π² a √q),
          q = 1 + a² sin²ψ,      cot χ₊₋ = a cos θ sin ψ / (sin θ √q)
    J₋₋ = E[δ(a h) δ(a h'); p < 0, p' < 0] = (π − θ) / (4π² a² sin ψ)
    H   = E[δ(p) δ(g'); h > 0, p' > 0]  = χ_H / (4π² √q_H),
          q_H = a² + sin²θ,      cot χ_H = cos ψ sin θ / (sin ψ √q_H)
    I   = E[δ(p) δ(p'); h > 0, h' > 0]  = (π − ψ) / (4π² sin θ).

At ρ = c = 1 everything is elementary (polar coordinates in the (h, p) plane; α = arctan a):

    κ₊₊ = (π − α)/2π,    κ = 1/4 + κ₊₊,    F = a²/4 + ((1 + a²)(π − α) + a)/2π.

κ and κ₊₊ are then integrals of the derivatives above along the straight path (tθ, tψ), 0 ≤ t ≤ 1,
and F follows from the same integrand: integrating dF = κ₊₊ dρ + a² κ dc by parts,

    F(1, 1) − F = κ₊₊(0) (1 − cos θ) + a² κ(0) (1 − cos ψ)
                  + ∫ κ₊₊'(t) (cos tθ − cos θ) + a² κ'(t) (cos tψ − cos ψ) dt.

Nothing cancels as θ → 0, so 1 − c keeps full relative precision there. The integrand is analytic;
its nearest singularities lie at distances of order min(a, 1/a) from the ends of the path, hence
Gauss-Legendre panels that halve towards both ends down to that length.

The fixed point K(ρ) = F(ρ, K(ρ)/K(1)) is solved for e = 1 − c by Newton's method. As a function of
c, F is convex with slope a² κ < K(1), and e ≤ (1 − cos θ) κ₊₊(1) / ((1 − γ² κ(1)) K(1)), so that
Newton from that bound descends to the solution monotonically.

Every expression is analytic in γ. Derivatives with respect to γ are therefore taken by the complex
step: the imaginary part at γ + iε, over ε, with no subtraction (Squire and Trapp 1998).

References
----------
.. [1] R. Price, "A useful theorem for nonlinear devices having Gaussian inputs", IRE Trans. Inf.
   Theory 4 (1958).
.. [2] R. L. Plackett, "A reduction formula for normal multivariate integrals", Biometrika 41
   (1954).
.. [3] Y. Cho and L. Saul, "Kernel methods for deep learning", NIPS 2009 (Φ, the arc-cosine kernel).
.. [4] W. Squire and G. Trapp, "Using complex variables to estimate derivatives of real functions",
   SIAM Review 40 (1998).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.polynomial.legendre import leggauss

_PANEL_NODES = 12  # Gauss points a panel; 30 change no value by more than 1e-13 of its maximum
_MAX_HALVINGS = 40  # a layer shorter than 2^-40 of the path no longer shows in double precision
_MAX_NEWTON = 60
_COMPLEX_STEP = 1e-30


class ValuesAtOne(NamedTuple):
    """What is known at ρ = 1 (scalars, complex if γ is)."""

    a: complex  # γ √K(1), the standard deviation of the recurrent term
    K: complex  # K(1) = E[σ(g)²]
    kappa: complex  # P(g > 0)
    kappa_pp: complex  # P(g > 0, p > 0)


class Solution(NamedTuple):
    """The fixed point at given angles θ, all (n,)."""

    e: np.ndarray  # 1 − K(ρ)/K(1), to relative precision
    kappa: np.ndarray
    kappa_pp: np.ndarray


class Slopes(NamedTuple):
    """Partial derivatives of κ and κ₊₊ with respect to the angles θ = arccos ρ and ψ = arccos c."""

    kappa_theta: np.ndarray
    kappa_psi: np.ndarray
    kappa_pp_theta: np.ndarray
    kappa_pp_psi: np.ndarray


def fixed_point_at_one(gamma: complex) -> ValuesAtOne:
    """Solve K(1) = F(1, 1), which is closed form in K(1), by Newton's method.

    K − F is convex in K. The start lies above the root (arctan a ≥ π/2 − 1/a, used for a ≥ 1), so
    the iterates decrease to it.
    """
    excess = 1.0 / gamma**2 - 0.5  # γ = √2 is where the equation loses its root
    start = (1.0 / np.pi + np.sqrt(1.0 / np.pi**2 + 4.0 * 0.41 * excess)) / (2.0 * excess)
    K = (start if start.real > 1.0 else 1.0) ** 2 / gamma**2
    for _ in range(_MAX_NEWTON):
        a = gamma * np.sqrt(K)
        kappa_pp = (np.pi - np.arctan(a)) / (2.0 * np.pi)
        kappa = 0.25 + kappa_pp
        F = a**2 / 4.0 + (1.0 + a**2) * kappa_pp + a / (2.0 * np.pi)
        step = (K - F) / (1.0 - gamma**2 * kappa)
        K = K - step
        if abs(step) <= 4e-16 * abs(K):
            break
    a = gamma * np.sqrt(K)
    kappa_pp = (np.pi - np.arctan(a)) / (2.0 * np.pi)
    return ValuesAtOne(a, K, 0.25 + kappa_pp, kappa_pp)


def boundary_layer(one: ValuesAtOne) -> float:
    """Distance from θ = 0 and θ = π, up to a factor, within which the limit functions are smooth."""
    return min(abs(one.a), 1.0 / abs(one.a))


def _slopes(a: complex, theta: np.ndarray, psi: np.ndarray) -> Slopes:
    """Evaluate the closed forms of the module docstring at (θ, ψ)."""
    sin_t, cos_t, sin_p, cos_p = np.sin(theta), np.cos(theta), np.sin(psi), np.cos(psi)
    half_t, half_p = np.sin(theta / 2.0), np.sin(psi / 2.0)
    cohalf_t, cohalf_p = np.cos(theta / 2.0), np.cos(psi / 2.0)
    m_minus = 2.0 * (a**2 * half_p**2 + half_t**2)
    m_plus = 2.0 * (a**2 * cohalf_p**2 + cohalf_t**2)
    chi = 2.0 * np.arctan(np.sqrt(m_minus / m_plus) * (cohalf_t * cohalf_p) / (half_t * half_p))
    J_pp = chi / np.sqrt(m_minus * m_plus)
    root = np.sqrt(1.0 + (a * sin_p) ** 2)
    a_J_pm = (0.5 * np.pi - np.arctan(a * cos_t * sin_p / (sin_t * root))) / root
    root = np.sqrt(a**2 + sin_t**2)
    H = (0.5 * np.pi - np.arctan(cos_p * sin_t / (sin_p * root))) / root
    scale = -1.0 / (4.0 * np.pi**2)
    return Slopes(
        scale * (sin_t * J_pp),
        scale * (sin_p * (a**2 * J_pp + 2.0 * a * a_J_pm) + (np.pi - theta)),
        scale * ((np.pi - psi) + sin_t * (2.0 * H + J_pp)),
        scale * (sin_p * a**2 * J_pp),
    )


def _path_rule(one: ValuesAtOne) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre points and weights on (0, 1), in panels that halve towards both ends."""
    n_halvings = min(_MAX_HALVINGS, 1 + math.ceil(-math.log2(boundary_layer(one))))
    left = 0.5 ** np.arange(n_halvings, 0, -1)
    edges = np.concatenate([[0.0], left, 1.0 - left[-2::-1], [1.0]])
    x, w = leggauss(_PANEL_NODES)
    widths = np.diff(edges)[:, None]
    return (edges[:-1, None] + widths * (x + 1.0) / 2.0).ravel(), (widths * w / 2.0).ravel()


def _path_integrals(
    one: ValuesAtOne, theta: np.ndarray, psi: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return F(1, 1) − F, κ and κ₊₊ at (θ, ψ), both (n,), by integration from (0, 0)."""
    t, w = _path_rule(one)
    theta, psi = theta[:, None], psi[:, None]
    slopes = _slopes(one.a, theta * t, psi * t)
    d_kappa = theta * slopes.kappa_theta + psi * slopes.kappa_psi
    d_kappa_pp = theta * slopes.kappa_pp_theta + psi * slopes.kappa_pp_psi
    # cos tx − cos x as a product, which keeps its relative precision for small x
    drop_t = 2.0 * np.sin((1.0 + t) * theta / 2.0) * np.sin((1.0 - t) * theta / 2.0)
    drop_p = 2.0 * np.sin((1.0 + t) * psi / 2.0) * np.sin((1.0 - t) * psi / 2.0)
    F_drop = (
        2.0 * one.kappa_pp * np.sin(theta[:, 0] / 2.0) ** 2
        + 2.0 * one.a**2 * one.kappa * np.sin(psi[:, 0] / 2.0) ** 2
        + (d_kappa_pp * drop_t + one.a**2 * d_kappa * drop_p) @ w
    )
    return F_drop, one.kappa + d_kappa @ w, one.kappa_pp + d_kappa_pp @ w


def _newton_step(
    gamma: complex, one: ValuesAtOne, theta: np.ndarray, e: np.ndarray
) -> tuple[Solution, np.ndarray]:
    """One Newton step for e, and its size; κ and κ₊₊ follow it to second order by their slopes."""
    psi = 2.0 * np.arcsin(np.sqrt(e / 2.0))
    F_drop, kappa, kappa_pp = _path_integrals(one, theta, psi)
    step = (e - F_drop / one.K) / (1.0 - gamma**2 * kappa)
    slopes = _slopes(one.a, theta, psi)
    psi_step = -step / np.sin(psi)  # e = 1 − cos ψ
    solution = Solution(
        e - step, kappa + slopes.kappa_psi * psi_step, kappa_pp + slopes.kappa_pp_psi * psi_step
    )
    return solution, step


def solve_fixed_point(gamma: float, theta: np.ndarray) -> Solution:
    """Solve K(ρ) = F(ρ, K(ρ)/K(1)) at the angles θ (n,), 0 < θ < π, for 0 < γ < √2."""
    one = fixed_point_at_one(gamma)
    gain = 1.0 / (1.0 - gamma**2 * one.kappa.real)
    bound = gain * one.kappa_pp.real / one.K.real
    e = np.minimum(2.0 * bound * np.sin(theta / 2.0) ** 2, 1.0)
    # The error after the last step is of the order of its square; rounding alone makes steps of
    # 1e-16 gain.
    tolerance = max(1e-9, 1e-14 * gain)
    for _ in range(_MAX_NEWTON):
        solution, step = _newton_step(gamma, one, theta, e)
        e = solution.e
        if np.all(np.abs(step) <= tolerance * e):
            break
    return solution


def limit_values(gamma: float, theta: np.ndarray, solution: Solution) -> dict[str, np.ndarray]:
    """Evaluate the limit functions and their derivatives with respect to the angle.

    Parameters
    ----------
    gamma : float
        0 < γ < √2.
    theta : ndarray of shape (n,)
        Angles arccos ρ, strictly between 0 and π.
    solution : Solution
        What :func:`solve_fixed_point` returns for them.

    Returns
    -------
    values : dict of str to ndarray of shape (n,)
        ``phi``, ``k``, ``kappa``, ``l``, ``nngp``, ``ntk``, and the derivatives of the last two with
        respect to the angle, ``nngp_theta`` and ``ntk_theta``.
    """
    return _assemble(gamma, fixed_point_at_one(gamma), theta, solution)


def limit_gamma_derivatives(gamma: float, theta: np.ndarray, solution: Solution) -> dict[str, np.ndarray]:
    """Differentiate NNGP and NTK by γ at fixed angle: ``nngp_gamma``, ``ntk_gamma``.

    Arguments as in :func:`limit_values`. The real fixed point has converged, so that one Newton
    step at γ + iε gives its imaginary part.
    """
    step = complex(gamma, _COMPLEX_STEP)
    one = fixed_point_at_one(step)
    varied, _ = _newton_step(step, one, theta, solution.e.astype(complex))
    values = _assemble(step, one, theta, varied)
    return {f"{kind}_gamma": values[kind].imag / _COMPLEX_STEP for kind in ("nngp", "ntk")}


def _assemble(
    gamma: complex, one: ValuesAtOne, theta: np.ndarray, solution: Solution
) -> dict[str, np.ndarray]:
    """Combine the fixed point into the limit functions and their θ-derivatives, all (n,)."""
    e, kappa, kappa_pp = solution
    psi = 2.0 * np.arcsin(np.sqrt(e / 2.0))
    slopes = _slopes(one.a, theta, psi)
    sin, cos = np.sin(theta), np.cos(theta)
    phi, phi_rho = (sin + (np.pi - theta) * cos) / (2.0 * np.pi), (np.pi - theta) / (2.0 * np.pi)
    K = one.K * (1.0 - e)
    gain = 1.0 / (1.0 - gamma**2 * kappa)  # 1 + γ² L
    K_rho = kappa_pp * gain  # from dK/dρ = κ₊₊ + γ² κ dK/dρ
    psi_theta = sin * K_rho / (one.K * np.sin(psi))
    kappa_theta = slopes.kappa_theta + slopes.kappa_psi * psi_theta
    kappa_pp_theta = slopes.kappa_pp_theta + slopes.kappa_pp_psi * psi_theta
    gain_theta = gamma**2 * gain**2 * kappa_theta
    K_rho_theta = kappa_pp_theta * gain + kappa_pp * gain_theta
    nngp_theta = -sin * (phi_rho + K_rho)
    return {
        "phi": phi,
        "k": K,
        "kappa": kappa,
        "l": kappa * gain,
        "nngp": phi + K,
        "ntk": phi + cos * (phi_rho + K_rho) + K * gain,
        "nngp_theta": nngp_theta,
        "ntk_theta": (
            -sin * phi_rho
            + nngp_theta
            + cos * (K_rho_theta - 1.0 / (2.0 * np.pi))
            - sin * K_rho * gain
            + K * gain_theta
        ),
    }
