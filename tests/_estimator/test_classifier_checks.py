"""scikit-learn's own checks of the classifier, all of them, for every solver, with no failure expected."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from sk_implicit import ImplicitReLUClassifier
from sk_implicit.training import SOLVERS

# The fewest checks that any supported scikit-learn (1.6 on) runs for a classifier of this kind.
LEAST_CHECKS = 58

# The checks warn as little or as much as they like: some take one step, some fit pure noise.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [
    *(ImplicitReLUClassifier(width=12, solver=solver, max_iter=30) for solver in SOLVERS),
    ImplicitReLUClassifier(
        width=12,
        loss="squared_error",
        gamma=0.3,
        init="bernoulli",
        output_init="zero",
        fit_intercept=False,
        relevance="auto",
        alpha=1e-2,
        max_iter=10,
    ),
    ImplicitReLUClassifier(width=12, depth=2, max_iter=15),
    ImplicitReLUClassifier(width=np.inf),
]


@parametrize_with_checks(ESTIMATORS)
def test_estimator_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_no_check_is_skipped_and_none_is_expected_to_fail(estimator):
    names = [check.func.__name__ for _, check in estimator_checks_generator(estimator)]
    assert len(names) >= LEAST_CHECKS
    labels = "check_classifiers_multilabel_output_format_predict_proba"
    assert labels in names
    assert {"check_classifiers_train", "check_sample_weight_equivalence_on_sparse_data"} <= set(names)
    assert not estimator.__sklearn_tags__()._skip_test
