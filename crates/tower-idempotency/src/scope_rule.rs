use std::{fmt, sync::Arc};

use http::request::Parts;
use tower_idempotency_core::Scope;

use crate::route;

type Rule = Arc<dyn Fn(&str, &Parts) -> Option<Scope> + Send + Sync>;

/// How the scope of a key is made of the principal and the request.
#[derive(Clone, Default)]
pub(crate) enum ScopeRule {
    /// A key belongs to a principal on a route.
    #[default]
    PrincipalAndRoute,
    /// A key belongs to a principal, whatever the route.
    PrincipalOnly,
    /// The user's function decides.
    Function(Rule),
}

impl ScopeRule {
    /// Tells whether the user has written a function.
    pub(crate) const fn is_function(&self) -> bool {
        matches!(self, Self::Function(_))
    }

    pub(crate) fn scope(&self, principal: Arc<str>, parts: &Parts) -> Option<Scope> {
        match self {
            Self::PrincipalAndRoute => Some(Scope::new(principal, route::name(parts))),
            Self::PrincipalOnly => Some(Scope::new(principal, Arc::default())),
            Self::Function(rule) => rule(&principal, parts),
        }
    }
}

impl fmt::Debug for ScopeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrincipalAndRoute => "principal and route",
            Self::PrincipalOnly => "principal only",
            Self::Function(_) => "<fn>",
        })
    }
}
