//! What the numbers depend on.

use std::{
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
    pub(crate) postgres: String,
}

impl Machine {
    pub(crate) fn here(postgres: String) -> Self {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let kibibytes: u64 = memory
            .split(' ')
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(0);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: kibibytes / 1024 / 1024,
            kernel: kernel.trim().to_owned(),
            postgres,
        }
    }
}

/// Returns how long it takes to make 8 KiB durable in `folder`: the median of 200.
pub(crate) fn fdatasync(folder: &Path) -> Result<Duration> {
    let path = folder.join(format!("fdatasync-{}", std::process::id()));
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(true).write(true).open(&path);
    let mut file = file.with_context(|| format!("cannot write to {}", folder.display()))?;
    let page = [0x5a; 8192];
    // As the log of a database does, it writes over what is there.
    file.write_all(&page)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(200);
    for _ in 0..200 {
        file.seek(SeekFrom::Start(0))?;
        let begun = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
