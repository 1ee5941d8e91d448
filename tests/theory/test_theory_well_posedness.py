"""Certificates of well-posedness against dense computations and against Picard's iteration itself."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_implicit._numerics import spectral
from sk_implicit._numerics.spectral import (
    extreme_eigenvalues,
    irreducible_blocks,
    norm_is_below,
    operator_norm,
    perron_bound,
)
from sk_implicit.theory import _well_posedness, well_posedness

FAMILIES = [
    "gaussian",
    "non-negative",
    "triangular",
    "shuffled triangular",
    "blocks",
    "rank one",
    "cycle",
    "sparse",
]


def matrix(family, m, rng):
    """Return a matrix of one of the families, of norm about √m."""
    A = rng.standard_normal((m, m))
    if family == "non-negative":
        return np.abs(A) / np.sqrt(m)
    if family == "triangular":
        return 3 * np.tril(A, -1)
    if family == "shuffled triangular":
        order = rng.permutation(m)
        return 3 * np.tril(A, -1)[np.ix_(order, order)]
    if family == "blocks":
        half = m // 2
        A[:half, half:] = 0
        A[half:, :half] *= 5
        return A
    if family == "rank one":
        return np.outer(A[0], A[-1])
    if family == "cycle":
        return np.sqrt(m) * np.eye(m)[rng.permutation(m)] * np.sign(A[0])
    if family == "sparse":
        return A * (rng.uniform(size=(m, m)) < 2 / m) * np.sqrt(m) / 2
    return A


def picard(sA, phi, z, n_iter):
    for _ in range(n_iter):
        z = np.maximum(sA @ z + phi, 0)
    return z


@settings(max_examples=150)
@given(
    family=st.sampled_from(FAMILIES),
    m=st.integers(1, 12),
    gamma=st.floats(0.05, 3.0),
    seed=st.integers(0, 10**6),
)
def test_picard_converges_to_one_point_wherever_it_is_certified(family, m, gamma, seed):
    rng = np.random.RandomState(seed)
    A = matrix(family, m, rng)
    record = well_posedness(A, gamma)
    sA = gamma / np.sqrt(m) * A

    norm = np.linalg.norm(sA, 2)
    assert record.norm == pytest.approx(norm, rel=1e-6, abs=1e-12)
    assert record.norm_bound >= norm * (1 - 1e-14)
    radius = 0.0 if "triangular" in family else np.abs(np.linalg.eigvals(np.abs(sA))).max()
    assert record.perron_bound >= radius * (1 - 1e-6)
    assert record.certified == (record.criterion is not None)
    if not record.certified:
        assert norm > 1 - 1e-6  # nothing that is easily proven is missed
        return

    phi = rng.standard_normal(m)
    bound = min(record.norm_bound, max(record.perron_bound, 0.1))
    if record.criterion == "block triangular":
        half = m // 2
        bound = max(np.linalg.norm(block, 2) for block in (sA[:half, :half], sA[half:, half:]))
    if bound > 0.999:
        return  # converges, but too slowly to be seen
    n_iter = int(40 / -np.log(bound)) + 10 * m
    first = picard(sA, phi, np.zeros(m), n_iter)
    second = picard(sA, phi, 10 * np.abs(rng.standard_normal(m)), n_iter)
    np.testing.assert_allclose(first, second, rtol=1e-8, atol=1e-8 * (1 + np.abs(first).max()))
    residual = np.maximum(sA @ first + phi, 0) - first
    assert np.abs(residual).max() <= 1e-8 * (1 + np.abs(first).max())


@pytest.mark.parametrize("excess", [0.0, 1e-15, 1e-9, 1e-3])
@pytest.mark.parametrize("m", [3, 200])
def test_the_boundary_is_never_certified(m, excess):
    # sA = (1 + excess) I: z = σ(sAz + φ) has no solution for φ > 0
    A = (1 + excess) * np.sqrt(m) / 0.4 * np.eye(m)
    assert not well_posedness(A, 0.4).certified


def test_a_direction_hidden_from_lanczos_is_not_overlooked():
    """The dominating singular vector is orthogonal to the start vector of the iteration."""
    m = 200
    rng = np.random.RandomState(1)
    start = np.random.RandomState(0).standard_normal(m)
    v = rng.standard_normal(m)
    v -= start * (v @ start) / (start @ start)
    v /= np.linalg.norm(v)
    B = 0.5 * np.eye(m) + 0.8 * np.outer(v, v)
    assert not norm_is_below(B, 1.0)
    assert not well_posedness(B * np.sqrt(m), 1.0).certified


def test_an_underestimated_norm_certifies_nothing(monkeypatch):
    """Lanczos approaches the norm from below; the factorisation does not believe it."""
    A = np.random.RandomState(0).standard_normal((100, 100))
    assert well_posedness(A, 0.7).norm > 1.2
    monkeypatch.setattr(_well_posedness, "operator_norm", lambda A, tol: (0.5 * np.linalg.norm(A, 2), None))
    record = well_posedness(A, 0.7)
    assert record.norm < 0.8 and record.norm_bound == np.inf and not record.certified


def test_an_overestimated_smallest_eigenvalue_is_corrected(monkeypatch):
    K = np.diag(np.linspace(0.1, 1, 150))
    exact = spectral.largest_eigenvalue
    monkeypatch.setattr(
        spectral, "largest_eigenvalue", lambda operator, tol: (0.8 * exact(operator, tol=tol)[0], None)
    )
    assert extreme_eigenvalues(K).smallest == pytest.approx(0.1, rel=1e-9)


def test_the_margin_of_a_proof_covers_rounding():
    B = np.eye(200)
    assert norm_is_below(B, 1 + 1e-9)
    assert not norm_is_below(B, 1 + 1e-14)  # true, but not to be seen in floating-point arithmetic


def test_a_feed_forward_network_has_radius_zero_at_any_size_of_weights():
    A = 1e6 * np.tril(np.random.RandomState(0).standard_normal((60, 60)), -1)
    record = well_posedness(A, 5.0)
    assert (record.criterion, record.perron_bound, record.n_blocks) == ("Perron-Frobenius", 0.0, 60)


def test_blocks_are_certified_one_by_one():
    m = 80
    A = np.random.RandomState(0).standard_normal((m, m))
    A[:40, 40:] = 0
    A[40:, :40] *= 50
    record = well_posedness(A, 0.5)  # γ/√m is what each half would have at γ/√2
    assert record.norm > 1 and record.perron_bound > 1
    assert record.criterion == "block triangular" and record.n_blocks == 2


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_entries_of_any_size_are_judged(scale):
    A = scale * np.random.RandomState(0).standard_normal((70, 70))
    assert well_posedness(A, 0.4).certified == (scale < 1)


def test_the_default_gamma_is_certified_for_both_starts():
    rng = np.random.RandomState(0)
    for A in (rng.standard_normal((300, 300)), 2.0 * rng.randint(0, 2, (300, 300)) - 1):
        record = well_posedness(A, 0.4)
        assert record.criterion == "operator norm"
        assert record.norm <= record.norm_bound < 1
        assert "certified" in str(record) and "<table>" in record._repr_html_()
        text = well_posedness(A, 0.7).verdict
        assert text.startswith("Not certified") and "smaller gamma" in text
        assert "need not be the only one" in text and "1.41" not in text


@pytest.mark.parametrize("wrong", [np.ones((2, 3)), np.array([[np.nan]]), np.ones(3)])
def test_wrong_matrices_are_refused(wrong):
    with pytest.raises(ValueError, match="A "):
        well_posedness(wrong, 0.4)


@pytest.mark.parametrize("n", [10, 150])
@pytest.mark.parametrize("decades", [0, 6, 12])
def test_extreme_eigenvalues(n, decades):
    rng = np.random.RandomState(n)
    Q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    values = np.logspace(-decades, 0, n)
    extremes = extreme_eigenvalues(Q * values @ Q.T)
    assert extremes.largest == pytest.approx(1.0, rel=1e-6)
    assert extremes.smallest == pytest.approx(values[0], rel=1e-5, abs=1e-15 * n)


@pytest.mark.parametrize("n", [20, 150])
def test_a_singular_matrix_has_the_smallest_eigenvalue_zero(n):
    B = np.random.RandomState(0).standard_normal((n, n - 3))
    assert extreme_eigenvalues(B @ B.T).smallest == 0.0


def test_a_smallest_eigenvector_hidden_from_lanczos_is_found():
    n = 150
    hidden = np.random.RandomState(1).standard_normal(n)
    start = np.random.RandomState(0).standard_normal(n)
    hidden -= start * (hidden @ start) / (start @ start)
    hidden /= np.linalg.norm(hidden)
    K = np.eye(n) - 0.9 * np.outer(hidden, hidden)
    assert extreme_eigenvalues(K).smallest == pytest.approx(0.1, rel=1e-6)


@given(m=st.integers(2, 100), ratio=st.floats(0.2, 5.0), seed=st.integers(0, 1000))
def test_norms_are_proven_where_they_are_below_and_nowhere_else(m, ratio, seed):
    B = np.random.RandomState(seed).standard_normal((m, m)) / np.sqrt(m)
    norm = np.linalg.norm(B, 2)
    assert norm_is_below(B, ratio * norm) == (ratio > 1) or abs(ratio - 1) < 1e-8
    assert not norm_is_below(B, norm * (1 - 1e-12))


@given(m=st.integers(1, 40), seed=st.integers(0, 1000), zeros=st.floats(0, 0.9))
def test_the_perron_bound_is_one(m, seed, zeros):
    rng = np.random.RandomState(seed)
    B = rng.uniform(size=(m, m)) * (rng.uniform(size=(m, m)) > zeros)
    radius = np.abs(np.linalg.eigvals(B)).max()
    bound = perron_bound(B)
    assert bound >= radius - 1e-6  # eigenvalues of nearly reducible matrices are ill conditioned
    if zeros == 0:
        assert bound <= 1.01 * radius


def test_irreducible_blocks_are_the_strong_components():
    A = np.zeros((5, 5))
    A[0, 1] = A[1, 0] = A[2, 0] = A[3, 4] = A[4, 3] = A[4, 2] = 1
    assert sorted(tuple(block) for block in irreducible_blocks(A)) == [(0, 1), (2,), (3, 4)]
    assert [list(block) for block in irreducible_blocks(np.ones((3, 3)))] == [[0, 1, 2]]


@pytest.mark.parametrize("shape", [(200, 10), (10, 200), (200, 100)])
def test_the_norm_of_a_rectangle(shape):
    B = np.random.RandomState(0).standard_normal(shape)
    B = B if shape[0] > shape[1] else B.T
    assert operator_norm(B, tol=1e-10)[0] == pytest.approx(np.linalg.norm(B, 2), rel=1e-8)


def test_a_single_unit_is_certified_only_where_its_weight_is_below_one_exactly():
    """γ/√m · A₁₁ is three roundings away from what it stands for; the first case is one where all go down."""
    rng = np.random.RandomState(0)
    cases, decided = [(19, 1.2161110629761744, 3.584293471414684)], []
    for _ in range(300):
        m, gamma = rng.randint(2, 40), rng.uniform(0.1, 1.4)
        cases.append((m, gamma, np.sqrt(m) / gamma * (1 + rng.randint(-3, 4) * 2.0**-53)))
    for m, gamma, entry in cases:
        A = np.zeros((m, m))
        A[0, 0] = entry
        below = (Fraction(gamma) * Fraction(entry)) ** 2 < m
        assert below or not well_posedness(A, gamma).certified
        decided.append(below)
    assert not decided[0] and 60 < sum(decided) < 240
    A[0, 0] = np.sqrt(m) / gamma * (1 - 1e-14)
    assert well_posedness(A, gamma).certified
