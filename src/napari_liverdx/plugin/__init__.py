"""What napari calls: reader, sample data, layers."""
