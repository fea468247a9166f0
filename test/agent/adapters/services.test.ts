// Which service a process is, from what the kernel and systemd say of it.

import { describe, expect, it } from 'vitest';
import { parseControlGroup } from '../../../agent/adapters/proc.ts';
import { parseMainProcesses, placeOfGroup } from '../../../agent/adapters/services-systemd.ts';

describe('a control group', () => {
  it.each([
    ['/system.slice/x11vnc.service', 'x11vnc.service'],
    ['/system.slice/system-tigervncserver.slice/tigervncserver@:1.service', 'tigervncserver@:1.service'],
    ['/user.slice/user-1000.slice/session-c1.scope', 'session'],
    // A user's own manager: restarting it would end all that the user runs.
    ['/user.slice/user-1000.slice/user@1000.service', null],
    ['/user.slice/user-1000.slice/user@1000.service/app.slice/wayvnc.service', null],
    // Below a service: a container, or what the service made for its own use.
    ['/machine.slice/systemd-nspawn@box.service/payload/system.slice/x11vnc.service', null],
    ['/system.slice/x11vnc.service/below', null],
    ['/system.slice/docker-4f2a.scope', null],
    ['/machine.slice/libpod-4f2a.scope/container', null],
    ['/system.slice/run-r4.scope', null],
    ['/system.slice/session-c1.scope', null],
    ['/init.scope', null],
    ['/', null],
    ['', null],
  ])('%s is %s', (path, place) => {
    expect(placeOfGroup(path)).toBe(place);
  });

  it('is read from the hierarchy that systemd keeps', () => {
    expect(parseControlGroup('0::/system.slice/a.service\n')).toBe('/system.slice/a.service');
    expect(parseControlGroup('9:name=systemd:/\n0::/system.slice/a.service\n')).toBe('/system.slice/a.service');
    expect(parseControlGroup('4:memory:/other\n1:name=systemd:/system.slice/a.service\n0::/\n')).toBe(
      '/system.slice/a.service',
    );
    expect(parseControlGroup('4:memory:/other\n')).toBeUndefined();
  });
});

it('main processes are those of services that run', () => {
  const text = 'MainPID=42\nId=a.service\n\nMainPID=0\nId=b.service\n\nId=d@:1.service\nMainPID=44\n';
  expect(parseMainProcesses(text)).toEqual([
    { service: 'a.service', pid: 42 },
    { service: 'd@:1.service', pid: 44 },
  ]);
  expect(parseMainProcesses('')).toEqual([]);
});
