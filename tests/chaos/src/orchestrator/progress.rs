//! Saying how far it is.

use std::{
    collections::HashMap,
    fs,
    io::{IsTerminal, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::arena::{Arena, read};

/// Shows a line now and then, for ever.
pub(crate) async fn show(arena: Arc<Arena>, folder: PathBuf) {
    let begun = Instant::now();
    let is_terminal = std::io::stdout().is_terminal();
    let every = Duration::from_secs(if is_terminal { 1 } else { 5 });
    let mut takeovers = Takeovers::default();
    loop {
        sleep(every).await;
        let seconds = begun.elapsed().as_secs();
        let takeovers = takeovers.count(&folder);
        let line = line(&arena, seconds, takeovers);
        if is_terminal {
            print!("\r{line}\u{1b}[K");
            let _ = std::io::stdout().flush();
        } else {
            println!("{line}");
        }
    }
}

/// Leaves the last line where it is.
pub(crate) fn end() {
    if std::io::stdout().is_terminal() {
        println!();
    }
}

fn line(arena: &Arena, seconds: u64, takeovers: usize) -> String {
    let figures = &arena.figures;
    format!(
        "{seconds} s: requests {} kills {} pauses {} takeovers {takeovers} replays {}",
        read(&figures.requests),
        read(&figures.server_kills) + read(&figures.database_kills),
        read(&figures.pauses),
        read(&figures.replays),
    )
}

/// Counts takeovers in the journals as they grow.
#[derive(Debug, Default)]
struct Takeovers {
    count: usize,
    read: HashMap<PathBuf, u64>,
}

impl Takeovers {
    fn count(&mut self, folder: &Path) -> usize {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("journal-") {
                // What cannot be read now is read the next time.
                let _ = self.read_on(path);
            }
        }
        self.count
    }

    fn read_on(&mut self, path: PathBuf) -> std::io::Result<()> {
        let mut file = fs::File::open(&path)?;
        let offset = self.read.entry(path).or_default();
        file.seek(SeekFrom::Start(*offset))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.count += text[..whole].matches(r#""takeover":true"#).count();
        *offset += whole as u64;
        Ok(())
    }
}
