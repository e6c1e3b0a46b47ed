//! Times as answers show them: RFC 3339 in JSON, UTC and local time in tables.
//!
//! Three commands show three forms, and scripts read all of them.
//!
//! Holds: every time prints, also those beyond the calendar (as seconds since 1970).

use chrono::{DateTime, Local, SecondsFormat, TimeZone, Utc};
use hq_core::time::{Span, Time};

fn utc(time: Time) -> Option<DateTime<Utc>> {
    i64::try_from(time.0).ok().and_then(DateTime::from_timestamp_micros)
}

fn print<Tz: TimeZone>(time: Time, zone: &Tz, format: &str) -> String
where
    Tz::Offset: std::fmt::Display,
{
    match utc(time) {
        Some(utc) => utc.with_timezone(zone).format(format).to_string(),
        None => beyond(time),
    }
}

fn beyond(time: Time) -> String {
    format!("@{}", time.0 / 1_000_000)
}

/// For JSON: `2030-01-02T03:04:05.123456Z`, with as many decimals (0, 3, 6) as the time has.
pub fn rfc3339(time: Time) -> String {
    utc(time).map_or_else(|| beyond(time), |utc| utc.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// For log lines: `2030-01-02T03:04:05Z`, or with milliseconds.
pub fn log_stamp(time: Time, with_ms: bool) -> String {
    let precision = if with_ms { SecondsFormat::Millis } else { SecondsFormat::Secs };
    utc(time).map_or_else(|| beyond(time), |utc| utc.to_rfc3339_opts(precision, true))
}

/// For tables: `2030-01-02 03:04:05 UTC`, rounded to seconds.
pub fn utc_seconds(time: Time) -> String {
    print(time.after(Span::from_ms(500)), &Utc, "%Y-%m-%d %H:%M:%S UTC")
}

/// For tables: `02.01.2030 03:04:05` in the local time zone, cut to seconds.
pub fn local(time: Time) -> String {
    in_zone(time, &Local)
}

fn in_zone<Tz: TimeZone>(time: Time, zone: &Tz) -> String
where
    Tz::Offset: std::fmt::Display,
{
    print(time, zone, "%d.%m.%Y %H:%M:%S")
}

/// For JSON: a span as float seconds.
pub fn seconds(span: Span) -> f64 {
    span.to_duration().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::FixedOffset;

    /// 2030-01-02T03:04:05Z
    const MOMENT: Time = Time(1_893_553_445_000_000);

    #[test]
    fn prints_times() {
        let later = |micros| Time(MOMENT.0 + micros);
        assert_eq!(rfc3339(MOMENT), "2030-01-02T03:04:05Z");
        assert_eq!(rfc3339(later(120_000)), "2030-01-02T03:04:05.120Z");
        assert_eq!(rfc3339(later(123_456)), "2030-01-02T03:04:05.123456Z");
        assert_eq!(utc_seconds(later(499_999)), "2030-01-02 03:04:05 UTC");
        assert_eq!(utc_seconds(later(500_000)), "2030-01-02 03:04:06 UTC");
        assert_eq!(log_stamp(later(7_900), false), "2030-01-02T03:04:05Z");
        assert_eq!(log_stamp(later(7_900), true), "2030-01-02T03:04:05.007Z");
        let east = FixedOffset::east_opt(3_600).unwrap();
        assert_eq!(in_zone(MOMENT, &east), "02.01.2030 04:04:05");
        assert_eq!(local(MOMENT).len(), "02.01.2030 04:04:05".len());
        assert_eq!(seconds(Span::from_ms(1_500)), 1.5);
    }

    #[test]
    fn every_time_prints() {
        for time in [Time(0), Time(u64::MAX), Time(i64::MAX as u64)] {
            assert!(![rfc3339(time), utc_seconds(time), local(time), log_stamp(time, true)].contains(&String::new()));
        }
    }
}
