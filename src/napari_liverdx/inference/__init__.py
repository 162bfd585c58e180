"""Plan, run and explain predictions."""
