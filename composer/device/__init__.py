"""The device runtime: bundles answered by ONNX Runtime, without torch."""
