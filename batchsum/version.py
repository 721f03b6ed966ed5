"""The version, in one place: read by the command, the manifest and the User-Agent header."""

__version__ = "0.2.0"
