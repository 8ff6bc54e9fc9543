//! The machine that figures were taken on.

use crate::fleet::LoadError;
use crate::process::raise_descriptors;
use rustix::fs::statfs;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// `TMPFS_MAGIC` and `RAMFS_MAGIC` of Linux's `magic.h`: nothing there is on a disk.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
/// Syncs that are timed.
const SYNCS: usize = 200;

/// A machine.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// When it was looked at, in seconds of unix time.
    pub at: u64,
    /// The processor, as it calls itself.
    pub processor: String,
    /// Threads that it runs at once.
    pub cores: usize,
    /// Whether it hashes SHA-256 in hardware.
    pub sha_ni: bool,
    /// Whether it has AVX2.
    pub avx2: bool,
    /// Linux.
    pub kernel: String,
    /// Files that a process may open.
    pub descriptors: u64,
    /// The type of the file system of the folder, where something was written.
    pub file_system: Option<String>,
    /// The median time of an append of 512 bytes with `fdatasync` there, in microseconds.
    pub fdatasync_us: Option<f64>,
    /// Tasks that wanted a core on average in the minute before the first look: above 0 others disturbed.
    pub load: f64,
    /// The same in the minute before the end: what was measured is in it.
    pub load_at_end: Option<f64>,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The load of the last minute.
fn load() -> f64 {
    read("/proc/loadavg").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

impl Machine {
    /// Looks at this machine, and at the file system of a folder where one is written to.
    ///
    /// # Errors
    /// When the folder is in memory, or cannot be written to.
    pub fn look(folder: Option<&Path>) -> Result<Self, LoadError> {
        let file_system = folder.map(Self::look_at_folder).transpose()?;
        let cpu = read("/proc/cpuinfo");
        let of = |name: &str| {
            let line = cpu.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':'))
                .map(|(_, text)| text.trim().to_owned())
                .unwrap_or_default()
        };
        let flags = of("flags");
        let has = |flag: &str| flags.split(' ').any(|other| other == flag);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            at: at.as_secs(),
            processor: of("model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            sha_ni: has("sha_ni"),
            avx2: has("avx2"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            descriptors: raise_descriptors()?,
            file_system,
            fdatasync_us: folder.map(syncs).transpose()?.map(|time| time.as_secs_f64() * 1e6),
            load: load(),
            load_at_end: None,
        })
    }

    /// Looks at the load again, at the end.
    pub fn look_again(&mut self) {
        self.load_at_end = Some(load());
    }

    /// The day on which it was looked at, UTC, as `2026-11-21`.
    #[must_use]
    pub fn day(&self) -> String {
        // Years are counted from March, so that the leap day is the last (Hinnant, "chrono-compatible low-level date
        // algorithms"); eras are 400 years.
        let days = self.at / 86_400 + 719_468;
        let of_era = days % 146_097;
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = days / 146_097 * 400 + year_of_era + u64::from(month <= 2);
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// The type of a folder's file system.
    ///
    /// # Errors
    /// When it is in memory: what is "durable" there says nothing.
    pub(super) fn look_at_folder(folder: &Path) -> Result<String, LoadError> {
        let kind = statfs(folder).map_err(std::io::Error::from)?.f_type;
        if IN_MEMORY.iter().any(|magic| i128::from(*magic) == i128::from(kind)) {
            return Err(LoadError::InMemory(folder.to_owned()));
        }
        let folder = std::fs::canonicalize(folder)?;
        let mounts = read("/proc/mounts");
        let at = mounts.lines().filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (place, kind) = (words.next()?, words.next()?);
            folder.starts_with(place).then_some((place.len(), kind))
        });
        let named = at.max_by_key(|(length, _)| *length).map(|(_, kind)| kind.to_owned());
        Ok(named.unwrap_or_else(|| format!("{kind:#x}")))
    }
}

/// The median time of an append with `fdatasync`.
fn syncs(folder: &Path) -> Result<Duration, LoadError> {
    let path = folder.join(format!("millpond-sync-{}", std::process::id()));
    let file = OpenOptions::new().create_new(true).append(true).open(&path)?;
    let timed = time_syncs(file);
    std::fs::remove_file(&path)?;
    let mut times = timed?;
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

fn time_syncs(mut file: File) -> std::io::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let since = Instant::now();
        file.write_all(&[7; 512])?;
        file.sync_data()?;
        times.push(since.elapsed());
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let machine = Machine::default();
        for (at, day) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_709_251_199, "2024-02-29"),
            (1_709_251_200, "2024-03-01"),
            (4_102_444_799, "2099-12-31"),
        ] {
            assert_eq!(Machine { at, ..machine.clone() }.day(), day);
        }
    }

    #[test]
    fn a_folder_in_memory_is_refused() {
        // Every Linux has this one, unless somebody took it away.
        let shm = Path::new("/dev/shm");
        if shm.exists() {
            assert!(matches!(Machine::look(Some(shm)), Err(LoadError::InMemory(_))));
        }
        assert!(matches!(Machine::look_at_folder(Path::new("/nowhere/at/all")), Err(LoadError::Io(_))));
        let mut machine = Machine::look(None).unwrap();
        assert_eq!((machine.file_system.as_ref(), machine.load_at_end), (None, None));
        machine.look_again();
        assert!(machine.load_at_end.is_some_and(|load| load >= 0.0));
        assert!(Machine::look_at_folder(Path::new("/proc")).is_ok_and(|kind| kind == "proc"));
    }
}
