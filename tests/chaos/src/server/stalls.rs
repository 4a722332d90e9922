//! Noticing that the process did not get to run.

use std::{sync::Arc, time::Duration};

use chaos::{Moment, Seen};
use tokio::time::sleep;

use crate::notes::Notes;

const PAUSE: Duration = Duration::from_millis(50);

/// Later than this is worth a note; the leases are some times longer.
const LATE: Duration = Duration::from_millis(150);

/// Notes whenever a short sleep takes long.
///
/// A machine with too much to do loses leases as a paused process does, and the judge must know.
pub(crate) async fn watch(notes: Arc<Notes>) {
    loop {
        let due = Moment::now().plus(PAUSE);
        sleep(PAUSE).await;
        if Moment::now().since(due) > LATE {
            notes.note(Seen::Stalled { from: due });
        }
    }
}
