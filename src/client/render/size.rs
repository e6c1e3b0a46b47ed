//! Sizes in bytes for people: `271 B`, `2.00 KiB`.
//!
//! Tables show sizes from bytes to terabytes in one column; JSON has the plain numbers.
//!
//! Holds: below 2048 of a unit the smaller unit is used.

const UNITS: [(&str, u32); 3] = [("KiB", 10), ("MiB", 20), ("GiB", 30)];

/// Prints a size with two decimals, whole bytes below 2048.
pub fn bytes(size: u64) -> String {
    if size < 2_048 {
        return format!("{size} B");
    }
    let last = ("GiB", 30);
    let (unit, shift) = UNITS.into_iter().find(|(_, shift)| size >> shift < 2_048).unwrap_or(last);
    format!("{:.2} {unit}", size as f64 / (1u64 << shift) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_sizes() {
        for (size, shown) in [
            (0, "0 B"),
            (271, "271 B"),
            (2_047, "2047 B"),
            (2_048, "2.00 KiB"),
            (2_600, "2.54 KiB"),
            (2 << 20, "2.00 MiB"),
            (2 << 30, "2.00 GiB"),
            (5 << 40, "5120.00 GiB"),
        ] {
            assert_eq!(bytes(size), shown);
        }
    }
}
