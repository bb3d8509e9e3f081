"""Prices of instances and AWS calls."""
