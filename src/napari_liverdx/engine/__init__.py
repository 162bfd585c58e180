"""Running and training models: devices, tile loading, prediction, fine-tuning."""
