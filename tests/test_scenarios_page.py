"""Every story that the simulator's page can play ends as it must, with the real firmware.

On virtual time, with the settings and the speed at which the page plays it.
"""

import pytest

from simulator import flash, scenarios
from simulator.scenarios import Stage
from whole import House, chip, virtual

WATCHED_S = 60.0  # nobody watches longer
GRAIN_MS = 10  # coarser, and the steps of a fast boot fall together


class Fast(House):
    """A house in which Pi, printer and plug are as fast as on the page. `stage` is its stage."""

    def __init__(self, folder, scenario):
        given = flash.faster({}, scenarios.SPEED) | scenario.settings
        super().__init__(folder, on=False, broker=True, grain_ms=GRAIN_MS, **given)

    async def __aenter__(self):
        await super().__aenter__()
        self.pi.speed = self.printer.speed = scenarios.SPEED
        self.pi.boot_s = 10.0
        self.wifi.join_ms = 300 / scenarios.SPEED
        await self.mains(True)
        self.stage = Stage(
            chip,
            self.pi,
            self.broker,
            self.press,
            lambda: [alias for _, alias in self.states],
            lambda: self.reason,
            self.plug.s.mqtt_topic,
        )
        return self


@pytest.mark.parametrize("name", scenarios.BY_NAME)
@virtual
async def test_a_scenario_ends_as_it_must_within_a_minute(tmp_path, name):
    scenario = scenarios.BY_NAME[name]
    told = []
    async with Fast(tmp_path, scenario) as house:
        await scenarios.play(scenario, house.stage, told.append)
        assert scenarios.wrong(scenario, house.stage) == []
        assert told == list(range(len(scenario.steps)))
        print(name, house.s)
        assert house.s < WATCHED_S
