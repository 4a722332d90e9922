//! Files of events.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use crate::{Event, Moment, Seen};

/// Where a process writes down what it sees.
///
/// Each event is one `write`, so that a process that is killed loses nothing it has seen:
/// the page cache outlives it.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

impl Journal {
    /// Opens the file for appending.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file })
    }

    /// Writes down what is seen now.
    ///
    /// # Panics
    ///
    /// If the file cannot be written: without its journal a process proves nothing.
    pub fn note(&self, seen: Seen) {
        let event = Event {
            at: Moment::now(),
            seen,
        };
        let mut line = serde_json::to_vec(&event).expect("an event is plain data");
        line.push(b'\n');
        (&self.file)
            .write_all(&line)
            .expect("the journal can be written");
    }
}

/// Reads a journal back; the last line may have been cut off.
///
/// # Errors
///
/// If the file cannot be read, or another line than the last is no event.
pub fn read_journal(path: &Path) -> io::Result<Vec<Event>> {
    let text = fs::read_to_string(path)?;
    let mut events = Vec::new();
    for line in text.split_inclusive('\n') {
        match serde_json::from_str(line) {
            Ok(event) => events.push(event),
            Err(_) if !line.ends_with('\n') => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stalled() -> Seen {
        Seen::Stalled {
            from: Moment::at_millis(7),
        }
    }

    #[test]
    fn a_journal_is_read_back_even_if_its_last_line_was_cut_off() {
        let name = format!("chaos-journal-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let journal = Journal::open(&path).unwrap();
        journal.note(stalled());
        journal.note(stalled());
        assert_eq!(read_journal(&path).unwrap().len(), 2);

        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        assert_eq!(read_journal(&path).unwrap().len(), 1);

        fs::write(&path, [b"nonsense\n", &whole[..]].concat()).unwrap();
        assert!(read_journal(&path).is_err());
        fs::remove_file(&path).unwrap();
    }
}
