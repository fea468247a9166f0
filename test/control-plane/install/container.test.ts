// The container file, without building it: understood by a linter, held to what it promises, and its command, its settings and its check
// of health tried.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DockerfileParser } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';
import { describe, expect, onTestFinished, test } from 'vitest';
import { exitOf, firstLine } from '../program.ts';
import { freePort } from '../store/postgres-server.ts';

const ROOT = join(import.meta.dirname, '../../..');
const TEXT = readFileSync(join(ROOT, 'control-plane/install/Containerfile'), 'utf8');
const START_MS_MAX = 120_000;

const file = DockerfileParser.parse(TEXT);
const last = file.getInstructions().slice(file.getInstructions().findLastIndex((each) => each.getKeyword() === 'FROM'));
const all = (keyword: string) => last.filter((each) => each.getKeyword() === keyword);
const argumentsOf = (keyword: string) => all(keyword).map((each) => each.getArgumentsContent() ?? '');

/** The settings of its environment. */
const environment: Record<string, string> = Object.fromEntries(
  file
    .getENVs()
    .flatMap((each) => each.getProperties().map((property) => [property.getName(), property.getValue() ?? ''])),
);

describe('the container file', () => {
  test('is understood by its linter, which sees what is wrong', () => {
    expect(validate(TEXT)).toEqual([]);
    expect(validate('FROM debian\nRUM true\n')).not.toEqual([]);
    expect(validate('FROM debian\nMAINTAINER me\n')).not.toEqual([]);
  });

  test('says of each image which one, and fetches nothing by itself', () => {
    const images = file.getFROMs().map((each) => each.getImage() ?? '');
    expect(images.length).toBeGreaterThan(1);
    for (const image of images) expect(image).toMatch(/^[a-z.]+\/[a-z/]+:(?!latest)[0-9a-z.-]+$/);
    expect(file.getInstructions().filter((each) => each.getKeyword() === 'ADD')).toEqual([]);
    expect(TEXT).not.toMatch(/\b(curl|wget|apt-get)\b/);
  });

  test('runs as a number that is not root’s, and no step after that is root’s', () => {
    expect(argumentsOf('USER')).toEqual(['60901:60901']);
    const keywords = last.map((each) => each.getKeyword());
    expect(keywords.slice(keywords.indexOf('USER'))).not.toContain('RUN');
  });

  test('writes to its volume alone, and says how it is', () => {
    expect(argumentsOf('VOLUME')).toEqual([environment['LATCHKEY_DATA']]);
    expect(all('HEALTHCHECK')).toHaveLength(1);
    expect(argumentsOf('STOPSIGNAL')).toEqual(['SIGTERM']);
    for (const keyword of ['ENTRYPOINT', 'CMD']) expect(() => JSON.parse(argumentsOf(keyword)[0] ?? '')).not.toThrow();
  });

  test('holds no secret: neither in its environment nor among what it copies', () => {
    for (const name of Object.keys(environment)) expect(name).not.toMatch(/PASSWORD|SECRET|TOKEN|(?<!LATCH)KEY/);
    const copied = argumentsOf('COPY').filter((words) => !words.endsWith(' node_modules'));
    expect(copied).toEqual(['package.json LICENSE ./', 'protocol protocol', 'control-plane control-plane']);
  });
});

test('its command serves with its environment, and its check of health tells when it does and when not', {
  timeout: START_MS_MAX,
}, async () => {
  const data = mkdtempSync(join(tmpdir(), 'latchkey-container-'));
  onTestFinished(() => rmSync(data, { recursive: true, force: true }));
  const [port, metrics] = [await freePort(), await freePort()];
  const [check] = all('HEALTHCHECK');
  const words = JSON.parse(/CMD (\[.*\])/s.exec(check?.getArgumentsContent() ?? '')?.[1] ?? '[]') as string[];
  const healthy = () =>
    exitOf(
      spawn(
        process.execPath,
        words.slice(1).map((word) => word.replace('127.0.0.1:9464', `127.0.0.1:${metrics}`)),
      ),
    );
  expect(words[0]).toBe('node');
  expect(await healthy()).toBe(1);
  const env = {
    ...environment,
    LATCHKEY_DATA: data,
    LATCHKEY_LISTEN: `127.0.0.1:${port}`,
    LATCHKEY_METRICS_LISTEN: `127.0.0.1:${metrics}`,
  };
  const [, ...entry] = JSON.parse(argumentsOf('ENTRYPOINT')[0] ?? '[]') as string[];
  const argv = [...entry, ...(JSON.parse(argumentsOf('CMD')[0] ?? '[]') as string[])];
  const child = spawn(process.execPath, argv, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  expect(await firstLine(child)).toContain('Latchkey listens on https://');
  expect(await healthy()).toBe(0);
  child.kill('SIGTERM');
  expect(await exitOf(child)).toBe(0);
});
