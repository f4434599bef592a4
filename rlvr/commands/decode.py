"""Print what a model says to a prompt, steered by a small tuned model if one is given (proxy-tuning)."""

from rlvr.commands.parser import command_parser
from rlvr.core.console import LOG
from rlvr.core.errors import SpecError

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
    parser.add_argument("--system_prompt", default="", help="system message (default: none)")
    parser.add_argument("--chat_template", help="chatml or a file, in place of the base's own chat template")
    parser.add_argument("--n", type=int, default=1, help="completions of each prompt (default: 1)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default)")
    parser.add_argument("--top_p", type=float, default=1.0, help="nucleus sampling mass (default: 1)")
    parser.add_argument("--top_k", type=int, default=0, help="sample from the k likeliest tokens; 0 is all (default)")
    parser.add_argument("--max_completion_length", type=int, default=96, help="length limit in tokens (default: 96)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the samples (default: 0)")
    args = parser.parse_args(argv)
    from rlvr.config.eval_settings import EvalConfig
    from rlvr.measure.evaluate import make_engine
    from rlvr.models.chat import encode
    from rlvr.models.sampling import Sampling, Steered
    from rlvr.models.sampling.proxy import load_policy
    from rlvr.report.show import visible

    settings = ("n", "temperature", "top_p", "top_k", "max_completion_length")
    EvalConfig(**{name: getattr(args, name) for name in settings})  # refuses what cannot be sampled
    if args.raw and args.system_prompt:
        raise SpecError(
            "--raw sends no chat to the base, so it has no place for --system_prompt. Leave one of them out."
        )
    sampling = Sampling(args.max_completion_length, args.temperature, args.top_p, args.top_k)
    policy, tokenizer = load_policy(
        args.base,
        args.expert,
        args.antiexpert,
        [args.alpha],
        expert_chat=args.raw,
        options={"chat_template": args.chat_template},
    )
    system = [{"role": "system", "content": args.system_prompt}] if args.system_prompt else []
    chats = [[*system, {"role": "user", "content": prompt}] for prompt in args.prompts]
    prompts = [tokenizer(prompt).input_ids for prompt in args.prompts] if args.raw else encode(tokenizer, chats)
    samples = make_engine(policy, tokenizer).generate(prompts, args.n, sampling, args.seed)
    for text in tokenizer.batch_decode(samples.ids, skip_special_tokens=True):
        print(visible(text))
    forwards = "3 forward passes" if isinstance(policy, Steered) else "1 forward pass"
    LOG.info(f"{samples.tokens} tokens in {samples.seconds:.2f} s, {forwards} each")
    return 0
