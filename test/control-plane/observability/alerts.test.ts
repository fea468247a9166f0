// The files that operators give to Prometheus and Grafana: rules that fire when they should and not otherwise, by Prometheus's own
// program, and nothing in them that the control plane does not tell.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Metrics } from '../../../control-plane/observability/metrics.ts';
import { states } from '../../../protocol/lifecycle.ts';
import { unavailable } from '../../requirements.ts';

const FOLDER = join(import.meta.dirname, '../../../control-plane/observability');
const read = (name: string) => readFileSync(join(FOLDER, name), 'utf8');
const files = ['alerts.yml', 'dashboard.json'];

test.each(files)('%s names metrics that there are, and no others', async (name) => {
  const queues = { audit_handover: 0, secrets_uncollected: 0, store_writes: 0 };
  const text = await new Metrics().text({ agents: [], openOperations: new Map(), queues });
  const told = new Set([...text.matchAll(/^# TYPE (\w+)/gm)].map(([, metric]) => metric));
  const named = [...read(name).matchAll(/\blatchkey_\w+/g)].map(([metric]) => metric.replace(/_bucket$/, ''));
  expect(named.length).toBeGreaterThan(5);
  expect([...new Set(named)].filter((metric) => !told.has(metric))).toEqual([]);
});

test.each(files)('%s names states that there are', (name) => {
  const named = [...read(name).matchAll(/[A-Z]{4,}(\|[A-Z]+)*/g)].flatMap(([found]) => found.split('|'));
  expect(named.filter((state) => !(states as readonly string[]).includes(state))).toEqual([]);
});

test('the dashboard is one that Grafana can import: a data source to choose, panels with queries and places of their own', () => {
  const { panels, templating } = JSON.parse(read('dashboard.json'));
  expect(templating.list).toMatchObject([{ name: 'datasource', type: 'datasource', query: 'prometheus' }]);
  const places = panels.map(({ gridPos: { x, y } }: { gridPos: { x: number; y: number } }) => `${x}/${y}`);
  expect(new Set(places).size).toBe(panels.length);
  for (const { targets } of panels) for (const { expr } of targets) expect(expr).toMatch(/latchkey_/);
});

test('the rules fire when they should, and not otherwise', (context) => {
  const cases = join(import.meta.dirname, 'alerts-cases.yml');
  const { error, status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', cases], { encoding: 'utf8' });
  if (error) unavailable(context, 'promtool', 'apt-get install --no-install-recommends prometheus');
  expect([status, `${stdout}${stderr}`]).toEqual([0, expect.stringContaining('SUCCESS')]);
});
