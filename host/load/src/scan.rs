//! Reads the few messages of Stratum V1 that a load generator needs, without building a tree: a message is a slice, its
//! members are slices of it. What is not understood is [`Message::Other`], never an error, since servers say much.

/// A JSON value as it stands in a line.
pub(crate) type Raw<'a> = &'a [u8];

/// What a server said.
#[derive(Debug, PartialEq)]
pub(crate) enum Message<'a> {
    /// `mining.notify`, its parameters.
    Notify(Raw<'a>),
    /// `mining.set_difficulty`.
    Difficulty(f64),
    /// `mining.set_extranonce`, its parameters.
    Extranonce(Raw<'a>),
    /// The answer to a request with a numeric id.
    Reply {
        id: u64,
        /// `null` where there is none.
        result: Raw<'a>,
        /// `null` where there is none.
        error: Raw<'a>,
    },
    /// Anything else.
    Other,
}

const NULL: Raw<'static> = b"null";

/// Reads one line.
pub(crate) fn message(line: &[u8]) -> Message<'_> {
    let (mut id, mut method, mut params) = (NULL, NULL, NULL);
    let (mut result, mut error, mut answered) = (NULL, NULL, false);
    let Some(mut members) = Members::of(line) else { return Message::Other };
    while let Some((key, value)) = members.next() {
        match key {
            b"id" => id = value,
            b"method" => method = value,
            b"params" => params = value,
            b"result" => (result, answered) = (value, true),
            b"error" => (error, answered) = (value, true),
            _ => {}
        }
    }
    match text(method) {
        Some(b"mining.notify") => Message::Notify(params),
        Some(b"mining.set_difficulty") => {
            let difficulty = Items::of(params).and_then(|mut items| items.next()).and_then(number);
            difficulty.map_or(Message::Other, Message::Difficulty)
        }
        Some(b"mining.set_extranonce") => Message::Extranonce(params),
        None if answered => match whole(id) {
            Some(id) => Message::Reply { id, result, error },
            None => Message::Other,
        },
        _ => Message::Other,
    }
}

/// The inside of a string. Escapes are left as they are: nothing that is compared has any.
pub(crate) fn text(raw: Raw<'_>) -> Option<&[u8]> {
    raw.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// A number.
pub(crate) fn number(raw: Raw<'_>) -> Option<f64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

/// A number without sign and fraction, plain or as text.
fn whole(raw: Raw<'_>) -> Option<u64> {
    std::str::from_utf8(text(raw).unwrap_or(raw)).ok()?.parse().ok()
}

/// The members of an object.
struct Members<'a> {
    rest: Raw<'a>,
}

impl<'a> Members<'a> {
    fn of(raw: Raw<'a>) -> Option<Self> {
        Some(Self { rest: raw.trim_ascii().strip_prefix(b"{")? })
    }

    fn next(&mut self) -> Option<(&'a [u8], Raw<'a>)> {
        let (key, rest) = value(self.rest.trim_ascii_start())?;
        let (value, rest) = value(rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start())?;
        self.rest = after_comma(rest);
        Some((text(key)?, value))
    }
}

/// The items of an array.
pub(crate) struct Items<'a> {
    rest: Raw<'a>,
}

impl<'a> Items<'a> {
    pub(crate) fn of(raw: Raw<'a>) -> Option<Self> {
        Some(Self { rest: raw.strip_prefix(b"[")? })
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        let (item, rest) = value(self.rest.trim_ascii_start())?;
        self.rest = after_comma(rest);
        Some(item)
    }
}

/// Behind a comma; nothing more where there is none.
fn after_comma(rest: Raw<'_>) -> Raw<'_> {
    rest.trim_ascii_start().strip_prefix(b",").unwrap_or_default()
}

/// The value at the beginning, and what follows it.
fn value(raw: Raw<'_>) -> Option<(Raw<'_>, Raw<'_>)> {
    let length = match raw.first()? {
        b'"' => string(raw)?,
        b'{' | b'[' => nested(raw)?,
        _ => raw.iter().position(|byte| b",:]} \t\r\n".contains(byte)).unwrap_or(raw.len()),
    };
    if length == 0 { None } else { raw.split_at_checked(length) }
}

/// Bytes of the string at the beginning, its quotes included.
fn string(raw: Raw<'_>) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in raw.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Bytes of the object or array at the beginning.
fn nested(raw: Raw<'_>) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for (at, byte) in raw.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth = depth.checked_add(1)?,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_told_apart() {
        let notify = br#"{"params":["1f","ab",[],true],"id":null,"method":"mining.notify"}"#;
        assert_eq!(message(notify), Message::Notify(br#"["1f","ab",[],true]"#));
        let difficulty = br#" { "id" : null , "method" : "mining.set_difficulty" , "params" : [ 0.5 ] } "#;
        assert_eq!(message(difficulty), Message::Difficulty(0.5));
        assert_eq!(
            message(br#"{"id":7,"result":true,"error":null}"#),
            Message::Reply { id: 7, result: b"true", error: b"null" }
        );
        assert_eq!(
            message(br#"{"error":[23,"low, \"very\" ] low",null],"id":"8","result":null}"#),
            Message::Reply { id: 8, result: b"null", error: br#"[23,"low, \"very\" ] low",null]"# }
        );
    }

    #[test]
    fn what_is_no_message_is_something_else() {
        for line in [
            &b""[..],
            b"{",
            b"[]",
            b"{\"id\":",
            b"{\"id\":1}",
            b"{\"id\":null,\"result\":true}",
            b"{\"method\":\"mining.set_difficulty\",\"params\":[]}",
            b"{\"method\":\"client.show_message\",\"params\":[\"x\"]}",
            b"{\"id\":1,\"result\":[[[",
            b"\xff\xfe",
        ] {
            assert_eq!(message(line), Message::Other, "{line:?}");
        }
    }

    #[test]
    fn items_of_an_array_are_given_one_by_one() {
        let items: Vec<_> = Items::of(br#"["a,b", [1,[2]] ,3 , {"x":[]}]"#).unwrap().collect();
        assert_eq!(items, [&br#""a,b""#[..], b"[1,[2]]", b"3", br#"{"x":[]}"#]);
        assert_eq!(Items::of(b"[]").unwrap().count(), 0);
    }
}
