"""`python -m export.predict`: classifies texts with an exported model."""

from tf_textrnn.predictor.predict import main

if __name__ == "__main__":
    main()
