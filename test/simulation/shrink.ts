// Makes a scenario that breaks a rule as small as it goes: leaves out one thing after the other, for as long as some rule
// is still broken.

import { type Scenario, scenarioOf } from './scenario.ts';
import { judge } from './truth.ts';
import { World } from './world.ts';

export async function shrink(scenario: Scenario): Promise<Scenario> {
  let smallest = scenario;
  for (let found = true; found; ) {
    found = false;
    for (const candidate of smaller(smallest)) {
      if ((await judge(new World(candidate))).broken.length === 0) continue;
      smallest = candidate;
      found = true;
      break;
    }
  }
  return smallest;
}

function smaller(scenario: Scenario): Scenario[] {
  const plain = scenarioOf();
  const candidates: Scenario[] = [];
  const { episodes, machine, order } = scenario;
  for (const [i, episode] of episodes.entries()) {
    const put = (...replacement: Scenario['episodes']) =>
      candidates.push({ ...scenario, episodes: episodes.toSpliced(i, 1, ...replacement) });
    if (i > 0 || episodes.length === 1) put();
    if (episode.blow) put({ ...episode, blow: null });
    if (episode.first) put({ ...episode, first: null });
    for (const [j] of episode.happenings.entries()) put({ ...episode, happenings: episode.happenings.toSpliced(j, 1) });
  }
  for (const key of Object.keys(machine) as (keyof Scenario['machine'])[]) {
    if (machine[key] !== plain.machine[key])
      candidates.push({ ...scenario, machine: { ...machine, [key]: plain.machine[key] } });
  }
  if (order.graceS > 0) candidates.push({ ...scenario, order: { ...order, graceS: 0 } });
  if (order.vnc && order.account) candidates.push({ ...scenario, order: { ...order, vnc: null } });
  return candidates;
}
