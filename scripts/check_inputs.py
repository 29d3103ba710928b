#!/usr/bin/env python3
"""Runs prune on folders, texts and tokenizers as people have them, and compares with the packages that are the truth.

    python3 scripts/check_inputs.py BUILD/bin/prune [NAME ...]

Needs torch, transformers, safetensors and sentence-transformers. Every function below makes one kind of input from
tests/fixtures/opt-books-6m or a random model, runs the program, and checks what comes out: Transformers opens it, it
computes what the source's perplexity in Transformers says, nothing is lost. Exits with 1 if a check fails.
"""

import json
import math
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "fixtures"
MODEL = FIXTURES / "opt-books-6m"
TEXT = FIXTURES / "books.test.txt"
CALIBRATION = ["--calibration", FIXTURES / "books.calibration.txt", "--nsamples", 8, "--seqlen", 64]
EMBEDDING = "model.decoder.embed_tokens.weight"
program = None
work = None


def run(*arguments, code=0, **options):
    result = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, **options)
    assert result.returncode == code, f"exit code {result.returncode}: {result.stderr[-500:]}"
    return result


def fresh():
    folder = pathlib.Path(tempfile.mkdtemp(dir=work))
    return shutil.copytree(MODEL, folder / "model")


def edited(change):
    folder = fresh()
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def pruned(folder, *arguments):
    output = pathlib.Path(tempfile.mkdtemp(dir=work)) / "out"
    log = run("--model", folder, *CALIBRATION, "--output", output, *(arguments or ("--target", 0.5))).stderr
    return output, log


def tensors_of(folder):
    return {name: value for file in sorted(folder.glob("*.safetensors")) for name, value in load_file(file).items()}


def perplexity(folder, segments=20, seqlen=64):
    """SparseGPT's protocol with Transformers' logits."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    text = TEXT.read_text()[:40000]
    ids = torch.tensor(tokenizer(text).input_ids)[:segments * seqlen].view(segments, seqlen)
    with torch.no_grad():
        losses = [model(row[None], labels=row[None]).loss.item() for row in ids]
    return math.exp(sum(losses) / len(losses))


def our_perplexity(folder, segments=20, seqlen=64):
    text = work / "text.txt"
    text.write_text(TEXT.read_text()[:40000])
    result = run("eval", "--model", folder, "--data", text, "--seqlen", seqlen, "--segments", segments, "--json")
    return json.loads(result.stdout)["perplexity"]


def same(ours, theirs):
    assert abs(ours - theirs) < 2e-3 * theirs, f"{ours} here, {theirs} in Transformers"


def rows_are_evaluated_whole():
    rows = work / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": line}) + "\n" for line in TEXT.read_text().splitlines()))
    results = [json.loads(run("eval", "--model", MODEL, "--data", data, "--seqlen", 64, "--json").stdout)
               for data in (rows, TEXT)]
    assert results[0]["segments"] == results[1]["segments"] == 3096, results
    assert f"{results[0]['perplexity']:.2f}" == f"{results[1]['perplexity']:.2f}" == "112.12", results


def a_head_of_its_own_is_kept():
    folder = edited(lambda t: t.update({"lm_head.weight": (t[EMBEDDING].float() * 1.5).half()}))
    same(our_perplexity(folder), perplexity(folder))
    output, log = pruned(folder)
    assert torch.equal(tensors_of(output)["lm_head.weight"], tensors_of(folder)["lm_head.weight"])
    same(our_perplexity(output), perplexity(output))
    assert "both are kept" in log


def an_adapter_stays_behind():
    folder = fresh()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "x", "peft_type": "LORA"}')
    save_file({"a": torch.zeros(2)}, folder / "adapter_model.safetensors")
    output, log = pruned(folder)
    assert not list(output.glob("adapter*")) and "adapter in this folder is not applied" in log
    transformers.AutoModelForCausalLM.from_pretrained(output)
    run("--model", folder, *CALIBRATION, "--target", 0.5, "--output", work / "none", "--strict", code=3)


def every_tensor_keeps_its_dtype():
    def change(tensors):
        for name in list(tensors):
            if ".layers.2." in name:
                tensors[name] = tensors[name].float()
    folder = edited(change)
    before = tensors_of(folder)
    for arguments in (("--target", 0.5), ("--pattern", "2:4"), ("--target", 0, "--wbits", 4, "--format", "dense")):
        output, _ = pruned(folder, *arguments)
        after = tensors_of(output)
        assert {n: t.dtype for n, t in before.items()} == {n: t.dtype for n, t in after.items()}
        same(our_perplexity(output), perplexity(output))


def zeros_stay():
    sparse, _ = pruned(MODEL, "--pattern", "2:4")
    zeros = {name: value == 0 for name, value in tensors_of(sparse).items() if "fc" in name or "_proj" in name}
    for arguments in (("--target", 0, "--wbits", 4, "--format", "dense"), ("--target", 0.6), ("--target", 0.3),
                      ("--pattern", "2:4", "--wbits", 3, "--format", "dense"), ("--target", 0.5, "--refine", 5)):
        after = tensors_of(pruned(sparse, *arguments)[0])
        for name, zero in zeros.items():
            assert not zero.ndim == 2 or bool((after[name][zero] == 0).all()), (arguments, name)
    freed = tensors_of(pruned(sparse, "--target", 0, "--wbits", 4, "--format", "dense", "--free-zeros")[0])
    assert any(zero.ndim == 2 and bool((freed[name][zero] != 0).any()) for name, zero in zeros.items())


def everything_in_the_folder_comes_along():
    folder = fresh()
    for name in ("LICENSE", "NOTICE", "USE_POLICY.md", "tokenizer.model.v3", "notes/a.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("{{ messages }}rag")
    (folder / "chat_template.jinja").write_text("{{ messages }}default")
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt", "made_by": "me"})
    output, _ = pruned(folder)
    packed, unpacked = work / "packed", work / "unpacked"
    run("pack", "--model", output, "--output", packed)
    run("unpack", "--model", packed, "--output", unpacked)
    source = transformers.AutoTokenizer.from_pretrained(folder)
    for result in (output, packed, unpacked):
        for name in ("LICENSE", "NOTICE", "USE_POLICY.md", "tokenizer.model.v3", "notes/a.txt"):
            assert (result / name).read_text() == name, (result, name)
        assert transformers.AutoTokenizer.from_pretrained(result).chat_template == source.chat_template
    for result in (output, unpacked):
        with safe_open(result / "model.safetensors", "pt") as file:
            assert file.metadata() == {"format": "pt", "made_by": "me"}
    assert (output / "model.safetensors").read_bytes() == (unpacked / "model.safetensors").read_bytes()


def tiny(name, config_class, model_class, **more):
    folder = work / name
    torch.manual_seed(0)
    config = config_class(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                          num_key_value_heads=2, vocab_size=4096, max_position_embeddings=256, **more)
    model_class(config).save_pretrained(folder)
    for file in ("tokenizer.json",):
        shutil.copy(MODEL / file, folder / file)
    return folder


def models_without_a_head():
    for name, model_class in (("base", transformers.MistralModel),
                              ("classifier", transformers.MistralForSequenceClassification)):
        folder = tiny(name, transformers.MistralConfig, model_class, tie_word_embeddings=False,
                      pad_token_id=0, num_labels=3, sliding_window=None)
        output, _ = pruned(folder)
        run("plan", "--model", folder, *CALIBRATION, "--target", 0.5)
        run("inspect", "--model", folder)
        model, report = model_class.from_pretrained(output, output_loading_info=True)
        assert not report["missing_keys"] and not report["unexpected_keys"], report
        before = model_class.from_pretrained(folder).state_dict()
        for tensor, value in model.state_dict().items():
            assert value.shape == before[tensor].shape
            assert (value == 0).float().mean() > 0.3 if "_proj" in tensor else torch.equal(value, before[tensor])
        error = run("eval", "--model", folder, "--data", TEXT, "--seqlen", 64, code=3).stderr
        assert "has no head" in error, error


def a_sentence_transformer_loads():
    from sentence_transformers import SentenceTransformer
    folder = tiny("sentences", transformers.MistralConfig, transformers.MistralModel, tie_word_embeddings=False,
                  pad_token_id=0, sliding_window=None)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}))
    (folder / "modules.json").write_text(json.dumps([
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 64, "pooling_mode_mean_tokens": True}))
    output, _ = pruned(folder)
    vector = SentenceTransformer(str(output), device="cpu").encode("a text")
    assert vector.shape == (64,) and abs(vector).sum() > 0


def unknown_tensors_pass_through():
    unknown = {"mtp.0.weight": torch.arange(6.).view(2, 3), "visual.patch": torch.ones(2, 2).bfloat16(),
               "model.decoder.layers.0.self_attn.k_scale": torch.tensor(0.5),
               "model.decoder.layers.1.self_attn.rotary_emb.inv_freq": torch.ones(4),
               "score.weight": torch.arange(4, dtype=torch.int64)}
    folder = edited(lambda t: t.update(unknown))
    output, log = pruned(folder)
    assert "buffers" in log
    run("pack", "--model", output, "--output", work / "packed2")
    run("unpack", "--model", work / "packed2", "--output", work / "unpacked2")
    for result in (output, work / "unpacked2"):
        after = tensors_of(result)
        for name, value in unknown.items():
            assert after[name].dtype == value.dtype and torch.equal(after[name], value), name


def headers_and_indices():
    folder = fresh()
    path = folder / "model.safetensors"
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header["__metadata__"] = None
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])
    assert len(load_file(path)) == len(load_file(pruned(folder)[0] / "model.safetensors"))

    folder = fresh()
    tensors = load_file(folder / "model.safetensors")
    os.remove(folder / "model.safetensors")
    names = sorted(tensors)
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-{number:05}-of-00002.safetensors"
        shard = {name: tensors[name] for name in part}
        weight_map |= dict.fromkeys(part, file)
        if number == 2:
            shard[names[0]] = torch.zeros_like(tensors[names[0]])  # the index names the other shard
        save_file(shard, folder / file, metadata={"format": "pt"})
    weight_map |= {"lm_head.weight": "model-00001-of-00002.safetensors", "mtp.x": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    same(our_perplexity(folder), perplexity(MODEL))


def stale_keys_and_python_numbers():
    folder = fresh()
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "compressed-tensors", "format": "dense", "config_groups": {},
                                     "sparsity_config": {"format": "dense", "sparsity_structure": "unstructured"}}
    config["numbers"] = [math.nan, math.inf, -math.inf]
    (folder / "config.json").write_text(json.dumps(config).replace('"numbers"', '"half": "\\ud83d", "numbers"'))
    output, log = pruned(folder)
    assert "describes no compressed weights" in log
    assert "quantization_config" not in json.loads((output / "config.json").read_text())
    numbers = transformers.AutoConfig.from_pretrained(output).numbers
    assert math.isnan(numbers[0]) and numbers[1:] == [math.inf, -math.inf]


CHECKS = [value for name, value in list(globals().items())
          if callable(value) and getattr(value, "__module__", "") == "__main__" and not value.__code__.co_argcount
          and name not in ("fresh", "main")]


def main():
    global program, work
    program = pathlib.Path(sys.argv[1]).resolve()
    wanted = sys.argv[2:]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        for check in CHECKS:
            if wanted and check.__name__ not in wanted or check.__code__.co_flags & 4:
                continue
            try:
                check()
                print(f"ok      {check.__name__}", flush=True)
            except Exception:  # a failed check must not hide the others
                failed += 1
                print(f"FAILED  {check.__name__}\n{traceback.format_exc()}", flush=True)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
