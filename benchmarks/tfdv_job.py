"""Profile and judge a Parquet file by TensorFlow Data Validation; print the shortest times as JSON, in milliseconds.

TFDV 1.16 needs TensorFlow 2.16, numpy 1 and pyarrow 10: this runs in an environment of its own, `.venv-tfdv`, alone.
"""

import json
import logging
import os
import sys
import time
import warnings

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
warnings.simplefilter("ignore")
logging.disable(logging.WARNING)

import pyarrow.parquet as pq  # noqa: E402  # after TensorFlow is told to be quiet
import tensorflow_data_validation as tfdv  # noqa: E402


def best_of(job, times):
    """Return the shortest time of a job in milliseconds, and what it gave last."""
    best = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        given = job()
        best = min(best, time.perf_counter() - started)
    return best * 1000, given


before, after, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
frames = [pq.read_table(path).to_pandas() for path in (before, after)]
whole, _ = best_of(lambda: tfdv.generate_statistics_from_dataframe(frames[0], n_jobs=1), times)
learnt = tfdv.generate_statistics_from_dataframe(frames[0].head(len(frames[0]) // 12), n_jobs=1)
schema = tfdv.infer_schema(learnt)
for feature in schema.feature:  # each number by the divergence, each text by the greatest change, as TFDV can
    comparator = feature.drift_comparator
    if feature.type == 1:
        comparator.infinity_norm.threshold = 0.1
    else:
        comparator.jensen_shannon_divergence.threshold = 0.1
given = tfdv.generate_statistics_from_dataframe(frames[1], n_jobs=1)
judged, anomalies = best_of(lambda: tfdv.validate_statistics(given, schema, previous_statistics=learnt), times)
new, _ = best_of(
    lambda: tfdv.validate_statistics(
        tfdv.generate_statistics_from_dataframe(frames[1], n_jobs=1), schema, previous_statistics=learnt
    ),
    times,
)
print(json.dumps({"profile": whole, "judged": judged, "new": new, "found": sorted(anomalies.anomaly_info)}))
