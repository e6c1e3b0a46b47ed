//! hq
