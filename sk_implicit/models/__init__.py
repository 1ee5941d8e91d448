"""Fitted models, which know no estimator, and the two functions that fit them."""
