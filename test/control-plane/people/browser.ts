// A browser as far as signing in needs one: it keeps cookies, names its page's origin, and follows what it is told to.

import type { Answer, World } from '../world.ts';

export class Browser {
  readonly #world: World;
  /** Of the page that asks; another site's where a test says so. */
  origin: string;
  readonly cookies = new Map<string, string>();

  constructor(world: World) {
    this.#world = world;
    this.origin = world.publicUrl;
  }

  get cookie(): string {
    return [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  /** What shows the session. */
  get token(): string | undefined {
    return this.cookies.get('latchkey.session_token');
  }

  async ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const given = method === 'GET' || body !== undefined ? body : {};
    const answer = await this.#world.ask(method, path, given, { ...this.headers(), ...headers });
    this.keep(answer.headers);
    return answer;
  }

  headers(): Record<string, string> {
    return { authorization: '', origin: this.origin, ...(this.cookies.size > 0 ? { cookie: this.cookie } : {}) };
  }

  keep(headers: Headers): void {
    for (const line of headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split('; ');
      const [name = '', value = ''] = pair.split(/=(.*)/s);
      if (attributes.some((attribute) => attribute.toLowerCase() === 'max-age=0')) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
  }

  signIn(email: string, password: string): Promise<Answer> {
    return this.ask('POST', '/v1/auth/sign-in', { email, password });
  }

  /** Opens a stream; all that it said once it has ended. */
  async stream(path: string): Promise<{ said: Promise<string> }> {
    const response = await fetch(`${this.#world.origin}${path}`, { headers: { cookie: this.cookie } });
    if (response.status !== 200) throw new Error(`no stream: ${response.status}`);
    return { said: response.text() };
  }
}

export const PASSWORD = 'correct horse battery staple';

/** Invited by the first admin, accepted, and not signed in yet. */
export async function person(world: World, operator: string, more: object = {}): Promise<Browser> {
  const email = `${operator}@example.test`;
  const invited = await world.ask('POST', '/v1/invitations', { email, operator, role: 'operator', ...more });
  const [, invitation] = String(invited.body['link']).split('#');
  const browser = new Browser(world);
  const accepted = await browser.ask('POST', '/v1/auth/invitations', {
    invitation,
    name: operator,
    password: PASSWORD,
  });
  if (accepted.status !== 201) throw new Error(`not accepted: ${JSON.stringify(accepted.body)}`);
  return browser;
}
