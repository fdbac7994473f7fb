"""`python train.py` is `textrnn train`."""

from tf_textrnn.cli import main

if __name__ == "__main__":
    main("train")
