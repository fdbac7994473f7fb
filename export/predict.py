"""`python -m export.predict` is `textrnn predict`."""

from tf_textrnn.cli import main

if __name__ == "__main__":
    main("predict")
