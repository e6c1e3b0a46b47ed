//! Which resources a worker looks for by itself: `all`, `none`, or a list such as `cpus,gpus/nvidia`.
//!
//! Holds: a name that can never be detected is refused, so that a misspelt one does not silently switch a resource off.

use super::Error;
use super::cursor::Cursor;

/// The resources that are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detection {
    /// CPUs.
    pub cpus: bool,
    /// Memory.
    pub mem: bool,
    /// GPUs of NVIDIA.
    pub nvidia: bool,
    /// GPUs of AMD.
    pub amd: bool,
}

impl Detection {
    /// Everything.
    pub const ALL: Self = Self { cpus: true, mem: true, nvidia: true, amd: true };
    /// Nothing.
    pub const NONE: Self = Self { cpus: false, mem: false, nvidia: false, amd: false };
}

/// Reads `all`, `none` or names separated by commas.
///
/// # Errors
/// Another word, or `all` or `none` within a list.
pub fn parse(text: &str) -> Result<Detection, Error> {
    match text.trim() {
        "all" => return Ok(Detection::ALL),
        "none" => return Ok(Detection::NONE),
        _ => {}
    }
    let mut found = Detection::NONE;
    let mut cursor = Cursor::new(text);
    loop {
        cursor.blanks();
        let start = cursor.at();
        match cursor.take_while(|c| c != ',' && c != ' ' && c != '\t') {
            "cpus" => found.cpus = true,
            "mem" => found.mem = true,
            "gpus/nvidia" => found.nvidia = true,
            "gpus/amd" => found.amd = true,
            _ => {
                let reason = "expected `all`, `none`, or a list of `cpus`, `mem`, `gpus/nvidia` and `gpus/amd`";
                return Err(cursor.refused(reason, start..cursor.at()));
            }
        }
        cursor.blanks();
        if !cursor.eat(',') {
            cursor.end("`,` or the end of the list")?;
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(parse("all"), Ok(Detection::ALL));
        assert_eq!(parse("none"), Ok(Detection::NONE));
        assert_eq!(parse("cpus, mem"), Ok(Detection { cpus: true, mem: true, ..Detection::NONE }));
        let gpus = Detection { nvidia: true, amd: true, ..Detection::NONE };
        assert_eq!(parse("gpus/amd,gpus/nvidia,gpus/amd"), Ok(gpus));
        for (text, place) in [("", 0..0), ("cpu", 0..3), ("cpus,all", 5..8), ("cpus,", 5..5), ("cpus mem", 5..6)] {
            assert_eq!(parse(text).unwrap_err().bytes(), place, "{text}");
        }
    }
}
