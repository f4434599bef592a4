"""Hold the settings of one measurement: the flags of `rlvr evaluate`; its help needs no torch."""

from dataclasses import dataclass

from rlvr.config.checks import EVAL_RANGES, check_numbers
from rlvr.config.fields import as_mapping, check_choice, read_answer_format, setting
from rlvr.core.answer_format import AnswerFormat
from rlvr.core.errors import SpecError
from rlvr.core.parse import TAGS
from rlvr.models.choices import BASE_DTYPES, QUANTIZATIONS


@dataclass
class EvalConfig:
    """Hold the settings of one measurement of one model on one problem set."""

    set: str = setting("arithmetic", "Problem set spec, e.g. 'arithmetic(levels=[0, 1])'.")
    split: str = setting("test", "Split: train, validation, test; all: every row of a file.")
    size: int = setting(120, "Problems.")
    n: int = setting(16, "Samples per problem; pass@k is known up to k = n.")
    temperature: float = setting(1.0, "Sampling temperature; 0 is greedy.")
    top_p: float = setting(1.0, "Nucleus sampling mass.")
    top_k: int = setting(0, "Sample from the k likeliest tokens; 0 is all.")
    max_completion_length: int | None = setting(
        None, "Length limit in tokens; None takes the problem set's, or the model's generation config's."
    )
    seed: int = setting(1234, "Seed of the samples.")
    data_seed: int = setting(0, "Seed of the problem generator.")
    answer_format: str = setting(
        "tags", "How answers are given: tags, boxed, last_number, regex(pattern='..'); docs/answers.md."
    )
    tags: list[str] = setting(
        ["think", "answer", "confidence"], f"Tags that answer_format tags asks for, of {', '.join(TAGS)}."
    )
    system_prompt: str | None = setting(None, "System message; None derives one from answer_format, '' sends none.")
    chat_template_kwargs: dict | str | None = setting(
        None, "What the chat template reads beside the messages, as YAML or JSON: '{\"enable_thinking\": false}'."
    )
    chat_template: str | None = setting(
        None, "Chat template in place of the model's own: chatml, or a file with a Jinja template; docs/models.md."
    )
    dtype: str = setting("auto", "Precision that samples: auto (the faster one here), float32, bfloat16.")
    revision: str | None = setting(None, "Branch, tag or commit of a hub model; None takes its main branch.")
    base_dtype: str = setting("float32", "Precision in which the weights are held: float32, bfloat16.")
    quantize: str = setting("none", "Weights in 4 bits: none, nf4 (pip install 'rlvr[quantize]').")
    model_init_kwargs: dict | str | None = setting(None, "Changed values of the model's config, as YAML or JSON.")
    exact: bool = setting(
        False, "Compute each problem's chance from the logits and sample nothing: where one text alone is right."
    )
    q_expected: bool = setting(False, "Read the expectation of every stated confidence from the logits, too.")
    engine: str = setting("rlvr", "What samples a model: rlvr, transformers (its own generate) or vllm.")
    vllm_kwargs: dict | str | None = setting(
        None, "What vLLM's LLM is made with, as YAML or JSON: '{\"gpu_memory_utilization\": 0.8}'."
    )
    # An OpenAI-compatible server in place of a model; the key is in OPENAI_API_KEY
    endpoint: str | None = setting(None, "Address of a server, up to /v1; the model is then a name that it knows.")
    requests_at_once: int = setting(8, "Requests to the endpoint that are under way together.")
    requests_per_minute: float = setting(0.0, "Requests that may begin in a minute; 0 is no limit.")
    retries: int = setting(6, "Times that one request is tried again, waiting longer each time.")
    request_timeout: float = setting(600.0, "Seconds that one request may take.")
    samples_file: str | None = setting(None, "Where an endpoint's completions are kept as they come; None: by --out.")
    # AFTER: steer the model without touching its weights (proxy-tuning)
    expert: str | None = setting(None, "Model spec of a small tuned model whose change is added to this one.")
    antiexpert: str | None = setting(None, "Model spec of the same small model before it was tuned.")
    alpha: list[float] = setting([1.0], "How far to steer; several values measure each, one file apiece.")
    verify_timeout: float = setting(2.0, "Wall-clock limit of one verification, in seconds.")
    texts: str = setting("parquet", "What is kept of the completions' texts: parquet (beside the JSON) or none.")

    def __post_init__(self) -> None:
        self.chat_template_kwargs = as_mapping("chat_template_kwargs", self.chat_template_kwargs)
        read_answer_format(self.answer_format, self.tags)
        check_numbers(self, EVAL_RANGES)
        self.model_init_kwargs = as_mapping("model_init_kwargs", self.model_init_kwargs)
        self.vllm_kwargs = as_mapping("vllm_kwargs", self.vllm_kwargs)
        check_choice(self, "dtype", ("auto", "float32", "bfloat16"))
        check_choice(self, "base_dtype", BASE_DTYPES)
        check_choice(self, "quantize", QUANTIZATIONS)
        check_choice(self, "texts", ("parquet", "none"))
        check_choice(self, "engine", ("rlvr", "transformers", "vllm"))
        if (self.expert or self.antiexpert) and (self.endpoint or self.engine != "rlvr"):
            raise SpecError("expert and antiexpert steer a model in rlvr's own engine: no endpoint, no other engine.")
        if self.engine == "vllm" and self.endpoint:
            raise SpecError("With an endpoint the server samples, whatever it is: leave --engine vllm out.")
        if self.vllm_kwargs and self.engine != "vllm":
            raise SpecError("vllm_kwargs have no place without vLLM: give --engine vllm, or leave them out.")

    @property
    def answers(self) -> AnswerFormat:
        """Return the form of answer that the measurement asks for and reads: `answer_format`, with `tags`."""
        return read_answer_format(self.answer_format, self.tags)
