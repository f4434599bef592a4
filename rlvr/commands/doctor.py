"""Say what this machine can run and what is missing: in general, or for one config (exit status 1 if it cannot)."""

import dataclasses
import json

from rlvr.commands.parser import command_parser

EXAMPLES = """\
rlvr doctor
rlvr doctor --config grpo qwen_gpu
rlvr doctor --config rlcr smollm2 vllm_server --vllm_server_port 8001
rlvr doctor --config grpo smollm2 --launch scripts/accelerate/zero2.yaml
rlvr doctor --config demo --json
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__, train_settings=True)
    parser.add_argument("--config", nargs="+", default=[], help="recipes, by name or path, merged left to right")
    parser.add_argument(
        "--launch", metavar="FILE", help="an accelerate config file (default: what accelerate config wrote)"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    args, rest = parser.parse_known_args(argv)
    from rlvr.planning.doctor import preflight, problems
    from rlvr.planning.parts import machine

    asked = bool(args.config or rest or args.launch)
    findings = preflight(args.config, rest, args.launch) if asked else machine()
    if args.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        from rlvr.report.show import visible
        from rlvr.report.tables import Table
        from rlvr.report.terminal import text_table

        rows = [(finding.what, finding.state, finding.detail) for finding in findings]
        print("\n".join(visible(line).rstrip() for line in text_table(Table(("what", "state", "detail"), rows))))
        if asked:
            count = problems(findings)
            print(f"\nThis config cannot run here: {count} to mend." if count else "\nThis config can run here.")
    return int(problems(findings) > 0)
