//! `edit`: an object in an editor, again and again until the server takes it or the author gives up.

use crate::cli::Session;
use crate::cli::cluster::{name, text};
use crate::cli::error::CliError;
use crate::cli::resource::{self, full_name};
use crate::cli::{three_way, yaml};
use clap::Args;
use miniku_core::api::object::Key;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The end of `--help`.
pub const EXAMPLE: &str = "Example:\n  EDITOR=nano miniku edit rs/web";

/// What to edit.
#[derive(Args, Debug)]
pub struct EditArgs {
    /// TYPE NAME, or TYPE/NAME
    #[arg(required = true, value_name = "WHAT")]
    pub what: Vec<String>,
}

/// What stands above the object. Source: kubectl.
const HEAD: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,\n\
    # and an empty file will abort the edit. If an error occurs while saving this file will be\n\
    # reopened with the relevant failures.\n#\n";

/// Edits objects, one after the other.
pub fn run(args: &EditArgs, session: &mut Session) -> Result<(), CliError> {
    for key in resource::named(&args.what, &session.cluster)? {
        let done = edit(&key, session)?;
        writeln!(session.out, "{} {done}", full_name(key.kind, &key.name))?;
        session.out.flush()?;
    }
    Ok(())
}

fn edit(key: &Key, session: &Session) -> Result<&'static str, CliError> {
    let live = session.cluster.get(key)?;
    let file = Draft::new(key)?;
    let mut text = format!("{HEAD}{}", yaml::write(&live)?);
    loop {
        file.write(&text)?;
        open_editor(&file.0)?;
        let edited = file.read()?;
        if edited == text || edited.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
            return Ok("skipped: no changes made");
        }
        match save(key, &live, &edited, &file.0, session) {
            Ok(done) => return Ok(done),
            // Nobody will hear of any further attempt.
            Err(error @ (CliError::NobodyThere(_) | CliError::Lost(_))) => return Err(error),
            Err(error) => {
                let body = edited.split_inclusive('\n').skip_while(|line| line.starts_with('#'));
                let reasons: String = error.to_string().lines().map(|line| format!("# {line}\n")).collect();
                text = format!("{HEAD}{reasons}#\n{}", body.collect::<String>());
            }
        }
    }
}

fn save(key: &Key, live: &Value, edited: &str, file: &Path, session: &Session) -> Result<&'static str, CliError> {
    let mut documents = yaml::documents(edited, &file.display().to_string())?;
    let edited = match documents.len() {
        1 => documents.remove(0),
        _ => return Err(CliError::Usage("one object is edited at a time".into())),
    };
    if name(&edited) != name(live) || edited["kind"] != live["kind"] {
        return Err(CliError::Usage("kind and name of an object cannot be edited".into()));
    }
    let Some(mut patch) = three_way::patch(live, &edited) else {
        return Ok("skipped: no changes made");
    };
    patch["metadata"]["resourceVersion"] = text(&edited["metadata"]["resourceVersion"]).into();
    session.cluster.merge(key, &patch, false)?;
    Ok("edited")
}

fn open_editor(file: &Path) -> Result<(), CliError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = ["KUBE_EDITOR", "VISUAL", "EDITOR"].into_iter().find_map(variable).unwrap_or_else(|| "vi".into());
    // An editor may come with arguments: `code --wait`. The shell splits them as the author means.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(CliError::Usage(format!("there was a problem with the editor {editor:?}: {status}"))),
        Err(source) => Err(CliError::Io { what: "run".into(), path: editor.into(), source }),
    }
}

/// The file being edited; it goes when the edit ends.
struct Draft(PathBuf);

impl Draft {
    fn new(key: &Key) -> Result<Self, CliError> {
        let name = format!("miniku-edit-{}-{}.yaml", std::process::id(), key.kind.row().singular);
        let path = std::env::temp_dir().join(name);
        // Never through a link or into a file that someone else put there.
        let made = fs::OpenOptions::new().write(true).create_new(true).open(&path);
        made.map_err(|source| CliError::Io { what: "create".into(), path: path.clone(), source })?;
        Ok(Draft(path))
    }

    fn write(&self, text: &str) -> Result<(), CliError> {
        fs::write(&self.0, text).map_err(|source| CliError::Io { what: "write".into(), path: self.0.clone(), source })
    }

    fn read(&self) -> Result<String, CliError> {
        let read = fs::read_to_string(&self.0);
        read.map_err(|source| CliError::Io { what: "read".into(), path: self.0.clone(), source })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Left behind it would only be litter.
        let _ = fs::remove_file(&self.0);
    }
}
