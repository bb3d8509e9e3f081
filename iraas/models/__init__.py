"""The classifier: images in, predictions out.

`zoo.ensure_bundle` makes a model's bundle on first use and is cheap afterwards;
`loading.load_classifier` makes an `iraas.core.ports.Classifier` of a bundle. Making a bundle
needs torch, running one needs onnxruntime, numpy and Pillow, and checking for one needs neither.
"""
