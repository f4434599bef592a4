"""Take a model where Python gives one: a spec, a folder, or a Run, which stands for its trained model."""

import os
from typing import TYPE_CHECKING, Any

from rlvr.core.errors import ModelError

if TYPE_CHECKING:
    from rlvr.report.results import Run

ASKED = ("tags", "answer_format", "system_prompt", "chat_template", "chat_template_kwargs")


def model_spec(model: "str | os.PathLike[str] | Run") -> str:
    """Return the spec or folder of a model; ModelError for anything that is not a spec, a folder or a Run.

    >>> model_spec("tiny")
    'tiny'
    """
    if isinstance(model, str | os.PathLike):
        return os.fspath(model)
    from rlvr.report.results import Run  # it imports libraries, which a look at --help must not wait for

    if not isinstance(model, Run):
        raise ModelError(f"Expected a model spec, a folder or a Run, found a {type(model).__name__}.")
    return str(model.model)


def asked_as(*models: "str | os.PathLike[str] | Run | None") -> dict[str, Any]:
    """Return how the first Run among models asks its problems: ASKED of its config, as far as it says; {} without one.

    >>> asked_as("tiny", None)
    {}
    """
    for model in models:
        if model is not None and not isinstance(model, str | os.PathLike):
            config = model.config
            return {name: config[name] for name in ASKED if config.get(name) is not None}
    return {}
