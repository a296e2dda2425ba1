//! Times in the texts of alerts: in the time zone of the people who get the mails, or else with the
//! offset of [`Options::utc_offset`].

use super::rules::Options;
use super::schedule::DAY;
use super::template::fill;

const DAY_RECORD: &str = include_str!("templates/day.rules.yml.tmpl");

/// The layout of Go for the times that people read.
const LAYOUT: &str = "Monday 2 January 2006, 15:04";

/// A query with the label `utc_offset` of the accounts whose readers have a time zone.
pub(super) fn zoned(query: &str, on: &str) -> String {
    format!(
        "{query}\n+ on (account, network) group_left (utc_offset) \
         (0 * last_over_time(connection:time_zone_offset_seconds[500ms]))\nor on ({on}) {query}"
    )
}

/// A time that people read, of a number in a template of Prometheus. The alert has the label
/// `utc_offset` of [`zoned`].
pub(super) fn readable(number: &str, options: &Options) -> String {
    let zone = format!("(toTime (or $labels.utc_offset \"{}\"))", options.utc_offset);
    // Templates of Prometheus have no arithmetic, but times can be subtracted.
    let zero = "(toTime \"0\")";
    format!(
        "{{{{ ((toTime {number}).Add ({zone}.Sub {zero})).Format \"{LAYOUT}\" }}}} UTC{{{{ if {zone}.Before \
         {zero} }}}}-{{{{ ({zero}.Add ({zero}.Sub {zone})).Format \"15:04\" }}}}{{{{ else if {zone}.After \
         {zero} }}}}+{{{{ {zone}.Format \"15:04\" }}}}{{{{ end }}}}"
    )
}

/// How long a connection has not worked, of the value and the labels of a recovery.
pub(super) fn down_for() -> String {
    let unit = |name: &str| format!("{{{{ printf \"%.0f\" $down.{name} }}}}");
    let (minutes, hours) = (unit("Minutes"), unit("Hours"));
    let days = "{{ query (printf \"%f / 24\" $down.Hours) | first | value | printf \"%.0f\" }}";
    let down = "{{ $down := (toTime $value).Sub (toTime $labels.down_since) }}";
    format!(
        "{down}{{{{ if lt $down.Seconds 90.0 }}}}1 minute{{{{ else if lt $down.Hours 2.0 }}}}{minutes} \
         minutes{{{{ else if lt $down.Hours 48.0 }}}}{hours} hours{{{{ else }}}}{days} days{{{{ end }}}}"
    )
}

/// When the day of a deadline begins.
pub(super) fn day_record(options: &Options) -> String {
    let offset = match options.utc_offset {
        0 => String::new(),
        offset if offset < 0 => format!(" - {}", offset.abs()),
        offset => format!(" + {offset}"),
    };
    fill(DAY_RECORD, &[("UTC_OFFSET", &utc_offset(options)), ("PLUS_OFFSET", &offset)])
}

/// Deadlines on the present day.
pub(super) fn on_this_day() -> String {
    format!(
        "connection:expiry_timestamp_seconds and on (account, network) \
         (connection:expiry_day_timestamp_seconds <= time() > time() - {DAY})"
    )
}

fn utc_offset(options: &Options) -> String {
    let sign = if options.utc_offset < 0 { '-' } else { '+' };
    match options.utc_offset.unsigned_abs() {
        0 => String::new(),
        seconds => format!("{sign}{:02}:{:02}", seconds / 3600, seconds % 3600 / 60),
    }
}
