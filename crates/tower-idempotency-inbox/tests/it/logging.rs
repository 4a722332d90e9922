//! What is logged, and what never is.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tower_idempotency_testkit::run;

use crate::support::{Handler, deliver, router, sqlite};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_duplicate_is_logged_without_its_key() {
    run(async {
        let database = sqlite().await;
        let inbox = database.inbox().build().unwrap();
        let router = router(&inbox, &Handler::default());
        deliver(&router, Some("s3cret-key"), "s3cret-body").await;
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        // For this thread, which is the one that answers a duplicate.
        let guard = tracing::subscriber::set_default(subscriber);
        deliver(&router, Some("s3cret-key"), "s3cret-body").await;
        drop(guard);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("INFO"), "{text}");
        assert!(text.contains("a duplicate was acknowledged"), "{text}");
        assert!(text.contains("trigger=github record="), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    });
}
