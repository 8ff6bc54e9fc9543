//! Names of backups: a UTC time that sorts as it was.

use millpond_types::UnixMillis;

const DAY_MS: u64 = 86_400_000;

/// The name of a backup made at this time: `20260131T235959.999Z`.
#[must_use]
pub fn stamp(at: UnixMillis) -> String {
    let (days, ms) = (at.0 / DAY_MS, at.0 % DAY_MS);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{:03}Z", ms % 1000)
}

/// Whether a folder's name is one of ours: only those are ever pruned.
pub(crate) fn is_stamp(name: &str) -> bool {
    const FORM: &[u8] = b"00000000T000000.000Z";
    let fits = |(is, form): (u8, &u8)| if *form == b'0' { is.is_ascii_digit() } else { is == *form };
    name.len() == FORM.len() && name.bytes().zip(FORM).all(fits)
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that
/// the leap day is a year's last.
fn date(days: u64) -> (u64, u64, u64) {
    // Days since 1 March of year 0, in cycles of 400 years.
    let since = days.saturating_add(719_468);
    let (cycle, day) = (since / 146_097, since % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    // March to July and August to December have 153 days each in five months.
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + next, month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_time_in_utc() {
        // From `date -u -d @...`.
        for (seconds, name) in [
            (0, "19700101T000000.000Z"),
            (951_782_400, "20000229T000000.000Z"),
            (1_078_012_799, "20040228T235959.000Z"),
            (1_735_689_599, "20241231T235959.000Z"),
            (4_107_542_400, "21000301T000000.000Z"),
        ] {
            assert_eq!(stamp(UnixMillis(seconds * 1000)), name);
        }
    }

    #[test]
    fn names_sort_as_their_times() {
        let times = (0..4000).map(|step| UnixMillis(1_600_000_000_000 + step * 91_234_567));
        let names: Vec<_> = times.map(stamp).collect();
        assert!(names.is_sorted());
        assert!(names.iter().all(|name| is_stamp(name)));
    }

    #[test]
    fn a_folder_of_somebody_else_is_not_taken_for_a_backup() {
        for name in ["", "journal", "20260131", "2026-131T235959.999Z", "20260131T235959.999Zx", "lost+found"]
        {
            assert!(!is_stamp(name), "{name}");
        }
    }
}
