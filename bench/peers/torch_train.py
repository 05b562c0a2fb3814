#!/usr/bin/env python3
"""The models of the table of speed in PyTorch: samples a second of training steps, as one JSON line.

    python3 torch_train.py --data DIR --model dnn --rows sparse --optimizer adagrad

--rows says how the tables are trained:
  sparse  nn.Embedding(sparse=True): gradients are sparse tensors, which the optimizer coalesces
  manual  gather, unique, index_add and an Adagrad written out: no sparse tensor anywhere
  dense   gradients and optimizer steps as large as the table

All rows are in memory as tensors before the clock starts, and a batch is a slice of them: reading,
shuffling and hashing of ids, which moonrank's figure includes, cost nothing here. Dense weights are
trained with Adam whatever the tables use, by its fastest form."""
import argparse
import json
import os
import statistics
import time

import numpy
import torch
import torch.nn as nn
import torch.nn.functional as F

FIELDS, IDS = 39, 1000000


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--data", required=True, help="the folder that `generate` wrote")
    p.add_argument("--model", choices=["lr", "mlr", "fm", "dnn", "deepfm"], required=True)
    p.add_argument("--rows", choices=["sparse", "manual", "dense"], default="sparse")
    p.add_argument("--optimizer", choices=["adagrad", "adam"], default="adagrad")
    p.add_argument("--batch", type=int, default=4096)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seconds", type=float, default=3, help="of a timing window")
    p.add_argument("--windows", type=int, default=3)
    p.add_argument("--warm-up", type=float, default=1)
    p.add_argument("--dim", type=int, default=16)
    p.add_argument("--regions", type=int, default=12)
    p.add_argument("--hidden", type=int, nargs="*", default=[400, 400, 400])
    return p.parse_args()


# ---- tables ----


class ModuleTable:
    """A table that autograd and torch.optim train."""

    def __init__(self, width, sparse, optimizer, summed=False, ids=IDS):
        make = nn.EmbeddingBag if summed else nn.Embedding
        kind = {"mode": "sum"} if summed else {}
        self.module = make(ids, width, sparse=sparse, **kind)
        nn.init.normal_(self.module.weight, std=0.01)
        parameters = list(self.module.parameters())
        if optimizer == "adagrad":
            self.optimizer = torch.optim.Adagrad(parameters, lr=0.01)
        elif sparse:
            self.optimizer = torch.optim.SparseAdam(parameters, lr=0.001)
        else:
            self.optimizer = torch.optim.Adam(parameters, lr=0.001, foreach=True)

    def look_up(self, ids):
        self.optimizer.zero_grad(set_to_none=True)
        return self.module(ids)

    def step(self):
        self.optimizer.step()


class ManualTable:
    """Adagrad on the rows of the batch, without sparse tensors: what an expert writes by hand."""

    def __init__(self, width, summed=False, ids=IDS):
        self.weight = torch.randn(ids, width) * 0.01
        self.state = torch.full((ids, width), 1e-6)
        self.summed = summed

    def look_up(self, ids):
        self.ids = ids.reshape(-1)
        self.found = self.weight.index_select(0, self.ids).requires_grad_()
        rows = self.found.view(*ids.shape, -1)
        return rows.sum(1) if self.summed else rows

    @torch.no_grad()
    def step(self):
        distinct, place = torch.unique(self.ids, return_inverse=True)
        gradient = torch.zeros(len(distinct), self.weight.shape[1])
        gradient.index_add_(0, place, self.found.grad)
        state = self.state.index_select(0, distinct).addcmul_(gradient, gradient)
        self.state.index_copy_(0, distinct, state)
        gradient.div_(state.sqrt_().add_(1e-10))
        self.weight.index_add_(0, distinct, gradient, alpha=-0.01)


def make_table(a, width, summed=False):
    if a.rows == "manual":
        return ManualTable(width, summed)
    return ModuleTable(width, a.rows == "sparse", a.optimizer, summed)


# ---- models: a forward pass from ids to logits, the tables and the dense weights ----


def linear(a):
    table = make_table(a, 1, summed=True)
    return lambda ids: table.look_up(ids)[:, 0], [table], None


def mixture(a):
    """LS-PLM by its formula; the logit of the probability, for one loss for all models."""
    table = make_table(a, 2 * a.regions, summed=True)

    def forward(ids):
        x = table.look_up(ids)
        gate, fit = F.softmax(x[:, : a.regions], 1), torch.sigmoid(x[:, a.regions :])
        return torch.logit((gate * fit).sum(1))

    return forward, [table], None


def pairs(rows):
    total = rows.sum(1)
    return 0.5 * (total * total - (rows * rows).sum(1)).sum(1)


def factorization(a):
    table = make_table(a, a.dim + 1)  # the weight beside the vector: one gather for both

    def forward(ids):
        rows = table.look_up(ids)
        return rows[:, :, 0].sum(1) + pairs(rows[:, :, 1:])

    return forward, [table], None


def make_network(a):
    layers, width = [], FIELDS * a.dim
    for out in a.hidden:
        layers += [nn.Linear(width, out), nn.ReLU()]
        width = out
    return torch.jit.script(nn.Sequential(*layers, nn.Linear(width, 1)))


def deep(a):
    table, network = make_table(a, a.dim), make_network(a)
    return lambda ids: network(table.look_up(ids).flatten(1))[:, 0], [table], network


def deep_factorization(a):
    table, weights, network = make_table(a, a.dim), make_table(a, 1, summed=True), make_network(a)

    def forward(ids):
        rows = table.look_up(ids)
        return network(rows.flatten(1))[:, 0] + weights.look_up(ids)[:, 0] + pairs(rows)

    return forward, [table, weights], network


MODELS = {"lr": linear, "mlr": mixture, "fm": factorization, "dnn": deep,
          "deepfm": deep_factorization}


# ---- timing ----


def set_up(a):
    torch.set_num_threads(a.threads)
    torch.set_num_interop_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)


def measure(step, a):
    """Samples a second, the median of the windows; step(number) takes a step, returns its loss."""
    steps = 0

    def window(seconds):
        nonlocal steps
        start, before = time.perf_counter(), steps
        while True:
            loss = step(steps)
            steps += 1
            taken = time.perf_counter() - start
            if taken >= seconds:
                return (steps - before) * a.batch / taken, loss

    window(a.warm_up)
    speeds, loss = zip(*(window(a.seconds) for _ in range(a.windows)))
    return {"samples_per_s": int(statistics.median(speeds)), "loss": loss[-1], "steps": steps}


def main():
    a = arguments()
    set_up(a)
    ids = numpy.fromfile(os.path.join(a.data, "ids.i32"), "i4").reshape(-1, FIELDS)
    ids = torch.from_numpy(ids).long()
    labels = torch.from_numpy(numpy.fromfile(os.path.join(a.data, "labels.u8"), "u1")).float()
    forward, tables, network = MODELS[a.model](a)
    dense = network and torch.optim.Adam(network.parameters(), lr=0.001, foreach=True)
    batches = len(ids) // a.batch

    def step(number):
        first = number % batches * a.batch
        if dense:
            dense.zero_grad(set_to_none=True)
        logits = forward(ids[first : first + a.batch])
        loss = F.binary_cross_entropy_with_logits(logits, labels[first : first + a.batch])
        loss.backward()
        if dense:
            dense.step()
        for table in tables:
            table.step()
        return float(loss.detach())

    print(json.dumps({**measure(step, a), "rows": a.rows, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
