// The page on which a person lets a program in: signs in, names the code, compares it, and decides. It decides nothing by
// itself: opening a link with a code in it shows what is asked, and no more.

const AUTH = '/v1/auth';
const WORDS = {
  read: 'look at machines, resets and history',
  operate: 'draft, prove and cancel resets (each still needs your factor)',
  audit: 'read who did what',
  administer: 'administer: members, join tokens, keys, webhooks',
};
const TROUBLE = {
  SIGN_IN_REFUSED: 'That is not an address and a password that belong together.',
  NOT_FOUND: 'No program waits with this code. Look at the terminal again.',
  LOGIN_EXPIRED: 'This code is over. Run latchkey login again.',
  STATE_CONFLICT: 'This code was used already.',
  FORBIDDEN: 'You may do nothing of what it asks for.',
  REQUEST_INVALID: 'That is no such code: it has eight letters and no vowels.',
  RATE_LIMITED: 'Too many tries. Wait ten minutes.',
};

const at = (id) => document.getElementById(id);
const views = ['sign-in', 'enter', 'decide', 'over'];
let named = new URLSearchParams(location.search).get('user_code') ?? '';
let operator = '';

function show(view) {
  for (const id of views) at(id).hidden = id !== view;
  at('who').hidden = operator === '';
  at('operator').textContent = operator;
  at('trouble').hidden = true;
  const first = at(view).querySelector('input') ?? at(view);
  first.focus();
}

function complain(text) {
  at('trouble').textContent = text;
  at('trouble').hidden = false;
}

async function ask(method, path, body) {
  const json =
    body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const response = await fetch(AUTH + path, { method, credentials: 'same-origin', redirect: 'error', ...json });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.title), { code: answer.code });
  return answer;
}

/** Runs what a person asked for, and says what went wrong. */
function doing(work) {
  return async (event) => {
    event?.preventDefault();
    try {
      await work();
    } catch (error) {
      if (error.code === 'UNAUTHENTICATED') {
        operator = '';
        show('sign-in');
      }
      complain(TROUBLE[error.code] ?? error.message);
    }
  };
}

async function begin() {
  ({ operator } = await ask('GET', '/session'));
  if (named === '') show('enter');
  else await look();
}

async function look() {
  at('code').value = named;
  show('enter');
  const login = await ask('POST', '/device/look', { user_code: named.trim().replace(/\s/, '-') });
  at('shown').textContent = login.user_code;
  at('host').textContent = login.host;
  at('address').textContent = login.address;
  at('as').textContent = operator;
  at('until').textContent = new Date(login.key_expires_at).toLocaleString();
  at('scopes').replaceChildren(
    ...login.scopes.map((scope) => Object.assign(document.createElement('li'), { textContent: WORDS[scope] ?? scope })),
  );
  const beyond = login.asked.filter((scope) => !login.scopes.includes(scope));
  at('less').hidden = beyond.length === 0;
  at('less').textContent =
    `It asked for ${beyond.join(', ')}, too, which you may not do yourself: it will not get that.`;
  at('same').checked = false;
  named = login.user_code;
  show('decide');
}

function end(text) {
  at('over').textContent = text;
  show('over');
}

const opened = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .replace(/=+$/, '');

async function passkey() {
  const { options } = await ask('POST', '/passkey/options', {});
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const { id, rawId, type, response } = await navigator.credentials.get({ publicKey });
  const { clientDataJSON, authenticatorData, signature, userHandle } = response;
  await ask('POST', '/passkey/sign-in', {
    response: {
      ...{ id, type, rawId: opened(rawId), clientExtensionResults: {} },
      response: {
        ...{ clientDataJSON: opened(clientDataJSON), authenticatorData: opened(authenticatorData) },
        ...{ signature: opened(signature), ...(userHandle ? { userHandle: opened(userHandle) } : {}) },
      },
    },
  });
  await begin();
}

at('sign-in').addEventListener(
  'submit',
  doing(async () => {
    const [email, password] = [at('email').value, at('password').value];
    at('password').value = '';
    await ask('POST', '/sign-in', { email, password });
    await begin();
  }),
);
at('passkey').addEventListener('click', doing(passkey));
at('sso').addEventListener(
  'click',
  doing(async () => {
    const { url } = await ask('POST', '/sso', /^[A-Za-z]{4}-?[A-Za-z]{4}$/.test(named) ? { user_code: named } : {});
    location.assign(url);
  }),
);
at('sign-out').addEventListener(
  'click',
  doing(async () => {
    await ask('POST', '/sign-out', {});
    operator = '';
    show('sign-in');
  }),
);
at('enter').addEventListener(
  'submit',
  doing(async () => {
    named = at('code').value;
    await look();
  }),
);
at('decide').addEventListener(
  'submit',
  doing(async () => {
    await ask('POST', '/device/approve', { user_code: named });
    end('It is let in. You may close this page and go back to the terminal.');
  }),
);
at('deny').addEventListener(
  'click',
  doing(async () => {
    await ask('POST', '/device/deny', { user_code: named });
    end('It is turned away. You may close this page.');
  }),
);

at('passkey').hidden = typeof globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON !== 'function';
at('sso').hidden = document.querySelector('main').dataset.sso !== 'yes';
begin().catch((error) => {
  if (error.code === 'UNAUTHENTICATED') show('sign-in');
  if (new URLSearchParams(location.search).has('sign-in')) complain('Single sign-on was refused.');
  else if (error.code !== 'UNAUTHENTICATED') complain(TROUBLE[error.code] ?? error.message);
});
