"""Cost of an equilibrium in matrix products: every solver here, plain Picard, and torchdeq's.

    python docs/benchmarks/equilibrium.py --threads 2

The unit is one float64 product (n, m)·(m, m) by ``numpy.matmul(..., out=)``, timed right before
each run; a figure is the median over the runs of the quotient. Set-up (precision copies,
factorisations) is included, caches from earlier runs are not used. All solvers work on the same
float64 problem, Gaussian A and ReLU features of inputs on the unit sphere, with equal numbers of
threads, to the same largest relative residual over the rows, which is recomputed here from every
result. torchdeq 0.1.0 is compared if it is installed. Writes results/equilibrium.csv
and results/equilibrium.md.

On a machine that is busy with other work, ``--threads 1 --cpu-time`` counts the seconds of processor
time instead of those on the clock.
"""

from __future__ import annotations

import argparse
import csv
import functools
import pathlib
import platform
import time

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from sk_implicit import equilibrium

RESULTS = pathlib.Path(__file__).parent / "results"
MAX_ITER = 500
# Rank-one updates that torchdeq's Broyden solver stores; each holds two arrays of the batch.
BROYDEN_MEMORY = 40


def problem(n: int, m: int, seed: int = 0):
    """Return A, Phi and a mask for the adjoint equation."""
    rng = np.random.default_rng(seed)
    A, X = rng.standard_normal((m, m)), rng.standard_normal((n, 20))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    Phi = np.maximum(X @ rng.standard_normal((20, m)), 0) / np.sqrt(m)
    return A, Phi, rng.random((n, m)) < 0.5


def residual(A, Phi, gamma, Z):
    """Largest relative residual of the forward equation over the rows."""
    step = np.maximum(gamma / np.sqrt(len(A)) * Z @ A.T + Phi, 0) - Z
    return float((np.linalg.norm(step, axis=1) / np.linalg.norm(Z, axis=1)).max())


def plain_picard(A, Phi, gamma, tol):
    """Float64 throughout, in place, the residual of every iteration looked at."""
    M = gamma / np.sqrt(len(A)) * A.T
    Z, new = Phi.copy(), np.empty_like(Phi)
    for iteration in range(1, MAX_ITER + 1):  # noqa: B007 (returned)
        np.matmul(Z, M, out=new)
        new += Phi
        np.maximum(new, 0, out=new)
        Z -= new
        step = np.sqrt(np.einsum("ij,ij->i", Z, Z))
        Z, new = new, Z
        if np.all(step <= tol * np.sqrt(np.einsum("ij,ij->i", Z, Z))):
            break
    return Z, iteration


def ours(A, Phi, gamma, tol, solver):
    result = equilibrium.solve(A, Phi, gamma=gamma, solver=solver, tol=tol, max_iter=MAX_ITER)
    return result.solution, result.n_iter


def ours_adjoint(A, Phi, active, gamma, tol, solver):
    result = equilibrium.solve_adjoint(A, Phi, active, gamma=gamma, solver=solver, tol=tol, max_iter=MAX_ITER)
    return result.solution, result.n_iter


def torchdeq_solvers(threads: int):
    """Return torchdeq's solvers with the signature of the others; empty if not installed."""
    try:
        import torch
        from torchdeq.solver.anderson import anderson_solver
        from torchdeq.solver.broyden import broyden_solver
        from torchdeq.solver.fp_iter import fixed_point_iter
    except ImportError:
        return {}
    torch.set_num_threads(threads)

    def run(solver, A, Phi, gamma, tol, **options):
        M = torch.from_numpy(np.ascontiguousarray(gamma / np.sqrt(len(A)) * A.T))
        c = torch.from_numpy(Phi)
        products = 0

        def image(Z):
            nonlocal products
            products += 1
            return torch.relu_(torch.addmm(c, Z, M))

        with torch.no_grad():
            Z, _, _ = solver(
                image, torch.zeros_like(c), max_iter=MAX_ITER, tol=tol, stop_mode="rel", **options
            )
        return Z.numpy(), products

    # lam = 1e-4, the default, is added to squared residuals of norm 1e-16: without lowering it
    # Anderson stops far above the tolerance.
    return {
        "torchdeq fixed_point_iter": functools.partial(run, fixed_point_iter),
        "torchdeq anderson": functools.partial(run, anderson_solver, lam=1e-14),
        "torchdeq broyden": functools.partial(run, broyden_solver, LBFGS_thres=BROYDEN_MEMORY),
    }


def time_product(A, Phi, out, clock, repeats=3):
    times = []
    for _ in range(repeats):
        start = clock()
        np.matmul(Phi, A, out=out)
        times.append(clock() - start)
    return float(np.median(times))


def measure(function, A, Phi, runs, clock):
    """Return median cost in products, its range, median seconds, and the last result."""
    out = np.empty_like(Phi)
    quotients, seconds = [], []
    solution, n_iter = function()  # warm-up: threads, first touch
    for _ in range(runs):
        unit = time_product(A, Phi, out, clock)
        time.sleep(0.1)  # lets one library's spinning threads go to sleep before the other's start
        start = clock()
        solution, n_iter = function()
        seconds.append(clock() - start)
        quotients.append(seconds[-1] / unit)
    return np.median(quotients), min(quotients), max(quotients), np.median(seconds), solution, n_iter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--m", type=int, default=1000)
    parser.add_argument("--gammas", type=float, nargs="+", default=[0.2, 0.4, 0.6, 0.9, 1.2])
    parser.add_argument("--solvers", nargs="+", default=equilibrium.solver_names())
    parser.add_argument("--tol", type=float, default=1e-8)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-peers", action="store_true", help="leave torchdeq out")
    parser.add_argument("--cpu-time", action="store_true")
    options = parser.parse_args()
    if options.cpu_time and options.threads > 1:
        parser.error("--cpu-time adds up the time of all threads: use it with --threads 1")
    clock = time.process_time if options.cpu_time else time.perf_counter

    A, Phi, active = problem(options.n, options.m)
    peers = {} if options.no_peers else torchdeq_solvers(options.threads)
    rows = []
    with threadpool_limits(options.threads):
        blas = {p["internal_api"]: p["num_threads"] for p in threadpool_info()}
        unit = time_product(A, Phi, np.empty_like(Phi), clock, repeats=11)
        print(f"n = {options.n}, m = {options.m}, tol = {options.tol:g}, float64, threads: {blas}")
        print(f"one product: {1e3 * unit:.1f} ms; {options.runs} runs; Python {platform.python_version()}, "
              f"NumPy {np.__version__}")  # fmt: skip
        print(f"{'gamma':>5} {'equation':9} {'solver':26} {'products':>8} {'range':>13} "
              f"{'ms':>7} {'iterations':>10} {'residual':>9}")  # fmt: skip
        for gamma in options.gammas:
            entries = [("forward", "plain Picard", functools.partial(plain_picard, A, Phi, gamma))]
            for solver in options.solvers:
                entries += [
                    ("forward", solver, functools.partial(ours, A, Phi, gamma, solver=solver)),
                    ("adjoint", solver,
                     functools.partial(ours_adjoint, A, Phi, active, gamma, solver=solver)),
                ]  # fmt: skip
            for name, peer in peers.items():
                entries.append(("forward", name, functools.partial(peer, A, Phi, gamma)))
            for equation, name, function in entries:
                runs = options.runs if gamma < 1 else max(options.runs // 2, 1)
                median, low, high, seconds, Z, n_iter = measure(
                    functools.partial(function, tol=options.tol), A, Phi, runs, clock
                )
                reached = residual(A, Phi, gamma, Z) if equation == "forward" else None
                if equation == "adjoint":
                    step = active * (gamma / np.sqrt(options.m) * Z @ A + Phi) - Z
                    size = np.linalg.norm(Z, axis=1)
                    reached = float((np.linalg.norm(step, axis=1) / size).max())
                rows.append({
                    "n": options.n, "m": options.m, "gamma": gamma, "equation": equation,
                    "solver": name, "products": round(median, 2), "lowest": round(low, 2),
                    "highest": round(high, 2), "milliseconds": round(1e3 * seconds, 1),
                    "iterations": n_iter, "residual": f"{reached:.1e}",
                    "reached": reached <= 1.01 * options.tol, "threads": options.threads,
                    "clock": "processor" if options.cpu_time else "wall",
                    "runs": runs,
                })  # fmt: skip
                print(f"{gamma:5.2f} {equation:9} {name:26} {median:8.1f} {low:6.1f}-{high:6.1f} "
                      f"{1e3 * seconds:7.0f} {n_iter:10d} {reached:9.1e}"
                      + ("" if rows[-1]["reached"] else "  not reached"), flush=True)  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    with open(RESULTS / "equilibrium.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    summary = [row for row in rows if row["equation"] == "forward" and row["reached"]]
    gammas = sorted({row["gamma"] for row in summary})
    table = {
        solver: {row["gamma"]: row for row in summary if row["solver"] == solver}
        for solver in dict.fromkeys(row["solver"] for row in summary)
    }
    lines = [
        "# Equilibria", "",
        f"Cost of the forward equilibrium to {options.tol:g} in float64, in products (n, m)·(m, m) timed in "
        f"the same run, n = {options.n}, m = {options.m}, Gaussian A, {options.threads} threads "
        f"({rows[0]['clock']} clock), median of {options.runs} runs, set-up included. A dash: not reached in "
        f"{MAX_ITER} iterations. Written by `equilibrium.py`; do not edit.", "",
        "| solver | " + " | ".join(f"γ = {gamma:g}" for gamma in gammas) + " |",
        "|---|" + "--:|" * len(gammas),
    ]  # fmt: skip
    for solver, cells in table.items():
        costs = (f"{cells[gamma]['products']:.1f}" if gamma in cells else "–" for gamma in gammas)
        lines.append(f"| {solver} | " + " | ".join(costs) + " |")
    (RESULTS / "equilibrium.md").write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
