"""Fine-tuning a model with annotations made in the viewer."""
