//! The dashboard: one page without a framework, readable on a phone, with the browser's own colours for dark mode.

pub(crate) const HTML: &str = include_str!("../page/index.html");
pub(crate) const CSS: &str = include_str!("../page/page.css");
pub(crate) const JS: &str = include_str!("../page/page.js");
