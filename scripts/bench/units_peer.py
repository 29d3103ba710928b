#!/usr/bin/env python3
"""Removes whole units of a Llama-like model by a peer's rule in Transformers, for scripts/bench/units.

    python3 scripts/bench/units_peer.py MODEL TOKENS.npy OUTPUT FIGURES.json
        --choice flap|magnitude|similarity|random|none [--ffn KEPT] [--heads KEPT] [--blocks KEPT]
        --data TEXT --seqlen 512 --segments 24 [--seed 0]

KEPT is how many feed-forward channels and key/value heads stay in each block, and how many blocks stay. TOKENS are
calibration samples, [nsamples, seqlen] (scripts/bench/peer_tokens.py). The weights that stay are not changed. Rules:

  flap        channels and heads by FLAP's score (arXiv 2312.11983): the variance of each input of down_proj or o_proj
              times the squared norm of its weight column; for a head the mean over its columns. The scores are not
              standardised, because they are compared within one block only. FLAP's bias, the removed
              columns times the mean of their inputs, is added for the perplexity. OUTPUT is without it, because
              Llama's projections have no bias.
  magnitude   channels and heads by the norm of all their weights
  similarity  blocks by ShortGPT's block influence (arXiv 2403.03853), one minus the mean cosine of a block's input and
              output in the dense model; flap and magnitude choose blocks by it, too
  random      channels, heads and blocks at random
  none        removes nothing and writes no OUTPUT

Blocks go first; heads, then channels are scored in the model without what has gone. OUTPUT is a checkpoint in MODEL's
dtype. Perplexity is computed in float32 on the segments of `prune eval`. FIGURES has "perplexity", for flap
"perplexity_without_bias", and "removed_blocks". Needs torch and transformers.
"""

import argparse
import copy
import json
import pathlib
import shutil
import sys

import numpy
import torch
import transformers
from tokenizers import Tokenizer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
from reference_perplexity import perplexity  # noqa: E402  pylint: disable=wrong-import-position

SLICED = {"gate_proj": 0, "up_proj": 0, "down_proj": 1, "q_proj": 0, "k_proj": 0, "v_proj": 0, "o_proj": 1}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("tokens", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("figures", type=pathlib.Path)
    parser.add_argument("--choice", choices=("flap", "magnitude", "similarity", "random", "none"), required=True)
    parser.add_argument("--ffn", type=int)
    parser.add_argument("--heads", type=int)
    parser.add_argument("--blocks", type=int)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--seqlen", type=int, default=512)
    parser.add_argument("--segments", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.choice == "similarity" and (arguments.ffn or arguments.heads):
        parser.error("--choice similarity chooses blocks only")
    return arguments


def sublayer(layer, readout):
    """The module with this projection: a feed-forward or an attention."""
    for module in layer.children():
        if hasattr(module, readout):
            return module
    sys.exit(f"units_peer: a block of {type(layer).__name__} has no {readout}; only Llama-like models are supported")


def projections(module):
    return {name: linear for name, linear in module.named_children() if name in SLICED}


class InputMoments:
    """Mean and variance of a linear layer's inputs over all tokens."""

    def __init__(self, linear):
        self.tokens = 0
        self.sum = torch.zeros(linear.in_features, dtype=torch.double)
        self.squares = torch.zeros(linear.in_features, dtype=torch.double)
        self.handle = linear.register_forward_pre_hook(self.add)

    def add(self, _, args):
        rows = args[0].flatten(0, -2).double()
        self.tokens += len(rows)
        self.sum += rows.sum(0)
        self.squares += rows.square().sum(0)

    def mean(self):
        return self.sum / self.tokens

    def variance(self):
        return (self.squares / self.tokens - self.mean().square()).clamp_min(0)


def feed(model, tokens):
    for sample in tokens:
        model.model(input_ids=sample[None], use_cache=False)


def input_moments(model, tokens, readout):
    """One InputMoments per block, of the layers with this name."""
    moments = [InputMoments(getattr(sublayer(layer, readout), readout)) for layer in model.model.layers]
    feed(model, tokens)
    for one in moments:
        one.handle.remove()
    return moments


def block_influences(model, tokens):
    sums = [0.0] * len(model.model.layers)

    def compare(number):
        def hook(_, args, kwargs, output):
            before = args[0] if args else kwargs["hidden_states"]
            after = output[0] if isinstance(output, tuple) else output
            cosine = torch.nn.functional.cosine_similarity(before, after, dim=-1)
            sums[number] += (1 - cosine).double().sum().item()
        return hook

    handles = [layer.register_forward_hook(compare(number), with_kwargs=True)
               for number, layer in enumerate(model.model.layers)]
    feed(model, tokens)
    for handle in handles:
        handle.remove()
    return numpy.array(sums) / tokens.numel()


def largest(scores, count):
    return sorted(numpy.argsort(-numpy.asarray(scores), kind="stable")[:count].tolist())


def rows_of(module, name, unit, units):
    """The rows or columns of a projection that belong to a unit, of `units` in all."""
    size = getattr(module, name).weight.shape[SLICED[name]] // units
    return range(unit * size, (unit + 1) * size)


def weight_norms(module, units):
    """Norm of all weights of each unit."""
    squares = torch.zeros(units, dtype=torch.double)
    for name, linear in projections(module).items():
        weight = linear.weight.double().movedim(SLICED[name], 0)
        squares += weight.reshape(units, -1).square().sum(1)
    return squares.sqrt()


def choose_units(model, tokens, readout, units, kept, arguments, random):
    """Kept units of each block, and the moments of their inputs if the rule needs them."""
    modules = [sublayer(layer, readout) for layer in model.model.layers]
    moments = None
    if arguments.choice == "random":
        scores = [random.random(units) for _ in modules]
    elif arguments.choice == "magnitude":
        scores = [weight_norms(module, units).numpy() for module in modules]
    else:
        moments = input_moments(model, tokens, readout)
        columns = [one.variance() * getattr(module, readout).weight.double().square().sum(0)
                   for one, module in zip(moments, modules)]
        scores = [column.reshape(units, -1).mean(1).numpy() for column in columns]
    return [largest(values, kept) for values in scores], moments


def rebuild(model, state, **changes):
    """A model with this state, of the config with these changes."""
    config = copy.deepcopy(model.config)
    for key, value in changes.items():
        setattr(config, key, value)
    small = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    small.load_state_dict(state)
    small.tie_weights()
    return small


def without_blocks(model, kept):
    state, number_of = {}, {old: new for new, old in enumerate(kept)}
    for name, value in model.state_dict().items():
        words = name.split(".")
        if name.startswith("model.layers."):
            if int(words[2]) not in number_of:
                continue
            words[2] = str(number_of[int(words[2])])
        state[".".join(words)] = value
    changes = {"num_hidden_layers": len(kept)}
    if getattr(model.config, "layer_types", None):
        changes["layer_types"] = [model.config.layer_types[old] for old in kept]
    return rebuild(model, state, **changes)


def without_units(model, readout, units, kept, moments, **changes):
    """The model with the kept units of each block, and the biases that replace the others' mean output."""
    state, biases = model.state_dict(), []
    for block, layer in enumerate(model.model.layers):
        module = sublayer(layer, readout)
        path = next(name for name, child in layer.named_children() if child is module)
        stay = {name: torch.tensor([row for unit in kept[block] for row in rows_of(module, name, unit, units)])
                for name in projections(module)}
        for name, linear in projections(module).items():
            prefix = f"model.layers.{block}.{path}.{name}."
            state[prefix + "weight"] = linear.weight.detach().index_select(SLICED[name], stay[name])
            if linear.bias is not None and SLICED[name] == 0:
                state[prefix + "bias"] = linear.bias.detach()[stay[name]]
        if moments:
            mean = moments[block].mean()
            mean[stay[readout]] = 0
            biases.append((readout, block, (getattr(module, readout).weight.double() @ mean).float()))
    return rebuild(model, state, **changes), biases


def add_biases(model, biases):
    """Adds the biases to the outputs of their layers; the model's state stays as it is."""
    def adds(bias):
        return lambda _, __, output: output + bias

    for readout, block, bias in biases:
        linear = getattr(sublayer(model.model.layers[block], readout), readout)
        linear.register_forward_hook(adds(bias))


def remove(model, tokens, arguments):
    """Returns the model without its units, FLAP's biases, and the numbers of the blocks that are gone."""
    random = numpy.random.default_rng(arguments.seed)
    config, biases, gone = model.config, [], []
    blocks = config.num_hidden_layers
    if arguments.blocks is not None and arguments.blocks < blocks:
        scores = random.random(blocks) if arguments.choice == "random" else block_influences(model, tokens)
        kept = largest(scores, arguments.blocks)
        gone = sorted(set(range(blocks)) - set(kept))
        model = without_blocks(model, kept)
    if arguments.heads is not None and arguments.heads < config.num_key_value_heads:
        groups = config.num_key_value_heads
        kept, moments = choose_units(model, tokens, "o_proj", groups, arguments.heads, arguments, random)
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        model, more = without_units(
            model, "o_proj", groups, kept, moments, num_key_value_heads=arguments.heads, head_dim=head_dim,
            num_attention_heads=config.num_attention_heads // groups * arguments.heads)
        biases += more
    if arguments.ffn is not None and arguments.ffn < config.intermediate_size:
        width = config.intermediate_size
        kept, moments = choose_units(model, tokens, "down_proj", width, arguments.ffn, arguments, random)
        model, more = without_units(model, "down_proj", width, kept, moments, intermediate_size=arguments.ffn)
        biases += more
    return model, biases, gone


def write(model, arguments):
    config = json.loads((arguments.model / "config.json").read_text())
    dtype = config.get("dtype") or config.get("torch_dtype") or "float32"
    model.to(getattr(torch, dtype)).save_pretrained(arguments.output)
    for file in arguments.model.glob("*"):
        if file.name.startswith(("tokenizer", "vocab", "merges", "chat_template", "special_tokens")):
            shutil.copy(file, arguments.output)


@torch.no_grad()
def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    tokens = torch.from_numpy(numpy.load(arguments.tokens))
    ids = Tokenizer.from_file(str(arguments.model / "tokenizer.json")).encode(arguments.data.read_text()).ids
    model = transformers.AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    segments, figures = min(arguments.segments, len(ids) // arguments.seqlen), {}
    if arguments.choice != "none":
        model, biases, figures["removed_blocks"] = remove(model, tokens, arguments)
        if biases:
            figures["perplexity_without_bias"] = perplexity(model, ids, arguments.seqlen, segments)
            add_biases(model, biases)
    figures["perplexity"] = perplexity(model, ids, arguments.seqlen, segments)
    if arguments.choice != "none":
        write(model, arguments)
    arguments.figures.write_text(json.dumps(figures))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
