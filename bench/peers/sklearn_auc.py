#!/usr/bin/env python3
"""The AUC of scikit-learn, timed, as one JSON line.

    python3 sklearn_auc.py SCORES LABELS     files of float32
"""
import json
import resource
import sys
import time

import numpy
import sklearn
from sklearn.metrics import roc_auc_score

scores = numpy.fromfile(sys.argv[1], "f4")
labels = numpy.fromfile(sys.argv[2], "f4")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start, cpu = time.perf_counter(), time.process_time()
auc = roc_auc_score(labels, scores)
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"auc": auc, "seconds": seconds, "cpu": cpu, "bytes": 1024 * (peak - before),
                  "version": sklearn.__version__}))
