// Renders panels as text with Grafana's own code: the result of @grafana/data for a Prometheus answer (transformations,
// overrides, units, mappings, links), in the oldest supported version and in a recent one.
//
// Standard input: {"version", "panels": [{"panel", "variables", "results": [{"refId", "format", "legend", "data"}]}]}
// Standard output, for each panel: [{"fields": [{"name", "type", "text": […], "color": […], "href": […]}]}]
//
// Two things are not in Grafana's packages and are reimplemented here from its sources: how the data source turns an
// answer into frames, and how ${…} in links is replaced.
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

// The parts of a browser that the code expects.
globalThis.navigator ??= { language: "en-US", languages: ["en-US"] };
const { version, panels } = JSON.parse(await text(process.stdin));
const grafana = createRequire(import.meta.url)(version === "oldest" ? "grafana-data-oldest" : "@grafana/data");
// After the import, because other packages treat a window as a sign of a whole browser.
globalThis.window ??= globalThis;
const values = (list) => (version === "oldest" ? new grafana.ArrayVector(list) : list);
const list = (field) => (field.values.toArray ? field.values.toArray() : field.values);

// The field options of all panels, as registered by Grafana, and those of each kind of panel.
const same = (value) => value;
const options = {
  color: same, custom: same, decimals: grafana.numberOverrideProcessor, displayName: grafana.displayNameOverrideProcessor,
  links: grafana.dataLinksOverrideProcessor, mappings: grafana.valueMappingsOverrideProcessor, max: grafana.numberOverrideProcessor,
  min: grafana.numberOverrideProcessor, noValue: grafana.stringOverrideProcessor, thresholds: grafana.thresholdsOverrideProcessor,
  unit: grafana.unitOverrideProcessor,
};
const registry = new grafana.Registry(() => [
  ...Object.entries(options).map(([id, process]) => ({ id, path: id, name: id, process, shouldApply: () => true })),
  ...["align", "cellOptions", "width"].map((id) => ({ id: `custom.${id}`, path: id, name: id, isCustom: true, process: same, shouldApply: () => true })),
]);
grafana.standardTransformersRegistry.setInit(() =>
  // One of them has two names.
  [...new Map(Object.values(grafana.standardTransformers).map((t) => [t.id, t])).values()].map((t) => ({ id: t.id, name: t.name, transformation: version === "oldest" ? t : async () => t })));

/** The data source's frames for the answer to one query. */
function frames({ refId, format, legend, data }) {
  const series = data.result.map(({ metric, value, values }) => ({ labels: metric, points: values ?? [value] }));
  if (format !== "table") {
    return series.map(({ labels, points }) => frame(refId, [
      field("Time", "time", points.map(([time]) => time * 1000)),
      { ...field("Value", "number", points.map(([, v]) => Number(v))), labels,
        config: { displayNameFromDS: legend.replace(/{{\s*(.+?)\s*}}/g, (_, name) => labels[name] ?? "") } },
    ]));
  }
  if (series.length === 0) return [frame(refId, [])];
  const names = [...new Set(series.flatMap(({ labels }) => Object.keys(labels).sort()))];
  const rows = series.flatMap(({ labels, points }) => points.map(([time, v]) => ({ labels, time: time * 1000, v: Number(v) })));
  return [frame(refId, [
    field("Time", "time", rows.map((row) => row.time)),
    ...names.map((name) => field(name, "string", rows.map((row) => row.labels[name] ?? ""))),
    field("Value", "number", rows.map((row) => row.v)),
  ])];
}
const frame = (refId, fields) => ({ refId, fields, length: fields[0] ? list(fields[0]).length : 0 });
const field = (name, type, list) => ({ name, type, config: {}, values: values(list) });

/** All frames of a panel. In tables of several queries, the value's name contains the query's letter. */
function answer(results) {
  const all = results.flatMap(frames);
  const tables = results.filter(({ format, data }) => format === "table" && data.result.length > 0);
  if (tables.length > 1) {
    for (const { refId, fields } of all) for (const f of fields) if (f.name === "Value") f.name = `Value #${refId}`;
  }
  return all.filter(({ fields }) => fields.length > 0);
}

/** `${…}` in links: dashboard variables, and the cell that was clicked. */
function replacer(variables) {
  return (template, scoped = {}, fallback) =>
    template.replace(/\${(\w+)(?:\.([^:}]+))?(?::(\w+))?}/g, (whole, name, path, format = fallback) => {
      let value = variables[name];
      if (name === "__data" || name === "__value") {
        const context = scoped.__dataContext?.value;
        const proxy = context && grafana.getFieldDisplayValuesProxy({ frame: context.frame, rowIndex: context.rowIndex });
        const raw = context && list(context.field)[context.rowIndex];
        const scope = context
          ? { fields: proxy, raw, text: grafana.formattedValueToString(context.field.display(raw)) }
          : scoped[name].value;
        value = path.split(".").reduce((at, key) => at?.[key], scope);
      }
      if (value === undefined) return whole;
      return format === "percentencode" ? encodeURIComponent(`${value}`) : `${value}`;
    });
}

const transformed = (transformations, data) => new Promise((resolve, reject) =>
  grafana.transformDataFrame(transformations, data, { interpolate: same }).subscribe({ next: resolve, error: reject }));

async function draw({ panel, variables, results }) {
  const data = grafana.applyFieldOverrides({
    data: await transformed(panel.transformations ?? [], answer(results)),
    fieldConfig: panel.fieldConfig,
    fieldConfigRegistry: registry,
    replaceVariables: replacer(variables),
    theme: grafana.createTheme(),
    timeZone: "utc",
  });
  return data.map((frame) => ({
    fields: frame.fields.map((f) => ({
      name: grafana.getFieldDisplayName(f, frame, data),
      type: f.type,
      text: list(f).map((v) => grafana.formattedValueToString(f.display(v))),
      color: list(f).map((v) => f.display(v).color),
      href: list(f).map((_, row) => f.getLinks?.({ valueRowIndex: row })[0]?.href),
    })),
  }));
}

grafana.locationUtil.initialize({ config: { appSubUrl: "" }, getTimeRangeForUrl: () => ({ from: "now-1h", to: "now" }), getVariablesUrlParams: () => ({}) });
const drawn = [];
for (const each of panels) drawn.push(await draw(each));
process.stdout.write(JSON.stringify(drawn));
