"""What napari loads below the docks."""
