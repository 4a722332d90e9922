//! What clients, nemesis and the rest have in common.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use chaos::{Probe, Request};

use crate::{
    board::Board,
    fleet::{Fleet, lock},
};

/// The place where it happens.
#[derive(Debug)]
pub(crate) struct Arena {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) board: Board,
    pub(crate) figures: Figures,
    requests: Mutex<Vec<Request>>,
    probes: Mutex<Vec<Probe>>,
    is_over: AtomicBool,
}

/// What is counted while it happens.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) requests: AtomicU64,
    pub(crate) replays: AtomicU64,
    pub(crate) server_kills: AtomicU64,
    pub(crate) database_kills: AtomicU64,
    pub(crate) pauses: AtomicU64,
}

impl Arena {
    pub(crate) fn new(fleet: Arc<Fleet>, board: Board) -> Self {
        Self {
            fleet,
            board,
            figures: Figures::default(),
            requests: Mutex::default(),
            probes: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    pub(crate) fn note_request(&self, request: Request) {
        count(&self.figures.requests);
        if request.answer.as_ref().is_ok_and(|answer| answer.replay) {
            count(&self.figures.replays);
        }
        lock(&self.requests).push(request);
    }

    pub(crate) fn note_probe(&self, probe: Probe) {
        lock(&self.probes).push(probe);
    }

    /// Tells clients and nemesis to come to an end.
    pub(crate) fn finish(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        lock(&self.requests).clone()
    }

    pub(crate) fn probes(&self) -> Vec<Probe> {
        lock(&self.probes).clone()
    }
}

pub(crate) fn count(figure: &AtomicU64) {
    figure.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn read(figure: &AtomicU64) -> u64 {
    figure.load(Ordering::Relaxed)
}
