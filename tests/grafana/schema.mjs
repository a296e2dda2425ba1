// Validates dashboards (files on the command line) against Grafana's types and list of units. Prints one problem per line.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import Ajv from "ajv";
import { createGenerator } from "ts-json-schema-generator";

const here = new URL(".", import.meta.url).pathname;
const { definitions } = createGenerator({ path: `${here}types.ts`, type: "Types", skipTypeCheck: true, expose: "none" }).createSchema("Types");
const { dashboard, panels } = definitions.Types.properties;

// Plugins add their own keys here, which the types leave open: those of Prometheus.
const open = dashboard.properties.annotations.properties.list.items;
Object.assign(open.properties, { expr: { type: "string" }, step: { type: "string" }, titleFormat: { type: "string" },
  textFormat: { type: "string" }, tagKeys: { type: "string" }, useValueForTime: { type: "boolean" } });
// The types lack a variable's definition; an export for sharing leaves `current` empty.
const variable = dashboard.properties.templating.properties.list.items;
variable.properties.definition = { type: "string" };
delete variable.properties.current.required;
// The dashboard's theme, which 9.4 writes and later versions ignore.
dashboard.properties.style = { enum: ["dark", "light"] };

/** Panels add missing values, so nothing is required. */
function lenient(schema) {
  if (schema === null || typeof schema !== "object") return schema;
  if (Array.isArray(schema)) return schema.map(lenient);
  return Object.fromEntries(Object.entries(schema).filter(([key, value]) => key !== "required" || !Array.isArray(value)).map(([key, value]) => [key, lenient(value)]));
}

const ajv = new Ajv({ allErrors: true, strict: false });
const compiled = new Map(Object.entries(panels.properties).map(([type, schema]) => [type, ajv.compile(lenient(schema))]));
const whole = ajv.compile(dashboard);
globalThis.navigator ??= { language: "en-US", languages: ["en-US"] };
const require = createRequire(import.meta.url);
const units = ["grafana-data-oldest", "@grafana/data"].map((name) =>
  new Set(require(name).getValueFormats().flatMap(({ submenu }) => submenu.map(({ value }) => value))));

const report = (where, errors) => errors?.forEach(({ instancePath, message, params }) =>
  console.log(`${where}${instancePath}: ${message} ${JSON.stringify(params)}`));

for (const file of process.argv.slice(2)) {
  const read = JSON.parse(readFileSync(file, "utf8"));
  if (!whole(read)) report(file, whole.errors);
  for (const { type, title, options, fieldConfig } of read.panels) {
    if (type === "row") continue;
    const valid = compiled.get(type);
    if (!valid) {
      console.log(`${file} ${title}: no panel of type ${type} is expected; add it to types.ts`);
      continue;
    }
    const { defaults, overrides } = fieldConfig;
    const of = (id) => overrides.flatMap(({ properties }) => properties).filter((property) => property.id === id).map(({ value }) => value);
    const custom = overrides.flatMap(({ properties }) => properties).filter(({ id }) => id.startsWith("custom.")).map(({ id, value }) => ({ [id.slice(7)]: value }));
    for (const each of [defaults.custom ?? {}, ...custom]) {
      if (!valid({ options, custom: each })) report(`${file} ${title}`, valid.errors);
    }
    for (const unit of [defaults.unit, ...of("unit")].filter((unit) => !/^(suffix|time):/.test(unit))) {
      if (!units.every((known) => known.has(unit))) console.log(`${file} ${title}: ${unit} is no unit`);
    }
  }
}
