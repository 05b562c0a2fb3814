#!/usr/bin/env python3
"""DIN in PyTorch on the rows that examples/grocery/prepare.lua wrote: the figures of the test rows,
as one JSON line, to hold against those of the same network in moonrank.

    python3 torch_din_rows.py --data data/grocery --seed 1

Start values are drawn alike, Adam moves only the rows of the batch (SparseAdam), the epoch with the
best AUC on the validation rows counts, and values that training data does not have read one
untrained row, all as in moonrank; the order of the rows is another random one."""
import argparse
import json
import os
import subprocess
import time

import numpy
import torch
import torch.nn as nn
import torch.nn.functional as F

from torch_din import Network

# A table, the ad's column, the behaviours' column.
TABLES = [("item_id", "item_id", "items"), ("cate", "cate", "items_cates")]


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--data", required=True, help="the folder that prepare.lua wrote")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--epochs", type=int, default=5)
    p.add_argument("--batch", type=int, default=1024)
    p.add_argument("--lr", type=float, default=0.001)
    p.add_argument("--dim", type=int, default=16, help="of an item's and of a category's vector")
    p.add_argument("--activation", choices=["prelu", "dice"], default="dice")
    p.add_argument("--threads", type=int, default=2)
    return p.parse_args()


# ---- rows ----


def read(path, places):
    """Ids of the ad [rows, tables], of behaviours [n, tables], lengths and labels; a text's place
    in `places`, one map a table, is its id, 0 where it has none. A map that is empty is filled."""
    text = subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout.decode()
    lines = text.splitlines()
    number = {name: i for i, name in enumerate(lines[0].split("\t"))}
    fill = not places[0]
    ads, past, lengths, labels = [], [], [], []
    for line in lines[1:]:
        cells = line.split("\t")
        labels.append(float(cells[number["label"]]))
        columns = []
        for place, (_, ad, behaviours) in zip(places, TABLES):
            values = [cells[number[ad]]] + cells[number[behaviours]].split()
            if fill:
                for value in values:
                    place.setdefault(value, len(place) + 1)
            columns.append([place.get(value, 0) for value in values])
        ads.append([column[0] for column in columns])
        past.extend(zip(*(column[1:] for column in columns)))
        lengths.append(len(columns[0]) - 1)
    return (torch.tensor(ads), torch.tensor(past), torch.tensor(lengths), torch.tensor(labels))


class Rows:
    def __init__(self, path, places):
        self.ads, self.past, self.lengths, self.labels = read(path, places)
        self.starts = torch.cumsum(self.lengths, 0) - self.lengths

    def batch(self, rows):
        """The rows of these numbers: ads, behaviours, the place in the batch of each, labels."""
        lengths = self.lengths[rows]
        where = torch.repeat_interleave(torch.arange(len(rows)), lengths)
        within = torch.arange(len(where)) - (torch.cumsum(lengths, 0) - lengths)[where]
        behaviours = self.past[self.starts[rows][where] + within]
        return self.ads[rows], behaviours, where, self.labels[rows]


# ---- figures ----


def auc(scores, labels):
    """By ranks, those of equal scores being their mean."""
    _, place, count = numpy.unique(scores, return_inverse=True, return_counts=True)
    last = numpy.cumsum(count)
    ranks = (last - (count - 1) / 2)[place]
    positives = labels.sum()
    negatives = len(labels) - positives
    return (ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives)


def gauc(scores, labels):
    """Of pairs of rows, a positive and a negative of the same user: each pair has the same weight."""
    difference = scores[0::2] - scores[1::2]
    assert (labels[0::2] == 1).all() and (labels[1::2] == 0).all()
    return ((difference > 0) + 0.5 * (difference == 0)).mean()


# ---- training ----


class Model(nn.Module):
    def __init__(self, a, places):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(len(p) + 1, a.dim, sparse=True) for p in places)
        for table in self.tables:
            nn.init.normal_(table.weight, std=0.01)
        self.network = Network(a.activation, a.dim * len(places))

    def vectors(self, ids):
        return torch.cat([table(ids[:, i]) for i, table in enumerate(self.tables)], 1)

    def forward(self, ads, past, where):
        return self.network.jagged(self.vectors(ads), self.vectors(past), where)


def scores_of(model, rows):
    model.eval()
    with torch.no_grad():
        parts = []
        for first in range(0, len(rows.labels), 4096):
            numbers = torch.arange(first, min(first + 4096, len(rows.labels)))
            ads, past, where, _ = rows.batch(numbers)
            parts.append(model(ads, past, where))
    model.train()
    return torch.cat(parts)


def evaluate(model, rows):
    logits, labels = scores_of(model, rows), rows.labels
    scores, truth = logits.numpy(), labels.numpy()
    return {"auc": float(auc(scores, truth)), "gauc": float(gauc(scores, truth)),
            "logloss": float(F.binary_cross_entropy_with_logits(logits, labels))}


def main():
    a = arguments()
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(a.seed)
    places = [{} for _ in TABLES]
    train, valid, test = (Rows(os.path.join(a.data, name + ".tsv.zst"), places)
                          for name in ("train", "valid", "test"))
    model = Model(a, places)
    optimizers = [torch.optim.Adam(model.network.parameters(), lr=a.lr),
                  torch.optim.SparseAdam(list(model.tables.parameters()), lr=a.lr)]
    best, seconds = None, 0.0
    for epoch in range(1, a.epochs + 1):
        start = time.perf_counter()
        for numbers in torch.randperm(len(train.labels)).split(a.batch):
            ads, past, where, labels = train.batch(numbers)
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            F.binary_cross_entropy_with_logits(model(ads, past, where), labels).backward()
            for optimizer in optimizers:
                optimizer.step()
        seconds += time.perf_counter() - start
        figures = evaluate(model, valid)
        if best is None or figures["auc"] > best["valid"]:
            best = {"epoch": epoch, "valid": figures["auc"], **evaluate(model, test)}
    print(json.dumps({"seed": a.seed, **best, "seconds": round(seconds, 1),
                      "rows": len(train.labels), "behaviours": len(train.past),
                      "torch": torch.__version__}))


if __name__ == "__main__":
    main()
