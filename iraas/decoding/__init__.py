"""Decoding of untrusted images: the cost of an image is estimated, and limited, before decoding.

Pillow and the standard library only, for the two users: the classifier and the thumbnails of the
web tier. Every module follows one rule: a decompression bomb is refused by its structure, before it
is decoded. ADR 0103 lists the honest images that are refused because they cost as much.
"""
