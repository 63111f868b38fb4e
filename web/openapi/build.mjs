// Writes gen/openapi/openapi.json, the OpenAPI 3.1 document that the edge serves.
//
//   buf build -o -#format=json | node web/openapi/build.mjs gen/openapi/trivet.swagger.json gen/openapi/openapi.json
//
// protoc-gen-openapiv2 writes OpenAPI 2.0 only. A converter brings that to 3.1, and this overlay adds what the generator
// cannot know: the access rules, which response fields the edge always sends, the form of a stream and of an error, and the
// paths that do not come from proto. Standard input is the compiled contract.
import { readFileSync, writeFileSync } from 'node:fs';
import { upgrade } from '@scalar/openapi-upgrader';
import { contract } from './contract.mjs';
import { describeOperations } from './operations.mjs';
import { describeSchemas } from './schemas.mjs';

const [source, target] = process.argv.slice(2);
if (!source || !target) throw new Error('usage: build.mjs SWAGGER.json OPENAPI.json < IMAGE.json');

const proto = contract(JSON.parse(readFileSync(0, 'utf8')));
const document = upgrade(JSON.parse(readFileSync(source, 'utf8')), '3.1');
const extra = read('./extra.json');

describeOperations(document, proto);
describeSchemas(document, proto, read('./present.json'));
Object.assign(document.paths, extra.paths);
Object.assign(document.components.schemas, extra.schemas);
document.components.schemas.ErrorReason = proto.errorReasons();
document.components.securitySchemes = {
  bearer: { type: 'http', scheme: 'bearer', description: 'A session token of Clerk or an API key of Trivet.' },
};
document.tags = extra.tags;

writeFileSync(target, JSON.stringify(sorted(document), null, 2) + '\n');

function read(file) {
  return JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'));
}

/** The document with its top level, paths and schemas in a stable order. */
function sorted(doc) {
  const byName = (o) => Object.fromEntries(Object.entries(o).sort(([a], [b]) => (a < b ? -1 : 1)));
  const { openapi, info, tags, security, paths, components } = doc;
  return { openapi, info, tags, security, paths: byName(paths), components: { ...components, schemas: byName(components.schemas) } };
}
