"""How much over-parameterisation is enough: the smallest width that fits the training rows, and predicts.

    python docs/benchmarks/width_study.py

Two problems of two classes: odd and even digits (pixels divided by 16), and points on the unit sphere in ten
dimensions whose class is the sign of x₁x₂, of which only the share with the largest |x₁x₂| is kept: the
smaller the share, the larger the margin. Cross-entropy and squared loss, Levenberg-Marquardt, both classes
drawn equally often. Every seed draws the rows and the network.

* **Training.** Nearly no penalty (alpha = 1e-6), at most 40 steps. Widths rise, one by one up to 16 and by an
  eighth from there, until no training row is misclassified: against the number of rows n, and, for 200
  points on the sphere, against the margin of the rows under the tangent features of a wide network at its
  start (`sk_implicit.theory.tangent_margin`). The search begins where that of the problem before ended; a
  network whose training stalls counts as one that does not fit.
* **Test.** The default penalty, by leave-one-out. Widths are doubled; the plateau begins at the smallest
  width whose test error, as a mean over the seeds, is within a tenth of that of the widest network, or
  within half a percentage point.

Every fit is a row of ``results/width_study.csv``; a rerun computes what is missing there. Summary and picture
go beside it.
"""

from __future__ import annotations

import csv
import warnings
from datetime import date
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy
import sklearn
from sklearn.datasets import load_digits

import sk_implicit
from sk_implicit import ImplicitReLUClassifier
from sk_implicit.theory import tangent_margin

PATH = Path(__file__).parent / "results" / "width_study.csv"
KEY = ["study", "data", "loss", "n", "kept", "seed", "width"]
COLUMNS = [*KEY, "train_error", "test_error", "margin"]
LOSSES = {"log_loss": "cross-entropy", "squared_error": "squared loss"}
DATA = {"digits": "digits, odd or even", "sphere": "sphere, sign of x₁x₂"}
WIDTHS = (*range(1, 17), 18, 20, 22, 25, 28, 32, 36, 40, 45, 50, 57, 64, 90, 128)
ROWS = {"digits": (50, 100, 200, 400, 800), "sphere": (50, 100, 200, 400, 800)}
KEPT = (1.0, 0.5, 0.25, 0.12, 0.06)
N_AT_MARGINS, KEPT_AT_ROWS, D = 200, 0.5, 10
SWEEP_WIDTHS, SWEEP_ROWS = (2, 4, 8, 16, 32, 64, 128), (100, 400)
SEEDS, SWEEP_SEEDS = range(5), range(3)
N_TEST = 800
COLOURS = {"log_loss": "#0072B2", "squared_error": "#D55E00"}
MARKERS = {"log_loss": "o", "squared_error": "s"}


def problem(data: str, n: int, kept: float, seed: int):
    """Return n training rows and the test rows, with their classes."""
    rng = np.random.default_rng(seed)
    if data == "digits":
        X, y = load_digits(return_X_y=True)
        X, y = X / 16, y % 2
    else:
        X = rng.standard_normal((int(3 * (n + N_TEST) / kept), D))
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        product = X[:, 0] * X[:, 1]
        rows = np.abs(product) >= np.quantile(np.abs(product), 1 - kept)
        X, y = X[rows], (product[rows] > 0).astype(int)
    order = rng.permutation(len(y))
    odd, even = order[y[order] == 1], order[y[order] == 0]
    train = np.concatenate([odd[: n // 2], even[: n // 2]])
    test = np.setdiff1d(order, train)[:N_TEST]
    return X[train], y[train], X[test], y[test]


def fit(X, y, loss: str, width: int, seed: int, **parameters):
    """Fit one network in silence."""
    model = ImplicitReLUClassifier(width, loss=loss, standardize=False, random_state=seed, **parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y)


@cache
def start_margin(data: str, n: int, kept: float, seed: int, width: int = 500) -> float:
    """Return the margin of the training rows under the tangent features of a wide network at its start."""
    X, y, _, _ = problem(data, n, kept, seed)
    return tangent_margin(fit(X, y, "log_loss", width, seed, alpha=1e12, max_iter=1), X, y)


class Results:
    """The rows of the table, appended to as they are computed."""

    def __init__(self):
        table = pd.read_csv(PATH) if PATH.exists() else pd.DataFrame(columns=COLUMNS)
        self.done = {tuple(row[:7]): tuple(row[7:]) for row in table.itertuples(index=False, name=None)}

    def get(self, study: str, data: str, loss: str, n: int, kept: float, seed: int, width: int):
        """Return training error, test error and margin of one fit."""
        key = (study, data, loss, n, kept, seed, width)
        if key not in self.done:
            X, y, X_test, y_test = problem(data, n, kept, seed)
            settings = {} if study == "test" else {"alpha": 1e-6, "max_iter": 40, "tol": 1e-7}
            model = fit(X, y, loss, width, seed, **settings)
            margin = np.nan if study == "test" else start_margin(data, n, kept, seed)
            self.done[key] = (1 - model.score(X, y), 1 - model.score(X_test, y_test), margin)
            is_new = not PATH.exists()
            with PATH.open("a", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                if is_new:
                    writer.writerow(COLUMNS)
                writer.writerow([*key, *(f"{value:.6g}" for value in self.done[key])])
        return self.done[key]


def search(results: Results, data: str, loss: str, n: int, kept: float, seed: int, first: int) -> int:
    """Try widths from ``WIDTHS[first]`` up, or down while they fit; return the index of the smallest."""
    j = first
    while j + 1 < len(WIDTHS) and results.get("train", data, loss, n, kept, seed, WIDTHS[j])[0] > 0:
        j += 1
    while j == first > 0 and results.get("train", data, loss, n, kept, seed, WIDTHS[j - 1])[0] == 0:
        j = first = first - 1
    return j


def compute(results: Results) -> None:
    """Run what is missing: every search starts where that of the problem before ended."""
    for data in DATA:
        for loss in LOSSES:
            for seed in SEEDS:
                j = 2
                for n in ROWS[data]:
                    j = search(results, data, loss, n, KEPT_AT_ROWS if data == "sphere" else 1.0, seed, j)
    for loss in LOSSES:
        for seed in SEEDS:
            j = 6
            for kept in KEPT:
                j = search(results, "sphere", loss, N_AT_MARGINS, kept, seed, j)
    for data in DATA:
        kept = KEPT_AT_ROWS if data == "sphere" else 1.0
        for n in SWEEP_ROWS:
            for loss in LOSSES:
                for width in SWEEP_WIDTHS:
                    for seed in SWEEP_SEEDS:
                        results.get("test", data, loss, n, kept, seed, width)


def smallest(table: pd.DataFrame) -> pd.DataFrame:
    """Return the smallest width that fits, for every problem and seed, with its margin."""
    fitted = table[(table["study"] == "train") & (table["train_error"] == 0)]
    keys = ["data", "loss", "n", "kept", "seed"]
    return fitted.groupby(keys, as_index=False).agg({"width": "min", "margin": "first"})


def plateau(table: pd.DataFrame) -> pd.DataFrame:
    """Return the width from which on the mean test error is that of the widest network."""
    means = table[table["study"] == "test"].groupby(["data", "loss", "n", "width"])["test_error"].mean()
    rows = []
    for (data, loss, n), errors in means.groupby(level=[0, 1, 2]):
        errors = errors.droplevel([0, 1, 2])
        last = errors.iloc[-1]
        within = errors <= max(1.1 * last, last + 0.005)
        rows.append((data, loss, n, int(within.index[within][0]), last))
    return pd.DataFrame(rows, columns=["data", "loss", "n", "width", "test_error"])


def growth(x, width) -> dict[str, float]:
    """Fit width = a + b log x, a + b x (R² of both), and c x^p (R² likewise, and p)."""
    x, width = np.asarray(x, float), np.asarray(width, float)

    def r2(fitted):
        return 1 - np.sum((width - fitted) ** 2) / np.sum((width - width.mean()) ** 2)

    power = np.polyfit(np.log(x), np.log(width), 1)
    return {
        "exponent": power[0],
        "power": r2(np.exp(np.polyval(power, np.log(x)))),
        "log": r2(np.polyval(np.polyfit(np.log(x), width, 1), np.log(x))),
        "linear": r2(np.polyval(np.polyfit(x, width, 1), x)),
    }


def medians(found: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the median smallest width, its band over the seeds, and the median margin."""
    groups = found.groupby(by)
    quantiles = groups["width"].quantile([0.1, 0.5, 0.9]).unstack()
    return quantiles.set_axis(["low", "middle", "high"], axis=1).assign(margin=groups["margin"].median())


def at_rows(found: pd.DataFrame, data: str, loss: str) -> pd.DataFrame:
    """Return the searches against n."""
    kept = KEPT_AT_ROWS if data == "sphere" else 1.0
    return found[(found["data"] == data) & (found["loss"] == loss) & (found["kept"] == kept)]


def at_margins(found: pd.DataFrame, loss: str) -> pd.DataFrame:
    """Return the searches against the margin."""
    return found[(found["data"] == "sphere") & (found["loss"] == loss) & (found["n"] == N_AT_MARGINS)]


def summarise(table: pd.DataFrame) -> str:
    """Return the summary as Markdown."""
    found, level = smallest(table), plateau(table)
    lines = [
        "# Width study",
        "",
        f"Smallest widths, medians over {len(SEEDS)} seeds (10 % to 90 %); sk-implicit "
        f"{sk_implicit.__version__}, "
        f"scikit-learn {sklearn.__version__}, SciPy {scipy.__version__}, {date.today().isoformat()}. "
        "Written by `width_study.py`, whose head says what is measured; do not edit.",
        "",
        "![Smallest widths against rows and margin; test errors against the width](width_study.png)",
        "",
        "## Training error 0, against n",
        "",
        "| data | loss | " + " | ".join(f"n = {n}" for n in ROWS["digits"]) + " | exponent p | R² of n^p | "
        "of log n | of n |",
        "|---|---|" + "--:|" * (len(ROWS["digits"]) + 4),
    ]
    for data, name in DATA.items():
        for loss, label in LOSSES.items():
            rows = medians(at_rows(found, data, loss), "n")
            fits = growth(rows.index, rows["middle"])
            cells = [f"{r.middle:g} ({r.low:g}–{r.high:g})" for r in rows.itertuples()]
            cells += [f"{fits[key]:.2f}" for key in ("exponent", "power", "log", "linear")]
            lines.append(f"| {name} | {label} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"## Training error 0, against the margin (sphere, n = {N_AT_MARGINS})",
        "",
        "| share kept | " + " | ".join(f"{kept:g}" for kept in KEPT) + " | exponent |",
        "|---|" + "--:|" * (len(KEPT) + 1),
    ]
    for loss, label in LOSSES.items():
        rows = medians(at_margins(found, loss), "kept").loc[list(KEPT)]
        if loss == "log_loss":
            lines.append("| margin | " + " | ".join(f"{value:.3f}" for value in rows["margin"]) + " | |")
        slope = growth(rows["margin"], rows["middle"])["exponent"]
        cells = [f"{r.middle:g} ({r.low:g}–{r.high:g})" for r in rows.itertuples()]
        lines.append(f"| {label} | " + " | ".join(cells) + f" | {slope:.2f} |")
    lines += ["", "## Test error at its plateau, against n", "", "| data | loss | n | width | test error |"]
    lines += ["|---|---|--:|--:|--:|"]
    for row in level.itertuples():
        lines.append(
            f"| {DATA[row.data]} | {LOSSES[row.loss]} | {row.n} | {row.width} | {row.test_error:.1%} |"
        )
    return "\n".join(lines) + "\n"


def draw(table: pd.DataFrame):
    """Draw smallest widths against n and against the margin, and test errors against the width."""
    found = smallest(table)
    figure, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
    axes = axes.ravel()
    for loss, label in LOSSES.items():
        panels = [(ax, at_rows(found, data, loss), "n") for ax, data in zip(axes, DATA)]
        for ax, rows, by in [*panels, (axes[2], at_margins(found, loss), "kept")]:
            band = medians(rows, by)
            x = band.index if by == "n" else band["margin"]
            ax.plot(x, band["middle"], MARKERS[loss], ls="-", color=COLOURS[loss], label=label)
            ax.fill_between(x, band["low"], band["high"], color=COLOURS[loss], alpha=0.2, linewidth=0)
        errors = table[(table["study"] == "test") & (table["loss"] == loss) & (table["n"] == SWEEP_ROWS[-1])]
        for data, dashes in zip(DATA, ("-", "--")):
            curve = errors[errors["data"] == data].groupby("width")["test_error"].mean()
            line = {"ls": dashes, "color": COLOURS[loss], "label": f"{data}, {label}"}
            axes[3].plot(curve.index, 100 * curve, MARKERS[loss], **line)
    for ax, data in zip(axes, DATA):
        n = np.array(ROWS[data])
        first = medians(at_rows(found, data, "log_loss"), "n")["middle"].iloc[0]
        ax.plot(n, first * np.sqrt(n / n[0]), ":", color="black", label="slope ½")
        ax.set(title=DATA[data], xlabel="training rows n")
        ax.set_xscale("log")
        ax.set_xticks(n, [str(rows) for rows in n])
    axes[2].set(title=f"sphere, n = {N_AT_MARGINS}", xlabel="margin under the tangent features")
    for ax in axes[:3]:
        ax.set(ylabel="smallest width with training error 0", ylim=(1.5, 40))
        ax.set_yscale("log", base=2)
        ax.set_yticks([2, 4, 8, 16, 32], ["2", "4", "8", "16", "32"])
    axes[3].set(title=f"n = {SWEEP_ROWS[-1]}", xlabel="width m", ylabel="test error (%)")
    axes[3].set_xscale("log", base=2)
    axes[3].set_xticks(SWEEP_WIDTHS, [str(width) for width in SWEEP_WIDTHS])
    for ax in axes:
        ax.minorticks_off()
        ax.grid(True, linewidth=0.4, alpha=0.6)
        ax.legend(fontsize="small")
    return figure


def main() -> None:
    """Run what is missing, then write the summary and draw the picture."""
    compute(Results())
    table = pd.read_csv(PATH)
    PATH.with_suffix(".md").write_text(summarise(table))
    draw(table).savefig(PATH.with_suffix(".png"), dpi=100)


if __name__ == "__main__":
    main()
