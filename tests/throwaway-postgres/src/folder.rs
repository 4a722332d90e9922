//! Folders that hold all that a server writes.

use std::{
    env, fs, iter,
    path::{self, Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, bail};

use crate::shell;

/// Where root keeps programs that another user has to run.
const SYSTEM_CACHE: &str = "/var/cache/throwaway-postgres";

/// Makes a folder that the server's user owns and can reach.
///
/// A folder above `parent` may be closed to that user, as /root is, and what `mktemp -d` makes;
/// the temporary folder may lie there too. Then it goes where everybody can write.
pub(crate) fn fresh(name: &str, parent: &Path, user: Option<&str>) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{name}-{}-{number}", std::process::id());
    let Some(user) = user else {
        return make(&parent.join(name));
    };
    let open = [env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
    for parent in iter::once(parent.to_path_buf()).chain(open) {
        let folder = make(&parent.join(&name))?;
        shell::give(&folder, user)?;
        if may(user, "-w", &folder) {
            return Ok(folder);
        }
        fs::remove_dir(&folder)?;
    }
    bail!(
        "Postgres refuses to run as root, and the user {user} can write neither below {} nor \
         in the system's temporary folders: set TMPDIR to a folder that is open to everybody",
        parent.display()
    )
}

/// Returns where fetched programs are kept: in `cache`, unless the user who runs them cannot get
/// there.
pub(crate) fn reachable_cache(cache: &Path, user: Option<&str>) -> PathBuf {
    let absolute = path::absolute(cache).unwrap_or_else(|_| cache.to_path_buf());
    let closed = user.is_some_and(|user| {
        let existing = absolute.ancestors().find(|folder| folder.exists());
        existing.is_some_and(|folder| !may(user, "-x", folder))
    });
    if closed {
        SYSTEM_CACHE.into()
    } else {
        absolute
    }
}

fn make(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.to_path_buf())
}

/// Asks for a permission as `test` names it.
fn may(user: &str, permission: &str, path: &Path) -> bool {
    let mut test = shell::command(Some(user), "test");
    shell::run(test.arg(permission).arg(path)).is_ok()
}

/// Returns the last lines of a log.
pub(crate) fn end_of(log: &Path) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = log.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn programs_are_kept_where_the_servers_user_can_run_them() {
        let user = shell::server_user();
        let closed = env::temp_dir().join(format!("closed-cache-{}", std::process::id()));
        let cache = closed.join("a/b");
        fs::create_dir_all(&cache).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        let another_user = user.map(|_| PathBuf::from(SYSTEM_CACHE));
        let expected = another_user.unwrap_or_else(|| cache.clone());
        assert_eq!(reachable_cache(&cache, user), expected);
        assert_eq!(reachable_cache(&cache, None), cache);
        fs::remove_dir_all(&closed).unwrap();
        let absent = Path::new("/absent/cache");
        assert_eq!(reachable_cache(absent, user), absent);
    }
}
