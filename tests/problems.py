"""Small problems with a fixed seed, shared by the tests of the core."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from scipy import sparse

from sk_implicit.equilibrium import EquilibriumOptions, EquilibriumResult
from sk_implicit.network import Layers, Network, Shape, draw_network
from sk_implicit.network.tangent import TangentFeatures
from sk_implicit.training import SOLVERS, Objective, train

# Equilibria this accurate leave finite differences nothing to see.
TIGHT = 1e-14
# Half of the step of a central difference.
STEP = 1e-6


def to(tol: float) -> EquilibriumOptions:
    """Return the options of equilibria and adjoints to a tolerance."""
    return EquilibriumOptions(tol=tol)


@dataclass(frozen=True)
class Problem:
    """A network, rows, and what follows from them."""

    network: Network
    X: np.ndarray
    layers: Layers
    result: EquilibriumResult
    tangent: TangentFeatures

    @property
    def n(self) -> int:
        return self.X.shape[0]


def rows(n: int, p: int, *, kind: str = "dense", seed: int = 0, dtype=np.float64):
    """Return n rows of unit norm, dense or CSR (with about half its entries zero)."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, p))
    if kind == "csr":
        X *= rng.uniform(size=X.shape) < 0.6
        X[:, -1] = 1.0
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    X = X.astype(dtype)
    X.flags.writeable = False
    return sparse.csr_array(X) if kind == "csr" else X


def problem(m=9, n=6, p=4, k=1, *, kind="dense", gamma=0.4, seed=0, tol=TIGHT, **draw) -> Problem:
    """Return a drawn network with its forward pass and Jacobian on n rows."""
    network = draw_network(Shape(m, p, k), gamma, np.random.RandomState(seed), **draw)
    X = rows(n, p, kind=kind, seed=seed + 1, dtype=draw.get("dtype", np.float64))
    layers, result = network.forward(X, to(tol))
    return Problem(network, X, layers, result, TangentFeatures.at(network, layers, to(tol)))


def outputs(case: Problem, theta: np.ndarray) -> np.ndarray:
    """Return the predictions of the network with weights θ, (n, k)."""
    network = case.network.with_theta(theta)
    return network.output(network.forward(case.X, to(TIGHT))[0])


def objective(
    m=40, n=25, d=3, k=1, *, penalty=0.0, centred=True, gamma=0.4, seed=0, weights=None,
    output_init="centred", dtype=np.float64, tol=None, depth=np.inf,
) -> Objective:  # fmt: skip
    """Return the objective of a smooth target with a little noise."""
    rng = np.random.RandomState(seed + 100)
    X = rows(n, d + 1, seed=seed + 1, dtype=dtype)
    Y = np.sin(3 * X[:, :1] + np.arange(k)) + 0.1 * rng.standard_normal((n, k))
    Y = ((Y - Y.mean(axis=0)) / Y.std(axis=0)).astype(dtype)
    start = draw_network(
        Shape(m, d + 1, k), gamma, np.random.RandomState(seed), output_init=output_init, dtype=dtype,
        depth=depth,
    )  # fmt: skip
    weights = np.ones(n) if weights is None else weights
    return Objective(X, Y, weights, start, penalty=penalty, centred=centred, equilibrium_tol=tol)


def regression(n=40, d=4, k=None, seed=0, noise=0.1):
    """Return X and y of a smooth regression problem; read-only, y flat unless k is given."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d))
    y = np.sin(X[:, 0]) + 0.5 * X[:, 1] ** 2 + noise * rng.standard_normal(n)
    if k is not None:
        y = np.column_stack([y * (c + 1) + c * X[:, 2] for c in range(k)])
    X.flags.writeable = y.flags.writeable = False
    return X, y


def difference_jacobian(case):
    """The Jacobian by central differences, (k n, n_weights), output by output."""
    theta = case.network.theta
    J = np.empty((case.network.shape.k * case.n, theta.size))
    for j in range(theta.size):
        step = np.zeros_like(theta)
        step[j] = STEP
        J[:, j] = ((outputs(case, theta + step) - outputs(case, theta - step)) / (2 * STEP)).ravel(order="F")
    return J


def product_jacobian(case):
    """The Jacobian by products with unit coefficients, (k n, n_weights), output by output."""
    units = np.eye(case.network.shape.k * case.n).reshape(-1, case.network.shape.k, case.n)
    return np.array([case.tangent.vjp(np.ascontiguousarray(C.T)) for C in units])


def training_solver(name, *, learning_rate="auto", batch_size=10, seed=0):
    """Return a registered solver with the settings that some of them read."""
    rng = np.random.RandomState(seed)
    return SOLVERS[name](SimpleNamespace(learning_rate=learning_rate, batch_size=batch_size, rng=rng))


def run(goal, name, *, max_iter=8, tol=0.0, n_iter_no_change=10, validate=None, monitor=None, previous=None,
        **settings):  # fmt: skip
    """Train, by default for exactly max_iter steps unless nothing is left to gain."""
    return train(
        goal, training_solver(name, **settings), max_iter=max_iter, tol=tol,
        n_iter_no_change=n_iter_no_change, validate=validate, monitor=monitor, previous=previous,
    )  # fmt: skip
