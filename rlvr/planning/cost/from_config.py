"""Turn a training config into the job that the cost model counts."""

import psutil
from accelerate import PartialState

from rlvr.config.loading import check_frozen_base, loading
from rlvr.config.settings import TrainConfig
from rlvr.models.chat import check_lengths, encode
from rlvr.models.chat_template import with_chat_template
from rlvr.planning.cost.job import Job, job_of
from rlvr.planning.cost.shape import Shape, read_shape, read_tokenizer
from rlvr.planning.resolve import resolve_config
from rlvr.problems.prompts import messages

PROMPTS = 32  # problems whose prompts are counted


def resolve_job(
    config: TrainConfig, completion_length: float | None = None, processes: int = 1
) -> tuple[Shape, Job, float]:
    """Return the model's shape, the job, and the bytes that Python and libraries take (0 on a GPU).

    Raises what `rlvr train` would raise of the config, before any weights are loaded.
    """
    import rlvr.training.trainer  # noqa: F401  what a run imports is in the baseline

    problems = resolve_config(config).problems[:PROMPTS]
    how = loading(config)
    shape = read_shape(config.model, config.trust_remote_code, how["revision"], how["config_changes"])
    check_frozen_base(config, adapters=bool(config.lora_rank or shape.adapter_rank))
    tokenizer = with_chat_template(
        read_tokenizer(config.model, config.trust_remote_code, how["revision"]), config.model, config.chat_template
    )
    chats = [messages(p, config.answers, config.system_prompt) for p in problems]
    prompts = encode(tokenizer, chats, config.chat_template_kwargs)
    check_lengths(prompts, [p.id for p in problems], config.max_completion_length or 0, shape.context)
    job = job_of(config, shape, [len(p) for p in prompts], completion_length, processes)
    on_cpu = PartialState().device.type == "cpu"
    return shape, job, float(psutil.Process().memory_info().rss) if on_cpu else 0.0
