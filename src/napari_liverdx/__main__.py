"""``python -m napari_liverdx`` is ``liverdx``."""

from napari_liverdx.cli.app import main

if __name__ == "__main__":
    main()
