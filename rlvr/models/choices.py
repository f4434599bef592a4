"""Name the models and the forms of weights that settings may choose; no torch, so that --help can list them."""

PACKAGED = "smollm2-135m-instruct"
TINY = "tiny"
BASE_DTYPES = ("float32", "bfloat16")
QUANTIZATIONS = ("none", "nf4")
