"""The layers of rlvr, from the bottom up: what a room may import."""

LAYERS = [
    ["core"],
    ["models", "advantages", "problems", "rewards"],
    ["config"],
    ["runs"],
    ["measure"],
    ["select", "training"],
    ["decide"],
    ["planning"],
    ["report"],
    ["train"],
    ["commands"],
]  # docs/design.md
