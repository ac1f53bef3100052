"""A store whose rides are served, for tests of what comes after the first materialization."""

import datetime as dt

import foldstore

DAY = [dt.datetime(2024, 1, day, tzinfo=dt.UTC) for day in range(1, 29)]


def rides_view(**options):
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    given = {"entity": driver, "source": "rides", "event_time": "ts", "features": ["trips", "city"], **options}
    return foldstore.FeatureView("stats", **given)


def ride(driver, day, trips, city="Oslo"):
    return {"driver": driver, "ts": DAY[day], "trips": trips, "city": city}


def columns(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


def serve_rides(folder, rows, *, key=("driver", "ts"), **options):
    store = foldstore.connect(folder)
    store.create_dataset("rides", key=list(key)).append(columns(rows))
    store.features.apply(foldstore.FeatureService("model", [rides_view(**options)]))
    store.features.materialize("model")
    return store


def trips(store, driver, day=27):
    found = store.features.get_online_features("model", [{"driver": driver}], at=DAY[day])
    answer = found.to_dict(include_statuses=True)
    return answer["trips"][0], answer["trips__status"][0]
