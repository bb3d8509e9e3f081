"""Opening images that may be hostile: what one costs is known, and limited, before it is decoded.

Pillow and the standard library only, for both places that decode: the classifier and the thumbnails
of the web tier. The rule of every module here: a bomb is refused by its structure, before it is
decoded. Which honest images are refused with it, being as costly, is in ADR 0103.
"""
