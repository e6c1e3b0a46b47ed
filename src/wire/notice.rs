//! What a task tells its worker over the control socket: one message, and the answer to it.
//!
//! Layout of a request: the token, a blank, the number of bytes of the message in decimal, a line feed, the message. The
//! answer is `ok` and a line feed once the message is durable, or another line that says why not; a wrong token is not
//! answered at all.
//!
//! Invariants: a request is bounded before it is read.

use hq_core::limits::NOTICE_BYTES_MAX;

/// What tokens begin with.
pub const TOKEN_PREFIX: &str = "hq0-";
/// Characters of a token after that.
pub const TOKEN_RANDOM_CHARS: usize = 8;
/// Bytes of the first line, with its end.
pub const HEAD_BYTES_MAX: usize = 64;
/// The answer to a message that is durable.
pub const ACCEPTED: &str = "ok";

/// The bytes of a request.
pub fn request(token: &str, message: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{token} {}\n", message.len()).into_bytes();
    bytes.extend_from_slice(message);
    bytes
}

/// Token and length of the message by the first line, without its end; none where that is not right.
pub fn parse_head(line: &[u8]) -> Option<(&str, usize)> {
    let (token, length) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length: usize = digits.then(|| length.parse().ok())??;
    (token.starts_with(TOKEN_PREFIX) && length <= NOTICE_BYTES_MAX).then_some((token, length))
}

/// Path of the socket and token by the value of `HQ_ACCESS_KEY`; none where that is not right.
pub fn parse_key(key: &str) -> Option<(&str, &str)> {
    let (path, token) = key.rsplit_once(':')?;
    let random = token.strip_prefix(TOKEN_PREFIX)?;
    let fits = random.len() == TOKEN_RANDOM_CHARS && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (fits && !path.is_empty()).then_some((path, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_written() {
        let bytes = request("hq0-abcdefgh", b"a\nb");
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        assert_eq!(parse_head(&bytes[..end]), Some(("hq0-abcdefgh", 3)));
        assert_eq!(&bytes[end + 1..], b"a\nb");
        let longest = request("hq0-abcdefgh", &[0; NOTICE_BYTES_MAX]);
        assert!(longest.len() <= HEAD_BYTES_MAX + NOTICE_BYTES_MAX);
        for bad in
            ["", "hq0-abcdefgh", "hq0-abcdefgh ", "hq0-abcdefgh -1", "hq0-abcdefgh +1", "hq0-abcdefgh 1025", "x 3"]
        {
            assert_eq!(parse_head(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse_head(b"\xff 3"), None);
    }

    #[test]
    fn keys() {
        assert_eq!(parse_key("/a:b/c:hq0-abcdEF12"), Some(("/a:b/c", "hq0-abcdEF12")));
        for bad in ["", "/a", "/a:", ":hq0-abcdEF12", "/a:hq1-abcdEF12", "/a:hq0-abcdEF1", "/a:hq0-abcdEF1/"] {
            assert_eq!(parse_key(bad), None, "{bad}");
        }
    }
}
