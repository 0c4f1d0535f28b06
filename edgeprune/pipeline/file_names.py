"""Names of the files that stages write. Most files have the same name in a bundle."""

WEIGHTS = "weights.safetensors"
PLAN = "plan.json"
SCORES = "scores.npy"
DENSE_ONNX = "dense.onnx"
PRUNED_ONNX = "model.onnx"
PROFILE = "profile.json"
GOLDEN = "golden.npz"
