// Validates an OpenAPI description against OpenAPI's schema, and answers against the description:
// node openapi.mjs DESCRIPTION [SCHEMA=ANSWER.json]…
import { readFileSync } from 'node:fs';
import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv2020 from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { parse } from 'yaml';

const [file, ...answers] = process.argv.slice(2);
const description = parse(readFileSync(file, 'utf8'));
const validity = await new Validator().validate(structuredClone(description));
let bad = !validity.valid;
if (bad) console.error(`${file}:`, JSON.stringify(validity.errors, null, 2));

const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true });
formats(ajv);
ajv.addVocabulary(['components', 'paths', 'info', 'openapi', 'servers', 'security']);
ajv.addSchema({ $id: 'description', components: description.components });
for (const argument of answers) {
  const [, schema, answer] = /^(\w+)=(.*)$/.exec(argument);
  const check = ajv.getSchema(`description#/components/schemas/${schema}`);
  if (!check(JSON.parse(readFileSync(answer, 'utf8')))) {
    bad = true;
    console.error(`${answer} is no ${schema}:`, JSON.stringify(check.errors.slice(0, 20), null, 2));
  }
}
process.exit(bad ? 1 : 0);
