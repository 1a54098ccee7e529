"""Times the peers of `bench_surface.py` on its series; run by an interpreter of an environment that has them.

One line a peer: name, million pixel-dates a second fitted, and updated date by date (nan: it cannot update).
"""

import sys
import time
import warnings
from datetime import datetime, timedelta

import numpy as np

warnings.filterwarnings("ignore")
PIXELS_OF_A_LOOP = 400


def load(path):
    """Values (T, K, P), reflectance; days since 1970; number of history dates; side of the tile."""
    data = np.load(path)
    values = data["values"]
    return values, data["days"], int(data["history"]), int(np.sqrt(values.shape[-1]))


def nrt(name, values, days, history, side):
    """One of nrt's monitors on the first band, CCDC without the screening that needs two more."""
    import xarray as xr
    from nrt.monitor import ccdc, cusum, ewma, mosum

    make, options = {
        "EWMA": (ewma.EWMA, {"method": "OLS"}),
        "CUSUM": (cusum.CuSum, {"method": "ROC"}),
        "MoSum": (mosum.MoSum, {"method": "OLS"}),
        "CCDC": (ccdc.CCDC, {"method": "CCDC-stable", "screen_outliers": None}),
    }[name]
    dates = (np.datetime64(0, "D") + days).astype("datetime64[ns]")
    grid = {"time": dates, "y": np.arange(side), "x": np.arange(side)}
    cube = xr.DataArray(values[:, 0].reshape(len(days), side, side), dims=("time", "y", "x"), coords=grid)
    for _ in range(2):  # the first round compiles
        monitor = make(trend=name == "CCDC")  # CCDC knows no fit without
        begun = time.perf_counter()
        monitor.fit(dataarray=cube[:history], **options)
        fitted = time.perf_counter() - begun
        begun = time.perf_counter()
        for t in range(history, len(days)):
            monitor.monitor(array=cube[t].values, date=datetime(1970, 1, 1) + timedelta(int(days[t])))
        watched = time.perf_counter() - begun
    return history * side**2 / fitted, (len(days) - history) * side**2 / watched


def sccd(values, days, history, side):
    """pyxccd's S-CCD, all six bands, some pixels in a loop."""
    from pyxccd import sccd_detect, sccd_update

    ordinals = days + datetime(1970, 1, 1).toordinal()
    counts = np.nan_to_num(values[:, :, :PIXELS_OF_A_LOOP] * 1e4).astype(np.int64)
    masks = np.where(np.isfinite(values[:, 0, :PIXELS_OF_A_LOOP]), 0, 255).astype(np.int64)

    def given(part, pixel):
        bands = [np.ascontiguousarray(counts[part, k, pixel]) for k in range(6)]
        return (ordinals[part].astype(np.int64), *bands, np.ascontiguousarray(masks[part, pixel]))

    past = slice(0, history)
    begun = time.perf_counter()
    states = [sccd_detect(*given(past, pixel)) for pixel in range(PIXELS_OF_A_LOOP)]
    fitted = time.perf_counter() - begun
    begun = time.perf_counter()
    for t in range(history, len(days)):
        states = [sccd_update(state, *given(slice(t, t + 1), pixel)) for pixel, state in enumerate(states)]
    watched = time.perf_counter() - begun
    return history * PIXELS_OF_A_LOOP / fitted, (len(days) - history) * PIXELS_OF_A_LOOP / watched


def bfast(values, days, history, side):
    """bfast's monitor on the first band, OpenCL on the processor; it judges a whole series and has no update."""
    from bfast import BFASTMonitor

    dates = [datetime(1970, 1, 1) + timedelta(int(day)) for day in days]
    data = np.where(np.isfinite(values[:, 0]), values[:, 0] * 1e4, -32768).astype(np.int16).reshape(-1, side, side)
    for _ in range(2):
        model = BFASTMonitor(dates[history], freq=365, k=3, hfrac=0.25, trend=False, level=0.05, backend="opencl")
        begun = time.perf_counter()
        model.fit(data, dates, n_chunks=1, nan_value=-32768)
        seconds = time.perf_counter() - begun
    return len(days) * side**2 / seconds, float("nan")


def main():
    series = load(sys.argv[1])
    peers = {f"nrt {name}": (lambda name=name: nrt(name, *series)) for name in ("EWMA", "CUSUM", "MoSum", "CCDC")}
    peers |= {"pyxccd S-CCD": lambda: sccd(*series), "bfast": lambda: bfast(*series)}
    for name, run in peers.items():
        try:
            fitted, updated = run()
            print(f"{name}|{fitted / 1e6}|{updated / 1e6}", flush=True)
        except ImportError:
            continue
        except Exception as error:  # whatever a peer dies of, the others go on
            print(f"{name}|failed: {type(error).__name__} {str(error)[:80]!r}", flush=True)


if __name__ == "__main__":
    main()
