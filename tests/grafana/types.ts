// Grafana's own types of a dashboard, and of the options of each kind of panel in use.
import type { Dashboard } from "@grafana/schema/dist/types/raw/dashboard/x/types.gen";
import type * as barchart from "@grafana/schema/dist/types/raw/composable/barchart/panelcfg/x/types.gen";
import type * as stat from "@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen";
import type * as timeline from "@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/types.gen";
import type * as table from "@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen";
import type * as timeseries from "@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen";

export interface Types {
  dashboard: Dashboard;
  panels: {
    barchart: { options: barchart.Options; custom: barchart.FieldConfig };
    stat: { options: stat.Options; custom: Record<string, never> };
    "state-timeline": { options: timeline.Options; custom: timeline.FieldConfig };
    table: { options: table.Options; custom: table.FieldConfig };
    timeseries: { options: timeseries.Options; custom: timeseries.FieldConfig };
  };
}
