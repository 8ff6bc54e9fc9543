//! Text of strangers within markup.

use std::fmt;

/// A text that is written so that it is text wherever it stands: between tags and in a quoted attribute. What no document may hold, or
/// what would turn the text after it around, is U+FFFD.
pub(crate) struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\t' | '\n' | '\r' => f.write_str(" ")?,
                c if unfit(c) => f.write_str("\u{FFFD}")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// Control characters, those of the direction of text (Unicode's Bidi_Control), and what XML has no character for.
pub(crate) fn unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{FFFE}' | '\u{FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_reader_sees_the_text_and_nothing_else(text in any::<String>(), nasty in "[<>&\"'/=! \\-\\]a-z\u{202E}\u{0}]{0,40}") {
            for text in [text, nasty] {
                let document = format!("<a b=\"{0}\" c='{0}'>{0}</a>", Escaped(&text));
                let parsed = roxmltree::Document::parse(&document).unwrap();
                let a = parsed.root_element();
                let shown: String = text
                    .chars()
                    .map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c })
                    .map(|c| if unfit(c) { '\u{FFFD}' } else { c })
                    .collect();
                prop_assert_eq!(a.text().unwrap_or_default(), &shown);
                prop_assert_eq!(a.attribute("b"), Some(shown.as_str()));
                prop_assert_eq!(a.attribute("c"), Some(shown.as_str()));
                prop_assert_eq!(a.children().filter(|child| child.is_element()).count(), 0);
            }
        }
    }
}
