//! One record, and the rules of its life.

use std::time::{Duration, SystemTime};

use tower_idempotency_core::{
    Attempt, Claim, ClaimRequest, Completed, CrashPolicy, Failure, LeaseToken, Record, RecordInfo,
    RecordState, Replay, Resolution, Retention, Steps, StoredResponse,
};

/// The end of a longer lease might lie beyond what the clock can hold. Stores in SQL cut a lease
/// there, too.
const LONGEST_LEASE: Duration = Duration::from_secs(1_000 * 366 * 24 * 60 * 60);

/// A record as it lies in memory.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) info: RecordInfo,
    pub(crate) token: LeaseToken,
    pub(crate) response: Option<StoredResponse>,
    pub(crate) steps: Option<Steps>,
    failed_retention: Retention,
    hold: bool,
    takeover: bool,
}

/// What to do about a claim of a record that is there.
pub(crate) enum Step {
    /// Give this answer; the record stays as it is.
    Answer(Claim<Attempt>),
    /// Put a new execution in the record's place.
    Replace(Box<Kept>),
}

impl Kept {
    /// Begins the first execution of a key.
    pub(crate) fn first(request: &ClaimRequest, now: SystemTime) -> Self {
        Self::begin(request, Attempt::FIRST, now, now)
    }

    /// Judges a claim, in the order that the contract gives.
    pub(crate) fn judge(&self, request: &ClaimRequest, now: SystemTime) -> Step {
        let next = |takeover| {
            let attempt = Attempt::new(self.info.attempt.saturating_add(1), takeover);
            let mut next = Self::begin(request, attempt, self.info.created_at, now);
            if request.fingerprint == self.info.fingerprint {
                next.steps = self.steps.clone();
            }
            Step::Replace(Box::new(next))
        };
        if self.has_expired(now) {
            return Step::Replace(Box::new(Self::first(request, now)));
        }
        if self.is_held_by(request.token) {
            return Step::Answer(Claim::Acquired(self.attempt()));
        }
        let once_more = request.allows_attempt_after(self.info.attempt);
        if self.info.state == RecordState::Failed {
            return if once_more {
                next(false)
            } else {
                Step::Answer(Claim::Exhausted)
            };
        }
        if !request.fingerprint.matches(&self.info.fingerprint) {
            return Step::Answer(Claim::Mismatch);
        }
        if let Some(response) = &self.response {
            let replay = Replay::new(response.clone(), self.life(now));
            return Step::Answer(Claim::Completed(replay));
        }
        let remaining = self.remaining(now);
        if !remaining.is_zero() {
            return Step::Answer(Claim::InProgress { remaining });
        }
        match request.crash_policy {
            CrashPolicy::Retry if once_more => next(true),
            _ => Step::Answer(Claim::OutcomeUnknown),
        }
    }

    /// Tells whether `token` is the one of the running execution.
    pub(crate) fn is_held_by(&self, token: LeaseToken) -> bool {
        self.info.state == RecordState::InProgress && self.token == token
    }

    pub(crate) fn has_expired(&self, now: SystemTime) -> bool {
        self.info.expires_at.is_some_and(|end| end <= now)
    }

    pub(crate) const fn attempt(&self) -> Attempt {
        Attempt::new(self.info.attempt, self.takeover)
    }

    pub(crate) fn renew(&mut self, lease: Duration, now: SystemTime) {
        let end = lease_end(now, lease);
        self.info.lease_expires_at = Some(end);
        self.info.expires_at = abandoned_at(end, self.hold, self.failed_retention);
    }

    pub(crate) fn complete(&mut self, completed: &Completed, now: SystemTime) {
        self.end(RecordState::Completed, completed.retention, now);
        self.info.status = Some(completed.response.status());
        self.info.failure = None;
        self.steps = None;
        self.response = Some(completed.response.clone());
    }

    pub(crate) fn fail(&mut self, failure: &Failure, now: SystemTime) {
        self.end(RecordState::Failed, self.failed_retention, now);
        self.info.failure = Some(failure.clone());
    }

    /// Resolves the key as an operator decides; `None` if nothing is to be left.
    pub(crate) fn resolve(mut self, resolution: &Resolution, now: SystemTime) -> Option<Self> {
        let Resolution::Answer(completed) = resolution else {
            return None;
        };
        self.token = LeaseToken::random();
        self.complete(completed, now);
        Some(self)
    }

    /// Tells whether somebody is at work on the key.
    pub(crate) fn is_running(&self, now: SystemTime) -> bool {
        self.info.state == RecordState::InProgress && !self.remaining(now).is_zero()
    }

    pub(crate) fn to_record(&self) -> Record {
        Record::new(self.info.clone(), self.response.clone())
    }

    /// Returns how many bytes of response the record holds.
    pub(crate) fn response_bytes(&self) -> u64 {
        self.response
            .as_ref()
            .map_or(0, |response| response.size_bytes() as u64)
    }

    fn begin(
        request: &ClaimRequest,
        attempt: Attempt,
        created_at: SystemTime,
        now: SystemTime,
    ) -> Self {
        let hold = request.crash_policy == CrashPolicy::Hold;
        let end = lease_end(now, request.lease);
        let info = RecordInfo {
            id: request.id,
            scope: request.scope.clone(),
            key: request.key.clone(),
            fingerprint: request.fingerprint,
            state: RecordState::InProgress,
            attempt: attempt.number,
            created_at,
            lease_expires_at: Some(end),
            ended_at: None,
            expires_at: abandoned_at(end, hold, request.failed_retention),
            status: None,
            failure: None,
        };
        Self {
            info,
            token: request.token,
            response: None,
            steps: None,
            failed_retention: request.failed_retention,
            hold,
            takeover: attempt.takeover,
        }
    }

    fn end(&mut self, state: RecordState, retention: Retention, now: SystemTime) {
        self.info.state = state;
        self.info.lease_expires_at = None;
        self.info.ended_at = Some(now);
        self.info.expires_at = after(now, retention);
    }

    /// How long the record still lives; `None` for ever.
    fn life(&self, now: SystemTime) -> Option<Duration> {
        let end = self.info.expires_at?;
        Some(end.duration_since(now).unwrap_or_default())
    }

    pub(crate) fn remaining(&self, now: SystemTime) -> Duration {
        self.info
            .lease_expires_at
            .and_then(|end| end.duration_since(now).ok())
            .unwrap_or_default()
    }
}

fn lease_end(now: SystemTime, lease: Duration) -> SystemTime {
    now + lease.min(LONGEST_LEASE)
}

/// When a record whose lease ends at `lease_end` without an end counts as absent.
fn abandoned_at(lease_end: SystemTime, hold: bool, retention: Retention) -> Option<SystemTime> {
    if hold {
        None
    } else {
        after(lease_end, retention)
    }
}

/// A time that lies beyond what the clock can hold never comes.
fn after(start: SystemTime, retention: Retention) -> Option<SystemTime> {
    start.checked_add(retention.duration()?)
}
