"""Elastic image recognition that a person can own."""

__version__ = "0.1.0"
