"""Thumbnails, made in a confined process."""
