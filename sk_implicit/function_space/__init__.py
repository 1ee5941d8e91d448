"""Algebra on a kernel matrix: losses, ridge and Newton, leave-one-out, the penalty, the posterior."""
