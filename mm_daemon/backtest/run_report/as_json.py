"""The report of recorded runs for programs: figures, their definitions, and all detail."""

from collections.abc import Sequence

import msgspec

from mm_daemon.backtest.run_report.figure_list import FIGURES
from mm_daemon.backtest.run_report.report import RunReport

_encoder = msgspec.json.Encoder(decimal_format="number")


def to_json(reports: Sequence[RunReport]) -> bytes:
    """All of it, the definitions included: `{"runs": [...], "figures": [...]}`."""
    definitions = [
        {
            "key": figure.key,
            "label": figure.label,
            "unit": figure.unit,
            "definition": figure.definition,
            "formula": figure.formula,
            "records": figure.records,
        }
        for figure in FIGURES
    ]
    runs = []
    for report in reports:
        markets = []
        for market in report.markets:
            told = {}
            for figure in FIGURES:
                value, error = figure.of(market)
                told[figure.key] = {"value": value} if error is None else {"value": value, "error": error}
            markets.append({"market": market.market, "currency": market.currency, "values": told, "detail": market})
        fields = {name: getattr(report, name) for name in RunReport.__struct_fields__ if name != "markets"}
        runs.append({**fields, "markets": markets})
    return _encoder.encode({"runs": runs, "figures": definitions})
