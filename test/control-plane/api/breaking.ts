// What breaks a client that was written for an earlier OpenAPI document: something is gone, or something is demanded that was
// not. Additions break nothing.

type Json = { readonly [name: string]: unknown };
type Sides = Readonly<{ before: Json; after: Json }>;
/** `in`: what clients send. `out`: what they are answered. */
type Way = 'in' | 'out';

/** One line for each thing that breaks. */
export function breaksBetween(before: Json, after: Json): string[] {
  return Object.entries(map(before['paths'])).flatMap(([path, item]) =>
    Object.entries(map(item)).flatMap(([method, operation]) => {
      const now = map(map(after['paths'])[path])[method];
      const place = `${method.toUpperCase()} ${path}`;
      if (now === undefined) return [`${place} is gone`];
      return operationBreaks({ before, after }, map(operation), map(now)).map((what) => `${place}: ${what}`);
    }),
  );
}

function operationBreaks(sides: Sides, before: Json, after: Json): string[] {
  const { operationId } = before;
  return [
    ...(operationId === after['operationId'] ? [] : [`the name ${operationId} is gone`]),
    ...parameterBreaks(sides, list(before['parameters']), list(after['parameters'])),
    ...bodyBreaks(sides, map(before['requestBody']), map(after['requestBody'])),
    ...Object.entries(map(before['responses'])).flatMap(([status, response]) => {
      const now = map(after['responses'])[status];
      if (now === undefined) return [`answer ${status} is gone`];
      return contentBreaks(sides, map(response), map(now), 'out').map((what) => `answer ${status}${what}`);
    }),
  ];
}

function parameterBreaks(sides: Sides, before: readonly Json[], after: readonly Json[]): string[] {
  const same = (one: Json) => (other: Json) => one['name'] === other['name'] && one['in'] === other['in'];
  return [
    ...before.flatMap((parameter) => {
      const name = `parameter ${parameter['name']}`;
      const now = after.find(same(parameter));
      if (!now) return [`${name} is gone`];
      if (now['required'] === true && parameter['required'] !== true) return [`${name} is demanded`];
      return schemaBreaks(sides, map(parameter['schema']), map(now['schema']), 'in').map((what) => `${name}${what}`);
    }),
    ...after
      .filter((parameter) => parameter['required'] === true && !before.some(same(parameter)))
      .map(({ name }) => `parameter ${name} is demanded`),
  ];
}

function bodyBreaks(sides: Sides, before: Json, after: Json): string[] {
  if (after['required'] === true && before['required'] !== true) return ['a body is demanded'];
  return contentBreaks(sides, before, after, 'in').map((what) => `body${what}`);
}

function contentBreaks(sides: Sides, before: Json, after: Json, way: Way): string[] {
  return Object.entries(map(before['content'])).flatMap(([type, media]) => {
    const now = map(after['content'])[type];
    if (now === undefined) return [` of ${type} is gone`];
    return schemaBreaks(sides, map(map(media)['schema']), map(map(now)['schema']), way);
  });
}

/** Lines that begin with the member's place. */
function schemaBreaks(sides: Sides, was: Json, is: Json, way: Way): string[] {
  const [before, after] = [resolve(sides.before, was), resolve(sides.after, is)];
  return [
    ...valueBreaks(before, after),
    ...memberBreaks(sides, before, after, way),
    ...(before['items']
      ? schemaBreaks(sides, map(before['items']), map(after['items']), way).map((what) => `[]${what}`)
      : []),
    ...list(before['allOf']).flatMap((part, at) => schemaBreaks(sides, part, list(after['allOf'])[at] ?? {}, way)),
    ...alternativeBreaks(sides, alternatives(before), alternatives(after), way),
  ];
}

function valueBreaks(before: Json, after: Json): string[] {
  const lost = values(before).filter((value) => values(after).length > 0 && !values(after).includes(value));
  const freed = values(before).length === 0 && values(after).length > 0 ? [' takes fewer values'] : [];
  const types = [before['type']].flat().filter((type) => type !== undefined && ![after['type']].flat().includes(type));
  return [
    ...lost.map((value) => ` has no ${value} any more`),
    ...freed,
    ...types.map((type) => ` is no ${type} any more`),
  ];
}

function memberBreaks(sides: Sides, before: Json, after: Json, way: Way): string[] {
  const [members, now] = [map(before['properties']), map(after['properties'])];
  const [demanded, demandedNow] = [texts(before['required']), texts(after['required'])];
  const missing = way === 'out' ? demanded.filter((name) => name in now && !demandedNow.includes(name)) : [];
  const added = way === 'in' ? demandedNow.filter((name) => !demanded.includes(name)) : [];
  return [
    ...Object.entries(members).flatMap(([name, member]) =>
      name in now
        ? schemaBreaks(sides, map(member), map(now[name]), way).map((what) => `.${name}${what}`)
        : [`.${name} is gone`],
    ),
    ...missing.map((name) => `.${name} may be missing`),
    ...added.map((name) => `.${name} is demanded`),
  ];
}

/** Each of the earlier ones has to have one left that is good for it. */
function alternativeBreaks(sides: Sides, before: readonly Json[], after: readonly Json[], way: Way): string[] {
  return before.flatMap((one) => {
    const tried = after.map((other) => schemaBreaks(sides, one, other, way));
    const best = tried.toSorted((a, b) => a.length - b.length)[0];
    return best ?? [' has an alternative less'];
  });
}

const alternatives = (schema: Json): readonly Json[] => [...list(schema['anyOf']), ...list(schema['oneOf'])];
const values = (schema: Json): readonly unknown[] =>
  'const' in schema ? [schema['const']] : ((schema['enum'] as unknown[] | undefined) ?? []);
const map = (value: unknown): Json => (value ?? {}) as Json;
const list = (value: unknown): readonly Json[] => (value ?? []) as Json[];
const texts = (value: unknown): readonly string[] => (value ?? []) as string[];

function resolve(document: Json, schema: Json): Json {
  const name = /^#\/components\/schemas\/(\w+)$/.exec(String(schema['$ref'] ?? ''))?.[1];
  return name === undefined ? schema : map(map(map(document['components'])['schemas'])[name]);
}
