"""Taking a trained run elsewhere: ONNX and MONAI bundles."""
