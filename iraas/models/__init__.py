"""The classifier: pictures in, predictions out.

`zoo.ensure_bundle` makes a model's bundle on first use and is cheap afterwards;
`onnx_runtime.load_classifier` turns a bundle into a `iraas.core.ports.Classifier`. torch is needed
for making a bundle, onnxruntime, numpy and Pillow for running one, and none of them for asking
whether one is there.
"""
