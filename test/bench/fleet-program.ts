// Plays the agents of a load, in a process of its own: it is told over IPC what they shall do, and answers with what it took.

import { setTimeout as sleep } from 'node:timers/promises';
import { reconnectDelayMs } from '../../agent/link/backoff.ts';
import { encodeFrame } from '../../protocol/session.ts';
import { bareCommands, type CommandFigures, latchkeyCommands } from './commands.ts';
import type { Figures, Order } from './fleet.ts';
import { behaveBadly } from './hostile.ts';
import { Member } from './member.ts';
import { quantile, type Spread } from './table.ts';

const PAUSE_MS = 10;
/** Of one agent, each later than the one before. */
const TRIES_MAX = 12;
let members: Member[] = [];
let isBare = false;
let url = '';

const spread = (values: number[]): Spread => ({ p50: quantile(values, 0.5), p99: quantile(values, 0.99) });

/** Until all of them are in, each trying again as the link does. */
async function connectAll(inFlight: number): Promise<Figures> {
  const since = performance.now();
  let [next, turnedAway, lastMs] = [0, 0, 0];
  const times: number[] = [];
  const worker = async () => {
    for (let member = members[next++]; member; member = members[next++]) {
      const begun = performance.now();
      for (let attempt = 1; !(await member.connect(url, isBare)); attempt += 1) {
        if (attempt === TRIES_MAX) throw new Error(`turned away ${attempt} times`);
        turnedAway += 1;
        await sleep(reconnectDelayMs(attempt, Math.random()));
      }
      times.push(performance.now() - begun);
      lastMs = performance.now() - since;
    }
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, members.length) }, worker));
  return { ms: lastMs, turnedAway, ...spread(times) };
}

async function heartbeats(perSecond: number, seconds: number): Promise<Figures> {
  const text = encodeFrame({ t: 'heartbeat', uptime_s: 1 });
  const since = performance.now();
  let sent = 0;
  while (performance.now() - since < seconds * 1_000) {
    const due = Math.floor(((performance.now() - since) / 1_000) * perSecond);
    for (; sent < due; sent += 1) members[sent % members.length]?.send(text);
    await sleep(PAUSE_MS);
  }
  return { ms: performance.now() - since, count: sent };
}

async function pings(count: number, seconds: number): Promise<Figures> {
  const times: number[] = [];
  const until = performance.now() + seconds * 1_000;
  const quiet = members.slice(0, count);
  while (performance.now() < until) {
    times.push(...(await Promise.all(quiet.map((member) => member.ping()))));
    await sleep(PAUSE_MS);
  }
  return { count: times.length, ...spread(times) };
}

async function obey(order: Order): Promise<Figures | CommandFigures> {
  switch (order.do) {
    case 'make':
      isBare = order.isBare;
      url = order.url;
      members = [];
      for (let number = order.from; number < order.from + order.count; number += 1)
        members.push(await Member.make(number));
      return {};
    case 'connect':
      return connectAll(order.inFlight);
    case 'drop':
      for (const member of members) member.drop();
      return {};
    case 'heartbeats':
      return heartbeats(order.perSecond, order.seconds);
    case 'pings':
      return pings(order.count, order.seconds);
    case 'commands':
      return order.api
        ? latchkeyCommands(members.slice(0, order.count), order.api, order.inFlight)
        : bareCommands(members.slice(0, order.count), order.inFlight);
    case 'misbehave':
      return behaveBadly(order.how, members, url);
  }
}

process.on('message', (order: Order) => {
  obey(order).then(
    (figures) => process.send?.(figures),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on('disconnect', () => process.exit());
