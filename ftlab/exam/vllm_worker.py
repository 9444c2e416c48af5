"""vLLM worker: a model's folder and prompts into answers, in vLLM's own environment, which has no ftlab."""

import json
import sys
from pathlib import Path

SHARE = 0.9  # of the GPU's free memory


def main(folder: Path) -> None:
    """Read `job.json`, write `answers.json`: of each prompt, of each sample the ids."""
    import torch
    from vllm import LLM, SamplingParams

    job = json.loads((folder / "job.json").read_text())
    free, total = torch.cuda.mem_get_info()
    engine = LLM(
        str(folder),
        skip_tokenizer_init=True,
        dtype=job["dtype"],
        max_model_len=max(map(len, job["prompts"])) + job["sampling"]["max_tokens"],
        gpu_memory_utilization=SHARE * free / total,
        generation_config="vllm",  # not the base's own penalties
        seed=job["seed"],
    )
    sampling = [
        SamplingParams(**job["sampling"], detokenize=False, seed=job["seed"] + i) for i in range(len(job["prompts"]))
    ]
    answered = engine.generate([{"prompt_token_ids": ids} for ids in job["prompts"]], sampling, use_tqdm=False)
    answers = [[list(output.token_ids) for output in one.outputs] for one in answered]
    (folder / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
