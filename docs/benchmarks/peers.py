"""Training the same network from the same start: this library, torchdeq and plain PyTorch.

    python docs/benchmarks/peers.py --threads 2

1,000 of scikit-learn's digits (unit-norm rows, standardised target), width 1000, γ = 0.4, no penalty,
float64 on both sides, equal numbers of threads. Every side minimises the mean squared error of
f(x; θ) − f(x; θ₀) over all rows and weights from one θ₀.

* Time to a mean squared training error of 1e-2, and for Levenberg-Marquardt to 1e-10. torchdeq 0.1.0
  finds equilibria with its fixed-point iteration (the fastest of its solvers here) and differentiates them
  implicitly; its optimisers are PyTorch's SGD, Adam and L-BFGS, each at the best of several learning
  rates, searched with a budget of its own that is not counted. A run that takes longer than ``--budget``
  seconds is cut off, and its error there is reported.
* Time of one full-batch epoch of gradient descent at a small learning rate, after the first ten: the median
  of the following ones. Here both solutions of the epoch before are where the solvers start; torchdeq and
  the plain loop (fixed-point iterations forward and backward, with a start at the last solution too)
  solve to the same tolerance, and the residuals that all reached are reported.

Writes results/peers.csv and results/peers.md.
"""

from __future__ import annotations

import argparse
import csv
import os
import pathlib
import time
import warnings
from math import sqrt

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from torchdeq import get_deq

from sk_implicit import ImplicitReLURegressor
from sk_implicit.network import Shape, draw_network

RESULTS = pathlib.Path(__file__).parent / "results"
N, M, GAMMA, TOL = 1000, 1000, 0.4, 1e-6
TARGET, FINE = 1e-2, 1e-10
EPOCHS = (10, 30)
STEP = 1e-5  # of the epochs that are timed, on half the sum of squares
RATES = {"SGD": (3e-4, 1e-3, 2e-3), "Adam": (1e-3, 3e-3, 1e-2), "L-BFGS": (1.0,)}
TRIAL = 12.0  # seconds given to a learning rate


def data():
    """Return unit-norm rows and the standardised target."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:N], y[:N].astype(float)
    return X / np.linalg.norm(X, axis=1, keepdims=True), (y - y.mean()) / y.std()


class TorchNetwork(torch.nn.Module):
    """The network, from the start that the estimator draws for the same seed."""

    def __init__(self, X, y, solve):
        super().__init__()
        start = draw_network(Shape(m=M, p=X.shape[1], k=1), GAMMA, np.random.RandomState(0))
        weights = [torch.from_numpy(np.array(w)) for w in (start.A, start.W, start.U, start.V)]
        self.A, self.W, self.U, self.V = map(torch.nn.Parameter, weights)
        self.X, self.y, self.solve = torch.from_numpy(X), torch.from_numpy(y), solve
        with torch.no_grad():
            self.offset = self.output()

    def output(self):
        """Return f for all rows."""
        Phi = torch.relu(self.X @ self.W.T) / sqrt(M)
        Z = self.solve(GAMMA / sqrt(M) * self.A.T, Phi)
        return (Z @ self.U.T + Phi @ self.V.T)[:, 0]

    def loss(self):
        """Return the mean squared error."""
        return torch.mean((self.output() - self.offset - self.y) ** 2)


def torchdeq_solve():
    """Return a solve of z = relu(z M + phi) by torchdeq, with implicit differentiation."""
    deq = get_deq(
        f_solver="fixed_point_iter", b_solver="fixed_point_iter", f_max_iter=100, b_max_iter=100,
        f_tol=TOL, b_tol=TOL, f_stop_mode="rel", b_stop_mode="rel", ift=True,
    )  # fmt: skip

    def solve(M_, Phi):
        return deq(lambda z: torch.relu(torch.addmm(Phi, z, M_)), torch.zeros_like(Phi))[0][-1]

    return solve


class PlainSolve:
    """The loop one writes by hand: fixed-point iterations from the last solution, forward and backward."""

    def __init__(self):
        self.Z = self.Lambda = None

    def __call__(self, M_, Phi):
        with torch.no_grad():
            self.Z = self._iterate(lambda z: torch.relu(torch.addmm(Phi, z, M_)), self.Z, Phi)
        Z = torch.relu(torch.addmm(Phi, self.Z, M_))  # one step carries the gradient
        if Z.requires_grad:
            active = (Z > 0).double()

            def backward(gradient):
                self.Lambda = self._iterate(
                    lambda x: torch.addmm(gradient, x * active, M_.T), self.Lambda, gradient
                )
                return self.Lambda

            Z.register_hook(backward)
        return Z

    @staticmethod
    def _iterate(function, start, like):
        z = torch.zeros_like(like) if start is None else start
        with torch.no_grad():
            for _ in range(100):
                new = function(z)
                done = torch.linalg.norm(new - z) <= TOL * torch.linalg.norm(new)
                z = new
                if done:
                    break
        return z


def optimise(name, rate, X, y, budget):
    """Return seconds and error when the target or the end of the budget is reached, and the epochs."""
    network = TorchNetwork(X, y, torchdeq_solve())
    start, evaluations = time.perf_counter(), 0
    reached = []

    def closure():
        nonlocal evaluations
        evaluations += 1
        optimiser.zero_grad()
        loss = network.loss()
        loss.backward()
        reached.append(loss.item())
        if loss.item() <= TARGET or not np.isfinite(loss.item()) or time.perf_counter() - start > budget:
            raise StopIteration
        return loss

    if name == "L-BFGS":
        optimiser = torch.optim.LBFGS(network.parameters(), lr=rate, line_search_fn="strong_wolfe")
    elif name == "Adam":
        optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    else:  # the gradient of the mean is 2/n that of half the sum
        optimiser = torch.optim.SGD(network.parameters(), lr=rate * N / 2, momentum=0.9)
    try:
        while True:
            optimiser.step(closure)
    except StopIteration:
        pass
    last = reached[-1] if np.isfinite(reached[-1]) else np.inf
    return time.perf_counter() - start, last, evaluations


def best_run(name, X, y, budget):
    """Return the run of an optimiser at the learning rate that got furthest in a short trial."""
    rates = RATES[name]
    if len(rates) > 1:
        trials = {rate: optimise(name, rate, X, y, TRIAL) for rate in rates}
        rates = sorted(rates, key=lambda rate: (trials[rate][1] > TARGET, trials[rate][1], trials[rate][0]))
    seconds, error, evaluations = optimise(name, rates[0], X, y, budget)
    return f"torchdeq, {name} (rate {rates[0]:g})", seconds, error, evaluations


def ours(max_iter, **kwargs):
    """Return the estimator that stands for the network of the comparison."""
    return ImplicitReLURegressor(
        width=M, gamma=GAMMA, alpha=0.0, relevance=None, fit_intercept=False, tol=0.0,
        max_iter=max_iter, random_state=0, **kwargs,
    )  # fmt: skip


def fit_seconds(model, X, y):
    """Return the seconds of a fit, and the model."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    return time.perf_counter() - start, model


def steps_to(target, errors):
    """Return the number of steps after which the error is at most the target."""
    return int(np.argmax(np.asarray(errors) <= target))


def time_to_targets(X, y, rounds, budget):
    """Return rows of the first table."""
    errors = fit_seconds(ours(20), X, y)[1].history_["squared_error"]
    records = []
    for target in (TARGET, FINE):
        steps = steps_to(target, errors)
        runs = [fit_seconds(ours(steps), X, y) for _ in range(rounds)]
        error = runs[0][1].history_["squared_error"][-1]
        records.append((f"to {target:g}", "sk_implicit, lm", np.median([r[0] for r in runs]), error, steps))
        print(records[-1], flush=True)
    for name in RATES:
        records.append((f"to {TARGET:g}", *best_run(name, X, y, budget)))
        print(records[-1], flush=True)
    return records


def torch_epochs(solve, X, y):
    """Return the median seconds of the later epochs and the largest residual of a row."""
    network = TorchNetwork(X, y, solve)
    optimiser = torch.optim.SGD(network.parameters(), lr=STEP * N / 2)
    seconds = []
    for _ in range(EPOCHS[1]):
        start = time.perf_counter()
        optimiser.zero_grad()
        loss = network.loss()
        loss.backward()
        optimiser.step()
        seconds.append(time.perf_counter() - start)
    with torch.no_grad():
        Phi = torch.relu(network.X @ network.W.T) / sqrt(M)
        M_ = GAMMA / sqrt(M) * network.A.T
        Z = network.solve(M_, Phi)
        step = torch.relu(torch.addmm(Phi, Z, M_)) - Z
        residual = (torch.linalg.norm(step, dim=1) / torch.linalg.norm(Z, dim=1)).max()
    return float(np.median(seconds[EPOCHS[0] :])), float(residual)


def our_epochs(X, y):
    """Return the median seconds of the later epochs, as differences of fits of both lengths."""

    def gd(epochs):
        return ours(epochs, solver="gd", learning_rate=STEP, equilibrium_tol=TOL)

    short, _ = fit_seconds(gd(EPOCHS[0]), X, y)
    long, model = fit_seconds(gd(EPOCHS[1]), X, y)
    return (long - short) / (EPOCHS[1] - EPOCHS[0]), model.equilibrium_residual_


def epochs(X, y, rounds):
    """Return rows of the second table: medians over rounds in which all take turns."""
    sides = {
        "sk_implicit, gd": lambda: our_epochs(X, y),
        "torchdeq": lambda: torch_epochs(torchdeq_solve(), X, y),
        "plain PyTorch": lambda: torch_epochs(PlainSolve(), X, y),
    }
    runs = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            runs[name].append(side())
            time.sleep(0.2)
    return [
        ("epoch", name, np.median([r[0] for r in values]), max(r[1] for r in values), 1)
        for name, values in runs.items()
    ]


def main():
    """Run both parts and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=240.0, help="seconds of a run of a peer")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    X, y = data()
    with threadpool_limits(options.threads, user_api="blas"):
        records = epochs(X, y, options.rounds)
        for record in records:
            print(record, flush=True)
        records += time_to_targets(X, y, options.rounds, options.budget)
    unit = {"epoch": records[0][2], "to 0.01": records[3][2], "to 1e-10": records[4][2]}
    with open(RESULTS / "peers.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["work", "side", "seconds", "error_or_residual", "steps", "over_ours", "threads"])
        writer.writerows((*record, record[2] / unit[record[0]], options.threads) for record in records)
    lines = ["# Training beside torchdeq and PyTorch", ""]
    lines += [
        "1,000 digits, width 1000, γ = 0.4, float64, one start; see the head of `peers.py`.",
        "",
    ]
    lines += [
        "| work | side | seconds | over ours | error or residual | steps |",
        "|---|---|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {work} | {side} | {seconds:.2f} | {seconds / unit[work]:.1f} | {value:.1e} | {steps} |"
        for work, side, seconds, value, steps in records
    ]
    lines += ["", f"{options.threads} threads on {os.cpu_count()} cores.", ""]
    (RESULTS / "peers.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
