"""Cross-validation, comparison, search and test reports."""
