"""Days on which the monitors of `nrt` alarm; run by an interpreter of an environment that has it, for `evaluate.py`.

    PYTHON benchmarks/peer_alarms.py GIVEN.npz FOUND.npz

GIVEN: ndvi (T, y, x), NaN where not clear; days (T,) since 1970; history, how many dates are. FOUND: by the monitor's
name an array (y, x) of days since 1970, 0 where it never alarmed.
"""

import sys
import warnings
from datetime import datetime, timedelta

import numpy as np
import xarray as xr

warnings.filterwarnings("ignore")


def monitors():
    """Name -> (monitor, options of its fit): the default sensitivity, and stricter ones."""
    from nrt.monitor import ccdc, cusum, ewma, mosum

    found = {}
    for k in (2, 4, 8):
        options = {"method": "OLS", "screen_outliers": "Shewhart"}
        found[f"nrt EWMA, sensitivity {k}"] = ewma.EWMA(trend=False, sensitivity=k), options
    for level in (0.05, 0.001):
        found[f"nrt CUSUM, level {level}"] = cusum.CuSum(trend=False, sensitivity=level), {"method": "ROC"}
        found[f"nrt MoSum, level {level}"] = mosum.MoSum(trend=False, sensitivity=level), {"method": "ROC"}
    for k in (3, 5):
        options = {"method": "CCDC-stable", "screen_outliers": None}
        found[f"nrt CCDC, sensitivity {k}"] = ccdc.CCDC(trend=True, sensitivity=k), options
    return dict(sorted(found.items()))


def main():
    given = np.load(sys.argv[1])
    values, days, history = given["ndvi"], given["days"], int(given["history"])
    dates = (np.datetime64(0, "D") + days).astype("datetime64[ns]")
    grid = {"time": dates, "y": np.arange(values.shape[1]), "x": np.arange(values.shape[2])}
    cube = xr.DataArray(values, dims=("time", "y", "x"), coords=grid)
    found = {}
    for name, (monitor, options) in monitors().items():
        try:
            monitor.fit(dataarray=cube[:history], **options)
            for t in range(history, len(days)):
                monitor.monitor(array=values[t], date=datetime(1970, 1, 1) + timedelta(int(days[t])))
            found[name] = np.where(monitor.mask == 3, monitor.detection_date, 0)
        except Exception as error:  # whatever one dies of, the others go on
            print(f"{name}: {type(error).__name__} {str(error)[:80]!r}", file=sys.stderr)
    np.savez(sys.argv[2], **found)


if __name__ == "__main__":
    main()
