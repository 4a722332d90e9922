//! The model that the checker walks through.

use stateright::{Model, Property};

use crate::{Action, Bounds, Guard, Mode, State, properties};

/// The claim protocol in one mode, within bounds, with all its guards or without one.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    pub(crate) mode: Mode,
    pub(crate) bounds: Bounds,
    pub(crate) missing: Option<Guard>,
}

impl Protocol {
    /// Takes the protocol as it is.
    #[must_use]
    pub fn new(mode: Mode, bounds: Bounds) -> Self {
        Self {
            mode,
            bounds,
            missing: None,
        }
    }

    /// Takes one guard away.
    #[must_use]
    pub fn without(mut self, guard: Guard) -> Self {
        self.missing = Some(guard);
        self
    }

    pub(crate) fn has(&self, guard: Guard) -> bool {
        self.missing != Some(guard)
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.bounds)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.possible(state, actions);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        Some(self.step(before, &action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(self.mode)
    }
}
