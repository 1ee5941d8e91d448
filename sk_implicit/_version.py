"""The version of this package, in the one place that needs no other."""

__version__ = "0.1.0.dev0"
