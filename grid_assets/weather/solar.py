"""The sun over a site: where it stands and what a cloudless sky lets through, computed once for a range of days."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Sun:
    """A row per interval: solar_elevation_degree, solar_azimuth_degree and clear_sky_ghi_w_m2 at the interval's middle."""

    table: pd.DataFrame

    @classmethod
    def over(cls, start_utc: pd.DatetimeIndex, interval: pd.Timedelta, latitude: float, longitude: float, altitude_m: float) -> Sun:
        """Positions by the NREL algorithm; clear sky by Haurwitz (1945), which needs the zenith only and no turbidity."""
        from pvlib.clearsky import haurwitz
        from pvlib.solarposition import get_solarposition

        position = get_solarposition(start_utc + interval / 2, latitude, longitude, altitude=altitude_m)
        clear = haurwitz(position["apparent_zenith"])["ghi"].fillna(0.0).to_numpy()
        stands = {"solar_elevation_degree": position["apparent_elevation"], "solar_azimuth_degree": position["azimuth"]}
        made = {name: values.to_numpy() for name, values in stands.items()}
        return cls(pd.DataFrame({**made, "clear_sky_ghi_w_m2": clear}, start_utc))

    def rows(self, start_utc: pd.DatetimeIndex) -> pd.DataFrame:
        """The rows of these intervals; they must be among those computed."""
        return self.table.loc[start_utc]
