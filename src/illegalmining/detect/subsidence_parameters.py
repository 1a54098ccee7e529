"""How displacement is judged."""

from __future__ import annotations

from dataclasses import dataclass, field

from illegalmining.detect.bowls import SearchParameters
from illegalmining.detect.declared_faces import DeclaredParameters
from illegalmining.detect.declared_verdicts import VerdictParameters
from illegalmining.detect.deformation import DeformationParameters
from illegalmining.detect.face_draws import DrawParameters
from illegalmining.detect.face_noise import MeasuredNoise
from illegalmining.detect.inversion import InversionParameters
from illegalmining.detect.joint_scene import JointParameters
from illegalmining.detect.lost_core import LostParameters


@dataclass(frozen=True)
class SubsidenceParameters:
    """How displacement is judged.

    least_log_lr: nats from which a face is reported: chance alone brings as much once in exp(3) = 20 scenes.
    most_log_lr: what evidence of one kind may reach, nats: the method itself is wrong at times. deepest_nats: below
    it a bowl is not inverted. prior_*: the face that `smallest_site_m2` is reckoned with (thickness m, subsidence
    factor, tan(beta), depth m; shared/science.md). tan_beta_low, tan_beta_high: range of tan(beta), science.md.
    least_peak_mm: smallest peak taken for a face, mm: two thirds of the 30 mm that science.md calls a small one.
    most_peak_mm: largest, mm. most_mm_a_z: largest peak for each standard deviation seen, mm: more is a panel that
    the data do not hold. prior_days: its extraction, days. misfit_share, misfit_nats: share of the movement that a
    face may leave unexplained, and nats taken off for all of it. tile_m, margin_m: side of the tiles that a scene is
    judged in, and how far over its side a tile looks, m. fewest_pixels: in a tile, to judge it. contradicted_nats:
    price of a source being wrong of a place, nats: one place in a hundred.
    """

    deformation: DeformationParameters = field(default_factory=DeformationParameters)
    search: SearchParameters = field(default_factory=SearchParameters)
    inversion: InversionParameters = field(default_factory=InversionParameters)
    draws: DrawParameters = field(default_factory=DrawParameters)
    noise: MeasuredNoise = field(default_factory=MeasuredNoise)
    declared: DeclaredParameters = field(default_factory=DeclaredParameters)
    verdicts: VerdictParameters = field(default_factory=VerdictParameters)
    joint: JointParameters = field(default_factory=JointParameters)
    lost: LostParameters = field(default_factory=LostParameters)
    least_log_lr: float = 3.0
    most_log_lr: float = 12.0
    prior_thickness_m: float = 2.0
    prior_q: float = 0.7
    prior_tan_beta: float = 2.0
    prior_depth_m: float = 300.0
    prior_days: float = 180.0
    tan_beta_low: float = 1.5
    tan_beta_high: float = 2.4
    least_peak_mm: float = 15.0
    most_peak_mm: float = 6000.0
    most_mm_a_z: float = 40.0
    tile_m: float = 15000.0
    margin_m: float = 2500.0
    fewest_pixels: int = 64
    misfit_share: float = 0.1
    misfit_nats: float = 20.0
    contradicted_nats: float = 4.6
