"""OME-Zarr stores (NGFF): their files, arrays, metadata and resolution."""
