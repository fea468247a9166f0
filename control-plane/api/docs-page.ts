// The OpenAPI document as a page to be read: plain HTML without a script, a style or an image, so that it needs no exception
// from the content security policy. Everything in it is escaped.

import type { OpenAPIV3_1 as OpenApi } from 'openapi-types';
import { tags } from './contract-entry.ts';

type Operation = OpenApi.OperationObject;
type Request = Readonly<{ method: string; path: string; operation: Operation }>;

export function readablePage(document: OpenApi.Document): string {
  const { info, components } = document;
  const requests = requestsOf(document);
  const groups = Object.entries(tags).map(([tag, description]) => {
    const own = requests.filter(({ operation }) => operation.tags?.includes(tag));
    return `<section id="${escaped(tag)}"><h2>${escaped(tag)}</h2><p>${prose(description)}</p>${own.map(request).join('')}</section>`;
  });
  const schemas = Object.entries(components?.schemas ?? {}).map(
    ([name, schema]) => `<section id="schema-${escaped(name)}"><h3>${escaped(name)}</h3>${json(schema)}</section>`,
  );
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">',
    `<title>${escaped(info.title)} ${escaped(info.version)}</title></head><body><main>`,
    `<h1>${escaped(info.title)} ${escaped(info.version)}</h1><p>${prose(info.description ?? '')}</p>`,
    '<p>For programs: <a href="/v1/openapi.json">openapi.json</a>.</p>',
    `<nav><ul>${requests.map(link).join('')}</ul></nav>`,
    ...groups,
    `<section id="schemas"><h2>schemas</h2>${schemas.join('')}</section>`,
    '</main></body></html>',
  ].join('\n');
}

function requestsOf({ paths }: OpenApi.Document): Request[] {
  return Object.entries(paths ?? {}).flatMap(([path, item]) =>
    (['get', 'post', 'patch', 'delete'] as const).flatMap((method) => {
      const operation = item?.[method];
      return operation ? [{ method: method.toUpperCase(), path, operation }] : [];
    }),
  );
}

const link = ({ method, path, operation }: Request): string =>
  `<li><a href="#${escaped(operation.operationId ?? '')}"><code>${method} ${escaped(path)}</code></a> ${prose(operation.summary ?? '')}</li>`;

function request({ method, path, operation }: Request): string {
  const parameters = (operation.parameters ?? []) as OpenApi.ParameterObject[];
  const body = (operation.requestBody as OpenApi.RequestBodyObject | undefined)?.content['application/json']?.schema;
  const responses = Object.entries((operation.responses ?? {}) as Record<string, OpenApi.ResponseObject>);
  const open = operation.security?.length === 0;
  return [
    `<article id="${escaped(operation.operationId ?? '')}"><h3><code>${method} ${escaped(path)}</code></h3>`,
    `<p>${prose(operation.summary ?? '')}${open ? ' Without an API key.' : ''}</p>`,
    parameters.length > 0
      ? `<table><tr><th>Parameter</th><th>In</th><th></th></tr>${parameters.map(parameter).join('')}</table>`
      : '',
    body ? `<h4>Body</h4>${json(body)}` : '',
    `<table><tr><th>Status</th><th></th></tr>${responses.map(response).join('')}</table></article>`,
  ].join('');
}

const parameter = ({ name, in: place, required, schema }: OpenApi.ParameterObject): string =>
  `<tr><td><code>${escaped(name)}</code>${required ? '' : ' (optional)'}</td><td>${escaped(place)}</td><td>${json(schema)}</td></tr>`;

function response([status, { description, content = {} }]: [string, OpenApi.ResponseObject]): string {
  const schema = content['application/json']?.schema;
  return `<tr><td>${escaped(status)}</td><td>${prose(description)}${schema ? json(schema) : ''}</td></tr>`;
}

/** A schema as it is, with its references as links. */
function json(value: unknown): string {
  const text = escaped(JSON.stringify(value, null, 2));
  return `<pre>${text.replaceAll(/#\/components\/schemas\/(\w+)/g, '<a href="#schema-$1">$1</a>')}</pre>`;
}

const prose = (text: string): string => escaped(text).replaceAll(/`([^`]*)`/g, '<code>$1</code>');

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ESCAPES[character] ?? '');
}
