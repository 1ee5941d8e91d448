"""The shell of the estimators: what validates, warns, saves, and knows scikit-learn."""
