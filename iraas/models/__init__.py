"""The classifier: images in, predictions out.

`zoo.ensure_bundle` makes a model's bundle on first use and is cheap afterwards;
`onnx_runtime.load_classifier` makes a `iraas.core.ports.Classifier` of a bundle. Making a bundle
needs torch, running one needs onnxruntime, numpy and Pillow, and checking for one needs neither.
"""
