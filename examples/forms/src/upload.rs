//! The expensive part.

use std::{
    io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::save::Refused;

/// An uploaded file that is removed again unless it is kept.
pub(crate) struct Upload {
    file: PathBuf,
    name: String,
    is_kept: bool,
}

impl Upload {
    pub(crate) async fn write(folder: &Path, contents: &str) -> Result<Self, Refused> {
        let name = Uuid::new_v4().to_string();
        let upload = Self {
            file: folder.join(&name),
            name,
            is_kept: false,
        };
        let written: io::Result<()> = tokio::fs::write(&upload.file, contents).await;
        match written {
            Ok(()) => Ok(upload),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no upload");
                Err(Refused::Failed)
            }
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_kept {
            // A file that is left behind harms nobody.
            let _ = std::fs::remove_file(&self.file);
        }
    }
}
