"""The version of this package, for setup.cfg and for the public face."""

__version__ = "0.1.0"
