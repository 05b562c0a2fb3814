#!/usr/bin/env python3
"""Make the golden files of this folder with PyTorch, an implementation that shares no code with
the engine. Run from anywhere: python3 make_golden.py. README.md says what the files hold.

Weights and data are drawn from Python's own generator (stable between versions), rounded to
float32 and then used in double, so an expected value is what exact float32 weights give, to more
digits than float32 has."""
import json
import os
import random
import struct

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)

ROWS = 12
IDS = {"user": 4, "ad": 5, "hour": 3}  # field: number of values; the last one occurs in no row
TAGS = 6
DIM = 4
HIDDEN = [8, 6]
CROSS = 2
REGIONS = 3
ATTENTION = [5, 3]
REQUESTS = [2, 1, 4, 3, 2]  # samples of each request of the data with histories
HISTORIES = [3, 0, 4, 1, 2]  # behaviours of each
BN_EPS = 1e-5
BN_MOMENTUM = 0.1
DICE_EPS = 1e-8
DICE_MOMENTUM = 0.1


# ---- numbers and text ----


def float32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def number_text(x):
    if isinstance(x, int):
        return str(x)
    # What cancels exactly leaves a rounding residue in double (a bias in front of a batch norm).
    return "%.9g" % (0.0 if abs(x) < 1e-15 else x)


def to_text(value, indent=""):
    """JSON with %.9g numbers; a list without dicts in it, and a row of data, stays on one line."""
    if isinstance(value, torch.Tensor):
        return to_text(value.detach().tolist(), indent)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return number_text(value)
    deeper = indent + "  "
    if isinstance(value, list):
        if value and isinstance(value[0], (list, dict)):
            lines = [deeper + to_text(v, deeper) for v in value]
            return "[\n" + ",\n".join(lines) + "\n" + indent + "]"
        return "[" + ", ".join(to_text(v) for v in value) + "]"
    items = [json.dumps(k) + ": " + to_text(v, deeper) for k, v in value.items()]
    if not any(isinstance(v, (dict, torch.Tensor)) for v in value.values()) and "price" in value:
        return "{" + ", ".join(items) + "}"
    return "{\n" + ",\n".join(deeper + item for item in items) + "\n" + indent + "}"


def write(name, content):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    with open(path, "w") as file:
        file.write(to_text(content) + "\n")


# ---- data and weights ----


class Source:
    """Seeded random data and weights, all exact in float32."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def real(self, scale):
        return float32(self.random.uniform(-scale, scale))

    def matrix(self, rows, columns, scale):
        return torch.tensor([[self.real(scale) for _ in range(columns)] for _ in range(rows)])

    def row(self, index):
        row = {field: field[0] + str(self.random.randint(1, n - 1)) for field, n in IDS.items()}
        # Bags of 0 to 4 values; a value may occur twice and then counts twice.
        size = index % 5
        row["tags"] = ["t%d" % self.random.randint(1, TAGS - 1) for _ in range(size)]
        row["price"] = self.real(2)
        row["label"] = 1 if self.random.random() < 0.5 else 0
        return row

    def rows_with_histories(self):
        """ROWS samples in requests, whose rows share the user, the hour and the behaviours: aligned
        lists click_ad, click_tags (bags as text) and click_gap."""
        rows = []
        for request, (size, length) in enumerate(zip(REQUESTS, HISTORIES)):
            shared = {"user": "u%d" % (1 + request % 3), "hour": "h%d" % (1 + request % 2)}
            seen = [self.row(i) for i in range(1, length + 1)]
            shared["click_ad"] = [row["ad"] for row in seen]
            shared["click_tags"] = [",".join(row["tags"]) for row in seen]
            shared["click_gap"] = [row["price"] for row in seen]
            rows += [dict(self.row(i), request=request + 1, **shared) for i in range(size)]
        return rows

    def tables(self, dim, scale):
        sizes = dict(IDS, tags=TAGS)
        tables = {field: self.matrix(n, dim, scale) for field, n in sizes.items()}
        return {field: t.requires_grad_() for field, t in tables.items()}


def indices(rows, field):
    return torch.tensor([int(row[field][1:]) - 1 for row in rows])


def look_up(tables, rows):
    """[ROWS, dim] for each id field, then the mean of the bag; an empty bag is zeros."""
    found = [F.embedding(indices(rows, field), tables[field]) for field in IDS]
    values = torch.tensor([int(tag[1:]) - 1 for row in rows for tag in row["tags"]])
    sizes = torch.tensor([len(row["tags"]) for row in rows])
    offsets = torch.cumsum(sizes, 0) - sizes
    found.append(F.embedding_bag(values, tables["tags"], offsets, mode="mean"))
    return found


def named_rows(tables, matrices, rows=None):
    """{field: {value: row}}; with `rows`, only the values that occur in them."""
    named = {}
    for field in tables:
        used = None
        if rows is not None:
            cells = [row[field] for row in rows]
            used = set(sum(cells, [])) if field == "tags" else set(cells)
            for row in rows:
                for cell in row.get("click_" + field, []):
                    used |= set(cell.split(",") if cell else [])
        values = [field[0] + str(i + 1) for i in range(len(tables[field]))]
        named[field] = {
            v: matrices[field][i] for i, v in enumerate(values) if used is None or v in used
        }
    return named


# ---- models ----


class Linear:
    """logit = bias + sum of the fields' dim-1 rows + weight of the price x price"""

    def __init__(self, source):
        self.tables = {"linear": source.tables(1, 1.0)}
        self.dense = {
            "bias": source.matrix(1, 1, 0.5).requires_grad_(),
            "price": source.matrix(1, 1, 0.5).requires_grad_(),
        }

    def logits(self, rows):
        price = torch.tensor([[row["price"]] for row in rows])
        terms = sum(look_up(self.tables["linear"], rows))
        return self.dense["bias"] + terms + price @ self.dense["price"]


class Factorization(Linear):
    """The linear part + the sum over i < j of <v_i, v_j>, v: the three ids and the pooled bag"""

    def __init__(self, source):
        super().__init__(source)
        self.tables["factors"] = source.tables(DIM, 0.8)

    def logits(self, rows):
        v = look_up(self.tables["factors"], rows)
        pairs = sum(
            (v[i] * v[j]).sum(1, keepdim=True) for i in range(len(v)) for j in range(i + 1, len(v))
        )
        return super().logits(rows) + pairs


class Mixture:
    """x = bias + sum of the fields' rows + price W, 2 x 3 wide: gates z, fits a;
    p = sum of softmax(z) sigmoid(a), logit = log(p / (1 - p))"""

    def __init__(self, source):
        self.tables = {"embedding": source.tables(2 * REGIONS, 1.0)}
        self.dense = {
            "bias": source.matrix(1, 2 * REGIONS, 0.5).requires_grad_(),
            "price": source.matrix(1, 2 * REGIONS, 0.5).requires_grad_(),
        }

    def logits(self, rows):
        price = torch.tensor([[row["price"]] for row in rows])
        terms = sum(look_up(self.tables["embedding"], rows))
        x = self.dense["bias"] + terms + price @ self.dense["price"]
        gate, fit = F.softmax(x[:, :REGIONS], 1), torch.sigmoid(x[:, REGIONS:])
        return torch.logit((gate * fit).sum(1, keepdim=True))


class Deep:
    """x = concat(user, ad, hour, pooled tags, price); dense 8, dense 6, dense 1. Each hidden layer
    is y = x W + b, batch norm if wanted, relu."""

    def __init__(self, source, batch_norm=False):
        self.batch_norm = batch_norm
        self.tables = {"embedding": source.tables(DIM, 1.0)}
        self.dense = {}
        self.running = {}
        width = (len(IDS) + 1) * DIM + 1
        for layer, out in enumerate(HIDDEN + [1], 1):
            self.dense["w%d" % layer] = source.matrix(width, out, 0.6)
            self.dense["b%d" % layer] = source.matrix(1, out, 0.3)
            if batch_norm and layer <= len(HIDDEN):
                self.dense["gamma%d" % layer] = source.matrix(1, out, 0.4) + 1
                self.dense["beta%d" % layer] = source.matrix(1, out, 0.3)
                self.running["mean%d" % layer] = torch.zeros(out)
                self.running["var%d" % layer] = torch.ones(out)
            width = out
        for name, weight in self.dense.items():
            # 1 + a float32 may need a bit more than float32 has.
            exact = [[float32(x) for x in row] for row in weight.tolist()]
            self.dense[name] = torch.tensor(exact).requires_grad_()

    def normalise(self, h, layer, training):
        return F.batch_norm(
            h,
            self.running["mean%d" % layer],
            self.running["var%d" % layer],
            self.dense["gamma%d" % layer][0],
            self.dense["beta%d" % layer][0],
            training,
            BN_MOMENTUM,
            BN_EPS,
        )

    def inputs(self, rows):
        price = torch.tensor([[row["price"]] for row in rows])
        return torch.cat(look_up(self.tables["embedding"], rows) + [price], 1)

    def hidden(self, h, training=True):
        for layer in range(1, len(HIDDEN) + 1):
            h = h @ self.dense["w%d" % layer] + self.dense["b%d" % layer]
            if self.batch_norm:
                h = self.normalise(h, layer, training)
            # Near the kink a float32 engine could rightly come out on the other side.
            assert h.abs().min() > 1e-4, "draw other weights"
            h = F.relu(h)
        return h

    def last(self, h):
        last = len(HIDDEN) + 1
        return h @ self.dense["w%d" % last] + self.dense["b%d" % last]

    def logits(self, rows, training=True):
        return self.last(self.hidden(self.inputs(rows), training))


class WideDeep(Linear):
    """The linear part + a network of hidden layers 8 and 6 on embeddings and the price"""

    def __init__(self, source):
        super().__init__(source)
        self.deep = Deep(source)
        self.tables.update(self.deep.tables)
        self.dense.update(self.deep.dense)

    def logits(self, rows):
        return super().logits(rows) + self.deep.logits(rows)


class Cross(Deep):
    """x0 = concat(user, ad, hour, pooled tags, price); twice x <- x0 x^T w + b + x, w a vector; on
    concat(x, hidden layers 8 and 6 of x0) dense 1"""

    def __init__(self, source):
        super().__init__(source)
        width = len(self.dense["w1"])
        for layer in range(1, CROSS + 1):
            self.dense["cross%d" % layer] = self.kernel(source, width).requires_grad_()
            self.dense["shift%d" % layer] = source.matrix(1, width, 0.3).requires_grad_()
        self.dense["w3"] = source.matrix(self.joined(width), 1, 0.6).requires_grad_()

    def kernel(self, source, width):
        return source.matrix(width, 1, 0.3)

    def joined(self, width):
        return width + HIDDEN[-1]

    def cross(self, x0, x, w, b):
        return (x0.unsqueeze(2) @ x.unsqueeze(1)) @ w[:, 0] + b + x

    def crossed(self, x0):
        x = x0
        for layer in range(1, CROSS + 1):
            x = self.cross(x0, x, self.dense["cross%d" % layer], self.dense["shift%d" % layer])
        return x

    def logits(self, rows):
        x0 = self.inputs(rows)
        return self.last(torch.cat([self.crossed(x0), self.hidden(x0)], 1))


class CrossMatrix(Cross):
    """x0 = concat(user, ad, hour, pooled tags, price); twice x <- x0 * (x W + b) + x, W a matrix; on
    concat(x, hidden layers 8 and 6 of x0) dense 1"""

    def kernel(self, source, width):
        return source.matrix(width, width, 0.3)

    def cross(self, x0, x, w, b):
        return x0 * (x @ w + b) + x


class CrossStacked(CrossMatrix):
    """x0 = concat(user, ad, hour, pooled tags, price); twice x <- x0 * (x W + b) + x, W a matrix; on
    hidden layers 8 and 6 of x dense 1"""

    def joined(self, width):
        return HIDDEN[-1]

    def logits(self, rows):
        return self.last(self.hidden(self.crossed(self.inputs(rows))))


class DeepFactorization(Factorization):
    """The linear part + the pairs of the factors + a network of hidden layers 8 and 6 on the factors
    and the price"""

    def __init__(self, source):
        super().__init__(source)
        self.deep = Deep(source)
        self.deep.tables["embedding"] = self.tables["factors"]
        self.dense.update(self.deep.dense)

    def logits(self, rows):
        return super().logits(rows) + self.deep.logits(rows)


class Interests(Deep):
    """The base model of the DIN paper and, with attention, DIN, the padded way: histories are filled
    up with zeros to the longest one, and a mask says which behaviours are there. e = concat(ad,
    pooled tags, gap) of a behaviour, pooled by its mean or with the weights of a network on
    concat(q, k, q - k, q * k, outer product if wanted, gap), k without the gap, q = concat(ad, pooled
    tags) of the sample; x = concat(user, ad, hour, pooled tags, price, pooled e); dense 8, dense 6,
    dense 1"""

    def __init__(self, source, activation, attention=None, softmax=False, outer=False):
        self.activation, self.attention = activation, attention
        self.softmax, self.outer = softmax, outer
        self.tables = {"embedding": source.tables(DIM, 1.0)}
        self.dense, self.running = {}, {}
        q = 2 * DIM
        if attention:
            self.layers(source, 4 * q + (q * q if outer else 0) + 1, attention + [1], "a")
        self.layers(source, (len(IDS) + 1) * DIM + 1 + q + 1, HIDDEN + [1], "w")

    def layers(self, source, width, outs, letter):
        for layer, out in enumerate(outs, 1):
            name = "%s%d" % (letter, layer)
            self.dense[name] = source.matrix(width, out, 0.6).requires_grad_()
            self.dense["b" + name] = source.matrix(1, out, 0.3).requires_grad_()
            if layer < len(outs) and self.activation != "relu":
                self.dense["alpha" + name] = source.matrix(1, out, 0.4).requires_grad_()
                if self.activation == "dice":
                    self.running["mean" + name] = torch.zeros(out)
                    self.running["var" + name] = torch.ones(out)
            width = out

    def activate(self, h, name, mask, training):
        """h [..., width], mask [..., 1]: the rows that are there, the only ones that count."""
        alpha = self.dense["alpha" + name]
        assert (h * mask + (1 - mask)).abs().min() > 1e-4, "draw other weights"
        if self.activation == "prelu":
            return F.relu(h) - alpha * F.relu(-h)
        mean, var = self.running["mean" + name], self.running["var" + name]
        if training:
            rows = h.reshape(-1, h.shape[-1])[mask.reshape(-1) > 0]
            mean, var = rows.mean(0), rows.var(0, unbiased=False)
            for kind, batch in (("mean", mean), ("var", var)):
                old = self.running[kind + name]
                self.running[kind + name] = (1 - DICE_MOMENTUM) * old + DICE_MOMENTUM * batch.detach()
        p = torch.sigmoid((h - mean) / torch.sqrt(var + DICE_EPS))
        return p * h + (1 - p) * alpha * h

    def network(self, h, letter, hidden, mask, training):
        for layer in range(1, len(hidden) + 1):
            name = "%s%d" % (letter, layer)
            h = self.activate(h @ self.dense[name] + self.dense["b" + name], name, mask, training)
        name = "%s%d" % (letter, len(hidden) + 1)
        return h @ self.dense[name] + self.dense["b" + name]

    def history(self, rows):
        """[ROWS, longest, 2 DIM] ad and pooled tags, [ROWS, longest, 1] gap, the mask"""
        longest = max(HISTORIES)
        ads, tags = self.tables["embedding"]["ad"], self.tables["embedding"]["tags"]
        keys, gaps, mask = [], [], []
        for row in rows:
            for t in range(longest):
                there = t < len(row["click_ad"])
                vector = torch.zeros(2 * DIM)
                if there:
                    bag = [int(tag[1:]) - 1 for tag in row["click_tags"][t].split(",") if tag]
                    pooled = tags[bag].mean(0) if bag else torch.zeros(DIM)
                    vector = torch.cat([ads[int(row["click_ad"][t][1:]) - 1], pooled])
                keys.append(vector)
                gaps.append(row["click_gap"][t] if there else 0.0)
                mask.append(1.0 if there else 0.0)
        shape = (len(rows), longest, -1)
        return torch.stack(keys).reshape(shape), torch.tensor(gaps).reshape(shape), torch.tensor(
            mask
        ).reshape(shape)

    def interest(self, rows, training):
        k, gap, mask = self.history(rows)
        e = torch.cat([k, gap], 2)
        if not self.attention:
            return (e * mask).sum(1) / mask.sum(1).clamp(min=1)
        user, ad, hour, tags = look_up(self.tables["embedding"], rows)
        q = torch.cat([ad, tags], 1).unsqueeze(1).expand_as(k)
        x = [q, k, q - k, q * k]
        if self.outer:
            x.append((q.unsqueeze(3) * k.unsqueeze(2)).flatten(2))
        w = self.network(torch.cat(x + [gap], 2), "a", self.attention, mask, training)
        if self.softmax:
            w = F.softmax(w.masked_fill(mask == 0, -1e30), 1)
        return (e * w * mask).sum(1)

    def logits(self, rows, training=True):
        x = torch.cat([self.inputs(rows), self.interest(rows, training)], 1)
        return self.network(x, "w", HIDDEN, torch.ones(len(rows), 1), training)


class Tower(Interests):
    """Histories pooled by their mean beside user and hour, hidden layers 8 and 6 of relus: the user's
    vector; logit = its inner product with a linear layer on ad, tags and price, plus a bias"""

    def __init__(self, source):
        super().__init__(source, "relu")
        self.dense = {}
        self.layers(source, 4 * DIM + 1, HIDDEN, "w")
        self.dense["item"] = source.matrix(2 * DIM + 1, HIDDEN[-1], 0.6).requires_grad_()
        self.dense["bitem"] = source.matrix(1, HIDDEN[-1], 0.3).requires_grad_()
        self.dense["bias"] = source.matrix(1, 1, 0.5).requires_grad_()

    def logits(self, rows):
        user, ad, hour, tags = look_up(self.tables["embedding"], rows)
        h = torch.cat([user, hour, self.interest(rows, True)], 1)
        for layer in range(1, len(HIDDEN) + 1):
            h = h @ self.dense["w%d" % layer] + self.dense["bw%d" % layer]
            assert h.abs().min() > 1e-4, "draw other weights"
            h = F.relu(h)
        price = torch.tensor([[row["price"]] for row in rows])
        item = torch.cat([ad, tags, price], 1) @ self.dense["item"] + self.dense["bitem"]
        return (h * item).sum(1, keepdim=True) + self.dense["bias"]


def golden(name, model, source):
    histories = isinstance(model, Interests)
    rows = source.rows_with_histories() if histories else [source.row(i) for i in range(ROWS)]
    labels = torch.tensor([[float(row["label"])] for row in rows])
    logits = model.logits(rows)
    loss = F.binary_cross_entropy_with_logits(logits, labels)
    loss.backward()
    expected = {
        "logits": logits[:, 0],
        "probabilities": torch.sigmoid(logits)[:, 0],
        "loss": loss,
        "gradients": {
            "tables": {
                kind: named_rows(tables, {f: t.grad for f, t in tables.items()}, rows)
                for kind, tables in model.tables.items()
            },
            "dense": {n: w.grad for n, w in model.dense.items()},
        },
    }
    if getattr(model, "running", None):
        expected["running"] = dict(model.running)
        expected["eval_logits"] = model.logits(rows, training=False)[:, 0]
    # Near zero the terms of a logit cancel, and with them the digits that float32 has of them.
    predicted = expected.get("eval_logits", expected["logits"])
    assert predicted.abs().min() > 0.01, "draw other weights"
    content = {
        "model": name,
        "about": " ".join(model.__doc__.split()),
        "rows": rows,
        "weights": {
            "tables": {kind: named_rows(t, t) for kind, t in model.tables.items()},
            "dense": model.dense,
        },
        "expected": expected,
    }
    if getattr(model, "batch_norm", False):
        content["batch_norm"] = {"eps": BN_EPS, "momentum": BN_MOMENTUM}
    write(name + ".json", content)


# ---- optimizers ----

STEPS = 3
# The third weight sees only zero gradients, the fourth tiny ones.
WEIGHTS = [0.5, -1.25, 2.0, 0.03125, -0.75]
GRADIENTS = [
    [0.1, -2.0, 0.0, 1e-4, 0.7],
    [-0.3, -1.0, 0.0, -2e-4, 0.7],
    [0.2, 4.0, 0.0, 3e-4, -0.1],
]


def adagrad(w, lr=0.01, eps=1e-10, start=0.0):
    return torch.optim.Adagrad([w], lr=lr, eps=eps, initial_accumulator_value=start)


def adam(w, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    return torch.optim.Adam([w], lr=lr, betas=(beta1, beta2), eps=eps)


def sgd(w, lr=0.1):
    return torch.optim.SGD([w], lr=lr)


def momentum(w, lr=0.01, momentum=0.9, nesterov=0):
    return torch.optim.SGD([w], lr=lr, momentum=momentum, nesterov=nesterov == 1)


def ftrl(w, lr=0.1, beta=1.0):
    """Without l1 and l2 the steps of FTRL-Proximal are those of Adagrad, beta being its eps."""
    return torch.optim.Adagrad([w], lr=lr, eps=beta)


CASES = [
    (sgd, {"lr": 0.1}),
    (sgd, {"lr": 0.03125}),
    (adagrad, {"lr": 0.01, "eps": 1e-10, "start": 0}),
    (adagrad, {"lr": 0.5, "eps": 1e-10, "start": 0.1}),
    (adagrad, {"lr": 0.05, "eps": 0.01, "start": 0}),
    (adam, {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}),
    (adam, {"lr": 0.1, "beta1": 0.5, "beta2": 0.75, "eps": 0.01}),
    (momentum, {"lr": 0.01, "momentum": 0.9}),
    (momentum, {"lr": 0.0625, "momentum": 0.75, "nesterov": 1}),
    (ftrl, {"lr": 0.1, "beta": 1}),
    (ftrl, {"lr": 0.5, "beta": 0.001}),
]


def optimizer_case(make, options, weights, gradients):
    w = torch.tensor(weights, requires_grad=True)
    optimizer = make(w, **options)
    after = []
    for gradient in gradients:
        w.grad = torch.tensor(gradient)
        optimizer.step()
        after.append(w.detach().tolist())
    return {"optimizer": make.__name__, "options": options, "after": after}


def write_optimizers():
    weights = [float32(x) for x in WEIGHTS]
    gradients = [[float32(x) for x in g] for g in GRADIENTS]
    cases = [optimizer_case(make, options, weights, gradients) for make, options in CASES]
    write("optim.json", {"weights": weights, "gradients": gradients, "cases": cases})


def main():
    for name, seed, make in (
        ("lr", 5, Linear),
        ("fm", 2, Factorization),
        ("dnn", 3, Deep),
        ("dnn_bn", 4, lambda source: Deep(source, batch_norm=True)),
        ("mlr", 6, Mixture),
        ("deepfm", 7, DeepFactorization),
        ("wide_deep", 8, WideDeep),
        ("dcn", 9, Cross),
        ("dcn_v2", 10, CrossMatrix),
        ("dcn_v2_stacked", 11, CrossStacked),
        ("base", 18, lambda source: Interests(source, "prelu")),
        ("din", 13, lambda source: Interests(source, "dice", ATTENTION)),
        (
            "din_softmax",
            16,
            lambda source: Interests(source, "prelu", ATTENTION, softmax=True, outer=True),
        ),
        ("youtube_dnn", 15, Tower),
    ):
        source = Source(seed)
        golden(name, make(source), source)
    write_optimizers()


if __name__ == "__main__":
    main()
