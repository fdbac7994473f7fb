"""`python -m export.saved_model`: exports a run's best model."""

from tf_textrnn.exporting.saved_model import main

if __name__ == "__main__":
    main()
