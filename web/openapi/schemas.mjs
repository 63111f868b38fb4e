// Schemas: short names, the fields that are always present in answers, and money.

const REF = '#/components/schemas/';

/** present names the message fields that answers always have, by schema; the contract cannot say so. */
export function describeSchemas(document, proto, present) {
  const schemas = document.components.schemas;
  const names = shortNames(Object.keys(schemas));
  const sent = reachable(document, schemas, (operation) => [operation.requestBody]);
  const received = reachable(document, schemas, (operation) => Object.values(operation.responses));
  const whole = reachable(document, schemas, (operation) => Object.values(operation.responses).filter((r) => r.content?.['application/json']));

  const renamed = {};
  for (const [full, schema] of Object.entries(schemas)) {
    delete schema.title;
    money(schema);
    if (sent.has(full)) renamed[names.get(full) + (received.has(full) && proto.isMessage(full) ? 'Input' : '')] = structuredClone(schema);
    if (received.has(full) || !sent.has(full)) {
      const always = !whole.has(full) ? [] : [ // pieces of streams leave out empty fields
        ...proto.alwaysSent(full), ...(present[names.get(full)] ?? []),
      ];
      for (const name of always) if (!schema.properties?.[name]) throw new Error(`${names.get(full)} has no field ${name}`);
      renamed[names.get(full)] = always.length ? { ...schema, required: always } : schema;
    }
  }
  const both = new Set([...sent].filter((name) => received.has(name) && proto.isMessage(name)));
  for (const [name, schema] of Object.entries(renamed)) retarget(schema, (full) => short(full, name.endsWith('Input') || isRequest(name)));
  for (const item of Object.values(document.paths)) {
    for (const operation of Object.values(item)) {
      retarget(operation.requestBody, (full) => short(full, true));
      retarget(operation.responses, (full) => short(full, false));
      retarget(operation.parameters, (full) => short(full, false));
    }
  }
  document.components.schemas = renamed;

  function short(full, input) {
    return names.has(full) ? names.get(full) + (input && both.has(full) ? 'Input' : '') : full;
  }
  function isRequest(name) {
    return [...sent].some((full) => names.get(full) === name && !received.has(full));
  }
}

/** Full names to the last part of the name; two with the same last part carry their service: ListAuthEventsResponse. */
function shortNames(all) {
  const last = (full) => full.split('.').at(-1);
  const count = new Map();
  for (const full of all) count.set(last(full), (count.get(last(full)) ?? 0) + 1);
  return new Map(all.map((full) => {
    if (count.get(last(full)) === 1) return [full, last(full)];
    const service = full.split('.').at(-3);
    return [full, last(full).replace(/^([A-Z][a-z]+)/, `$1${service[0].toUpperCase()}${service.slice(1)}`)];
  }));
}

function reachable(document, schemas, roots) {
  const found = new Set();
  const visit = (node) => references(node, (full) => {
    if (found.has(full)) return;
    found.add(full);
    visit(schemas[full]);
  });
  for (const item of Object.values(document.paths)) for (const operation of Object.values(item)) visit(roots(operation));
  return found;
}

function references(node, visit) {
  if (Array.isArray(node)) node.forEach((child) => references(child, visit));
  else if (node && typeof node === 'object') {
    if (typeof node.$ref === 'string' && node.$ref.startsWith(REF)) visit(node.$ref.slice(REF.length));
    Object.values(node).forEach((child) => references(child, visit));
  }
}

function retarget(node, name) {
  if (Array.isArray(node)) node.forEach((child) => retarget(child, name));
  else if (node && typeof node === 'object') {
    if (typeof node.$ref === 'string' && node.$ref.startsWith(REF)) node.$ref = REF + name(node.$ref.slice(REF.length));
    Object.values(node).forEach((child) => retarget(child, name));
  }
}

/** 64-bit integers are strings in JSON. Those that are money refer to one schema that says so. */
function money(schema) {
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (property.format !== 'int64') continue;
    if (/NanoUsd/.test(name)) schema.properties[name] = { $ref: `${REF}NanoUsd`, description: property.description };
    else property.pattern = '^-?[0-9]+$';
  }
}
