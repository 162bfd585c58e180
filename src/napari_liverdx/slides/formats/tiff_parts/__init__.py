"""How TIFF files store slides: directories, pictures, colors, resolution; `formats.tiff` opens."""
