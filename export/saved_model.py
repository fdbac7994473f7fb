"""`python -m export.saved_model` is `textrnn export`."""

from tf_textrnn.cli import main

if __name__ == "__main__":
    main("export")
