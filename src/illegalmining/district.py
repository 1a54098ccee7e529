"""The configuration of a district, read once: `district.toml` as checked, immutable values.

Nothing is opened here; `registers`, `imagery` and `power` open what the configuration names, lazily.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyproj
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from illegalmining.errors import ConfigurationError
from illegalmining.secrets import redacted

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

YEARS = (1970, 2200)
"""Years a district may be watched in: before, there was no satellite; later, dates run out of nanoseconds."""
LARGEST_FILE = 1 << 20
"""Bytes of a `district.toml`."""

Sensor = Literal["optical", "radar", "displacement", "nightlight"]


class Section(BaseModel):
    """A section of the file: unknown keys are an error, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DistrictSection(Section):
    """What is watched, and over which days."""

    name: str = Field(min_length=1, max_length=200, description="as it stands on maps")
    crs: str = Field(description="projected working CRS in metres")
    bounds: tuple[float, float, float, float] = Field(description="xmin, ymin, xmax, ymax in that CRS, m")
    history_from: date = Field(description="baselines are fitted from here")
    monitor_from: date = Field(description="every observation from here on is judged")
    as_of: date = Field(description="the last day looked at")
    language: Literal["en", "zh"] = Field(default="en", description="of maps, sentences and reports")

    @field_validator("name")
    @classmethod
    def name_can_be_printed(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("must hold no line break and no control character")
        return value

    @field_validator("crs")
    @classmethod
    def crs_is_projected_in_metres(cls, value: str) -> str:
        try:
            crs = pyproj.CRS.from_user_input(value)
        except pyproj.exceptions.CRSError as error:
            raise ValueError(f"{value!r} is not a coordinate reference system PROJ knows") from error
        units = {axis.unit_name for axis in crs.axis_info}
        if not crs.is_projected or units != {"metre"}:
            raise ValueError(f"{value} must be projected with metres as its unit; found units {sorted(units)}")
        return value

    @model_validator(mode="after")
    def order_holds(self) -> DistrictSection:
        xmin, ymin, xmax, ymax = self.bounds
        if not (xmin < xmax and ymin < ymax):
            raise ValueError(f"bounds must be xmin, ymin, xmax, ymax with min < max; found {self.bounds}")
        first, last = YEARS
        for name in ("history_from", "monitor_from", "as_of"):
            if not first <= getattr(self, name).year <= last:
                raise ValueError(f"{name} must lie between {first} and {last}; found {getattr(self, name)}")
        if not self.history_from < self.monitor_from <= self.as_of:
            raise ValueError(
                f"history_from < monitor_from <= as_of must hold; found {self.history_from}, "
                f"{self.monitor_from}, {self.as_of}"
            )
        return self


class RegistersSection(Section):
    """Where each register lies, relative to the file; only `jurisdictions` must be there."""

    jurisdictions: str = Field(description="counties: code, name, level, outline")
    concessions: str | None = Field(default=None, description="licences: polygons, or a table of corners")
    mines: str | None = Field(default=None, description="yards, operators and the licence each mine works under")
    mine_status: str | None = Field(default=None, description="what each mine may do, and since when")
    working_faces: str | None = Field(default=None, description="faces declared underground")
    meters: str | None = Field(default=None, description="which meter supplies whom, and where it stands")
    production: str | None = Field(default=None, description="tonnes declared by month")
    closure_list: str | None = Field(default=None, description="closures known by name only")
    link_decisions: str = Field(
        default="link_decisions.csv", description="what a person has decided of closures known by name"
    )
    recipients: str | None = Field(default=None, description="who receives a package, and the key it is sealed to")
    roads: str | None = Field(default=None, description="for maps and for routes")

    @field_validator("*")
    @classmethod
    def is_a_file_here(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            raise ValueError(f"must be a file on this machine; found {value}: copy it beside district.toml")
        return value


def without_secret(address: str) -> str:
    """The address, if it holds no credentials."""
    if redacted(address) != address:
        raise ValueError("must hold no credentials and no signature: put them into the environment")
    return address


class ImagerySource(Section):
    """One source of images or movement."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="unique; as it stands on maps")
    sensor: Sensor = Field(description="what is measured")
    source: Literal["stac", "stack", "cube"] = Field(description="catalogue, dated GeoTIFFs, or one file of all")
    href: str = Field(description="where it lies: a path, a glob, or an address")
    resolution: float | None = Field(default=None, gt=0, description="m; absent: the source's own")
    collection: str | None = Field(default=None, description="collection to ask a STAC API for")

    @field_validator("href")
    @classmethod
    def href_holds_no_secret(cls, value: str) -> str:
        return without_secret(value)


class PowerSection(Section):
    """Meter readings."""

    readings: str = Field(description="glob of Parquet or CSV files")
    timezone: str = Field(default="Asia/Shanghai", description="of times that state no offset")
    weather: str | None = Field(default=None, description="table of date, rain_mm, temperature_c; absent: inferred")

    @field_validator("readings")
    @classmethod
    def readings_hold_no_secret(cls, value: str) -> str:
        return without_secret(value)

    @field_validator("weather")
    @classmethod
    def weather_is_a_file_here(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            raise ValueError(f"must be a file on this machine; found {value}: copy it beside district.toml")
        return value

    @field_validator("timezone")
    @classmethod
    def timezone_is_known(cls, value: str) -> str:
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is not an IANA time zone such as Asia/Shanghai") from error
        return value


class LedgerSection(Section):
    """Where cases are remembered, and how long a jurisdiction has to answer."""

    url: str | None = Field(default=None, description="PostgreSQL database shared by offices; absent: a file")
    answer_days: int = Field(default=30, ge=1, le=3650, description="days a jurisdiction has to answer for a case")

    @field_validator("url")
    @classmethod
    def url_holds_no_password(cls, value: str | None) -> str | None:
        from urllib.parse import urlsplit

        if value is None:
            return value
        parts = urlsplit(value)
        if not parts.scheme.startswith("postgresql"):
            raise ValueError("must be a PostgreSQL database: postgresql+psycopg://user@host:5432/name")
        if parts.password or "password=" in parts.query:
            raise ValueError("must hold no password: put it into ~/.pgpass or the variable PGPASSWORD")
        return value


class ComputeSection(Section):
    """How much of the machine to use."""

    workers: int = Field(default=2, ge=1, le=1024, description="threads or processes at once")
    memory: str = Field(
        default="4GB",
        pattern=r"^\d+(\.\d+)?\s*[KMGT]i?B$",
        description="what reading meters may take before it works on disk, and tiles of ground movement judged at "
        "once; images take about 0.5 GB a worker",
    )
    scheduler: str | None = Field(default=None, description="address of an existing Dask scheduler")
    tls_ca: str | None = Field(default=None, description="PEM of the authority a tls:// scheduler is trusted by")
    tls_cert: str | None = Field(default=None, description="PEM of the certificate shown to the scheduler")
    tls_key: str | None = Field(default=None, description="PEM of that certificate's key")

    @property
    def megabytes(self) -> int:
        """`memory` in MB of a million bytes, KiB and so on counted as they are."""
        found = re.fullmatch(r"([\d.]+)\s*([KMGT])(i?)B", self.memory)
        assert found is not None  # the field's own pattern
        step = 1024 if found[3] else 1000
        return max(1, round(float(found[1]) * step ** (1 + "KMGT".index(found[2])) / 1e6))

    @model_validator(mode="after")
    def certificates_come_together(self) -> ComputeSection:
        given = [name for name in ("tls_ca", "tls_cert", "tls_key") if getattr(self, name) is not None]
        if given and len(given) < 3:
            raise ValueError(f"tls_ca, tls_cert and tls_key belong together; found only {', '.join(given)}")
        if given and self.scheduler is not None and not self.scheduler.startswith("tls://"):
            raise ValueError(f"certificates are for a tls:// scheduler; found {self.scheduler}")
        return self


class Configuration(Section):
    """All of `district.toml`."""

    district: DistrictSection
    registers: RegistersSection
    imagery: tuple[ImagerySource, ...] = ()
    power: PowerSection | None = None
    ledger: LedgerSection = LedgerSection()
    compute: ComputeSection = ComputeSection()

    @model_validator(mode="after")
    def source_names_are_unique(self) -> Configuration:
        names = [source.name for source in self.imagery]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"every [[imagery]] needs a name of its own; found twice: {', '.join(twice)}")
        return self


@dataclass(frozen=True)
class District:
    """A configured district: the checked configuration and the folder its paths are relative to."""

    path: Path
    configuration: Configuration

    @property
    def name(self) -> str:
        return self.configuration.district.name

    @property
    def root(self) -> Path:
        return self.path.parent

    @property
    def out(self) -> Path:
        """Where this run's results go: `out/<as_of>/` beside the file."""
        return self.root / "out" / self.configuration.district.as_of.isoformat()

    @property
    def state(self) -> Path:
        """What is remembered between runs: detections already made, the ledger."""
        return self.root / "state"

    @property
    def ledger(self) -> Path | str:
        """Where cases are remembered: a file beside the district, or the URL of a shared database."""
        return self.configuration.ledger.url or self.state / "ledger.sqlite"

    @cached_property
    def crs(self) -> pyproj.CRS:
        return pyproj.CRS.from_user_input(self.configuration.district.crs)

    def source(self, name: str) -> ImagerySource:
        """The source of images or movement of that name; `ConfigurationError` where there is none."""
        for source in self.configuration.imagery:
            if source.name == name:
                return source
        known = ", ".join(source.name for source in self.configuration.imagery) or "none"
        raise ConfigurationError(f"{self.path}: no [[imagery]] is named {name!r}; found {known}")

    def resolve(self, href: str) -> str:
        """An input's address: as it is where it is a URL or absolute, else relative to the file."""
        return href if "://" in href or Path(href).is_absolute() else str(self.root / href)

    def pattern(self, href: str) -> str:
        """An input's glob: the wildcards are those of the file's author, never those of the district's own folder."""
        return href if "://" in href or Path(href).is_absolute() else str(Path(escape(str(self.root))) / href)

    def geobox(self, resolution: float) -> GeoBox:
        """The district's grid: north up, `resolution` m, anchored at the south-west corner of the bounds."""
        from affine import Affine
        from odc.geo.geobox import GeoBox

        xmin, ymin, xmax, ymax = self.configuration.district.bounds
        columns = max(1, round((xmax - xmin) / resolution))
        rows = max(1, round((ymax - ymin) / resolution))
        north_up = Affine(resolution, 0.0, xmin, 0.0, -resolution, ymin + rows * resolution)
        return GeoBox((rows, columns), north_up, self.crs.to_wkt())

    def at(self, as_of: date) -> District:
        """The same district seen on another day."""
        section = self.configuration.district
        if as_of < section.monitor_from:
            raise ConfigurationError(
                f"--as-of {as_of} lies before monitor_from {section.monitor_from} in {self.path}: choose a later day"
            )
        changed = self.configuration.model_copy(update={"district": section.model_copy(update={"as_of": as_of})})
        return replace(self, configuration=changed)

    def on(self, scheduler: str) -> District:
        """The same district, computed by an existing Dask scheduler."""
        compute = self.configuration.compute.model_copy(update={"scheduler": scheduler})
        return replace(self, configuration=self.configuration.model_copy(update={"compute": compute}))


def read_district(path: str | Path) -> District:
    """Read and check `district.toml`; nothing else is opened.

    Returns
    -------
    The configuration, and where inputs and results lie; bounds in m in `district.crs`.

    Raises
    ------
    ConfigurationError
        The file is missing, not TOML, or breaks the contract; names every key at fault.

    Examples
    --------
    >>> district = im.read_district("demo/district.toml")
    >>> district.configuration.district.crs
    'EPSG:4546'
    >>> [source.name for source in district.configuration.imagery]
    ['sentinel-2', 'sentinel-1', 'insar']
    """
    if "://" in str(path):
        raise ConfigurationError(f"{redacted(str(path))}: a district with its state and ledger lies on a file system")
    path = Path(path).resolve()
    try:
        if path.is_file() and path.stat().st_size > LARGEST_FILE:
            raise ConfigurationError(f"{path}: has {path.stat().st_size} bytes; a district.toml has a few hundred")
        raw: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: no such file; expected a district.toml") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from error
    try:
        return District(path, Configuration.model_validate(raw))
    except ValidationError as error:
        faults = "; ".join(describe(fault) for fault in error.errors())
        raise ConfigurationError(f"{path}: {faults}") from error


def describe(fault: Any) -> str:
    """One pydantic fault as `section.key: what is wrong (found ...)`."""
    where = ".".join(str(part) for part in fault["loc"]) or "district.toml"
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown key; remove it or correct its spelling"
    if fault["type"] == "missing":
        return f"{where}: missing"
    message = str(fault["msg"]).removeprefix("Value error, ")
    found = "" if fault["type"] == "value_error" else f" (found {fault['input']!r})"
    return f"{where}: {message}{found}"
