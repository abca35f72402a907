"""The numerical core: plain torch, no scikit-learn."""
