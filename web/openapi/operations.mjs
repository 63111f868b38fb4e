// Operations: their names, tags, access, stream form and errors.

/** Tags by the first part of the path below /api/v1; the longest match wins. */
const TAGS = {
  'chat': 'Chat', 'chat:stream': 'Chat', 'embeddings': 'Chat', 'models': 'Models', 'apiKeys': 'API keys',
  'me': 'People', 'users': 'People', 'organizations': 'People', 'memberships': 'People', 'erasures': 'People',
  'billing': 'Billing', 'billing/usage': 'Usage', 'requests': 'Usage', 'billing/events': 'Webhook events', 'auth/events': 'Webhook events',
  'auth:reconcile': 'Reconciliation', 'billing:reconcile': 'Reconciliation',
};

/** The paths that take an idempotency key, and the header. */
const ONCE = new Set(['/api/v1/chat', '/api/v1/chat:stream', '/api/v1/embeddings', '/api/v1/apiKeys']);
const IDEMPOTENCY_KEY = {
  name: 'Idempotency-Key',
  in: 'header',
  description: 'Makes the request safe to repeat within 24 hours: nothing is created or billed twice. One to 255 printable ASCII characters without spaces, such as a UUID; a new one for each request.',
  schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[!-~]+$' },
};

export function describeOperations(document, proto) {
  const uses = new Map();
  each(document, (operation) => {
    const name = proto.method(operation.operationId).name;
    uses.set(name, (uses.get(name) ?? 0) + 1);
  });
  each(document, (operation, path, verb) => {
    const id = operation.operationId;
    const method = proto.method(id);
    const caller = proto.caller(id);
    operation.operationId = operationName(method, uses.get(method.name) > 1);
    operation.tags = [tag(path)];
    if (caller === 'CALLER_PUBLIC') operation.security = [];
    if (caller === 'CALLER_OPERATOR') operation.tags.push('Operators');
    operation['x-access'] = caller.replace('CALLER_', '').toLowerCase();
    const scopes = proto.scopes(id);
    if (scopes.length) operation['x-scopes'] = scopes;
    if (method.serverStreaming) (path.endsWith(':export') ? file : stream)(operation);
    if (verb === 'post' && ONCE.has(path)) operation.parameters = [...(operation.parameters ?? []), IDEMPOTENCY_KEY];
    operation.responses['200'].description = 'Success.';
    operation.responses.default = { description: 'The call failed.', content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } } };
  });
}

function each(document, visit) {
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [verb, operation] of Object.entries(item)) visit(operation, path, verb);
  }
}

/** listApiKeys; names that two services share carry the service: listAuthEvents. */
function operationName(method, shared) {
  const service = method.service.replace(/Service$/, '');
  const name = shared ? method.name.replace(/^([A-Z][a-z]+)/, `$1${service}`) : method.name;
  return name[0].toLowerCase() + name.slice(1);
}

function tag(path) {
  const parts = path.replace('/api/v1/', '').replace(/:(?!stream|reconcile).*$/, '').split('/');
  const found = TAGS[parts.slice(0, 2).join('/')] ?? TAGS[parts[0]] ?? TAGS[parts[0].split(':')[0]];
  if (!found) throw new Error(`web/openapi/operations.mjs: no tag for ${path}`);
  return found;
}

/** The edge sends the rows of an export as a CSV file. */
function file(operation) {
  operation.responses['200'].content = { 'text/csv': { schema: { type: 'string' } } };
}

/** The edge sends bare messages as server-sent events; the generator describes newline-delimited {result}. */
function stream(operation) {
  const ok = operation.responses['200'];
  const piece = ok.content['application/json'].schema.properties.result;
  ok.content = { 'text/event-stream': { schema: piece } };
  operation.description = 'Each event carries one JSON object in `data`. An event named `error` carries an Error and ends the stream; a stream without an error ends after its last piece.';
}
