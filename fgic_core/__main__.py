"""``python -m fgic_core`` is ``fgic``."""

from fgic_core.cli import main

if __name__ == "__main__":
    main()
