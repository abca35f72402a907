"""Export of fitted estimators to ONNX, by converters for skl2onnx.

An encoder becomes the nodes of its layers, and a fine-tuned network the same after its
preprocessing, which skl2onnx converts. The layers are those of the fitted model, in the
precision of the rows that the graph takes: float32 or float64.
"""

from skcae.onnx._converters import register_converters, to_onnx

__all__ = ["register_converters", "to_onnx"]
