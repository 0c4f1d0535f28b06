"""Names of the files that stages write; most of them have the same names in a bundle."""

WEIGHTS = "weights.safetensors"
PLAN = "plan.json"
SCORES = "scores.npy"
DENSE_ONNX = "dense.onnx"
PRUNED_ONNX = "model.onnx"
PROFILE = "profile.json"
GOLDEN = "golden.npz"
