"""The version of this package, for setup.cfg and for the public face."""

__version__ = "0.2.0.dev0"
