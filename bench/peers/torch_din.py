#!/usr/bin/env python3
"""DIN in PyTorch, on the data that `generate din` wrote: samples a second of training, or the time
of scoring one user's candidates, as one JSON line.

    python3 torch_din.py --data DIR --program jagged-manual --batch 1024
    python3 torch_din.py --data DIR --program factored --score 200 --threads 1

A program of training is a layout and a kind of tables:
  padded   histories are padded to the longest of the batch, the attention unit reads [q, k, q - k,
           q * k] of every place, and a mask takes the padding out: how DIN is usually written
  jagged   only real behaviours go through the attention unit, and its first layer is factored by
           hand: [q, k, q - k, q * k] W = q (Wq + Wd) + k (Wk - Wd) + (q * k) Wp
  sparse, manual, dense   as of torch_train.py
A program of scoring is `plain` (the concatenation written out) or `factored`, traced and frozen.

All batches are laid out in memory, padded or not, before the clock starts. Tables are trained with
Adagrad (dense: Adam), dense weights with Adam."""
import argparse
import json
import os
import time

import numpy
import torch
import torch.nn as nn
import torch.nn.functional as F

from torch_train import ManualTable, ModuleTable, measure, set_up

ITEMS, CATES, BEHAVIOURS = 100000, 1000, 100


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--data", required=True, help="the folder that `generate din` wrote")
    p.add_argument("--program", default="jagged-manual", help="see above")
    p.add_argument("--score", type=int, default=0, help="score so many ads instead of training")
    p.add_argument("--activation", choices=["prelu", "dice"], default="prelu")
    p.add_argument("--batch", type=int, default=1024)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seconds", type=float, default=3, help="of a timing window")
    p.add_argument("--windows", type=int, default=3)
    p.add_argument("--warm-up", type=float, default=1)
    p.add_argument("--dim", type=int, default=64, help="of an item's and of a category's vector")
    return p.parse_args()


# ---- the network ----


class Dice(nn.Module):
    """f(s) = p s + (1 - p) a s with p = sigmoid of s, normalised over the rows."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(width, eps=1e-8, momentum=0.1, affine=False)
        self.slope = nn.Parameter(torch.zeros(width))

    def forward(self, s):
        p = torch.sigmoid(self.norm(s))
        return s * (p + (1 - p) * self.slope)


def activation(kind, width):
    return Dice(width) if kind == "dice" else nn.PReLU(width, init=0.25)


def layers(kind, width, hidden):
    """Dense layers with activations, then one number."""
    parts = []
    for out in hidden:
        parts += [nn.Linear(width, out), activation(kind, out)]
        width = out
    parts.append(nn.Linear(width, 1))
    for part in parts:
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
    return parts


class Attention(nn.Module):
    def __init__(self, kind, width, hidden=(80, 40)):
        super().__init__()
        first, *rest = layers(kind, 4 * width, hidden)
        self.first, self.rest, self.width = first, nn.Sequential(*rest), width

    def plain(self, q, k):
        """Weights of pairs: q and k [pairs, width]."""
        return self.rest(self.first(torch.cat([q, k, q - k, q * k], 1)))[:, 0]

    def parts(self):
        """The first layer's weights on q, on k and on their product."""
        of_q, of_k, of_difference, of_product = self.first.weight.split(self.width, 1)
        return of_q + of_difference, of_k - of_difference, of_product

    def factored(self, q, k, sample):
        """Weights of behaviours k [n, width] of samples q [batch, width]; sample [n]: whose."""
        of_q, of_k, of_product = self.parts()
        queries = F.linear(q, of_q, self.first.bias)
        h = F.linear(k, of_k) + queries.index_select(0, sample)
        h = torch.addmm(h, q.index_select(0, sample) * k, of_product.t())
        return self.rest(h)[:, 0]

    def crossed(self, q, k):
        """Weights [ads, behaviours] of each ad q [ads, width] with each behaviour k [n, width]."""
        of_q, of_k, of_product = self.parts()
        pairs = (q.unsqueeze(1) * k.unsqueeze(0)).flatten(0, 1)
        h = F.linear(pairs, of_product).view(q.shape[0], k.shape[0], -1)
        h = h + F.linear(q, of_q, self.first.bias).unsqueeze(1) + F.linear(k, of_k)
        return self.rest(h.flatten(0, 1)).view(q.shape[0], k.shape[0])


class Network(nn.Module):
    """From vectors of ad and behaviours to logits."""

    def __init__(self, kind, width, hidden=(200, 80)):
        super().__init__()
        self.attention = Attention(kind, width)
        self.top = nn.Sequential(*layers(kind, 2 * width, hidden))

    def padded(self, q, k, mask):
        """k [batch, longest, width], mask [batch, longest] of 1 and 0."""
        batch, longest, width = k.shape
        spread = q.unsqueeze(1).expand(-1, longest, -1).reshape(batch * longest, width)
        weights = self.attention.plain(spread, k.reshape(batch * longest, width))
        weights = weights.view(batch, longest) * mask
        interest = torch.bmm(weights.unsqueeze(1), k).squeeze(1)
        return self.top(torch.cat([interest, q], 1))[:, 0]

    def jagged(self, q, k, sample):
        weights = self.attention.factored(q, k, sample)
        interest = torch.zeros_like(q).index_add(0, sample, weights.unsqueeze(1) * k)
        return self.top(torch.cat([interest, q], 1))[:, 0]

    def score(self, q, k, factored: bool):
        """One user's behaviours k [n, width] and candidates q [ads, width]."""
        if factored:
            weights = self.attention.crossed(q, k)
        else:
            ads, n = q.shape[0], k.shape[0]
            spread = q.unsqueeze(1).expand(-1, n, -1).flatten(0, 1)
            repeated = k.unsqueeze(0).expand(ads, -1, -1).flatten(0, 1)
            weights = self.attention.plain(spread, repeated).view(ads, n)
        return torch.sigmoid(self.top(torch.cat([weights @ k, q], 1))[:, 0])


# ---- tables ----


def make_tables(kind, dim):
    if kind == "manual":
        return [ManualTable(dim, ids=n) for n in (ITEMS, CATES)]
    optimizer = "adagrad" if kind == "sparse" else "adam"
    return [ModuleTable(dim, kind == "sparse", optimizer, ids=n) for n in (ITEMS, CATES)]


# ---- data ----


def read(folder, name, kind):
    return numpy.fromfile(os.path.join(folder, name), kind)


def read_batches(a, padded):
    """Lists of (ad's item, behaviours' items, mask or sample numbers, labels)."""
    items, lengths = read(a.data, "items.i32", "i4"), read(a.data, "lengths.i32", "i4")
    labels = read(a.data, "labels.u8", "u1").astype("f4")
    ends = numpy.concatenate([[0], numpy.cumsum(lengths.astype("i8"))])
    history = torch.from_numpy(read(a.data, "history.i32", "i4")).long()
    batches = []
    for first in range(0, len(items) - a.batch + 1, a.batch):
        rows = slice(first, first + a.batch)
        n = torch.from_numpy(lengths[rows].astype("i8"))
        behaviours = history[ends[first] : ends[first + a.batch]]
        if padded:
            mask = torch.arange(int(n.max())).unsqueeze(0) < n.unsqueeze(1)
            places = torch.zeros(mask.shape, dtype=torch.long)
            places[mask] = behaviours
            behaviours, where = places, mask.float()
        else:
            where = torch.repeat_interleave(torch.arange(a.batch), n)
        batches.append((torch.from_numpy(items[rows]).long(), behaviours, where,
                        torch.from_numpy(labels[rows])))
    return batches


# ---- timing ----


def train(a):
    layout, kind = a.program.split("-")
    cates = torch.from_numpy(read(a.data, "cates.i32", "i4")).long()
    batches = [(items, cates[items], behaviours, cates[behaviours], where, labels)
               for items, behaviours, where, labels in read_batches(a, layout == "padded")]
    network = Network(a.activation, 2 * a.dim)
    forward = network.padded if layout == "padded" else network.jagged
    dense = torch.optim.Adam(network.parameters(), lr=0.001, foreach=True)
    tables = make_tables(kind, a.dim)

    def vectors(items, of_items):
        # One lookup a table for ad and behaviours together.
        n = len(items[0])
        parts = [table.look_up(torch.cat([ad, past.reshape(-1)]))
                 for table, (ad, past) in zip(tables, (items, of_items))]
        both = torch.cat(parts, 1)
        return both[:n], both[n:].view(*items[1].shape, -1)

    def step(number):
        ad, ad_cates, past, past_cates, where, labels = batches[number % len(batches)]
        dense.zero_grad(set_to_none=True)
        q, k = vectors((ad, past), (ad_cates, past_cates))
        loss = F.binary_cross_entropy_with_logits(forward(q, k, where), labels)
        loss.backward()
        dense.step()
        for table in tables:
            table.step()
        return float(loss.detach())

    return measure(step, a)


class Scorer(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.items, self.cates = nn.Embedding(ITEMS, a.dim), nn.Embedding(CATES, a.dim)
        self.network = Network(a.activation, 2 * a.dim)
        self.is_factored = a.program == "factored"

    def forward(self, ads, ad_cates, past, past_cates):
        q = torch.cat([self.items(ads), self.cates(ad_cates)], 1)
        k = torch.cat([self.items(past), self.cates(past_cates)], 1)
        return self.network.score(q, k, self.is_factored)


def score(a):
    scorer = Scorer(a).eval()
    given = [torch.randint(many, (n,)) for n in (a.score, BEHAVIOURS) for many in (ITEMS, CATES)]
    with torch.no_grad():
        frozen = torch.jit.freeze(torch.jit.trace(scorer, given))
        best = None
        for _ in range(a.windows + 1):  # the first one warms up
            times, end = [], time.perf_counter() + a.seconds
            while time.perf_counter() < end or len(times) < 20:
                start = time.perf_counter()
                frozen(*given)
                times.append(1e3 * (time.perf_counter() - start))
            times.sort()
            run = times[len(times) // 2], times[int(0.99 * len(times))], len(times)
            best = run if best is None or run < best else best
    return {"p50_ms": best[0], "p99_ms": best[1], "calls": best[2]}


def main():
    a = arguments()
    set_up(a)
    figures = score(a) if a.score else train(a)
    print(json.dumps({**figures, "program": a.program, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
