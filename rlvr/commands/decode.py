"""Print what a model says to a prompt, steered by a small tuned model if one is given (proxy-tuning)."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rlvr.commands.given_model import asked_as, model_spec
from rlvr.commands.parser import command_parser
from rlvr.core.console import LOG
from rlvr.core.errors import SpecError

if TYPE_CHECKING:
    from rlvr.report.results import Run

EXAMPLES = """\
rlvr decode --base smollm2-135m-instruct "What is 12 + 7?"
rlvr decode --base LARGE --expert SMALL_TUNED --antiexpert SMALL "What is 12 + 7?"
rlvr decode --base LARGE --expert SMALL_TUNED --antiexpert SMALL --alpha 0.5 --temperature 1 --n 4 "What is 12 + 7?"
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("prompts", nargs="+", metavar="prompt", help="what the user says; each is a chat of its own")
    parser.add_argument("--base", required=True, help="model spec: built-in name, local folder, or hub id")
    parser.add_argument("--expert", help="spec of a small tuned model whose change is added to the base")
    parser.add_argument("--antiexpert", help="spec of the same small model before it was tuned")
    parser.add_argument("--alpha", type=float, default=1.0, help="how far to steer; 0 is the base (default: 1)")
    parser.add_argument("--raw", action="store_true", help="base and anti-expert read the bare text, the expert a chat")
    parser.add_argument("--system_prompt", help="system message (default: none)")
    parser.add_argument("--chat_template", help="chatml or a file, in place of the base's own chat template")
    parser.add_argument("--chat_template_kwargs", help="what the template is to know, YAML or JSON")
    parser.add_argument("--n", type=int, default=1, help="completions of each prompt (default: 1)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default)")
    parser.add_argument("--top_p", type=float, default=1.0, help="nucleus sampling mass (default: 1)")
    parser.add_argument("--top_k", type=int, default=0, help="sample from the k likeliest tokens; 0 is all (default)")
    parser.add_argument("--max_completion_length", type=int, default=96, help="length limit in tokens (default: 96)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the samples (default: 0)")
    args = vars(parser.parse_args(argv))
    from rlvr.report.show import visible

    for text in decode(args.pop("prompts"), args.pop("base"), **args):
        print(visible(text))
    return 0


def decode(
    prompts: str | Sequence[str],
    base: "str | os.PathLike[str] | Run",
    *,
    expert: "str | os.PathLike[str] | Run | None" = None,
    antiexpert: "str | os.PathLike[str] | Run | None" = None,
    alpha: float = 1.0,
    raw: bool = False,
    system_prompt: str | None = None,
    chat_template: str | None = None,
    chat_template_kwargs: Mapping[str, Any] | str | None = None,
    n: int = 1,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    max_completion_length: int = 96,
    seed: int = 0,
) -> list[str]:
    """Return what a model says to each prompt, n completions of each in order; steered where an expert is given.

    Args:
        prompts: what the user says, one text or several; each is a chat of its own.
        base: the model that speaks: a spec, a folder, or a Run, which stands for its trained model.
        expert: a small tuned model whose change is added to the base's logits, likewise a spec, a folder or a Run.
        antiexpert: the same small model before it was tuned.
        alpha: how far to steer: 0 is the base, 1 the paper's value (2401.08565).
        raw: base and anti-expert read the bare text and the expert a chat.
        system_prompt: the system message (default: none).
        chat_template: `chatml` or a file with a Jinja template, in place of the base's own.
        chat_template_kwargs: what the chat template is to know, a mapping, or its YAML or JSON text.
        n, temperature, top_p, top_k, max_completion_length, seed: how is sampled; temperature 0 is greedy.

    Where the base, or else the expert, is a Run, prompts are asked as that run asked: its system message and what its
    chat template knows, unless the arguments say otherwise. Raises SpecError for arguments that do not go together and
    ModelError for a model that cannot be loaded.
    """
    from rlvr.config.eval_settings import EvalConfig
    from rlvr.core.records import Problem
    from rlvr.measure.evaluate import make_engine
    from rlvr.models.chat import encode
    from rlvr.models.sampling import Sampling, Steered
    from rlvr.models.sampling.proxy import load_policy
    from rlvr.problems.prompts import messages

    base_spec = model_spec(base)
    expert_spec = None if expert is None else model_spec(expert)
    antiexpert_spec = None if antiexpert is None else model_spec(antiexpert)
    usual = asked_as(base, expert)
    form = {name: usual[name] for name in ("tags", "answer_format") if name in usual}
    template: Any = usual.get("chat_template_kwargs") if chat_template_kwargs is None else chat_template_kwargs
    how = EvalConfig(  # refuses what cannot be sampled
        n=n, temperature=temperature, top_p=top_p, top_k=top_k, max_completion_length=max_completion_length,
        chat_template_kwargs=template, **form,
    )  # fmt: skip
    template = how.chat_template_kwargs  # a mapping since it was checked
    if raw and system_prompt:
        raise SpecError(
            "--raw sends no chat to the base, so it has no place for --system_prompt. Leave one of them out."
        )
    if system_prompt is None:
        system_prompt = usual.get("system_prompt") if usual else ""
    policy, tokenizer = load_policy(
        base_spec,
        expert_spec,
        antiexpert_spec,
        [alpha],
        expert_chat=raw,
        options={"chat_template": chat_template or usual.get("chat_template")},
    )
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    asked = [Problem("", [{"role": "user", "content": text}], None) for text in texts]
    chats = [messages(problem, how.answers, system_prompt) for problem in asked]
    ids = [tokenizer(text).input_ids for text in texts] if raw else encode(tokenizer, chats, template)
    sampling = Sampling(max_completion_length, temperature, top_p, top_k)
    samples = make_engine(policy, tokenizer).generate(ids, n, sampling, seed)
    forwards = "3 forward passes" if isinstance(policy, Steered) else "1 forward pass"
    LOG.info(f"{samples.tokens} tokens in {samples.seconds:.2f} s, {forwards} each")
    return tokenizer.batch_decode(samples.ids, skip_special_tokens=True)
