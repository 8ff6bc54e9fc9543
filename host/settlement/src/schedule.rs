//! When payments run: "interval 1h", "cron 0 6 * * *" (UTC), "blocks 144", or "manual".

use millpond_types::UnixMillis;
use std::fmt;
use std::str::FromStr;

/// When payments run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// So many milliseconds after the last run.
    Interval(u64),
    /// At matching minutes, UTC.
    Cron(Cron),
    /// After so many blocks of the chain since the last run.
    Blocks(u64),
    /// Only when the operator says so.
    Manual,
}

/// A schedule that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "schedule {text:?}: {why}; write \"interval 1h\", \"cron 0 6 * * *\" (minute hour day month weekday, UTC), \
     \"blocks 144\" or \"manual\""
)]
pub struct ScheduleError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// The state of a schedule's clock: what the pool keeps between runs. It may be lost: a run too many pays nobody twice.
impl Schedule {
    /// Whether a run is due. `last` is the time of the last run that went through (after a restart: of the newest
    /// payment for an interval, of the start for the others), `last_height` and `height` the chain's heights then (after a restart: at the start) and now.
    #[must_use]
    pub fn is_due(&self, last: UnixMillis, last_height: u64, now: UnixMillis, height: u64) -> bool {
        match self {
            Self::Interval(ms) => now.since(last) >= *ms,
            Self::Cron(cron) => cron.next_after(last).is_some_and(|next| next <= now),
            Self::Blocks(count) => height.saturating_sub(last_height) >= *count,
            Self::Manual => false,
        }
    }

    /// When the next run is due, as far as time decides.
    #[must_use]
    pub fn next_after(&self, last: UnixMillis) -> Option<UnixMillis> {
        match self {
            Self::Interval(ms) => Some(UnixMillis(last.0.saturating_add(*ms))),
            Self::Cron(cron) => cron.next_after(last),
            Self::Blocks(_) | Self::Manual => None,
        }
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |why: String| ScheduleError { text: text.chars().take(100).collect(), why };
        let (kind, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        match (kind, rest.trim()) {
            ("manual", "") => Ok(Self::Manual),
            ("interval", span) => duration(span).map(Self::Interval).map_err(refuse),
            ("blocks", count) => match count.parse() {
                Ok(count @ 1..) => Ok(Self::Blocks(count)),
                _ => Err(refuse(format!("{count:?} is not a number of blocks above 0"))),
            },
            ("cron", fields) => Cron::parse(fields).map(Self::Cron).map_err(refuse),
            _ => Err(refuse("it is none of the four kinds".to_owned())),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interval(ms) => write!(f, "interval {}s", ms / 1000),
            Self::Cron(cron) => write!(f, "cron {}", cron.text),
            Self::Blocks(count) => write!(f, "blocks {count}"),
            Self::Manual => f.write_str("manual"),
        }
    }
}

/// "90s", "15m", "1h", "1d".
fn duration(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a time like 90s, 15m, 1h or 1d above 0");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let ms: u64 = match unit {
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(ms).filter(|ms| *ms > 0).ok_or_else(wrong)
}

/// Minute, hour, day of the month, month, day of the week (0 and 7 are Sunday), in UTC. Fields are `*`, numbers, ranges
/// `a-b`, steps `*/n` and `a-b/n`, and lists of these. As Vixie's cron has it, a day matches when the day of the month
/// or the day of the week does, if both are restricted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
}

impl Cron {
    /// Reads five fields.
    ///
    /// # Errors
    /// Says which field is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!("cron has five fields, not {}", fields.len()));
        };
        let weekdays = field("weekday", weekday, 0, 7)?;
        Ok(Self {
            text: fields.join(" "),
            minutes: field("minute", minute, 0, 59)?,
            hours: field("hour", hour, 0, 23)?,
            days: field("day", day, 1, 31)?,
            months: field("month", month, 1, 12)?,
            // 7 is Sunday too.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            any_day: day.starts_with('*'),
            any_weekday: weekday.starts_with('*'),
        })
    }

    /// The first matching minute after a time, within the next nine years (29 February may be eight away).
    #[must_use]
    pub fn next_after(&self, time: UnixMillis) -> Option<UnixMillis> {
        let first = time.0 / 60_000 + 1;
        let (mut day, start) = (first / 1440, first % 1440);
        let mut from = start;
        for _ in 0..9 * 366 {
            if self.day_matches(day) {
                let minute = (from..1440).find(|at| bit(self.hours, at / 60) && bit(self.minutes, at % 60));
                if let Some(minute) = minute {
                    return Some(UnixMillis((day * 1440 + minute).checked_mul(60_000)?));
                }
            }
            day = day.checked_add(1)?;
            from = 0;
        }
        None
    }

    fn day_matches(&self, days_since_1970: u64) -> bool {
        let (month, day) = month_and_day(days_since_1970);
        // 1970-01-01 was a Thursday.
        let weekday = (days_since_1970 + 4) % 7;
        let (by_day, by_weekday) = (bit(self.days, day), bit(self.weekdays, weekday));
        let matches = match (self.any_day, self.any_weekday) {
            (false, false) => by_day || by_weekday,
            _ => by_day && by_weekday,
        };
        matches && bit(self.months, month)
    }
}

fn bit(set: u64, at: u64) -> bool {
    set >> at & 1 == 1
}

/// The Gregorian calendar, after Howard Hinnant's `civil_from_days`.
fn month_and_day(days_since_1970: u64) -> (u64, u64) {
    let shifted = days_since_1970 + 719_468;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    (if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 }, day)
}

fn field(name: &str, text: &str, low: u64, high: u64) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a {name} ({low} to {high}, *, a-b, */n or a list)");
    let mut set = 0_u64;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                (range, step.parse::<u64>().ok().filter(|step| *step > 0).ok_or_else(wrong)?)
            }
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => {
                (from.parse::<u64>().map_err(|_| wrong())?, to.parse::<u64>().map_err(|_| wrong())?)
            }
            None => {
                let at = range.parse::<u64>().map_err(|_| wrong())?;
                (at, if part.contains('/') { high } else { at })
            }
        };
        if from < low || to > high || from > to {
            return Err(wrong());
        }
        let mut at = from;
        while at <= to {
            set |= 1 << at;
            at = at.saturating_add(step);
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, from: u64) -> u64 {
        Cron::parse(cron).unwrap().next_after(UnixMillis(from * 1000)).unwrap().0 / 1000
    }

    /// Times recomputed with `date -u`.
    #[test]
    fn cron_finds_the_next_matching_minute() {
        let tuesday = 1_700_000_000; // 2023-11-14T22:13:20Z
        assert_eq!(next("0 6 * * *", tuesday), 1_700_028_000); // 2023-11-15T06:00Z
        assert_eq!(next("*/15 * * * *", tuesday), 1_700_000_100); // 22:15
        assert_eq!(next("13 22 * * *", tuesday), 1_700_086_380); // the next day: 22:13 has begun
        assert_eq!(next("0 0 1 1 *", tuesday), 1_704_067_200); // 2024-01-01
        assert_eq!(next("0 0 29 2 *", tuesday), 1_709_164_800); // 2024-02-29
        assert_eq!(next("0 12 * * 1-5", 1_700_222_400 + 43_200), 1_700_481_600); // Friday noon to Monday noon
        assert_eq!(next("0 0 * * 7", tuesday), next("0 0 * * 0", tuesday));
        assert_eq!(next("30 4 1,15 * 5", tuesday), 1_700_022_600); // the 15th is a Wednesday: either day counts
    }

    #[test]
    fn schedules_are_due_by_time_or_by_height() {
        let due = |text: &str, now: u64, height: u64| {
            text.parse::<Schedule>().unwrap().is_due(UnixMillis(0), 100, UnixMillis(now), height)
        };
        assert!(due("interval 1h", 3_600_000, 0) && !due("interval 1h", 3_599_999, 0));
        assert!(due("blocks 144", 0, 244) && !due("blocks 144", 0, 243));
        assert!(due("cron 0 6 * * *", 21_600_000, 0) && !due("cron 0 6 * * *", 21_599_999, 0));
        assert!(!due("manual", u64::MAX, u64::MAX));
    }

    #[test]
    fn what_is_no_schedule_is_refused_and_says_why() {
        for bad in [
            "",
            "daily",
            "interval",
            "interval 0s",
            "interval 1w",
            "interval 99999999999999999d",
            "blocks 0",
            "blocks x",
            "cron * * * *",
            "cron 60 * * * *",
            "cron * * 0 * *",
            "cron */0 * * * *",
            "cron 5-1 * * * *",
            "manual 5",
        ] {
            assert!(bad.parse::<Schedule>().is_err(), "{bad:?} was accepted");
        }
        assert!("cron 61 * * * *".parse::<Schedule>().unwrap_err().to_string().contains("minute"));
    }

    #[test]
    fn a_day_that_never_comes_is_not_waited_for_forever() {
        assert_eq!(Cron::parse("0 0 31 2 *").unwrap().next_after(UnixMillis(0)), None);
    }
}
