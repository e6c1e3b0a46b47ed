//! The files of the repository, as the checks see them.
//!
//! The checks must see the same files in a clone, in a source archive without git, and beside build output, so the
//! tree is walked here and not asked from git.
//!
//! What holds: paths are relative to the root, with `/`, sorted; build output, nested checkouts and what tools
//! generate (directories with a `CACHEDIR.TAG`) are never seen.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::source::Source;

/// Directories that hold no work of ours.
const SKIPPED: &[&str] = &[".git", "target", ".venv", "__pycache__", "node_modules"];

/// Endings of the files whose text is read.
const TEXT: &[&str] = &["rs", "md", "toml", "sh", "py", "yml", "yaml", "json", "txt"];

/// A file with its text.
pub struct TextFile {
    /// Relative to the root of the repository.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the repository.
pub fn paths() -> Vec<String> {
    static PATHS: OnceLock<Vec<String>> = OnceLock::new();
    PATHS
        .get_or_init(|| {
            let mut found = Vec::new();
            walk(root(), &mut found);
            let mut paths: Vec<String> = found
                .iter()
                .filter_map(|path| path.strip_prefix(root()).ok().and_then(Path::to_str).map(str::to_owned))
                .collect();
            paths.sort();
            paths
        })
        .clone()
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("cannot list {}: {e}", dir.display()));
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            let foreign = path.join(".git").exists() || path.join("CACHEDIR.TAG").exists();
            if !SKIPPED.contains(&name.as_str()) && !foreign {
                walk(&path, found);
            }
        } else if kind.is_file() {
            found.push(path);
        }
    }
}

/// The text of one file.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("cannot read {path}: {e}"))
}

/// All files of ours that hold text for people or compilers; `.ci/run` has no ending and is among them.
pub fn text_files() -> Vec<TextFile> {
    paths()
        .into_iter()
        .filter(|path| {
            let ending = path.rsplit('.').next().unwrap_or_default();
            TEXT.contains(&ending) || path.starts_with(".ci/")
        })
        .filter_map(|path| fs::read_to_string(root().join(&path)).ok().map(|text| TextFile { path, text }))
        .collect()
}

/// All Rust files, with comments and literals told apart from code.
pub fn rust_files() -> Vec<Source> {
    paths().into_iter().filter(|path| path.ends_with(".rs")).map(|path| Source::new(&path, &read(&path))).collect()
}

/// The files that have an executable bit.
pub fn executables() -> Vec<String> {
    paths()
        .into_iter()
        .filter(|path| fs::metadata(root().join(path)).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0))
        .collect()
}

#[test]
fn the_walk_sees_sources_and_no_build_output() {
    let paths = paths();
    assert!(paths.iter().any(|path| path == "Cargo.toml"));
    assert!(paths.iter().any(|path| path == "src/core/lib.rs"));
    assert!(!paths.iter().any(|path| path.starts_with("target/") || path.starts_with(".git/")));
}
